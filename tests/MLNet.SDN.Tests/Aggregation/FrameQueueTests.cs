using System.Collections.Concurrent;
using System.Net;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation;

public class FrameQueueTests
{
    [Fact]
    public void Take_GivesSumsBeforeResults_OfEachTheForemostChunkFirst()
    {
        var queue = new FrameQueue();
        var round = Round(now: 1);
        (FrameType Type, int Shard, int Chunk)[] added =
        [
            (FrameType.Result, 0, 4), (FrameType.Partial, 0, 1), (FrameType.Partial, 1, 0), (FrameType.Result, 1, 1), (FrameType.Partial, 0, 2), (FrameType.Result, 0, 0),
        ];
        foreach (var (type, shard, chunk) in added)
        {
            Assert.True(queue.TryAdd(new Outgoing(round, round.Serial, type, shard, chunk, null)));
        }

        // Shard 1 is half as long: its chunk 1 lies where chunk 2 of shard 0 does.
        Assert.Equal(
            [(FrameType.Partial, 1, 0), (FrameType.Partial, 0, 1), (FrameType.Partial, 0, 2), (FrameType.Result, 0, 0), (FrameType.Result, 1, 1), (FrameType.Result, 0, 4)],
            Drain(queue).Select(f => (f.Type, f.Shard, f.Chunk)));
    }

    [Fact]
    public void Take_GivesTheOlderRoundFirst()
    {
        var queue = new FrameQueue();
        var (older, newer) = (Round(now: 1), Round(now: 2));
        Assert.True(queue.TryAdd(new Outgoing(newer, newer.Serial, FrameType.Partial, 0, 0, null)));
        Assert.True(queue.TryAdd(new Outgoing(older, older.Serial, FrameType.Result, 0, 7, null)));
        Assert.True(queue.TryAdd(new Outgoing(newer, newer.Serial, FrameType.Result, 0, 0, null)));
        Assert.True(queue.TryAdd(new Outgoing(older, older.Serial, FrameType.Partial, 0, 7, null)));

        Assert.Equal([older, older, newer, newer], Drain(queue).Select(f => f.Round));
    }

    [Fact]
    public void TakePartial_LeavesResults()
    {
        var queue = new FrameQueue();
        var round = Round(now: 1);
        Assert.True(queue.TryAdd(new Outgoing(round, round.Serial, FrameType.Result, 0, 0, null)));
        Assert.True(queue.TryAdd(new Outgoing(round, round.Serial, FrameType.Partial, 0, 3, null)));

        Assert.True(queue.TryTakePartial(out var partial));
        Assert.False(queue.TryTakePartial(out _));

        Assert.Equal((FrameType.Partial, 3), (partial.Type, partial.Chunk));
        Assert.Equal(1, queue.Count);
    }

    [Fact]
    public void Take_OfMany_KeepsTheOrderInWhichEqualsCame()
    {
        var queue = new FrameQueue();
        var round = Round(now: 1);
        var random = new Random(3);
        var added = Enumerable.Range(0, 500).Select(_ => new Outgoing(round, round.Serial, random.Next(2) == 0 ? FrameType.Result : FrameType.Partial, random.Next(2), random.Next(8), null)).ToArray();
        Assert.All(added, frame => Assert.True(queue.TryAdd(frame)));

        Assert.Equal(added.OrderBy(f => f.Type == FrameType.Partial ? 0 : 1).ThenBy(f => (double)f.Chunk / round.Shards[f.Shard].Chunks), Drain(queue));
    }

    [Fact]
    public void Batch_IsWrittenByWhoeverAddedIt_TheConnectionsInTurn()
    {
        var queue = new FrameQueue();
        var round = Round(now: 1);
        var (left, right) = (new Writer(queue), new Writer(queue));
        queue.Join(left);
        queue.Join(right);
        var batch = new FrameBatch();

        batch.Begin();
        for (var chunk = 0; chunk < 6; chunk++)
        {
            Assert.True(queue.TryAdd(new Outgoing(round, round.Serial, FrameType.Partial, 0, chunk, null)));
        }

        var before = left.Written.Count + right.Written.Count;
        batch.Write();

        Assert.Equal((0, 3, 3, 0), (before, left.Written.Count, right.Written.Count, queue.Count));
        Assert.Equal(Enumerable.Range(0, 6), left.Written.Concat(right.Written).Select(f => f.Chunk).Order());
        Assert.Null(FrameBatch.Open);
    }

    [Fact]
    public void Batch_WhatNoConnectionTakesAtOnce_IsLeftToItsThread()
    {
        var queue = new FrameQueue();
        var round = Round(now: 1);
        queue.Join(new Writer(queue) { Room = 2 });
        using var taken = new BlockingCollection<Outgoing>();
        var gate = new WriterGate();
        var thread = new Thread(() =>
        {
            while (queue.Take(gate, out var frame))
            {
                taken.Add(frame);
            }
        });
        var batch = new FrameBatch();

        batch.Begin();
        for (var chunk = 0; chunk < 5; chunk++)
        {
            Assert.True(queue.TryAdd(new Outgoing(round, round.Serial, FrameType.Partial, 0, chunk, null)));
        }

        // It waits already when the batch ends: nothing but its end can wake it.
        thread.Start();
        var first = Enumerable.Range(0, 5).Select(_ => taken.TryTake(out var frame, TimeSpan.FromSeconds(20)) ? frame.Chunk : -1).ToArray();
        batch.Write();
        batch.Begin();
        Assert.True(SpinWait.SpinUntil(() => thread.ThreadState.HasFlag(ThreadState.WaitSleepJoin), TimeSpan.FromSeconds(20)));
        for (var chunk = 0; chunk < 5; chunk++)
        {
            Assert.True(queue.TryAdd(new Outgoing(round, round.Serial, FrameType.Partial, 1, chunk, null)));
        }

        batch.Write();
        var second = Enumerable.Range(0, 3).Select(_ => taken.TryTake(out var frame, TimeSpan.FromSeconds(20)) ? frame.Chunk : -1).ToArray();

        queue.ShutGate(gate);
        thread.Join();
        Assert.Equal([0, 1, 2, 3, 4], first);
        Assert.Equal([2, 3, 4], second);
    }

