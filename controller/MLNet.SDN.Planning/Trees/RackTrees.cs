namespace MLNet.SDN.Planning.Trees;

/// <summary>How the roots of the shards are spread.</summary>
internal enum RootSpread
{
    /// <summary>Every host is root of the same part of the message: best where the hosts' own links are the narrow ones.</summary>
    EvenOverHosts,

    /// <summary>Every rack is root of the same part: best where the racks' uplinks are the narrow ones and racks hold different numbers of hosts.</summary>
    EvenOverRacks,
}

/// <summary>
/// Trees that follow the fabric: the hosts of a rack send to one of them, racks send to the root, and where a pod aggregator is used the racks of a
/// pod other than the root's send to one of their aggregators first, so that a pod is left once per shard.
/// </summary>
/// <remarks>Each host of a rack sums the same part of the message for it, each is root of its due part, and the racks of a pod sum the same part for it.</remarks>
internal static class RackTrees
{
    public static Forest Build(MemberSites sites, RootSpread spread, bool podAggregators)
    {
        // 1. Which host sums for each rack, and which of these is the root, along the message.
        var rotation = Rotation.Of(Sites(sites, spread));

        // 2. For each shard and pod, the rack that sums for the pod: the one whose aggregator did so least.
        var collected = new long[sites.Members.Length];
        var racksOfPod = Enumerable.Range(0, sites.Pods).Select(pod => Enumerable.Range(0, sites.Racks.Length).Where(r => sites.PodOfRack[r] == pod).ToArray()).ToArray();
        var shards = new List<Shard>(rotation.Count);
        foreach (var piece in rotation)
        {
            var root = piece.Centre[0];
            var aggregators = piece.Centre.AsMemory(1);
            var rootPod = sites.PodOfRack[sites.RackOf[root]];
            var collector = new int[sites.Pods];
            for (var pod = 0; pod < sites.Pods; pod++)
            {
                collector[pod] = root;
                if (podAggregators && pod != rootPod)
                {
                    collector[pod] = racksOfPod[pod].Select(r => aggregators.Span[r]).MinBy(h => (collected[h], h));
                    collected[collector[pod]] += (long)piece.Weight * (racksOfPod[pod].Length - 1);
                }
            }

            // 3. The tree: hosts to their aggregator, aggregators to their pod's, those to the root.
            var parent = new int[sites.Members.Length];
            for (var member = 0; member < parent.Length; member++)
            {
                var aggregator = aggregators.Span[sites.RackOf[member]];
                var above = collector[sites.PodOfRack[sites.RackOf[member]]];
                parent[member] = member != aggregator ? aggregator : member != above ? above : root;
            }

            parent[root] = -1;
            shards.Add(new(piece.Weight, root, parent));
        }

        return new(sites.Members, shards);
    }

    /// <summary>The racks and their hosts with the parts that they sum and root.</summary>
    public static RotationSite Sites(MemberSites sites, RootSpread spread)
    {
        var rackShare = sites.Racks.Select(r => spread == RootSpread.EvenOverRacks ? 1.0 / sites.Racks.Length : (double)r.Length / sites.Members.Length);
        return new(-1, 1, [.. sites.Racks.Zip(rackShare, (hosts, share) => new RotationSite(-1, share, [.. hosts.Select(h => new RotationSite(h, 1.0 / hosts.Length, []))]))]);
    }
}
