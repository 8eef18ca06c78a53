using MLNet.SDN.Planning.FlowModel;

namespace MLNet.SDN.Tests.Planning.FlowModel;

public class WeightedSharesTests
{
    private static readonly double[] Weights = [4, 2, 1];

    [Fact]
    public void SolveWeighted_OneLink_ClassesByWeightAndFlowsOfAClassEvenly()
    {
        // ──link 0: 12──  two flows of the class of weight 4, one of weight 2: 4/6 for both together, 2/6 for the other.
        Assert.Equal([1 / 3.0, 1 / 3.0, 1 / 3.0], Solve(FlowDemands.Create([12], [[0], [0], [0]], [[6], [6], [6]]), [1, 1, 2]), Close);
    }

    [Fact]
    public void SolveWeighted_ClassHeldUpElsewhere_LeavesItsPartToTheOthers()
    {
        // a ──link 0: 10── b ──link 1: 1── c     flow 0, weight 4: a→c, at most 1 of link 0; flows 1 and 2, weights 2 and 1: a→b
        var share = Solve(FlowDemands.Create([10, 1], [[0, 1], [0], [0]], [[1, 1], [10], [10]]), [1, 2, 3]);

        Assert.Equal([1, 0.6, 0.3], share, Close);
    }

    [Fact]
    public void SolveWeighted_RandomFlowsOnOneLink_IsGeneralisedProcessorSharing()
    {
        var random = new Random(21);
        for (var round = 0; round < 500; round++)
        {
            var flows = random.Next(1, 12);
            double[] most = [.. Enumerable.Range(0, flows).Select(_ => 0.05 + (0.95 * random.NextDouble()))];
            int[] level = [.. Enumerable.Range(0, flows).Select(_ => random.Next(1, 4))];

            // Each flow has an access link of its own that lets it use at most so much of the shared one.
            var share = Solve(FlowDemands.Create([1, .. most], [.. most.Select((_, f) => new[] { 0, f + 1 })], [.. most.Select(_ => new[] { 1.0, 1.0 })]), level);

            // The level of water up to which each class is served, found by halving; within a class all have the same share of what they can use.
            var expected = Within(1, [.. level.Distinct().Order().Select(k => (Weights[k - 1], level.Index().Where(l => l.Item == k).Sum(l => most[l.Index])))]);
            foreach (var (k, use) in level.Distinct().Order().Zip(expected))
            {
                int[] own = [.. level.Index().Where(l => l.Item == k).Select(l => l.Index)];
                Assert.All(own, f => Assert.Equal(use / own.Sum(o => most[o]), share[f], 9));
            }
        }
    }

    [Fact]
    public void SolveWeighted_OneClass_IsMaxMin()
    {
        var random = new Random(22);
        for (var round = 0; round < 2000; round++)
        {
            var (capacities, links, bytes) = ShareAllocatorTests.RandomNetwork(random);
            var demands = FlowDemands.Create(capacities, links, bytes);
            int[] level = [.. links.Select(_ => 1)];

            Assert.Equal(ShareAllocatorTests.Solve(demands, level, [.. links.Select(_ => 1.0)], Floor.None), Solve(demands, level), Close);
        }
    }

    [Fact]
    public void SolveWeighted_RandomNetworks_FillsLinksAndNoneOverTheRim()
    {
        var random = new Random(23);
        var tight = 0;
        var held = 0;
        for (var round = 0; round < 3000; round++)
        {
            var (capacities, links, bytes) = ShareAllocatorTests.RandomNetwork(random);
            var demands = FlowDemands.Create(capacities, links, bytes);
            int[] level = [.. links.Select(_ => random.Next(1, 4))];

            var share = Solve(demands, level);

            var used = ShareAllocatorTests.Used(capacities, links, bytes, demands, share);
            for (var flow = 0; flow < links.Length; flow++)
            {
                int[] full = [.. links[flow].Where((l, i) => bytes[flow][i] > 0 && used[l] > 1 - 1e-9)];
                Assert.True(share[flow] > 1 - 1e-9 || full.Length > 0, $"flow {flow} could have more");
                if (share[flow] <= 1 - 1e-9)
                {
                    tight++;
                    held += full.Any(l => IsHeldAt(l, flow)) ? 1 : 0;
                }
            }

            // Nobody of its class has more there, and no class has more for its weight.
            bool IsHeldAt(int link, int flow)
            {
                var on = links.Index().Where(f => Array.IndexOf(f.Item, link) is >= 0 and var at && bytes[f.Index][at] > 0).Select(f => f.Index).ToArray();
                double Use(int k) => on.Where(f => level[f] == k).Sum(f => share[f] * bytes[f][Array.IndexOf(links[f], link)] / capacities[link] / demands.SecondsAtFullShare(f)) / Weights[k - 1];
                return on.All(o => level[o] != level[flow] || share[o] <= share[flow] + 1e-9) && on.All(o => Use(level[o]) <= Use(level[flow]) + 1e-9);
            }
        }

        // All but those in circles of links, which are common where few flows cross many links at random: they waste nothing, but share by less exact parts.
        Assert.InRange(held, 0.9 * tight, tight);
    }

    [Fact]
    public void SolveWeighted_PermutedFlows_GivesTheSameShares()
    {
        var random = new Random(24);
        for (var round = 0; round < 500; round++)
        {
            var (capacities, links, bytes) = ShareAllocatorTests.RandomNetwork(random);
            int[] level = [.. links.Select(_ => random.Next(1, 4))];
            int[] at = [.. Enumerable.Range(0, links.Length).OrderBy(_ => random.Next())];

            var share = Solve(FlowDemands.Create(capacities, links, bytes), level);
            var permuted = Solve(FlowDemands.Create(capacities, [.. at.Select(f => links[f])], [.. at.Select(f => bytes[f])]), [.. at.Select(f => level[f])]);

            Assert.Equal(at.Select(f => share[f]), permuted, Close);
        }
    }

    [Fact]
    public void SolveWeighted_AllocatesNothing()
    {
        var (capacities, links, bytes) = ShareAllocatorTests.RandomNetwork(new Random(25), flows: 40, linkCount: 30);
        var allocator = new ShareAllocator(FlowDemands.Create(capacities, links, bytes));
        int[] active = [.. Enumerable.Range(0, 40)];
        int[] level = [.. active.Select(f => 1 + (f % 3))];
        var share = new double[40];
        allocator.SolveWeighted(active, level, Weights, share);

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
        {
            allocator.SolveWeighted(active, level, Weights, share);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private static bool Close(double a, double b) => Math.Abs(a - b) <= 1e-9;

    private static double[] Solve(FlowDemands demands, int[] level)
    {
        var share = new double[demands.FlowCount];
        new ShareAllocator(demands).SolveWeighted([.. Enumerable.Range(0, demands.FlowCount)], level, Weights, share);
        return share;
    }

    // Parts of the room, in proportion to weights, none above its most.
    private static double[] Within(double room, (double Weight, double Most)[] sharers)
    {
        var (low, high) = (0.0, 1e6);
        for (var i = 0; i < 200; i++)
        {
            var middle = (low + high) / 2;
            (low, high) = sharers.Sum(s => Math.Min(s.Most, s.Weight * middle)) <= room ? (middle, high) : (low, middle);
        }

        return [.. sharers.Select(s => Math.Min(s.Most, s.Weight * low))];
    }
}
