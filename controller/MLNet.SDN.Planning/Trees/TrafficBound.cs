using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>Communication time that no forest of host-side aggregation trees can beat.</summary>
/// <remarks>
/// Counted at each tier (hosts, racks, pods) on raw link rates, push and pull together. A site without the root must send its sum up, a site with
/// the root must send the result to at least one other: so every site sends the whole message once at least. And a tree over n sites has n-1
/// crossings, each sent once up and once down: 2(n-1) M over the summed rates. With k more sites that may sum, the optimum over one switch holds:
/// 2n(n-1)/(n²+kn-2k) M/B, Y. Jiang et al., "A unified architecture for accelerating distributed DNN training" (BytePS), OSDI 2020, §4.1.
/// </remarks>
internal static class TrafficBound
{
    /// <summary>Seconds per byte of gradient; 0 for a job on one host.</summary>
    /// <param name="workers">Node numbers of the hosts with workers, each once.</param>
    /// <param name="helpers">Node numbers of the other hosts that may sum.</param>
    /// <param name="fabric">The fabric.</param>
    public static double SecondsPerByte(int[] workers, int[] helpers, Fabric fabric)
    {
        var sites = fabric.Sites;
        var hosts = Tier([.. workers.Select(h => (double)fabric.HostRate(h))], [.. helpers.Select(h => (double)fabric.HostRate(h))]);
        var racks = Tier(workers, helpers, sites.RackOf, sites.RackUplinkBitsPerSecond);
        var pods = workers.Concat(helpers).All(h => sites.PodOf(h) >= 0) ? Tier(workers, helpers, sites.PodOf, sites.PodUplinkBitsPerSecond) : 0;
        return 8 * Math.Max(hosts, Math.Max(racks, pods));
    }

    private static double Tier(int[] workers, int[] helpers, Func<int, int> siteOf, long[] uplinks)
    {
        int[] own = [.. workers.Select(siteOf).Distinct().Order()];
        int[] more = [.. helpers.Select(siteOf).Distinct().Except(own).Order()];
        return Tier([.. own.Select(s => (double)uplinks[s])], [.. more.Select(s => (double)uplinks[s])]);
    }

    private static double Tier(double[] rates, double[] helperRates)
    {
        double n = rates.Length;
        double k = helperRates.Length;
        if (n < 2)
        {
            return 0;
        }

        var once = 1 / rates.Min();
        var together = k == 0
            ? 2 * (n - 1) / rates.Sum()
            : 2 * n * (n - 1) / (((n * n) + (k * n) - (2 * k)) * rates.Concat(helperRates).Max());
        return Math.Max(once, together);
    }
}
