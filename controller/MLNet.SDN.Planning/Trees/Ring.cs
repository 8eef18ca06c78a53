using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>A ring all-reduce over the hosts in the order given: a model to compare with, not something that agents run.</summary>
/// <remarks>Each host passes 2(n-1)/n of the message to the next: P. Patarasuk and X. Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", JPDC 2009.</remarks>
internal static class Ring
{
    public static LinkLoad Load(int[] hosts, Fabric fabric)
    {
        var amounts = LinkAmounts.For(fabric);
        for (var i = 0; i < hosts.Length && hosts.Length > 1; i++)
        {
            foreach (var share in fabric.PathBetween(hosts[i], hosts[(i + 1) % hosts.Length]).Enumerate())
            {
                amounts.Add(share.Link, 2.0 * (hosts.Length - 1) / hosts.Length * share.Fraction);
            }
        }

        return LinkLoad.Of(amounts, fabric);
    }
}
