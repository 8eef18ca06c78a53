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

/// <summary>The receive windows of a job's data connections when its trees change: together they are what may be under way to the host.</summary>
public sealed class ConnectionWindowTests
{
    private const int UnderWay = 96 * 1024;
    private const SocketOptionLevel Tcp = SocketOptionLevel.Tcp;
    private const int WindowClamp = 10;

    private static readonly Edge[] Star = [new("b", "a"), new("c", "a"), new("d", "a")];
    private static readonly Edge[] Chain = [new("d", "c"), new("c", "b"), new("b", "a")];

    [Fact(Timeout = 60_000)]
    public async Task Tick_OtherTreesWithFewerNeighbours_WindowsGrowAndShrinkBack()
    {
        using var made = new Made(Job(1, Star));
        var (connection, serving) = await made.ServeAsync("b");

        await made.UntilAsync(UnderWay / 3);

        made.Report(1);
        made.Apply(Job(2, Chain));
        made.Tick();
        Assert.Equal(UnderWay / 3, made.Window()); // the others do not know the new trees yet, so rounds use the old ones

        made.Report(2);
        await made.UntilAsync(UnderWay);

        made.Apply(Job(3, Star));
        await made.UntilAsync(UnderWay / 3);

        connection.Close();
        await serving;
    }

    [Fact(Timeout = 60_000)]
    public async Task Serve_TreesChangedSinceTheConnectionWasMade_HasTheWindowOfTheNewOnes()
    {
        using var made = new Made(Job(1, Star));
        var (connection, link) = await made.ConnectAsync("b");
        made.Report(1);
        made.Apply(Job(2, Chain));
        made.Report(2);
        made.Tick();

        var serving = Task.Run(() => link.Serve(connection, 0), TestContext.Current.CancellationToken);
        await made.UntilAsync(UnderWay);

        connection.Close();
        await serving;
    }

    private static AggregationJob Job(long generation, Edge[] edges) => new()
    {
        JobId = 7,
        Name = "j",
        Secret = new byte[] { 1 },
        Dscp = 0,
        TreesRevision = new TreesRevision(1, generation),
        Members = [new(0, "a"), new(1, "b"), new(2, "c"), new(3, "d")],
        Endpoints = [.. new[] { "a", "b", "c", "d" }.Select(h => new Endpoint(h, new IPEndPoint(IPAddress.Loopback, 1), null))],
        Shards = [new(1, ["a"], edges)],
        ChunkBytes = 64,
        WindowChunks = 3,
        Stripes = 1,
        LinkRateBitsPerSecond = 10_000_000,
    };

    private sealed class Made : IDisposable
    {
        private readonly NativeBufferPool _pool = new();
        private readonly ConnectionRegistry _registry = new(TimeProvider.System);
        private readonly PathFinder _paths = new(false, 40, TimeProvider.System, NullLogger.Instance);
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly JobRuntime _runtime;
        private Socket? _near;
        private Socket? _far;

        public Made(AggregationJob job)
        {
            var options = new AggregationOptions { Host = "a", Listen = new IPEndPoint(IPAddress.Loopback, 0), WorkerSocket = "unused" };
            _runtime = new JobRuntime(
                job, TreesOf(job), new HostResources(options, 1, _pool, _registry, _paths, new Shortage(TimeProvider.System, NullLogger.Instance), TimeProvider.System, NullLogger.Instance));
            _listener.Start();
        }

        public void Apply(AggregationJob job) => _runtime.Apply(job, TreesOf(job));

        public void Tick() => _runtime.Tick();

        /// <summary>The other hosts say that they hold the trees up to a generation.</summary>
        public void Report(int generation)
        {
            foreach (var host in new[] { "b", "c", "d" })
            {
                _runtime.Engine.OnSignalUp(host);
                _runtime.Engine.OnSignal(host, new SignalMessage
                {
                    Type = SignalMessage.Types.State, Boot = host, Workers = [], Streams = [], Revisions = [.. Enumerable.Range(1, generation).Select(g => new TreesRevision(1, g))],
                });
            }
        }

        public async Task<(DataConnection Connection, PeerLink Link)> ConnectAsync(string peer)
        {
            _near = AgentSocket.Create(AddressFamily.InterNetwork, 0);
            _near.Connect(_listener.LocalEndpoint); // not asynchronously: that would make it non-blocking for good
            _far = await _listener.AcceptSocketAsync(TestContext.Current.CancellationToken);
            return (new DataConnection(_near, peer, 1, _runtime.Engine, _pool, UnderWay / 3, TimeProvider.System), _runtime.LinkTo(peer));
        }

        public async Task<(DataConnection Connection, Task Serving)> ServeAsync(string peer)
        {
            var (connection, link) = await ConnectAsync(peer);
            return (connection, Task.Run(() => link.Serve(connection, 0), TestContext.Current.CancellationToken));
        }

        public async Task UntilAsync(int window)
        {
            while (Window() != window)
            {
                _runtime.Tick();
                await Task.Delay(5, TestContext.Current.CancellationToken);
            }
        }

        public void Dispose()
        {
            _runtime.Dispose();
            _near?.Dispose();
            _far?.Dispose();
            _listener.Dispose();
            _pool.Dispose();
        }

        public int Window()
        {
            Span<byte> value = stackalloc byte[4];
            _ = _near!.GetRawSocketOption((int)Tcp, WindowClamp, value);
            return BitConverter.ToInt32(value);
        }

        private static TreeSet TreesOf(AggregationJob job)
        {
            Assert.Null(TreeSet.TryCreate(job, "a", out var trees));
            return trees!;
        }
    }
}
