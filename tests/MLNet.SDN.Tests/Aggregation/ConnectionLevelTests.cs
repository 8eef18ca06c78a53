using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Paths;
using MLNet.SDN.Aggregation.Transport;
using MLNet.SDN.Aggregation.Trees;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>The level of a job's data connections when the plan changes it.</summary>
public sealed class ConnectionLevelTests
{
    private static AggregationJob Job(byte dscp) => new()
    {
        JobId = 7,
        Name = "j",
        Secret = new byte[] { 1 },
        Dscp = dscp,
        TreesRevision = new TreesRevision(1, 1),
        Members = [new(0, "a"), new(1, "b")],
        Endpoints = [new("a", new IPEndPoint(IPAddress.Loopback, 1), null), new("b", new IPEndPoint(IPAddress.Loopback, 1), null)],
        Shards = [new(1, ["a"], [new("b", "a")])],
        ChunkBytes = 64,
        WindowChunks = 3,
        Stripes = 1,
    };

    [Fact(Timeout = 60_000)]
    public async Task Serve_LevelChangedSinceTheConnectionWasMade_IsTheNewOne()
    {
        var time = TimeProvider.System;
        using var pool = new NativeBufferPool();
        var registry = new ConnectionRegistry(time);
        var paths = new PathFinder(false, 40, time, NullLogger.Instance);
        var options = new AggregationOptions { Host = "a", Listen = new IPEndPoint(IPAddress.Loopback, 0), WorkerSocket = "unused" };
        Assert.Null(TreeSet.TryCreate(Job(10), "a", out var trees));
        using var runtime = new JobRuntime(Job(10), trees!, new HostResources(options, 1, pool, registry, paths, new Shortage(time, NullLogger.Instance), time, NullLogger.Instance));
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var near = AgentSocket.Create(AddressFamily.InterNetwork, 10);
        near.Connect(listener.LocalEndpoint);
        using var far = await listener.AcceptSocketAsync(TestContext.Current.CancellationToken);
        Assert.Equal(10 << 2, Tos(near));
        var link = new PeerLink(runtime, "b", new StripePaths(paths, registry));
        var connection = new DataConnection(near, "b", 1, runtime.Engine, pool, 0, time);

        // A round begins with the new level after the connection was made and before it is listed.
        runtime.Apply(Job(34), null);
        runtime.RoundBegins();
        var serving = Task.Run(() => link.Serve(connection, 0), TestContext.Current.CancellationToken);

        while (Tos(near) != 34 << 2)
        {
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }

        connection.Close();
        await serving;
    }

    private static int Tos(Socket socket) => (int)socket.GetSocketOption(SocketOptionLevel.IP, SocketOptionName.TypeOfService)!;
}
