namespace MLNet.SDN.Planning.Trees;

/// <summary>Hosts of one rack, one rate and one role: alike to any tree.</summary>
/// <param name="Hosts">Node numbers.</param>
/// <param name="Rack">Index of the rack.</param>
/// <param name="Rate">Messages per unit of time of each.</param>
/// <param name="IsWorker">Whether workers run on them; others are helpers.</param>
internal sealed record HostGroup(int[] Hosts, int Rack, double Rate, bool IsWorker);

/// <summary>Where the hosts of a job stand.</summary>
/// <param name="Groups">All hosts.</param>
/// <param name="PodOfRack">Pod of each rack.</param>
/// <param name="RackRates">Uplink of each rack, messages per unit of time; infinite where none is.</param>
/// <param name="PodRates">Uplink of each pod.</param>
internal sealed record JobSites(HostGroup[] Groups, int[] PodOfRack, double[] RackRates, double[] PodRates);

/// <summary>A tree over all workers, by groups: who sums for each rack, for each pod and for all.</summary>
internal sealed class GroupTree
{
    /// <summary>Group of the root.</summary>
    public required int Top { get; init; }

    /// <summary>By pod the group that sums for it; -1 where its racks send straight to the root.</summary>
    public required int[] PodCentre { get; init; }

    /// <summary>By rack the group that sums for it; -1 where its hosts send out each for itself.</summary>
    public required int[] RackCentre { get; init; }

    /// <summary>By rack, whether what leaves it goes straight to the root rather than to the pod's centre.</summary>
    public required bool[] StraightToTop { get; init; }

    /// <summary>By group of workers, whether they send to their rack's centre.</summary>
    public required bool[] ToRackCentre { get; init; }
}

/// <summary>
/// The tree of the least price over all workers and any helpers, where an edge costs the prices of both hosts, of both racks where they differ and of
/// both pods where these do.
/// </summary>
/// <remarks>
/// Two helpers of one rack are never better than the cheaper with the edges of both, so one candidate of each role and rack is enough. Within a rack edges
/// cost least at its cheapest host in the tree, its centre; seen from outside racks differ only in the price of being sent to, so that each pod has one
/// centre, and the fabric one. All choices of centres are tried.
/// </remarks>
internal sealed class CheapestTree
{
    private readonly JobSites sites;
    private readonly int[][] workers;
    private readonly int[][] racksOfPod;
    private readonly bool[] podHasWorker;
    private readonly int[][] candidates;

    public CheapestTree(JobSites sites)
    {
        this.sites = sites;
        var racks = sites.RackRates.Length;
        workers = [.. Enumerable.Range(0, racks).Select(r => Indexes(g => g.Rack == r && g.IsWorker))];
        racksOfPod = [.. Enumerable.Range(0, sites.PodRates.Length).Select(p => Enumerable.Range(0, racks).Where(r => sites.PodOfRack[r] == p).ToArray())];
        podHasWorker = [.. racksOfPod.Select(rs => rs.Any(r => workers[r].Length > 0))];
        candidates = new int[racks][];

        int[] Indexes(Func<HostGroup, bool> which) => [.. Enumerable.Range(0, sites.Groups.Length).Where(g => which(sites.Groups[g]))];
    }

