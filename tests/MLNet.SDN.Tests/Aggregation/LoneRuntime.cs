using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Paths;
using MLNet.SDN.Aggregation.Transport;
using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>A job on host <c>a</c> without the agents of the others: the test is all of them. One data connection, over loopback, to nobody.</summary>
internal sealed class LoneRuntime : IDisposable
{
    private readonly NativeBufferPool _pool = new();
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly string[] _others;
    private readonly Socket _near;
    private readonly Socket _far;

    /// <param name="job">With host <c>a</c> among its hosts.</param>
    /// <param name="search">What is seen of the ways to others; null for nothing.</param>
    public LoneRuntime(AggregationJob job, PathFinder.PathSearch? search = null)
    {
        var time = TimeProvider.System;
        var options = new AggregationOptions { Host = "a", Listen = new IPEndPoint(IPAddress.Loopback, 0), WorkerSocket = "unused" };
        var paths = new PathFinder(search is not null, 40, time, NullLogger.Instance, search);
        var resources = new HostResources(options, 1, _pool, new ConnectionRegistry(time), paths, new Shortage(time, NullLogger.Instance), time, NullLogger.Instance);
        _others = [.. job.Endpoints.Select(e => e.Host).Where(h => h != "a")];
        Runtime = new JobRuntime(job, TreesOf(job), resources);
        _listener.Start();
        _near = AgentSocket.Create(AddressFamily.InterNetwork, job.Dscp);
        _near.Connect(_listener.LocalEndpoint); // not asynchronously: that would make it non-blocking for good
        _far = _listener.AcceptSocket();
    }

    public JobRuntime Runtime { get; }

    /// <summary>This host's end.</summary>
    public Socket Near => _near;

    /// <summary>What a job of those hosts needs; nobody listens at its endpoints.</summary>
    public static AggregationJob Job(byte dscp, long generation, string[] hosts, Edge[] edges) => new()
    {
        JobId = 7,
        Name = "j",
        Secret = new byte[] { 1 },
        Dscp = dscp,
        TreesRevision = new TreesRevision(1, generation),
        Members = [.. hosts.Select((h, rank) => new Member(rank, h))],
        Endpoints = [.. hosts.Select(h => new Endpoint(h, new IPEndPoint(IPAddress.Loopback, 1), null))],
        Shards = [new(1, ["a"], edges)],
        ChunkBytes = 64,
        WindowChunks = 3,
        Stripes = 1,
    };

    public void Apply(AggregationJob job) => Runtime.Apply(job, TreesOf(job));

    /// <summary>The other hosts say that they hold the trees up to a generation.</summary>
    public void Report(int generation)
    {
        foreach (var host in _others)
        {
            Runtime.Engine.OnSignalUp(host);
            Runtime.Engine.OnSignal(host, new SignalMessage
            {
                Type = SignalMessage.Types.State, Boot = host, Workers = [], Streams = [], Revisions = [.. Enumerable.Range(1, generation).Select(g => new TreesRevision(1, g))],
            });
        }
    }

    /// <summary>The connection, as it is made before it is listed.</summary>
    /// <param name="window">Its window, bytes.</param>
    public DataConnection Connect(int window) => new(_near, "b", 1, Runtime.Engine, _pool, window, TimeProvider.System);

    /// <summary>Lists it and lets it work until it is closed.</summary>
    public Task ServeAsync(DataConnection connection)
    {
        var link = Runtime.LinkTo("b");
        return Task.Run(() => link.Serve(connection, 0), TestContext.Current.CancellationToken);
    }

    /// <summary>Of this host's end, by its number in linux/tcp.h.</summary>
    public int TcpOption(int option)
    {
        Span<byte> value = stackalloc byte[4];
        _ = _near.GetRawSocketOption(6, option, value);
        return BitConverter.ToInt32(value);
    }

    /// <summary>Ticks until something is so.</summary>
    public async Task UntilAsync(Func<bool> isSo)
    {
        while (!isSo())
        {
            Runtime.Tick();
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }
    }

    public void Dispose()
    {
        Runtime.Dispose();
        _near.Dispose();
        _far.Dispose();
        _listener.Dispose();
        _pool.Dispose();
    }

    private static TreeSet TreesOf(AggregationJob job)
    {
        Assert.Null(TreeSet.TryCreate(job, "a", out var trees));
        return trees!;
    }
}
