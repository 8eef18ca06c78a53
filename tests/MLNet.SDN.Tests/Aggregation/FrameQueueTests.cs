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
}
