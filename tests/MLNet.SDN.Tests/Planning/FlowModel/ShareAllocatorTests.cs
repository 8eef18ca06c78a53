using MLNet.SDN.Planning.FlowModel;

namespace MLNet.SDN.Tests.Planning.FlowModel;

public class ShareAllocatorTests
{
    [Fact]
    public void Solve_FlowHeldBackElsewhere_LeavesItsShareToTheOther()
    {
        // a ──link 0: 10── b ──link 1: 4── c     flow 0: a→b, flow 1: a→b→c with full share at 4
        var demands = FlowDemands.Create([10, 4], [[0], [0, 1]], [[10], [4, 4]]);

        var share = Solve(demands, [0, 0], [1, 1], Floor.None);

        // Flow 1 asks 0.4 of link 0 and flow 0 all of it: 1 = s + 0.4 s.
        Assert.Equal(1 / 1.4, share[0], 12);
        Assert.Equal(1 / 1.4, share[1], 12);
    }

    [Fact]
    public void Solve_RandomNetworks_IsMaxMinWithinLevelsAndWorkConserving()
    {
        var random = new Random(11);
        for (var round = 0; round < 3000; round++)
        {
            var (capacities, links, bytes) = RandomNetwork(random);
            var demands = FlowDemands.Create(capacities, links, bytes);
            var flows = links.Length;
            int[] level = [.. Enumerable.Range(0, flows).Select(_ => random.Next(1, 4))];
            double[] weight = [.. Enumerable.Range(0, flows).Select(_ => random.Next(3) == 0 ? 1 + (random.NextDouble() * 9) : 1)];

            var share = Solve(demands, level, weight, Floor.None);

            AssertMaxMin(capacities, links, bytes, demands, level, weight, share);
        }
    }

    [Fact]
    public void Solve_WithFloors_KeepsThemAndWastesNothing()
    {
        var random = new Random(12);
        for (var round = 0; round < 3000; round++)
        {
            var (capacities, links, bytes) = RandomNetwork(random);
            var demands = FlowDemands.Create(capacities, links, bytes);
            var flows = links.Length;
            int[] level = [.. Enumerable.Range(0, flows).Select(_ => random.Next(1, 4))];
            double[] weight = [.. Enumerable.Repeat(1.0, flows)];
            var floor = new Floor(random.Next(2) == 0 ? FloorKind.Pooled : FloorKind.PerLevel, 0.05);

            var share = Solve(demands, level, weight, floor);

            // What the floor alone gives: max-min among all, or within each level, on that part of the links.
            double[] scaled = [.. capacities.Select(c => c * floor.Fraction)];
            var floors = new double[flows];
            foreach (var group in floor.Kind == FloorKind.Pooled ? [Enumerable.Range(0, flows).ToArray()] : Enumerable.Range(0, flows).GroupBy(f => level[f]).Select(g => g.ToArray()))
            {
                var own = FlowDemands.Create(scaled, [.. group.Select(f => links[f])], [.. group.Select(f => bytes[f])]);
                var ownShare = Solve(own, [.. group.Select(_ => 1)], [.. group.Select(_ => 1.0)], Floor.None);
                for (var i = 0; i < group.Length; i++)
                {
                    floors[group[i]] = ownShare[i] * floor.Fraction;
                }
            }

            var used = Used(capacities, links, bytes, demands, share);
            for (var flow = 0; flow < flows; flow++)
            {
                Assert.True(share[flow] >= floors[flow] - 1e-9, $"flow {flow} has {share[flow]}, its floor is {floors[flow]}");
                Assert.True(share[flow] > 1 - 1e-9 || links[flow].Where((_, i) => bytes[flow][i] > 0).Any(l => used[l] > 1 - 1e-9), $"flow {flow} could have more");
            }
        }
    }

    [Fact]
    public void Solve_PermutedFlowsAndLinks_GivesTheSameShares()
    {
        var random = new Random(13);
        for (var round = 0; round < 500; round++)
        {
            var (capacities, links, bytes) = RandomNetwork(random);
            int[] level = [.. links.Select(_ => random.Next(1, 3))];
            double[] weight = [.. links.Select(_ => 1 + random.NextDouble())];
            int[] flowAt = [.. Enumerable.Range(0, links.Length).OrderBy(_ => random.Next())];
            int[] linkAt = [.. Enumerable.Range(0, capacities.Length).OrderBy(_ => random.Next())];
            var floor = new Floor(FloorKind.PerLevel, 0.05);

            var share = Solve(FlowDemands.Create(capacities, links, bytes), level, weight, floor);
            var permuted = Solve(
                FlowDemands.Create([.. linkAt.Select(l => capacities[l])], [.. flowAt.Select(f => links[f].Select(l => Array.IndexOf(linkAt, l)).ToArray())], [.. flowAt.Select(f => bytes[f])]),
                [.. flowAt.Select(f => level[f])],
                [.. flowAt.Select(f => weight[f])],
                floor);

            for (var i = 0; i < flowAt.Length; i++)
            {
                Assert.Equal(share[flowAt[i]], permuted[i], 9);
            }
        }
    }

