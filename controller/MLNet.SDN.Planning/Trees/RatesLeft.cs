using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>Rates that a job finds: of links, less what others take of them.</summary>
/// <param name="fabric">The fabric.</param>
/// <param name="background">What others take; null for nothing.</param>
internal sealed class RatesLeft(Fabric fabric, Background? background)
{
    // Messages of a gigabit, so that figures stay near one.
    private const double Unit = 1e9;

    /// <summary>Of a host: the sum over its links, slowed as the busiest of them.</summary>
    public double OfHost(int host)
    {
        var busy = 0.0;
        if (background is not null)
        {
            foreach (var link in fabric.Graph.LinksFrom(host))
            {
                busy = Math.Max(busy, background[fabric.Classes.Representative[link]]);
            }
        }

        return fabric.HostRate(host) / Unit / (1 + busy);
    }

    /// <summary>Of the links that leave a rack together; infinite where none does.</summary>
    public double OfRack(int rack) => OfSite(fabric.Sites.RackUplinks(rack), fabric.Sites.RackUplinkBitsPerSecond[rack]);

    /// <summary>Of the links that leave a pod together; infinite where none does.</summary>
    public double OfPod(int pod) => OfSite(fabric.Sites.PodUplinks(pod), fabric.Sites.PodUplinkBitsPerSecond[pod]);

    private double OfSite(SiteUplink[] uplinks, long rate)
    {
        if (rate == 0)
        {
            return double.PositiveInfinity;
        }

        var busy = 0.0;
        if (background is not null)
        {
            foreach (var link in uplinks)
            {
                busy += background[link.Link] * link.RateBitsPerSecond;
            }
        }

        return rate / Unit / (1 + (busy / rate));
    }
}
