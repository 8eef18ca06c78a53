using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>What happens once per chunk must not allocate.</summary>
public unsafe class HotPathTests
{
    [Fact]
    public void Chunk_ThroughLeafInnerNodeAndRoot_AllocatesNothing()
    {
        // c -> b -> a, each with a worker: every way a chunk can go.
        string[] hosts = ["a", "b", "c"];
        var job = new AggregationJob
        {
            JobId = 1,
            Name = "j",
            Secret = new byte[] { 1 },
            Dscp = 0,
            TreesRevision = new TreesRevision(1, 1),
            Members = [new(0, "a"), new(1, "b"), new(2, "c")],
            Endpoints = [.. hosts.Select(h => new Endpoint(h, new IPEndPoint(IPAddress.Loopback, 1), null))],
            Shards = [new(1, ["a"], [new("b", "a"), new("c", "b")])],
            ChunkBytes = 1024,
            WindowChunks = 4,
            Stripes = 1,
        };
        using var pool = new NativeBufferPool();
        var ports = hosts.Select(_ => new Ports()).ToArray();
        var engines = hosts.Select((h, i) =>
        {
            Assert.Null(TreeSet.TryCreate(job, h, out var trees));
            return new JobEngine(h, job, trees!, new EngineSettings(h, EngineSettings.UsualPatience), pool, ports[i], TimeProvider.System, NullLogger.Instance);
        }).ToArray();
        for (var i = 0; i < hosts.Length; i++)
        {
            Wire(engines, ports, i);
        }

        const int Elements = 1024 * 256;
        for (var i = 0; i < hosts.Length; i++)
        {
            Assert.Null(engines[i].TryJoin(i, out _));
        }

        Exchange(engines, ports);
        for (var i = 0; i < hosts.Length; i++)
        {
            Assert.Null(engines[i].Open(i, 0, Elements * 4));
        }

        Exchange(engines, ports);
        var links = hosts.Select((_, i) => (i > 0 ? engines[i].QueueOf(hosts[i - 1]) : null, i < 2 ? engines[i].QueueOf(hosts[i + 1]) : null)).ToArray();
        for (var round = 0; round < 2; round++)
        {
            for (var i = 0; i < hosts.Length; i++)
            {
                new Span<float>(ports[i].Area!.Contribution((ulong)round), Elements).Fill(i + 1);
                Assert.Null(engines[i].Submit(i, 0, (ulong)round, new MessageShape(Elements * 4, ElementType.Float32, ReduceOperation.Sum)));
            }

            // The first half of a round makes room in rings and pools; the second half is measured.
            var chunks = Elements * 4 / 1024;
            Carry(engines, links, pool, 4 * chunks / 2);
            var before = GC.GetAllocatedBytesForCurrentThread();
            var carried = Carry(engines, links, pool, chunks);
            var allocated = GC.GetAllocatedBytesForCurrentThread() - before;

            Assert.Equal(chunks, carried);
            Assert.Equal(0, allocated);
            Carry(engines, links, pool, int.MaxValue);
            for (var i = 0; i < hosts.Length; i++)
            {
                Assert.Equal((ulong)round, ports[i].Done);
                Assert.Equal(-1, new ReadOnlySpan<float>(ports[i].Area!.Result((ulong)round), Elements).IndexOfAnyExcept(6f));
            }
        }

        foreach (var engine in engines)
        {
            engine.Close("end", "the test ends");
        }

        Assert.Equal(0, pool.Outstanding);
    }

    [Fact]
    public void Pool_AfterAPeak_GivesIdleMemoryBack()
    {
        using var pool = new NativeBufferPool();
        var peak = Enumerable.Range(0, 10).Select(_ => pool.Rent(10_000)).ToArray();
        foreach (var buffer in peak)
        {
            buffer.Release();
        }

        pool.Trim();
        var used = pool.Rent(10_000);
        used.Release();
        pool.Trim();

        // Ten lay idle when the first look was taken; since then at most one was in use at a time.
        Assert.Equal(12_288, pool.MappedBytes);
        pool.Trim();
        Assert.Equal(0, pool.MappedBytes);
    }

    /// <summary>Moves frames until none are left or the given number went over. Returns how many.</summary>
    private static int Carry(JobEngine[] engines, (FrameQueue? Up, FrameQueue? Down)[] links, NativeBufferPool pool, int frames)
    {
        var carried = 0;
        var any = true;
        while (any)
        {
            any = false;
            for (var i = 0; i < engines.Length; i++)
            {
                for (var way = 0; way < 2; way++)
                {
                    var queue = way == 0 ? links[i].Up : links[i].Down;
                    if (queue is null || !queue.TryTake(out var item))
                    {
                        continue;
                    }

                    any = true;
                    Send(engines[i], engines[way == 0 ? i - 1 : i + 1], Names[i], item, pool);
                    if (++carried == frames)
                    {
                        return carried;
                    }
                }
            }
        }

        return carried;
    }

    private static readonly string[] Names = ["a", "b", "c"];

    private static void Send(JobEngine from, JobEngine to, string name, in Outgoing item, NativeBufferPool pool)
    {
        Span<byte> head = stackalloc byte[FrameHeader.Bytes + FrameHeader.MaxContributorBytes];
        if (!from.TryPrepare(item, 1, head, out var frame))
        {
            return;
        }

        var payload = new ReadOnlySpan<byte>(frame.Payload, frame.PayloadBytes);
        FrameHeader.Seal(head[..frame.HeadBytes], payload);
        var buffer = pool.Rent(to.MaxChunkBytes);
        payload.CopyTo(buffer.Span(frame.PayloadBytes));
        Assert.True(FrameHeader.TryRead(head, out var header));
        Assert.True(header.Verify(head[..frame.HeadBytes], buffer.Span(header.PayloadBytes)));
        if (to.OnFrame(name, header, head[FrameHeader.Bytes..frame.HeadBytes], buffer) != FrameVerdict.Taken)
        {
            throw new InvalidOperationException("a frame was not taken");
        }

        from.GiveBack(frame);
    }

    private static void Wire(JobEngine[] engines, Ports[] ports, int i)
    {
        if (i > 0)
        {
            engines[0].OnSignalUp(Names[i]);
            engines[i].OnSignalUp("a");
        }

        Exchange(engines, ports);
    }

    private static void Exchange(JobEngine[] engines, Ports[] ports)
    {
        var any = true;
        while (any)
        {
            any = false;
            for (var i = 0; i < engines.Length; i++)
            {
                while (ports[i].Signals.TryDequeue(out var sent))
                {
                    any = true;
                    Assert.True(engines[Array.IndexOf(Names, sent.To)].OnSignal(Names[i], sent.Message));
                }
            }
        }
    }

    private sealed class Ports : IJobPorts
    {
        public Queue<(string To, SignalMessage Message)> Signals { get; } = new();

        public SharedArea? Area { get; private set; }

        public ulong? Done { get; private set; }

        public void Signal(string host, SignalMessage message) => Signals.Enqueue((host, message));

        public void RoundBegins()
        {
        }

        public void PeersChanged()
        {
        }

        public void StreamOpened(int rank, uint stream, SharedArea area, ulong round) => Area = area;

        public void StreamRefused(int rank, uint stream, string code, string message) => Assert.Fail(message);

        public void RoundDone(int rank, uint stream, ulong round) => Done = round;

        public void RoundFailed(int rank, uint stream, ulong round, string code, string message) => Assert.Fail(message);
    }
}
