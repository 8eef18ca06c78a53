using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>A ring all-reduce over the hosts in the order given: a model to compare with, not something that agents run.</summary>
/// <remarks>Each host passes 2(n-1)/n of the message to the next: P. Patarasuk and X. Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", JPDC 2009.</remarks>
internal static class Ring
{
    public static LinkLoad Load(int[] hosts, Fabric fabric)
    {
        var load = new double[fabric.Graph.Links.Length];
        for (var i = 0; i < hosts.Length && hosts.Length > 1; i++)
        {
            fabric.PathBetween(hosts[i], hosts[(i + 1) % hosts.Length]).AddTo(load, 2.0 * (hosts.Length - 1) / hosts.Length);
        }

        return LinkLoad.FromDense(load, fabric);
    }
}
