using System.IO.Pipelines;
using System.Net;
using System.Net.WebSockets;
using Microsoft.AspNetCore.Connections;

namespace MLNet.SDN.Agent.Session;

/// <summary>Carries the hub protocol over one WebSocket, without the negotiation that other transports would need.</summary>
/// <param name="token">Gives what the agent proves itself with; null for nothing.</param>
internal sealed class WebSocketConnectionFactory(Func<string?> token) : IConnectionFactory
{
    /// <inheritdoc />
    public async ValueTask<ConnectionContext> ConnectAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        var address = new UriBuilder(((UriEndPoint)endpoint).Uri);
        address.Scheme = address.Scheme == Uri.UriSchemeHttps ? Uri.UriSchemeWss : Uri.UriSchemeWs;
        var socket = new ClientWebSocket();

        // The controller is in the cluster: a proxy for the outside, named by the environment, does not lead there.
        socket.Options.Proxy = null;
        socket.Options.CollectHttpResponseDetails = true;
        try
        {
            if (token() is { } secret)
            {
                socket.Options.SetRequestHeader("Authorization", $"Bearer {secret}");
            }

            await socket.ConnectAsync(address.Uri, cancellationToken);
        }
        catch (WebSocketException) when (socket.HttpStatusCode is HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden)
        {
            var status = socket.HttpStatusCode;
            socket.Dispose();
            throw new IOException(status == HttpStatusCode.Unauthorized
                ? "it does not know this agent's token; Agent:TokenFile must hold what its Controller:AgentTokenFile holds"
                : "it has no Controller:AgentTokenFile and serves agents on loopback addresses only");
        }
        catch
        {
            socket.Dispose();
            throw;
        }

        return new WebSocketConnection(socket, endpoint);
    }

    private sealed class WebSocketConnection : ConnectionContext
    {
        private readonly WebSocket socket;

        public WebSocketConnection(WebSocket socket, EndPoint endpoint)
        {
            this.socket = socket;
            RemoteEndPoint = endpoint;
            var stream = WebSocketStream.Create(socket, WebSocketMessageType.Text);
            Transport = new StreamPipes(PipeReader.Create(stream), PipeWriter.Create(stream));
        }

        public override string ConnectionId { get; set; } = Guid.NewGuid().ToString("N");

        public override Microsoft.AspNetCore.Http.Features.IFeatureCollection Features { get; } = new Microsoft.AspNetCore.Http.Features.FeatureCollection();

        public override IDictionary<object, object?> Items { get; set; } = new ConnectionItems();

        public override IDuplexPipe Transport { get; set; }

        public override void Abort(ConnectionAbortedException abortReason) => socket.Abort();

        public override async ValueTask DisposeAsync()
        {
            try
            {
                // A controller that no longer answers must not keep the agent from leaving or dialling again.
                using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(1));
                if (socket.State is WebSocketState.Open or WebSocketState.CloseReceived)
                {
                    await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, patience.Token);
                }
            }
            catch (Exception exception) when (exception is WebSocketException or OperationCanceledException or InvalidOperationException)
            {
                // Broken already: closing was a courtesy.
            }
            finally
            {
                socket.Dispose();

                // Without a reason the pipe would still write what a failed send left in it, fail again, and the hub connection would never be told closed.
                var over = new ConnectionAbortedException("the connection is over");
                await Transport.Input.CompleteAsync(over);
                await Transport.Output.CompleteAsync(over);
                await base.DisposeAsync();
            }
        }
    }

    private sealed record StreamPipes(PipeReader Input, PipeWriter Output) : IDuplexPipe;
}
