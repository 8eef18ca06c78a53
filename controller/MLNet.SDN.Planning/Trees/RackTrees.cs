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
/// <remarks>A shard for each host, which is its root. The hosts that sum for a rack, and the racks that sum for a pod, change from shard to shard so that each receives the same.</remarks>
internal static class RackTrees
{
    // Divisible by every rack size up to 10, so that weights of racks of different sizes are exact there and within 0.1 % beyond.
    private const int RackWeight = 2520;

    public static Forest Build(MemberSites sites, RootSpread spread, bool podAggregators)
    {
        var count = sites.Members.Length;
        int[] weights = [.. Enumerable.Range(0, count).Select(m => spread == RootSpread.EvenOverHosts ? 1 : Math.Max(1, (int)Math.Round((double)RackWeight / sites.Racks[sites.RackOf[m]].Length)))];
        var divisor = weights.Aggregate(GreatestCommonDivisor);
        weights = [.. weights.Select(w => w / divisor)];

        // 1. For each shard and pod, the rack that sums for the pod.
        var collector = CollectorRacks(sites, weights, podAggregators);

        // 2. For each shard and rack, the host that sums for the rack.
        var aggregator = Aggregators(sites, weights, collector);

        // 3. The trees: hosts to their aggregator, aggregators to their pod's, those to the root.
        return new(sites.Members, [.. Enumerable.Range(0, count).Select(root => Tree(sites, root, weights[root], collector[root], aggregator[root]))]);
    }

    // By shard (its root's member number) and pod; the root's own rack in its own pod, and -1 where the racks of a pod send straight to the root.
    private static int[][] CollectorRacks(MemberSites sites, int[] weights, bool podAggregators)
    {
        var racksOfPod = Enumerable.Range(0, sites.Pods).Select(pod => Enumerable.Range(0, sites.Racks.Length).Where(r => sites.PodOfRack[r] == pod).ToArray()).ToArray();
        var collected = new long[sites.Racks.Length];
        var collector = new int[weights.Length][];
        foreach (var root in RoundRobinOverRacks(sites))
        {
            collector[root] = new int[sites.Pods];
            for (var pod = 0; pod < sites.Pods; pod++)
            {
                var racks = racksOfPod[pod];
                if (pod == sites.PodOfRack[sites.RackOf[root]])
                {
                    collector[root][pod] = sites.RackOf[root];
                }
                else if (podAggregators && racks.Length > 1)
                {
                    // The rack whose hosts have collected least so far, each for himself.
                    var least = racks.MinBy(r => (collected[r] / sites.Racks[r].Length, r));
                    collected[least] += (long)RackWeight * weights[root] * (racks.Length - 1);
                    collector[root][pod] = least;
                }
                else
                {
                    collector[root][pod] = podAggregators ? racks[0] : -1;
                }
            }
        }

        return collector;
    }

    // By shard and rack. The largest burden first, each to the host that has least: R. L. Graham, "Bounds on multiprocessing timing anomalies", 1969.
    private static int[][] Aggregators(MemberSites sites, int[] weights, int[][] collector)
    {
        var racksInPod = sites.PodOfRack.CountBy(p => p).ToDictionary(p => p.Key, p => p.Value);
        var aggregator = Enumerable.Range(0, weights.Length).Select(_ => new int[sites.Racks.Length]).ToArray();
        for (var rack = 0; rack < sites.Racks.Length; rack++)
        {
            var pod = sites.PodOfRack[rack];
            var hosts = sites.Racks[rack];
            var received = hosts.ToDictionary(h => h, h => (long)weights[h] * RootFanIn(sites, h, collector[h]));
            foreach (var root in hosts)
            {
                aggregator[root][rack] = root;
            }

            var burdens = Enumerable.Range(0, weights.Length).Where(root => sites.RackOf[root] != rack)
                .Select(root => (Root: root, Burden: (long)weights[root] * (hosts.Length - 1 + (collector[root][pod] == rack ? racksInPod[pod] - 1 : 0))));
            foreach (var (root, burden) in burdens.OrderByDescending(b => b.Burden).ThenBy(b => b.Root))
            {
                var least = hosts.MinBy(h => (received[h], h));
                received[least] += burden;
                aggregator[root][rack] = least;
            }
        }

        return aggregator;
    }

    private static Shard Tree(MemberSites sites, int root, int weight, int[] collector, int[] aggregator)
    {
        var parent = new int[sites.Members.Length];
        for (var member = 0; member < parent.Length; member++)
        {
            var rack = sites.RackOf[member];
            var collectorRack = collector[sites.PodOfRack[rack]];
            parent[member] = member != aggregator[rack] ? aggregator[rack]
                : collectorRack >= 0 && collectorRack != rack ? aggregator[collectorRack]
                : root;
        }

        parent[root] = -1;
        return new(weight, root, parent);
    }

    private static int RootFanIn(MemberSites sites, int root, int[] collector)
    {
        var rack = sites.RackOf[root];
        var others = Enumerable.Range(0, sites.Racks.Length).Where(r => r != rack);
        return sites.Racks[rack].Length - 1 + others.Count(r => collector[sites.PodOfRack[r]] is var c && (c < 0 || c == r || c == rack));
    }

    private static IEnumerable<int> RoundRobinOverRacks(MemberSites sites)
    {
        var longest = sites.Racks.Max(r => r.Length);
        for (var i = 0; i < longest; i++)
        {
            foreach (var rack in sites.Racks)
            {
                if (i < rack.Length)
                {
                    yield return rack[i];
                }
            }
        }
    }

    private static int GreatestCommonDivisor(int a, int b) => b == 0 ? a : GreatestCommonDivisor(b, a % b);
}
