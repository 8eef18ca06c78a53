using System.Net;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation;

public class TreeSetTests
{
    //        a (ranks 0, 1)
    //       / \
    //      b   c (rank 2)
    //      |
    //      d (rank 3)        b helps: it has no worker of its own
    private static readonly AggregationJob Tree = new()
    {
        JobId = 1,
        Name = "j",
        Secret = new byte[] { 1 },
        Dscp = 0,
        TreesRevision = new TreesRevision(1, 1),
        Members = [new(0, "a"), new(1, "a"), new(2, "c"), new(3, "d")],
        Endpoints = [.. "abcde".Select(h => new Endpoint($"{h}", new IPEndPoint(IPAddress.Loopback, 1), null))],
        Shards = [new(1, ["a"], [new("b", "a"), new("c", "a"), new("d", "b")])],
        ChunkBytes = 64,
        WindowChunks = 2,
        Stripes = 1,
    };

    [Theory]
    [InlineData("a", null, "b,c", "0,1,2,3")]
    [InlineData("b", "a", "d", "3")]
    [InlineData("c", "a", "", "2")]
    [InlineData("d", "b", "", "3")]
    public void Place_OfEachHost_IsThatOfTheDrawing(string host, string? parent, string children, string expected)
    {
        var place = Of(Tree, host).Places[0];

        Assert.Equal(parent, place.Parent);
        Assert.Equal(children, string.Join(',', place.Children));
        Assert.Equal(expected, string.Join(',', ContributorSet.Ranks(place.Expected)));
        Assert.True(place.TakesPart);
    }

    [Fact]
    public void Place_OfAHostWithNothingBelow_TakesNoPart() => Assert.False(Of(Tree, "e").Places[0].TakesPart);

    [Fact]
    public void Place_BranchWithoutWorkers_IsLeftOut()
    {
        var job = Tree with { Shards = [new(1, ["a"], [new("b", "a"), new("c", "a"), new("d", "a"), new("e", "b")])] };

        Assert.Equal(["c", "d"], Of(job, "a").Places[0].Children);
        Assert.False(Of(job, "b").Places[0].TakesPart);
        Assert.False(Of(job, "e").Places[0].TakesPart);
    }

    [Fact]
    public void Shards_OfAnyWeightsAndSize_CoverTheMessageOnceInOrderAndTheLastIsNeverEmpty()
    {
        var random = new Random(5);
        for (var i = 0; i < 2000; i++)
        {
            var weights = Enumerable.Range(0, random.Next(1, 20)).Select(_ => random.Next(1, 1000)).ToArray();
            var trees = Of(Tree with { Shards = [.. weights.Select(w => Tree.Shards[0] with { Weight = w })] }, "a");
            var elements = random.Next(4) == 0 ? random.Next(1, 30) : random.NextInt64(1, 1L << 34);

            Assert.Equal(0, trees.FirstElement(0, elements));
            Assert.Equal(elements, trees.FirstElement(weights.Length, elements));
            for (var shard = 0; shard < weights.Length; shard++)
            {
                var expected = (long)((Int128)elements * weights.Take(shard).Sum(w => (long)w) / weights.Sum(w => (long)w));
                Assert.Equal(expected, trees.FirstElement(shard, elements));
                Assert.True(trees.ShardBytes(shard, elements, 4) >= 0);
            }

            Assert.True(trees.ShardBytes(weights.Length - 1, elements, 4) > 0);
        }
    }

    [Theory]
    [InlineData("b>a c>a", "not every host is connected with root a")] // d has a worker and no edge
    [InlineData("b>a c>a d>b d>c", "host d has a parent too many")]
    [InlineData("b>d c>a d>b", "not every host is connected with root a")] // b and d in a circle
    [InlineData("a>b b>a c>a d>a", "host a has a parent too many")] // the root has a parent
    [InlineData("b>a c>a d>x", "host x has no endpoint")]
    public void TryCreate_TreeAtFault_SaysWhat(string edges, string fault)
    {
        var job = Tree with { Shards = [new(1, ["a"], [.. edges.Split(' ').Select(e => new Edge(e[..1], e[2..]))])] };

        Assert.Contains(fault, TreeSet.TryCreate(job, "a", out _), StringComparison.Ordinal);
    }

    [Fact]
    public void TryCreate_PlanAtFault_SaysWhat()
    {
        AssertFault("ranks of its members", Tree with { Members = [new(0, "a"), new(2, "c")] });
        AssertFault("0 members", Tree with { Members = [] });
        AssertFault("weight of at least 1", Tree with { Shards = [Tree.Shards[0] with { Weight = 0 }] });
        AssertFault("0 shards", Tree with { Shards = [] });
        AssertFault("no root", Tree with { Shards = [Tree.Shards[0] with { Roots = [] }] });
        AssertFault("ChunkBytes is 12", Tree with { ChunkBytes = 12 });
        AssertFault("ChunkBytes is 33554432", Tree with { ChunkBytes = 32 << 20 });
        AssertFault("WindowChunks is 0", Tree with { WindowChunks = 0 });
        AssertFault("Stripes is 0", Tree with { Stripes = 0 });
        AssertFault("rank 1 is its server; that must be the last", Tree with { ServerRank = 1 });
        AssertFault("behind at least one worker", Tree with { Members = [new(0, "a")], ServerRank = 0 });
        AssertFault("root on host a; all of a job with a server have it on the server's host, d", Tree with { ServerRank = 3 });
        AssertFault("two endpoints", Tree with { Endpoints = [.. Tree.Endpoints, Tree.Endpoints[0]] });

        static void AssertFault(string fault, AggregationJob job) => Assert.Contains(fault, TreeSet.TryCreate(job, "a", out _), StringComparison.Ordinal);
    }

    [Fact]
    public void ContributorSet_OnTheWireAndBack_IsTheSame_AndSpareBitsAreRefused()
    {
        var random = new Random(8);
        for (var world = 1; world < 200; world++)
        {
            var set = new ulong[ContributorSet.Words(world)];
            for (var rank = 0; rank < world; rank++)
            {
                if (random.Next(2) == 0)
                {
                    ContributorSet.Add(set, rank);
                }
            }

            var wire = new byte[ContributorSet.WireBytes(world)];
            ContributorSet.Write(set, wire);
            var back = new ulong[set.Length];
            Assert.True(ContributorSet.TryRead(wire, world, back));
            Assert.Equal(set, back);
            Assert.False(ContributorSet.TryRead([.. wire, 0], world, back));
            if (world % 8 != 0)
            {
                wire[^1] |= 0x80;
                Assert.False(ContributorSet.TryRead(wire, world, back));
            }
        }
    }

    [Theory]
    [InlineData(new[] { 3 }, "rank 3")]
    [InlineData(new[] { 0, 1, 2, 5, 7, 8, 70 }, "ranks 0-2, 5, 7, 8, 70")]
    public void RankText_Set_ReadsAsPeopleWrite(int[] ranks, string expected)
    {
        var set = new ulong[2];
        foreach (var rank in ranks)
        {
            ContributorSet.Add(set, rank);
        }

        Assert.Equal(expected, RankText.Of(set));
    }

    private static TreeSet Of(AggregationJob job, string host)
    {
        Assert.Null(TreeSet.TryCreate(job, host, out var trees));
        return trees!;
    }
}
