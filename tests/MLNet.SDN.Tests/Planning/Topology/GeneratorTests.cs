using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;
using static MLNet.SDN.Tests.Planning.Fabrics;

namespace MLNet.SDN.Tests.Planning.Topology;

public class GeneratorTests
{
    [Fact]
    public void FatTree_OfFour_HasThePaperNumbersOfEverything()
    {
        var topology = FatTree.Build(FatTree.Shape(4, hostMbps: 20));

        Assert.Equal(16, topology.Nodes.Count(n => n.Kind == NodeKind.Host));
        Assert.Equal(8, topology.Nodes.Count(n => n.Tier == "edge"));
        Assert.Equal(8, topology.Nodes.Count(n => n.Tier == "aggregation"));
        Assert.Equal(4, topology.Nodes.Count(n => n.Tier == "core"));
        Assert.Equal(48, topology.Links.Count);
        Assert.All(topology.Links, l => Assert.Equal(20_000_000, l.RateBitsPerSecond));
        var host = topology.Nodes.Single(n => n.Id == "h3-1-1");
        Assert.Equal(("10.3.1.6", "e3-1", "p3"), (host.Address, host.Rack, host.Pod));
        Of(topology);
    }

    [Theory]
    [InlineData(4, 4.0, 1.0, null)]
    [InlineData(4, 1.0, 2.0, 8)]
    [InlineData(8, 16.0, 1.0, 6)]
    public void FatTree_Oversubscription_IsWhatTheRatesSay(int k, double rack, double pod, int? hostsPerRack)
    {
        var fabric = Of(FatTree.Build(FatTree.Shape(k, 1000, rack, pod, hostsPerRack)));

        var hostsRate = 1e9 * (hostsPerRack ?? (k / 2));
        Assert.Equal(hostsRate / rack, fabric.Sites.RackUplinkBitsPerSecond[0], 10.0);
        Assert.Equal(hostsRate / rack * (k / 2) / pod, fabric.Sites.PodUplinkBitsPerSecond[0], 10.0 * k);
    }

    [Fact]
    public void FatTree_WrongShape_NamesEveryField() =>
        Assert.Equal(
            ["k", "pods", "hostsPerRack", "hostMbps", "coreMbps"],
            FatTree.Check(new() { K = 3, Pods = 9, HostsPerRack = 64, HostMbps = double.NaN, RackUplinkMbps = 1, CoreMbps = 0 }).Select(f => f.Field));

    [Fact]
    public void LeafSpine_SixteenThousandHosts_IsSound()
    {
        var fabric = Of(LeafSpine.Build(leaves: 512, spines: 16, hostsPerLeaf: 32, hostMbps: 10_000, oversubscription: 4));

        Assert.Equal(16_384, fabric.Hosts.Count);
        Assert.Equal(32 * 10_000_000_000 / 4, fabric.Sites.RackUplinkBitsPerSecond[0]);
        Assert.Empty(fabric.Sites.Pods);
    }
}