    [Fact]
    public async Task Batch_WithoutConnectionThatOthersMayUse_WakesAtOnce()
    {
        var queue = new FrameQueue();
        var round = Round(now: 1);
        var gate = new WriterGate();
        var taken = Task.Factory.StartNew(() => queue.Take(gate, out var frame) ? frame.Chunk : -1, TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);

        new FrameBatch().Begin();
        Assert.True(queue.TryAdd(new Outgoing(round, round.Serial, FrameType.Partial, 0, 3, null)));
        FrameBatch.Open!.Write();

        Assert.Equal(3, await taken.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken));
    }

    [Fact]
    public void Batches_OfManyThreads_LoseAndDoubleNothing()
    {
        const int Threads = 4, Frames = 20_000;
        var queue = new FrameQueue();
        var round = Round(now: 1);
        var writers = Enumerable.Range(0, 2).Select(i => new Writer(queue) { Random = new(i), Own = new() }).ToArray();
        foreach (var writer in writers)
        {
            queue.Join(writer);
        }

        var own = writers.Select(w => new Thread(w.Run)).ToArray();
        var adding = Enumerable.Range(0, Threads).Select(t => new Thread(() =>
        {
            var batch = new FrameBatch();
            var random = new Random(100 + t);
            for (var i = 0; i < Frames;)
            {
                batch.Begin();
                for (var n = random.Next(1, 5); n > 0 && i < Frames; n--, i++)
                {
                    // The serial tells frames apart.
                    queue.TryAdd(new Outgoing(round, (t * Frames) + i, FrameType.Partial, 0, i % 32, null));
                }

                batch.Write();
            }
        })).ToArray();
        foreach (var thread in (Thread[])[.. own, .. adding])
        {
            thread.Start();
        }

        Array.ForEach(adding, t => t.Join());
        Assert.True(SpinWait.SpinUntil(() => writers.Sum(w => w.Count) == Threads * Frames, TimeSpan.FromSeconds(60)), "A frame waits, and nobody was woken for it.");
        queue.Close();
        Array.ForEach(own, t => t.Join());
        Assert.Equal(Enumerable.Range(0, Threads * Frames), writers.SelectMany(w => w.Written).Select(f => f.Serial).Order());
    }

    private static List<Outgoing> Drain(FrameQueue queue)
    {
        var taken = new List<Outgoing>();
        while (queue.TryTake(out var frame))
        {
            taken.Add(frame);
        }

        return taken;
    }

    // Two shards, of 32 and of 16 chunks.
    private static RoundState Round(long now)
    {
        string[] hosts = ["a", "b"];
        var job = new AggregationJob
        {
            JobId = 1,
            Name = "j",
            Secret = new byte[] { 1 },
            Dscp = 0,
            TreesRevision = new TreesRevision(1, 1),
            Members = [new(0, "a"), new(1, "b")],
            Endpoints = [.. hosts.Select(h => new Endpoint(h, new IPEndPoint(IPAddress.Loopback, 1), null))],
            Shards = [new(2, ["a"], [new("b", "a")]), new(1, ["b"], [new("a", "b")])],
            ChunkBytes = 1024,
            WindowChunks = 64,
            Stripes = 1,
        };
        Assert.Null(TreeSet.TryCreate(job, "a", out var trees));
        return new StreamState(0).Begin(0, trees!, new MessageShape(48 * 1024, ElementType.Float32, ReduceOperation.Sum), now)!;
    }

    /// <summary>A connection that has room for so many frames from other threads, or now and then has none.</summary>
    private sealed class Writer(FrameQueue queue) : IFrameWriter
    {
        private readonly Lock _writing = new();
        private Outgoing? _rest;
        private int _count;

        public int Room { get; set; } = int.MaxValue;

        public Random? Random { get; init; }

        public WriterGate? Own { get; init; }

        public List<Outgoing> Written { get; } = [];

        public int Count => Volatile.Read(ref _count);

        public bool TryWriteNext()
        {
            if (!_writing.TryEnter())
            {
                return false;
            }

            try
            {
                if (_rest is not null || Room == 0 || !queue.TryTake(out var frame))
                {
                    return false;
                }

                if (Random?.Next(4) == 0)
                {
                    _rest = frame;
                    queue.Nudge(Own!);
                    return false;
                }

                Room--;
                Write(frame);
                return true;
            }
            finally
            {
                _writing.Exit();
            }
        }

        public void Run()
        {
            while (queue.Take(Own!, out var frame))
            {
                lock (_writing)
                {
                    if (_rest is { } rest)
                    {
                        _rest = null;
                        Write(rest);
                    }

                    if (frame.Round is not null)
                    {
                        Write(frame);
                    }
                }
            }
        }

        private void Write(in Outgoing frame)
        {
            Written.Add(frame);
            Volatile.Write(ref _count, Written.Count);
        }
    }
}
