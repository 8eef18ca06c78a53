using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>The hosts of a job by rack and pod, numbered in ordinal order of their names.</summary>
internal sealed class MemberSites
{
    private MemberSites(int[] members, int[] rackOf, int[][] racks, int[] podOfRack, int pods)
    {
        Members = members;
        RackOf = rackOf;
        Racks = racks;
        PodOfRack = podOfRack;
        Pods = pods;
    }

    /// <summary>Node numbers of the hosts, ascending.</summary>
    public int[] Members { get; }

    /// <summary>Rack (index in <see cref="Racks"/>) of each member.</summary>
    public int[] RackOf { get; }

    /// <summary>Members of each rack.</summary>
    public int[][] Racks { get; }

    /// <summary>Pod of each rack, 0..<see cref="Pods"/>-1. A rack that the topology puts in no pod is one of its own.</summary>
    public int[] PodOfRack { get; }

    public int Pods { get; }

    public static MemberSites Of(int[] members, Fabric fabric)
    {
        int[] sorted = [.. members.Order()];
        var racks = sorted.Index().GroupBy(m => fabric.Sites.RackOf(m.Item)).OrderBy(g => g.Key).Select(g => g.Select(m => m.Index).ToArray()).ToArray();
        var rackOf = new int[sorted.Length];
        for (var rack = 0; rack < racks.Length; rack++)
        {
            foreach (var member in racks[rack])
            {
                rackOf[member] = rack;
            }
        }

        // A rack whose hosts are labelled with different pods cannot be placed in one; it stands alone.
        var labels = racks.Index().Select(rack =>
        {
            var pods = rack.Item.Select(m => fabric.Sites.PodOf(sorted[m])).Distinct().ToArray();
            return pods is [>= 0] ? pods[0] : -1 - rack.Index;
        }).ToArray();
        int[] distinct = [.. labels.Distinct().Order()];
        return new(sorted, rackOf, racks, [.. labels.Select(label => Array.IndexOf(distinct, label))], distinct.Length);
    }
}
