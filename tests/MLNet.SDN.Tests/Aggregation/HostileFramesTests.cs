using System.Globalization;
using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>Peers that hold the secret and mean harm, or are broken: well-formed frames with any content, from several connections at once.</summary>
public class HostileFramesTests
{
    private const int Streams = 6;
    private static readonly string[] Hosts = ["a", "b", "c", "d", "h"];

    /// <summary>Half a million; <c>./run soak peers</c> sends ten million.</summary>
    private static int Frames => int.Parse(Environment.GetEnvironmentVariable("MLNET_SOAK_PEER_FRAMES") ?? "500000", CultureInfo.InvariantCulture);

    [Theory]
    [InlineData("a", false)]
    [InlineData("h", false)]
    [InlineData("a", true)] // the server's host, all roots
    [InlineData("b", true)]
    public async Task OnFrame_AnyContent_NothingEscapesAndMemoryIsBounded(string host, bool hasServer)
    {
        const int Rows = 4;
        using var pool = new NativeBufferPool();
        var job = hasServer ? WithServer() : Job();
        Assert.Null(TreeSet.TryCreate(job, host, out var trees));
        var engine = new JobEngine(host, job, trees!, new EngineSettings("b", EngineSettings.UsualPatience), pool, new Silence(), TimeProvider.System, NullLogger.Instance);
        if (trees!.LocalRanks is [var rank, ..])
        {
            Assert.Null(engine.TryJoin(rank, out _));
        }

        var most = 0;
        const int Threads = 3;
        var share = Frames / Rows / Threads;
        var senders = Enumerable.Range(0, Threads).Select(t => LoopbackCluster.Start(() =>
        {
            var random = new Random(t);
            for (var i = 0; i < share; i++)
            {
                Send(engine, pool, random, host);
                if (i % 97 == 0)
                {
                    engine.OnDisturbed(Hosts[random.Next(Hosts.Length)]);
                    engine.Tick();
                    most = Math.Max(most, pool.Outstanding);
                }
            }
        }));

        await Task.WhenAll(senders);

        // Rounds in progress of a stream x shards x (window of sums and of results), and what waits to be sent again.
        Assert.InRange(most, 1, Streams * 8 * job.Shards.Count * job.WindowChunks * 4);
        Assert.True(engine.Counters.Violations > share / 10, $"{engine.Counters.Violations} were refused");
        engine.Close("end", "the test ends");
        Assert.Equal(0, pool.Outstanding);
    }

    private static AggregationJob Job() => new()
    {
        JobId = 7,
        Name = "j",
        Secret = new byte[] { 1 },
        Dscp = 0,
        TreesRevision = new TreesRevision(1, 3),
        Members = [new(0, "a"), new(1, "b"), new(2, "c"), new(3, "d")],
        Endpoints = [.. Hosts.Select(h => new Endpoint(h, new IPEndPoint(IPAddress.Loopback, 1), null))],
        Shards = [new(1, ["a", "h", "b"], [new("b", "a"), new("c", "b"), new("d", "b")]), new(2, ["h", "a"], [new("a", "h"), new("b", "h"), new("c", "h"), new("d", "a")])],
        ChunkBytes = 64,
        WindowChunks = 3,
        Stripes = 1,
    };

    private static AggregationJob WithServer() => Job() with
    {
        Members = [new(0, "b"), new(1, "c"), new(2, "d"), new(3, "a")],
        ServerRank = 3,
        Shards = [new(1, ["a"], [new("b", "a"), new("c", "b"), new("d", "b")]), new(2, ["a"], [new("h", "a"), new("b", "h"), new("c", "h"), new("d", "a")])],
    };

    private static void Send(JobEngine engine, NativeBufferPool pool, Random random, string host)
    {
        const int MessageBytes = 64 * 9;
        var type = random.Next(4) == 0 ? ElementType.BFloat16 : ElementType.Float32;
        var frame = (FrameType)random.Next(0, 5);
        var operation = (ReduceOperation)random.Next(1, 8);
        Span<byte> wire = stackalloc byte[FrameHeader.Bytes + 1];
        new FrameHeader
        {
            Type = frame,
            ElementType = type,
            Operation = operation,
            JobId = random.Next(50) == 0 ? 8 : 7,
            Stream = (uint)random.Next(Streams),
            Shard = (ushort)random.Next(random.Next(20) == 0 ? 65536 : 3),
            ContributorBytes = 1,
            Round = (ulong)(random.Next(100) == 0 ? random.NextInt64(1L << 62) : random.Next(6)),
            MessageBytes = random.Next(10) == 0 ? random.NextInt64(1, 1L << 40) : MessageBytes,
            Chunk = (uint)(random.Next(20) == 0 ? random.Next() : random.Next(6)),
            PayloadBytes = random.Next(10) == 0 ? random.Next(65) : Elements.HasPayload(frame, operation) ? 64 : 0,
            Epoch = AnyEpoch(random),
            PayloadType = random.Next(5) == 0 ? ElementType.Float32 : type,
            FixedOrder = random.Next(5) == 0,
            Next = AnyEpoch(random),
        }.Write(wire);
        wire[FrameHeader.Bytes] = (byte)random.Next(1 << random.Next(1, 9));
        if (random.Next(50) == 0)
        {
            wire[random.Next(wire.Length)] ^= (byte)(1 << random.Next(8));
        }

        if (!FrameHeader.TryRead(wire, out var header) || header.PayloadBytes > engine.MaxChunkBytes || header.ContributorBytes != 1)
        {
            return;
        }

        var buffer = pool.Rent(engine.MaxChunkBytes);
        if (engine.OnFrame(Hosts.Where(h => h != host).ElementAt(random.Next(Hosts.Length - 1)), header, wire[FrameHeader.Bytes..], buffer) != FrameVerdict.Taken)
        {
            buffer.Release();
        }

        // What it wants to send is taken by connections to one life or another.
        Span<byte> head = stackalloc byte[FrameHeader.Bytes + FrameHeader.MaxContributorBytes];
        foreach (var peer in Hosts)
        {
            if (peer != host && engine.QueueOf(peer).TryTake(out var item) && engine.TryPrepare(item, (ulong)random.Next(1, 3), head, out var prepared))
            {
                engine.GiveBack(prepared);
            }
        }
    }

    private static Epoch AnyEpoch(Random random) => new(
        random.Next(20) == 0 ? new TreesRevision(random.NextInt64(), random.NextInt64()) : new TreesRevision(1, random.Next(20) == 0 ? random.Next(5) : 3),
        random.Next(200) == 0 ? (uint)random.NextInt64(1L << 32) : (uint)(random.Next(30) == 0 ? random.Next(8) : random.Next(2)));

    private sealed class Silence : IJobPorts
    {
        public void Signal(string host, SignalMessage message)
        {
        }

        public void RoundBegins()
        {
        }

        public void PeersChanged()
        {
        }

        public void StreamOpened(int rank, uint stream, SharedArea area, ulong round)
        {
        }

        public void StreamRefused(int rank, uint stream, string code, string message)
        {
        }

        public void RoundDone(int rank, uint stream, ulong round)
        {
        }

        public void RoundFailed(int rank, uint stream, ulong round, string code, string message)
        {
        }
    }
}