    /// <summary>Finds it.</summary>
    /// <param name="host">Price of an edge at a host, by group.</param>
    /// <param name="rack">Price of leaving or entering a rack.</param>
    /// <param name="pod">Price of leaving or entering a pod.</param>
    /// <returns>The tree and its price.</returns>
    public (GroupTree Tree, double Price) Find(double[] host, double[] rack, double[] pod)
    {
        // 1. One candidate of each role for each rack.
        for (var r = 0; r < candidates.Length; r++)
        {
            var (worker, helper) = (-1, -1);
            for (var g = 0; g < host.Length; g++)
            {
                if (sites.Groups[g].Rack == r)
                {
                    ref var best = ref sites.Groups[g].IsWorker ? ref worker : ref helper;
                    best = best < 0 || host[g] < host[best] ? g : best;
                }
            }

            candidates[r] = worker < 0 ? helper < 0 ? [] : [helper] : helper < 0 ? [worker] : [worker, helper];
        }

        // 2. Every root, and for each the cheapest centre of every pod.
        var least = double.PositiveInfinity;
        var (top, podCentre, rackCentre) = (-1, new int[racksOfPod.Length], new int[candidates.Length]);
        var (podNow, rackNow, rackTry) = (new int[racksOfPod.Length], new int[candidates.Length], new int[candidates.Length]);
        for (var topRack = 0; topRack < candidates.Length; topRack++)
        {
            foreach (var root in candidates[topRack])
            {
                var topPod = sites.PodOfRack[topRack];
                var far = host[root] + rack[topRack] + pod[topPod];
                var total = 0.0;
                Array.Fill(podNow, -1);
                Array.Fill(rackNow, -1);
                for (var p = 0; p < racksOfPod.Length && total < least; p++)
                {
                    if (p == topPod)
                    {
                        total += PodPrice(p, root, far, isTop: true);
                        Keep(p, root);
                    }
                    else if (podHasWorker[p])
                    {
                        var cheapest = PodPrice(p, -1, far, isTop: false);
                        Keep(p, -1);
                        foreach (var r in racksOfPod[p])
                        {
                            foreach (var centre in candidates[r])
                            {
                                if (PodPrice(p, centre, far, isTop: false) is var price && price < cheapest)
                                {
                                    cheapest = price;
                                    Keep(p, centre);
                                }
                            }
                        }

                        total += cheapest;
                    }
                }

                if (total < least)
                {
                    (least, top) = (total, root);
                    podNow.CopyTo(podCentre, 0);
                    rackNow.CopyTo(rackCentre, 0);
                }
            }
        }

        return (Decided(top, podCentre, rackCentre, host, rack, pod), least);

        void Keep(int p, int centre)
        {
            podNow[p] = centre;
            foreach (var r in racksOfPod[p])
            {
                rackNow[r] = rackTry[r];
            }
        }

        // Edges from all workers of the pod, and from its centre to the root, with the given centre.
        double PodPrice(int p, int centre, double far, bool isTop)
        {
            var price = 0.0;
            foreach (var r in racksOfPod[p])
            {
                if (centre >= 0 && sites.Groups[centre].Rack == r)
                {
                    rackTry[r] = centre;
                    price += RackPrice(r, centre, far + pod[p], isTop);
                    continue;
                }

                var near = centre < 0 ? double.PositiveInfinity : host[centre] + rack[sites.Groups[centre].Rack];
                var away = isTop ? near : Math.Min(near, far + pod[p]);
                rackTry[r] = -1;
                if (workers[r].Length > 0)
                {
                    var cheapest = RackPrice(r, -1, away, isTop: false);
                    foreach (var own in candidates[r])
                    {
                        if (RackPrice(r, own, away, isTop: false) is var other && other < cheapest)
                        {
                            (cheapest, rackTry[r]) = (other, own);
                        }
                    }

                    price += cheapest;
                }
            }

            return price;
        }

        double RackPrice(int r, int centre, double outside, bool isTop)
        {
            var away = outside + rack[r];
            var price = 0.0;
            foreach (var g in workers[r])
            {
                price += (sites.Groups[g].Hosts.Length - (g == centre ? 1 : 0)) * (host[g] + (centre < 0 ? away : Math.Min(host[centre], away)));
            }

            return centre >= 0 && !isTop ? price + host[centre] + away : price;
        }
    }

    private GroupTree Decided(int top, int[] podCentre, int[] rackCentre, double[] host, double[] rack, double[] pod)
    {
        var straight = new bool[rackCentre.Length];
        var toCentre = new bool[sites.Groups.Length];
        for (var r = 0; r < rackCentre.Length; r++)
        {
            var p = sites.PodOfRack[r];
            var middle = podCentre[p];
            var far = PriceTo(top);
            straight[r] = middle < 0 || middle == top || sites.Groups[middle].Rack == r || far < PriceTo(middle);
            var away = straight[r] ? far : PriceTo(middle);
            foreach (var g in workers[r])
            {
                toCentre[g] = rackCentre[r] >= 0 && (rackCentre[r] == top || host[rackCentre[r]] <= away);
            }

            double PriceTo(int centre)
            {
                var (s, q) = (sites.Groups[centre].Rack, sites.PodOfRack[sites.Groups[centre].Rack]);
                return host[centre] + rack[s] + rack[r] + (q == p ? 0 : pod[q] + pod[p]);
            }
        }

        return new() { Top = top, PodCentre = podCentre, RackCentre = rackCentre, StraightToTop = straight, ToRackCentre = toCentre };
    }

    /// <summary>Edges of a tree at each group of hosts, rack and pod, one after the other.</summary>
    public double[] Edges(GroupTree tree)
    {
        var (n, m) = (sites.Groups.Length, sites.RackRates.Length);
        var edges = new double[n + m + sites.PodRates.Length];
        for (var r = 0; r < m; r++)
        {
            var centre = tree.RackCentre[r];
            var out_ = tree.StraightToTop[r] ? tree.Top : tree.PodCentre[sites.PodOfRack[r]];
            foreach (var g in workers[r])
            {
                Add(sites.Groups[g].Hosts.Length - (g == centre ? 1 : 0), g, tree.ToRackCentre[g] ? centre : out_);
            }

            if (centre >= 0 && centre != tree.Top && (workers[r].Length > 0 || tree.PodCentre[sites.PodOfRack[r]] == centre))
            {
                Add(1, centre, out_);
            }
        }

        return edges;

        void Add(int count, int from, int to)
        {
            var (r, s) = (sites.Groups[from].Rack, sites.Groups[to].Rack);
            var (p, q) = (sites.PodOfRack[r], sites.PodOfRack[s]);
            edges[from] += count;
            edges[to] += count;
            if (r != s)
            {
                edges[n + r] += count;
                edges[n + s] += count;
            }

            if (p != q)
            {
                edges[n + m + p] += count;
                edges[n + m + q] += count;
            }
        }
    }
}
