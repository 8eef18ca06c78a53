using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>
/// Trees as good as any can be for a job that has its part of the fabric to itself: what a linear programme mixes (<see cref="TreeMixture"/>), hosts of a
/// kind taking turns.
/// </summary>
internal static class MixedTrees
{
    // Helpers beyond so many for each worker's host make the programme larger and the trees no faster: as many as workers already halve what these carry.
    private const int HelpersPerWorker = 2;

    // Steps of the programme for each link; it mostly ends within a few.
    private const int StepsPerLink = 12;

    // Pieces of the message below this are left out.
    private const double LeastPiece = 1e-4;

    private const double WholeWeight = 1e8;

    /// <summary>Builds the trees; the same for the same input.</summary>
    /// <param name="workers">Node numbers of the hosts with workers, ascending.</param>
    /// <param name="helpers">Node numbers of other hosts that may sum, ascending.</param>
    /// <param name="fabric">The fabric.</param>
    public static Forest Build(int[] workers, int[] helpers, Fabric fabric)
    {
        var sites = SitesOf(workers, helpers, fabric);
        var (parts, _) = TreeMixture.Solve(sites, StepsPerLink * (sites.Groups.Length + sites.RackRates.Length + sites.PodRates.Length));
        return Lay(parts, sites, workers);
    }

    private static JobSites SitesOf(int[] workers, int[] helpers, Fabric fabric)
    {
        var rates = new RatesLeft(fabric, null);
        int[] racks = [.. workers.Concat(helpers).Select(fabric.Sites.RackOf).Distinct().Order()];
        // Racks that the topology puts in no pod, or in several, are pods of their own without an uplink.
        var pods = racks.Select(r =>
        {
            var labels = workers.Concat(helpers).Where(h => fabric.Sites.RackOf(h) == r).Select(fabric.Sites.PodOf).Distinct().ToArray();
            return labels is [>= 0] ? labels[0] : -1 - r;
        }).ToArray();
        int[] distinct = [.. pods.Distinct().Order()];

        // The fastest helpers of each rack: enough for the rack's own workers, and with the other racks of the pod and of all pods enough for theirs.
        var chosen = new List<int>();
        var podOf = racks.Zip(pods).ToDictionary(r => r.First, r => r.Second);
        var hosts = workers.GroupBy(fabric.Sites.RackOf).ToDictionary(g => g.Key, g => g.Count());
        var byRack = helpers.GroupBy(fabric.Sites.RackOf).ToDictionary(g => g.Key, g => g.OrderByDescending(rates.OfHost).ThenBy(h => h).ToArray());
        foreach (var (rack, here) in byRack.OrderBy(r => r.Key))
        {
            var inPod = racks.Where(r => podOf[r] == podOf[rack]).ToArray();
            var enough = new[]
            {
                hosts.GetValueOrDefault(rack),
                Each(inPod.Sum(r => hosts.GetValueOrDefault(r)), inPod.Count(byRack.ContainsKey)),
                Each(workers.Length, byRack.Count),
            }.Max();
            chosen.AddRange(here.Take(HelpersPerWorker * enough));
        }

        return new(
            [.. workers.Select(h => (Host: h, IsWorker: true)).Concat(chosen.Select(h => (Host: h, IsWorker: false)))
                .GroupBy(h => (Rack: Array.IndexOf(racks, fabric.Sites.RackOf(h.Host)), Rate: rates.OfHost(h.Host), h.IsWorker))
                .OrderBy(g => g.Key)
                .Select(g => new HostGroup([.. g.Select(h => h.Host).Order()], g.Key.Rack, g.Key.Rate, g.Key.IsWorker))],
            [.. pods.Select(p => Array.IndexOf(distinct, p))],
            [.. racks.Select(rates.OfRack)],
            [.. distinct.Select(p => p < 0 ? double.PositiveInfinity : rates.OfPod(p))]);

        static int Each(int all, int among) => (all + among - 1) / among;
    }

