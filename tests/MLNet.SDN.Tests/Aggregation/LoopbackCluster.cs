using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using MLNet.SDN.Aggregation;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>Several hosts' data planes in this process, joined by real TCP over loopback.</summary>
internal sealed class LoopbackCluster : IAsyncDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("mlnet-agg-").FullName;
    private readonly SortedDictionary<string, AggregationHost> _hosts = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int> _ports = [];

    public IReadOnlyDictionary<string, AggregationHost> Hosts => _hosts;

    public static async Task<LoopbackCluster> StartAsync(params string[] hosts)
    {
        var cluster = new LoopbackCluster();
        foreach (var host in hosts)
        {
            await cluster.AddAsync(host);
        }

        return cluster;
    }

    public async Task AddAsync(string host)
    {
        var options = new AggregationOptions
        {
            Host = host, Listen = new IPEndPoint(IPAddress.Loopback, _ports.GetValueOrDefault(host)), WorkerSocket = SocketOf(host), RestartPatience = Patience,
        };
        var made = new AggregationHost(options, TimeProvider.System, NullLogger<AggregationHost>.Instance);
        await made.StartAsync(TestContext.Current.CancellationToken);
        _hosts.Add(host, made);
        _ports[host] = made.DataPort;
    }

    /// <summary>How long hosts are waited for in these tests.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(4);

    /// <summary>Ends an agent and starts another in its place, which knows nothing but its plans.</summary>
    public async Task RestartAsync(string host, params AggregationJob[] jobs)
    {
        await StopAsync(host);
        await AddAsync(host);
        _hosts[host].Apply(jobs);
    }

    public string SocketOf(string host) => Path.Combine(_directory, $"{host}.sock");

    /// <summary>A job with the given worker hosts by rank and trees by shard.</summary>
    public AggregationJob Job(string name, long id, string[] workers, IReadOnlyList<Shard> shards, int generation = 1, int chunkBytes = 1024, int window = 3, int stripes = 2, byte dscp = 0) => new()
    {
        JobId = id,
        Name = name,
        Secret = new byte[] { 1, 2, 3, (byte)id },
        Dscp = dscp,
        TreesRevision = new TreesRevision(1, generation),
        Members = [.. workers.Select((host, rank) => new Member(rank, host))],
        Endpoints = [.. _hosts.Select(h => new Endpoint(h.Key, new IPEndPoint(IPAddress.Loopback, h.Value.DataPort), null))],
        Shards = shards,
        ChunkBytes = chunkBytes,
        WindowChunks = window,
        Stripes = stripes,
    };

    public void Apply(params AggregationJob[] jobs)
    {
        foreach (var host in _hosts.Values)
        {
            host.Apply(jobs);
        }
    }

    public TestWorker Join(AggregationJob job, int rank) => TestWorker.Join(SocketOf(job.Members[rank].Host), job.Name, rank, job.ServerRank is not { } server ? null : rank == server ? "server" : "worker");

    public async Task<TestWorker[]> JoinAllAsync(AggregationJob job) =>
        await Task.WhenAll(job.Members.Select(m => Start(() => Join(job, m.Rank))));

    /// <summary>Runs what blocks on a thread of its own: the thread pool would start the calls one after the other.</summary>
    public static Task<T> Start<T>(Func<T> call) => Task.Factory.StartNew(call, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    /// <inheritdoc cref="Start{T}"/>
    public static Task Start(Action call) => Task.Factory.StartNew(call, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    /// <summary>Waits for something that takes an unknown while; a minute at most.</summary>
    public async Task UntilAsync(Func<bool> condition)
    {
        for (var i = 0; i < 1200 && !condition(); i++)
        {
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }

        Assert.True(condition(), string.Join("; ", _hosts.Select(h => (h.Key, Status: h.Value.Status())).SelectMany(h =>
            h.Status.Troubles.Concat([.. h.Status.Workers.Select(w => $"{h.Key}: {w}"), .. h.Status.Reductions.Select(r => $"{h.Key}: {r}")]))));
    }

    /// <summary>Local ports of this machine's TCP connections to a port of 127.0.0.1.</summary>
    public static IReadOnlyList<int> PortsConnectedTo(int port) =>
        [.. System.Net.NetworkInformation.IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpConnections()
            .Where(c => c.RemoteEndPoint.Port == port && c.State == System.Net.NetworkInformation.TcpState.Established)
            .Select(c => c.LocalEndPoint.Port)];

    public async Task StopAsync(string host)
    {
        await _hosts[host].DisposeAsync();
        _hosts.Remove(host);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var host in _hosts.Values)
        {
            await host.DisposeAsync();
        }

        Directory.Delete(_directory, recursive: true);
    }

    /// <summary>Every host sends straight to the root of the shard, which each host is in turn.</summary>
    public static Shard[] Direct(IReadOnlyList<string> hosts) =>
        [.. hosts.Select(root => new Shard(1, [root], [.. hosts.Where(h => h != root).Select(h => new Edge(h, root))]))];
}
