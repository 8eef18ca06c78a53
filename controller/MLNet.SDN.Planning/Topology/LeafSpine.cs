using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Topology;

/// <summary>Builds two-tier fabrics: every leaf (rack) switch is linked to every spine.</summary>
/// <remarks>Hosts <c>h{leaf}-{j}</c> with address <c>10.(leaf / 256).(leaf % 256).(2+j)</c>, leaves <c>l{leaf}</c>, spines <c>s{i}</c>. A rack is called as its leaf; there are no pods.</remarks>
public static class LeafSpine
{
    /// <summary>Builds the topology.</summary>
    /// <param name="leaves">1..32768.</param>
    /// <param name="spines">≥ 1.</param>
    /// <param name="hostsPerLeaf">1..253.</param>
    /// <param name="hostMbps">Rate of a host's link, Mbit/s, above zero.</param>
    /// <param name="oversubscription">Rate of a leaf's hosts over the rate of its uplinks; 1 is none.</param>
    public static Contracts.Topology Build(int leaves, int spines, int hostsPerLeaf, double hostMbps, double oversubscription = 1)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(leaves, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(leaves, 32_768);
        ArgumentOutOfRangeException.ThrowIfLessThan(spines, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(hostsPerLeaf, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(hostsPerLeaf, 253);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(hostMbps);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(oversubscription);

        var uplink = hostMbps * hostsPerLeaf / (oversubscription * spines);
        var nodes = new List<TopologyNode>();
        var links = new List<TopologyLink>();
        for (var leaf = 0; leaf < leaves; leaf++)
        {
            var rack = $"l{leaf}";
            nodes.Add(new() { Id = rack, Kind = NodeKind.Switch, Rack = rack, Tier = "edge" });
            for (var j = 0; j < hostsPerLeaf; j++)
            {
                nodes.Add(new() { Id = $"h{leaf}-{j}", Kind = NodeKind.Host, Address = $"10.{leaf / 256}.{leaf % 256}.{2 + j}", Rack = rack });
                links.Add(FatTree.Link($"h{leaf}-{j}", rack, hostMbps));
            }

            for (var i = 0; i < spines; i++)
            {
                links.Add(FatTree.Link(rack, $"s{i}", uplink));
            }
        }

        for (var i = 0; i < spines; i++)
        {
            nodes.Add(new() { Id = $"s{i}", Kind = NodeKind.Switch, Tier = "core" });
        }

        return new() { Nodes = nodes, Links = links };
    }
}
