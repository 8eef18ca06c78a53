using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;
using MLNet.SDN.Planning.Trees;

namespace MLNet.SDN.Tests.Planning.Trees;

public class EvenEdgesTests
{
    private static readonly Fabric Even = Fabrics.Of(FatTree.Build(new FabricShape { HostMbps = 20, RackUplinkMbps = 20, CoreMbps = 20 }));
    private static readonly string[] Hosts = Fabrics.HostNames(Even);

    // Pods of four hosts; four ways from one to another, two between the racks of one.
    private static readonly string[] Workers = Hosts[..8];
    private static readonly string[] Helpers = Hosts[8..];

    [Fact]
    public void Are_EightSendersToEightRootsOfOtherPods_TwoEdgesOnEachWay() => Assert.True(EvenEdges.Are(Direct(Workers, Helpers), Even));

    [Fact]
    public void Are_FourSendersToFourRoots_OneEdgeOnEachWay() => Assert.True(EvenEdges.Are(Direct(Workers[..4], Helpers[..4]), Even));

    [Fact]
    public void Are_SixRoots_SomeWaysWouldCarryTwiceAsMuchAsOthers() => Assert.False(EvenEdges.Are(Direct(Workers, Helpers[..6]), Even));

    [Fact]
    public void Are_RootsInTheSendersPods_EdgesHaveDifferentWays() => Assert.False(EvenEdges.Are(Direct([.. Hosts[..2], .. Hosts[4..6]], [.. Hosts[2..4], .. Hosts[6..8]]), Even));

    [Fact]
    public void Are_DirectShardedWithinAPod_EdgesHaveDifferentWays() => Assert.False(EvenEdges.Are(Direct(Workers, Workers), Even));

    [Theory]
    [InlineData(100, true)] // rounding of shares
    [InlineData(120, false)]
    public void Are_OneRootWithMoreThanTheOthers_OnlyIfItIsHardlyMore(int weight, bool even)
    {
        ShardTree[] shards = [.. Direct(Workers, Helpers).Select((s, i) => s with { Weight = i == 0 ? weight : 98 })];

        Assert.Equal(even, EvenEdges.Are(shards, Even));
    }

    [Fact]
    public void Are_ChainsAndSmallFans_NoPortIsWhereManyMeet()
    {
        Assert.False(EvenEdges.Are([Chain(Workers)], Even));
        Assert.False(EvenEdges.Are(Direct(Workers[..3], Helpers[..3]), Even));
    }

    [Fact]
    public void Are_HostsOfOneRack_ThereIsOneWay()
    {
        var rack = Fabrics.Of(FatTree.Build(new FabricShape { K = 4, Pods = 2, HostsPerRack = 8, HostMbps = 20, RackUplinkMbps = 20, CoreMbps = 20 }));
        var hosts = Fabrics.HostNames(rack)[..5];

        Assert.True(EvenEdges.Are(Direct(hosts, hosts), rack));
    }

    [Fact]
    public void Are_LeafAndSpine_AsManyWaysAsSpines()
    {
        var fabric = Fabrics.Of(LeafSpine.Build(leaves: 4, spines: 4, hostsPerLeaf: 4, hostMbps: 20));
        var hosts = Fabrics.HostNames(fabric);

        Assert.True(EvenEdges.Are(Direct(hosts[..8], hosts[8..]), fabric));
        Assert.False(EvenEdges.Are(Direct(hosts[..8], hosts[8..15]), fabric));
    }

    // Every worker sends to every root, and each root has its part of the message.
    private static ShardTree[] Direct(string[] workers, string[] roots) =>
        [.. roots.Select(root => new ShardTree { Weight = 1, Roots = [root], Edges = [.. workers.Where(w => w != root).Select(w => new TreeEdge(w, root))] })];

    private static ShardTree Chain(string[] hosts) => new() { Weight = 1, Roots = [hosts[0]], Edges = [.. hosts.Skip(1).Select((h, i) => new TreeEdge(h, hosts[i]))] };
}
