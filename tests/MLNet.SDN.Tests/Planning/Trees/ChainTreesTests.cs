using MLNet.SDN.Contracts;
using MLNet.SDN.Planning;
using MLNet.SDN.Planning.Topology;
using MLNet.SDN.Planning.Trees;

namespace MLNet.SDN.Tests.Planning.Trees;

public class ChainTreesTests
{
    private static readonly Fabric Even = Fabrics.Of(FatTree.Build(new FabricShape { HostMbps = 20, RackUplinkMbps = 20, CoreMbps = 20 }));
    private static readonly Fabric Narrow = Fabrics.Of(FatTree.Build(new FabricShape { HostMbps = 20, RackUplinkMbps = 5, CoreMbps = 5 }));

    [Theory]
    [InlineData(4)]
    [InlineData(8)]
    [InlineData(16)]
    public void Build_OverWholeRacks_LoadsTheSlowestLinkAsLittleAsAnyTrees(int workers)
    {
        foreach (var fabric in (Fabric[])[Even, Narrow])
        {
            int[] hosts = [.. Fabrics.HostNames(fabric).Take(workers).Select(fabric.HostNumber)];

            var load = ChainTrees.Build(MemberSites.Of(hosts, fabric), RootSpread.EvenOverHosts).Load(fabric);

            Assert.Equal(TrafficBound.SecondsPerByte(hosts, [], fabric), load.BottleneckSecondsPerByte, 1e-9 * load.BottleneckSecondsPerByte);
        }
    }

    [Fact]
    public void Build_OverAnyHosts_SpansThemByTwoArmsOfWhichNoneIsMuchLonger()
    {
        var random = new Random(5);
        for (var i = 0; i < 500; i++)
        {
            var small = new SmallFabric(random);
            int[] hosts = [.. small.Hosts.Select(small.Fabric.HostNumber).Order()];
            var sites = MemberSites.Of(hosts, small.Fabric);
            var largest = sites.Racks.Index().GroupBy(r => sites.PodOfRack[r.Index]).Max(pod => pod.Sum(r => r.Item.Length));
            foreach (var spread in Enum.GetValues<RootSpread>())
            {
                var forest = ChainTrees.Build(sites, spread);

                Assert.All(forest.Shards, shard =>
                {
                    Assert.Equal(-1, shard.Parent[shard.Root]);
                    Assert.Single(shard.Parent, -1);
                    Assert.All(shard.Parent.Index(), m => Assert.True(shard.Parent.Count(p => p == m.Index) <= (m.Index == shard.Root ? 2 : 1)));
                    Assert.All(Enumerable.Range(0, hosts.Length), m => Assert.InRange(Distance(shard, m), 0, (hosts.Length / 2) + largest));
                });
                Assert.NotNull(Forest.TryRead(forest.ToTrees(small.Fabric), hosts, [], small.Fabric));
            }
        }
    }

    [Fact]
    public void Build_OverPods_LeavesEachOnceAShard()
    {
        int[] hosts = [.. Fabrics.HostNames(Even).Select(Even.HostNumber)];

        var forest = ChainTrees.Build(MemberSites.Of(hosts, Even), RootSpread.EvenOverHosts);

        Assert.All(forest.Shards, shard => Assert.Equal(3, shard.Parent.Index().Count(e => e.Item >= 0 && Even.Sites.PodOf(hosts[e.Index]) != Even.Sites.PodOf(hosts[e.Item]))));
        Assert.All(forest.Shards, shard => Assert.Equal(7, shard.Parent.Index().Count(e => e.Item >= 0 && Even.Sites.RackOf(hosts[e.Index]) != Even.Sites.RackOf(hosts[e.Item]))));
    }

    [Theory]
    [InlineData("optimized", 4_194_304, true)]
    [InlineData("optimized", 2_048, false)] // over sooner than it takes to go through so many hosts
    [InlineData("optimized", 0, false)] // nobody knows
    [InlineData("rack", 4_194_304, true)]
    [InlineData("rack", 0, false)]
    [InlineData("direct-sharded", 4_194_304, false)]
    public void Plan_AloneOnEvenRacks_TakesChainsWhereDepthDoesNotCount(string strategy, long bytes, bool chains)
    {
        string[] workers = Fabrics.HostNames(Even);
        var plan = Planner.Plan(
            Even, [new() { JobId = 1, Spec = new() { Name = "j", Workers = workers, GradientBytes = bytes } }], new() { Strategy = strategy, Policy = "fair" }, PriorityLadder.Standard, new(1, 1)).Jobs.Single();

        var children = plan.Shards.Max(s => s.Edges.GroupBy(e => e.Parent).Where(g => g.Key != s.Roots[0]).Select(g => g.Count()).DefaultIfEmpty(0).Max());
        var atRoot = plan.Shards.Max(s => s.Edges.Count(e => e.Parent == s.Roots[0]));

        Assert.Equal(chains, children == 1 && atRoot == 2);
        Assert.Equal(plan.BoundSeconds, plan.PredictedSeconds, 1e-9 * plan.BoundSeconds);
    }

    private static int Distance(Shard shard, int member)
    {
        var steps = 0;
        for (; member != shard.Root && steps <= shard.Parent.Length; steps++)
        {
            member = shard.Parent[member];
        }

        return steps;
    }
}
