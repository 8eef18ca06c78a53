using System.Buffers;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Connections;
using MLNet.SDN.Agent.Session;

namespace MLNet.SDN.Tests.Agent.Session;

/// <summary>The connection under the hub connection, against a peer that breaks it.</summary>
public sealed partial class WebSocketConnectionTests
{
    /// <summary>What a failed send left behind must not make the closing fail: the hub connection above would wait for its end for ever.</summary>
    [Fact]
    public async Task DisposeAsync_AfterASendThatTheControllerReset_Closes()
    {
        var token = TestContext.Current.CancellationToken;
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var upgrade = UpgradeAsync(listener, token);
        var address = new Uri($"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}/hub");
        var connection = await new WebSocketConnectionFactory(() => null).ConnectAsync(new UriEndPoint(address), token);
        using var controller = await upgrade;

        connection.Transport.Output.Write(new byte[8 << 20]);
        var sending = connection.Transport.Output.FlushAsync(token).AsTask();
        await controller.ReceiveAsync(new byte[1], token);
        controller.LingerState = new(true, 0); // closing says RST, as it does where there is more to read
        controller.Close();
        await Assert.ThrowsAnyAsync<Exception>(() => sending);

        await connection.DisposeAsync();
    }

    private static async Task<Socket> UpgradeAsync(TcpListener listener, CancellationToken token)
    {
        var socket = await listener.AcceptSocketAsync(token);
        var request = "";
        var buffer = new byte[4096];
        while (!request.EndsWith("\r\n\r\n", StringComparison.Ordinal))
        {
            request += Encoding.ASCII.GetString(buffer, 0, await socket.ReceiveAsync(buffer, token));
        }

        // RFC 6455, section 4.2.2.
        var key = Key().Match(request).Groups[1].Value + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
#pragma warning disable CA5350 // the handshake's own hash
        var accept = Convert.ToBase64String(SHA1.HashData(Encoding.ASCII.GetBytes(key)));
#pragma warning restore CA5350
        await socket.SendAsync(Encoding.ASCII.GetBytes($"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"), token);
        return socket;
    }

    [GeneratedRegex("Sec-WebSocket-Key: ([^\r]+)", RegexOptions.IgnoreCase)]
    private static partial Regex Key();
}
