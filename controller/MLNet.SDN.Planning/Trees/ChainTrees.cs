using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>
/// Trees with two arms: hosts stand in a ring, rack beside rack and pod beside pod, which is cut far from the root; from both ends partial sums go from neighbour
/// to neighbour to the root, and results back. They load links as <see cref="RackTrees"/> do, yet nobody takes from more than two others at a time, so that senders do
/// not meet at one port (incast), and hosts keep few connections. What they cost is depth: for some dozens of workers it does not count against a round, for hundreds it
/// would (<see cref="Pipeline"/>).
/// </summary>
internal static class ChainTrees
{
    /// <summary>The best of them for a job.</summary>
    /// <param name="workers">Node numbers of the hosts, ascending.</param>
    /// <param name="gradientBytes">Bytes per round; 0 when unknown.</param>
    /// <param name="fabric">The fabric.</param>
    /// <returns>Null where their depth would count, or nobody knows.</returns>
    public static JointChoice? Best(int[] workers, double gradientBytes, Fabric fabric)
    {
        var slowest = workers.Select(h => fabric.HostRateBitsPerSecond(fabric.Nodes[h].Id)).Min();
        var round = gradientBytes * TrafficBound.SecondsPerByte(workers, [], fabric);
        if (workers.Length < 3 || !Pipeline.IsShallow(workers.Length / 2, round, slowest))
        {
            return null;
        }

        var sites = MemberSites.Of(workers, fabric);
        return (sites.Racks.All(r => r.Length == sites.Racks[0].Length) ? [RootSpread.EvenOverHosts] : Enum.GetValues<RootSpread>())
            .Select(spread => Build(sites, spread))
            .Select(forest => new JointChoice(forest, forest.Load(fabric), $"{forest.Shards.Count} shards, each handed from host to host and rack to rack to its root, by two arms"))
            .MinBy(choice => choice.Load.BottleneckSecondsPerByte);
    }

    public static Forest Build(MemberSites sites, RootSpread spread)
    {
        // 1. Who is root, and who stands last in each rack, along the message: as hosts sum in rack trees. So everybody stands at the ends of racks, which have
        //    edges to others, and at the ends of the arms, which have one edge less, for the same part of the message.
        var rotation = Rotation.Of(RackTrees.Sites(sites, spread));
        int[] ring = [.. Enumerable.Range(0, sites.Racks.Length).OrderBy(r => sites.PodOfRack[r]).ThenBy(r => r)];
        var ended = new long[sites.Members.Length];
        var shards = new List<Shard>(rotation.Count);
        foreach (var piece in rotation)
        {
            // 2. The ring from the root on, and where it may be cut: best between pods, else between racks.
            var rootRack = sites.RackOf[piece.Centre[0]];
            var at = Array.IndexOf(ring, rootRack);
            var order = new List<int>(sites.Members.Length);
            var cuts = new List<int>();
            for (var i = 0; i < ring.Length; i++)
            {
                var rack = ring[(at + i) % ring.Length];
                var next = ring[(at + i + 1) % ring.Length];
                order.AddRange(Within(sites, rack, rack == rootRack ? piece.Centre[0] : piece.Centre[rack + 1]));
                if (sites.Pods == 1 || sites.PodOfRack[rack] != sites.PodOfRack[next])
                {
                    cuts.Add(order.Count % sites.Members.Length);
                }
            }

            cuts = ring.Length == 1 ? [.. Enumerable.Range(0, sites.Members.Length)] : cuts;
            shards.Add(Chain(piece, order, cuts, sites.Racks[rootRack].Length - 1, ended));
        }

        return new(sites.Members, shards);
    }

    // The root stands at the given place of the order; the order is cut where the longer arm is shortest, of equals where ends have been least.
    private static Shard Chain(RotationPiece piece, List<int> order, List<int> cuts, int root, long[] ended)
    {
        var n = order.Count;
        var cut = cuts.MinBy(c => (Math.Max(Place(c), n - 1 - Place(c)), ended[order[c]] + ended[order[(c + n - 1) % n]]));
        var middle = Place(cut);
        var parent = new int[n];
        for (var i = 0; i < n; i++)
        {
            parent[order[(cut + i) % n]] = i == middle ? -1 : order[(cut + (i < middle ? i + 1 : i - 1)) % n];
        }

        foreach (var end in (int[])[0, n - 1])
        {
            ended[order[(cut + end) % n]] += end == middle ? 0 : piece.Weight;
        }

        return new(piece.Weight, piece.Centre[0], parent);

        // Hosts before the root when the order begins at the cut.
        int Place(int from) => (root - from + n) % n;
    }

    // The hosts of a rack in turn, the given one last.
    private static IEnumerable<int> Within(MemberSites sites, int rack, int last)
    {
        var members = sites.Racks[rack];
        var at = Array.IndexOf(members, last);
        return Enumerable.Range(1, members.Length).Select(i => members[(at + i) % members.Length]);
    }
}
