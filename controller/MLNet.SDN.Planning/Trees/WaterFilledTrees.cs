using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>
/// Rotated trees in which every host sums, and every rack and pod, as much as its links have room for (<see cref="SiteFill"/>): idle helper hosts and lightly
/// used workers more, busy and slow ones less.
/// </summary>
internal static class WaterFilledTrees
{
    // Sites that are dissolved for nearly the same part of the message are for the same: fewer shards.
    private const double SamePart = 0.02;

    // What must be gained before anything is sent unsummed over uplinks: it costs shards, and takes of the uplinks what others may need. Found by trial:
    // from a quarter on batches of 16 wide jobs end as soon as without, at a fiftieth 4 % later.
    private const double LeastGainAlone = 0.02;
    private const double LeastGainBesideOthers = 0.25;

    // A part of a millionth is none.
    private const double Nothing = 1e-6;

    // Weight of the whole message where its pieces are laid out one after the other.
    private const double WholeWeight = 1e8;

    /// <summary>Builds the trees; the same for the same input.</summary>
    /// <param name="workers">Node numbers of the hosts with workers, ascending.</param>
    /// <param name="helpers">Node numbers of other hosts that may sum, ascending.</param>
    /// <param name="byPod">Whether racks send through one of their pod; false where racks send straight to the root.</param>
    /// <param name="fabric">The fabric.</param>
    /// <param name="background">What others take of links; null for nothing.</param>
    public static Forest Build(int[] workers, int[] helpers, bool byPod, Fabric fabric, Background? background)
    {
        var top = Site.Of(workers, helpers, byPod, fabric, new(fabric, background));
        SiteFill.Solve(top, background is null ? LeastGainAlone : LeastGainBesideOthers);
        return Lay(top, workers);
    }

    /// <summary>Trees of sites whose parts are set.</summary>
    public static Forest Lay(Site top, int[] workers)
    {
        // 1. Stretches of the message in which the same sites are dissolved.
        var ends = new List<double>();
        var first = double.NegativeInfinity;
        foreach (var part in Dissolved(top).Order())
        {
            if (part - first < SamePart)
            {
                ends[^1] = part;
            }
            else
            {
                ends.Add(first = part);
            }
        }

        // 2. Each laid out by itself, so that those who sum do their part in each.
        var layouts = new List<(double Size, List<RotationPiece> Pieces, List<Site> Sites)>();
        for (var (i, start) = (0, 0.0); i <= ends.Count; i++)
        {
            var end = i < ends.Count ? ends[i] : 1;
            if (end - start > Nothing)
            {
                var sites = new List<Site>();
                layouts.Add((end - start, Rotation.Of(Rotating(top, start, 1, sites)), sites));
                start = end;
            }
        }

        // 3. A tree for each piece.
        var chains = new Dictionary<int, List<Site>>();
        Chains(top, []);
        int[] members = [.. workers.Concat(layouts.SelectMany(l => l.Pieces.SelectMany(p => p.Centre))).Distinct().Order()];
        var number = members.Index().ToDictionary(m => m.Item, m => m.Index);
        var shards = new List<Shard>();
        foreach (var (size, pieces, sites) in layouts)
        {
            var total = pieces.Sum(p => (double)p.Weight);
            var centre = new Dictionary<Site, int>(sites.Count);
            foreach (var piece in pieces)
            {
                for (var site = 0; site < sites.Count; site++)
                {
                    centre[sites[site]] = piece.Centre[site];
                }

                var weight = layouts.Count == 1 ? piece.Weight : (int)Math.Max(1, Math.Round(WholeWeight * size * piece.Weight / total));
                shards.Add(Tree(weight, piece.Centre[0], centre));
            }
        }

        return new(members, shards);

        // Each host sends to whoever sums for the innermost site around it that somebody else sums for.
        Shard Tree(int weight, int root, Dictionary<Site, int> centre)
        {
            var parent = new int[members.Length];
            Array.Fill(parent, -1);
            foreach (var worker in workers)
            {
                for (var host = worker; host != root && parent[number[host]] < 0;)
                {
                    var above = root;
                    foreach (var site in chains[host])
                    {
                        if (centre.TryGetValue(site, out var summing) && summing != host)
                        {
                            above = summing;
                            break;
                        }
                    }

                    parent[number[host]] = number[above];
                    host = above;
                }
            }

            return new(weight, number[root], parent);
        }

        void Chains(Site site, List<Site> around)
        {
            if (site.Host >= 0)
            {
                chains[site.Host] = around;
                return;
            }

            foreach (var child in site.Children)
            {
                Chains(child, [site, .. around]);
            }
        }
    }

    private static IEnumerable<double> Dissolved(Site site) =>
        site.Host >= 0 ? [] : site.Children.SelectMany(Dissolved).Concat(site.Dissolved > Nothing ? [site.Dissolved] : []);

    // The sites that sum from the given place of the message on; those within a dissolved one stand in its place, and none of them sums further up.
    private static RotationSite Rotating(Site site, double from, double part, List<Site> sites)
    {
        if (site.Host >= 0)
        {
            return new(site.Host, part, []);
        }

        sites.Add(site);
        return new(-1, part, [.. Within(site).Select(c => Rotating(c.Site, from, c.Part, sites))]);

        IEnumerable<(Site Site, double Part)> Within(Site around) =>
            around.Children.SelectMany(child =>
                child.Host >= 0 || !child.HasWorker ? child.Part > 0 ? [(child, child.Part)] : []
                : child.Dissolved <= from + Nothing ? [(child, child.Part)]
                : Within(child).Where(c => c.Site.Host < 0).Select(c => (c.Site, 0.0)));
    }
}