    private static Forest Lay(List<(GroupTree Tree, double Part)> parts, JobSites sites, int[] workers)
    {
        // 1. How much each group sums in each role; its hosts follow one another, each with the same share of it.
        var counting = new CheapestTree(sites);
        var length = new Dictionary<(Role Role, int Group), double>();
        foreach (var (tree, part) in parts)
        {
            var edges = counting.Edges(tree);
            foreach (var key in Roles(tree))
            {
                length[key] = length.GetValueOrDefault(key) + (part * Summed(edges, key.Group));
            }
        }

        // 2. Tree after tree, cut wherever a host gives way to the next.
        var passed = length.Keys.ToDictionary(k => k, _ => 0.0);
        var pieces = new List<(GroupTree Tree, Dictionary<int, int> HostOf, double Size)>();
        foreach (var (tree, part) in parts)
        {
            var roles = Roles(tree).ToArray();
            var edges = counting.Edges(tree);
            for (var left = part; left > LeastPiece / 10;)
            {
                var size = left;
                var hostOf = new Dictionary<int, int>();
                foreach (var key in roles)
                {
                    var hosts = sites.Groups[key.Group].Hosts;
                    var turn = length[key] / hosts.Length;
                    var at = Math.Min(hosts.Length - 1, (int)((passed[key] / turn) + 1e-6));
                    hostOf[key.Group] = hosts[at];
                    size = at == hosts.Length - 1 ? size : Math.Min(size, (((at + 1) * turn) - passed[key]) / Summed(edges, key.Group));
                }

                foreach (var key in roles)
                {
                    passed[key] += size * Summed(edges, key.Group);
                }

                left -= size;
                if (size > LeastPiece)
                {
                    pieces.Add((tree, hostOf, size));
                }
            }
        }

        // 3. A shard for each piece.
        int[] members = [.. workers.Concat(pieces.SelectMany(p => p.HostOf.Values)).Distinct().Order()];
        var number = members.Index().ToDictionary(m => m.Item, m => m.Index);
        return new(members, [.. pieces.Select(p => Shard(p.Tree, p.HostOf, Math.Max(1, (int)Math.Round(WholeWeight * p.Size)), sites, number))]);

        // Edges at the host that sums, beyond the one that each worker's host has in any case.
        double Summed(double[] edges, int group) => Math.Max(0.01, edges[group] - (sites.Groups[group].IsWorker ? sites.Groups[group].Hosts.Length : 0));
    }

    private static Shard Shard(GroupTree tree, Dictionary<int, int> hostOf, int weight, JobSites sites, Dictionary<int, int> number)
    {
        var parent = new int[number.Count];
        Array.Fill(parent, -1);
        var root = hostOf[tree.Top];
        for (var g = 0; g < sites.Groups.Length; g++)
        {
            if (sites.Groups[g].IsWorker)
            {
                foreach (var host in sites.Groups[g].Hosts)
                {
                    var rack = sites.Groups[g].Rack;
                    var centre = tree.RackCentre[rack];
                    parent[number[host]] = number[centre >= 0 && tree.ToRackCentre[g] && hostOf[centre] != host ? hostOf[centre] : Out(rack)];
                }
            }
        }

        for (var rack = 0; rack < tree.RackCentre.Length; rack++)
        {
            if (tree.RackCentre[rack] is var centre and >= 0 && hostOf.TryGetValue(centre, out var host))
            {
                parent[number[host]] = number[Out(rack)];
            }
        }

        parent[number[root]] = -1;
        return new(weight, number[root], parent);

        int Out(int rack) => tree.StraightToTop[rack] ? root : hostOf[tree.PodCentre[sites.PodOfRack[rack]]];
    }

    // Each group that sums in the tree, in the highest role that it has there.
    private static IEnumerable<(Role Role, int Group)> Roles(GroupTree tree)
    {
        var podCentres = tree.PodCentre.Where(g => g >= 0 && g != tree.Top).ToArray();
        return tree.RackCentre.Where(g => g >= 0 && g != tree.Top && Array.IndexOf(podCentres, g) < 0).Select(g => (Role.Rack, g))
            .Concat(podCentres.Select(g => (Role.Pod, g)))
            .Append((Role.Top, tree.Top));
    }

    private enum Role
    {
        Rack,
        Pod,
        Top,
    }
}
