using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>A site as a job sees it: a host, or a rack or pod with what stands in it. Holds what <see cref="SiteFill"/> finds.</summary>
internal sealed class Site
{
    /// <summary>Node number; -1 for a site of several hosts.</summary>
    public int Host { get; init; } = -1;

    /// <summary>Messages per unit of time into the site, and at the same time out of it.</summary>
    public double Rate { get; init; } = double.PositiveInfinity;

    /// <summary>Sites within: those with workers first, helpers from fast to slow.</summary>
    public Site[] Children { get; set; } = [];

    /// <summary>Whether a worker is in it.</summary>
    public bool HasWorker { get; init; }

    /// <summary>Messages that leave (and enter) the site while it does not sum for the one above.</summary>
    public double Messages { get; set; }

    /// <summary>Most messages that may leave it within the time, all in all.</summary>
    public double Most { get; set; }

    /// <summary>Part of the message that the site passes on unsummed.</summary>
    public double Dissolved { get; set; }

    /// <summary>Part of what the site above sums that is summed here.</summary>
    public double Part { get; set; }

    /// <summary>The sites of a job, racks in pods where asked.</summary>
    /// <param name="workers">Node numbers of the hosts with workers, ascending.</param>
    /// <param name="helpers">Node numbers of other hosts that may sum, ascending.</param>
    /// <param name="byPod">Whether pods are sites.</param>
    /// <param name="fabric">The fabric.</param>
    /// <param name="rates">Rates that others leave.</param>
    public static Site Of(int[] workers, int[] helpers, bool byPod, Fabric fabric, RatesLeft rates)
    {
        var sites = fabric.Sites;
        Site[] racks = [.. workers.Select(h => (Host: h, HasWorker: true)).Concat(helpers.Select(h => (Host: h, HasWorker: false)))
            .GroupBy(h => sites.RackOf(h.Host))
            .Select(rack => new
            {
                Pods = rack.Select(h => sites.PodOf(h.Host)).Distinct().ToArray(),
                Number = rack.Key,
                Site = Together(rack.Select(h => new Site { Host = h.Host, Rate = rates.OfHost(h.Host), HasWorker = h.HasWorker }), rates.OfRack(rack.Key)),
            })
            // A rack whose hosts are labelled with different pods cannot be placed in one; it stands alone.
            .GroupBy(rack => byPod ? rack.Pods is [>= 0] ? rack.Pods[0] : -1 - rack.Number : 0)
            .SelectMany(pod => !byPod || pod.Key < 0 ? pod.Select(rack => rack.Site) : [Together(pod.Select(rack => rack.Site), rates.OfPod(pod.Key))])];

        // A site that stands alone needs none around it.
        var top = Together(racks, double.PositiveInfinity);
        while (top.Children is [{ Host: < 0 } only])
        {
            top = only;
        }

        return top;
    }

    private static Site Together(IEnumerable<Site> children, double rate)
    {
        Site[] ordered = [.. children.OrderByDescending(c => c.HasWorker).ThenByDescending(c => c.HasWorker ? 0 : c.Rate).ThenBy(c => c.FirstHost())];
        return new() { Rate = rate, Children = ordered, HasWorker = ordered[0].HasWorker };
    }

    private int FirstHost() => Host >= 0 ? Host : Children.Min(c => c.FirstHost());
}