    [Fact]
    public void Solve_AllocatesNothing()
    {
        var (capacities, links, bytes) = RandomNetwork(new Random(14), flows: 40, linkCount: 30);
        var allocator = new ShareAllocator(FlowDemands.Create(capacities, links, bytes));
        int[] active = [.. Enumerable.Range(0, 40)];
        int[] level = [.. active.Select(f => f % 6)];
        var weight = Enumerable.Repeat(1.0, 40).ToArray();
        var share = new double[40];
        allocator.Solve(active, level, weight, new(FloorKind.PerLevel, 0.05), share);

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
        {
            allocator.Solve(active, level, weight, new(FloorKind.PerLevel, 0.05), share);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Theory]
    [InlineData(0.0, 1.0)]
    [InlineData(double.NaN, 1.0)]
    [InlineData(1.0, -1.0)]
    [InlineData(1.0, double.PositiveInfinity)]
    public void Create_BadNumbers_AreRefused(double capacity, double bytes) => Assert.Throws<ArgumentException>(() => FlowDemands.Create([capacity], [[0]], [[bytes]]));

    internal static double[] Solve(FlowDemands demands, int[] level, double[] weight, Floor floor)
    {
        var share = new double[demands.FlowCount];
        new ShareAllocator(demands).Solve([.. Enumerable.Range(0, demands.FlowCount)], level, weight, floor, share);
        return share;
    }

    internal static (double[] Capacities, int[][] Links, double[][] Bytes) RandomNetwork(Random random, int? flows = null, int? linkCount = null)
    {
        double[] capacities = [.. Enumerable.Range(0, linkCount ?? random.Next(1, 9)).Select(_ => random.Next(1, 20) * 1.0)];
        int[][] links = [.. Enumerable.Range(0, flows ?? random.Next(1, 9)).Select(_ => Enumerable.Range(0, capacities.Length).OrderBy(_ => random.Next()).Take(random.Next(0, capacities.Length + 1)).Order().ToArray())];
        return (capacities, links, [.. links.Select(l => l.Select(_ => random.Next(5) == 0 ? 0 : random.Next(1, 30) * 1.0).ToArray())]);
    }

    internal static double[] Used(double[] capacities, int[][] links, double[][] bytes, FlowDemands demands, double[] share)
    {
        var used = new double[capacities.Length];
        for (var flow = 0; flow < links.Length; flow++)
        {
            for (var i = 0; i < links[flow].Length && demands.SecondsAtFullShare(flow) > 0; i++)
            {
                used[links[flow][i]] += share[flow] * bytes[flow][i] / capacities[links[flow][i]] / demands.SecondsAtFullShare(flow);
            }
        }

        Assert.All(used, u => Assert.True(u <= 1 + 1e-9, $"a link is used {u} times"));
        return used;
    }

    // Each flow has all it can use, or a full link where nobody of its level has more for its weight and nobody of a lower level has anything.
    private static void AssertMaxMin(double[] capacities, int[][] links, double[][] bytes, FlowDemands demands, int[] level, double[] weight, double[] share)
    {
        var used = Used(capacities, links, bytes, demands, share);
        for (var flow = 0; flow < links.Length; flow++)
        {
            var held = links[flow].Where((l, i) => bytes[flow][i] > 0 && used[l] > 1 - 1e-9).Any(link =>
                Enumerable.Range(0, links.Length).Where(o => o != flow && Array.IndexOf(links[o], link) is >= 0 and var at && bytes[o][at] > 0)
                    .All(o => level[o] < level[flow] || share[o] < 1e-9 || (level[o] == level[flow] && share[o] / weight[o] <= (share[flow] / weight[flow]) + 1e-9)));
            Assert.True(share[flow] > 1 - 1e-9 || held, $"flow {flow} of level {level[flow]} has {share[flow]} and nothing holds it back");
        }
    }
}
