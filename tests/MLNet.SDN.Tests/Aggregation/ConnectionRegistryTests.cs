using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Time.Testing;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Transport;

namespace MLNet.SDN.Tests.Aggregation;

public sealed class ConnectionRegistryTests
{
    private static readonly ConnectionOwner One = new(1, "push");
    private static readonly ConnectionOwner Two = new(2, "signal");

    private readonly FakeTimeProvider time = new();

    [Fact]
    public void Connection_IsFoundWhileOpen_AndForAWhileAfter()
    {
        var registry = new ConnectionRegistry(time);
        using var listener = Listen();
        var peer = (IPEndPoint)listener.LocalEndPoint!;
        var socket = Dial(peer);
        var port = ((IPEndPoint)socket.LocalEndPoint!).Port;
        registry.Add(socket, peer, One);
        Assert.Equal([(1L, 1)], Open(registry));

        socket.Send(new byte[1000]);
        registry.Close(socket);
        registry.Close(socket);

        Assert.Equal([(1L, 0)], Open(registry));
        Assert.Equal(1000, Assert.Single(registry.Totals()).BytesSent);
        time.Advance(TimeSpan.FromSeconds(100));
        registry.Expire();
        Assert.True(registry.TryFind(port, peer.Address, peer.Port, out var owner));
        Assert.Equal(One, owner);
        time.Advance(TimeSpan.FromSeconds(100));
        registry.Expire();
        Assert.False(registry.TryFind(port, peer.Address, peer.Port, out _));
    }

    [Fact]
    public void Port_TakenAgain_BelongsToItsNewOwner_AndTheBytesOfTheFormerCountOnce()
    {
        var registry = new ConnectionRegistry(time);
        using var listener = Listen();
        var peer = (IPEndPoint)listener.LocalEndPoint!;
        var first = Dial(peer);
        first.Send(new byte[1000]);
        var local = (IPEndPoint)first.LocalEndPoint!;
        registry.Add(first, peer, One);
        using var second = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        first.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        second.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        second.Bind(local);

        registry.Add(second, peer, Two);
        Assert.Equal([(1L, 0), (2L, 1)], Open(registry));
        registry.Close(first);

        Assert.True(registry.TryFind(local.Port, peer.Address, peer.Port, out var owner));
        Assert.Equal(Two, owner);
        Assert.Equal([(1L, 0), (2L, 1)], Open(registry));
        Assert.Equal([1000, 0], registry.Totals().Select(t => t.BytesSent));
    }

    private static IEnumerable<(long JobId, int Open)> Open(ConnectionRegistry registry) => registry.Totals().Select(t => (t.JobId, t.Connections));

    private static Socket Listen()
    {
        var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        return listener;
    }

    private static Socket Dial(IPEndPoint peer)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Connect(peer);
        return socket;
    }
}
