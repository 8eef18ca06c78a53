namespace MLNet.SDN.Planning.FlowModel;

/// <summary>What flows ask of links. A flow crosses many links at once, as a job's round does, and moves on all of them in step.</summary>
/// <remarks>
/// A flow with the network to itself runs at share 1: as fast as its slowest link allows. At share s it takes s·d of a link, d being the part of
/// the link it takes at share 1. Links that can never bind before another one (their flows are a subset, each asking no more) are left out of the
/// computation, which changes no result. Immutable; thread-safe.
/// </remarks>
public sealed class FlowDemands
{
    private FlowDemands(int[] first, int[] link, double[] demand, int links, double[] fullSeconds)
    {
        First = first;
        Link = link;
        Demand = demand;
        LinkCount = links;
        FullSeconds = fullSeconds;
    }

    /// <summary>Number of flows.</summary>
    public int FlowCount => First.Length - 1;

    /// <summary>Links that can bind.</summary>
    internal int LinkCount { get; }

    /// <summary>Start of each flow's entries in <see cref="Link"/> and <see cref="Demand"/>.</summary>
    internal int[] First { get; }

    internal int[] Link { get; }

    /// <summary>Part of the link taken at share 1: 0..1.</summary>
    internal double[] Demand { get; }

    private double[] FullSeconds { get; }

    /// <summary>Seconds that a flow needs for its bytes at share 1; 0 for one that uses no link.</summary>
    public double SecondsAtFullShare(int flow) => FullSeconds[flow];

    /// <summary>Creates the demands.</summary>
    /// <param name="bytesPerSecond">Capacity of each link, byte/s, above zero.</param>
    /// <param name="links">For each flow the links it crosses, no link twice.</param>
    /// <param name="bytes">For each flow the bytes it moves over each of those links, not negative.</param>
    /// <exception cref="ArgumentException">Lengths differ, a link is unknown, or a number is negative or not finite.</exception>
    public static FlowDemands Create(ReadOnlySpan<double> bytesPerSecond, IReadOnlyList<int[]> links, IReadOnlyList<double[]> bytes)
    {
        if (links.Count != bytes.Count)
        {
            throw new ArgumentException($"There are links of {links.Count} flows and bytes of {bytes.Count}.", nameof(bytes));
        }

        foreach (var rate in bytesPerSecond)
        {
            if (!(rate > 0) || !double.IsFinite(rate))
            {
                throw new ArgumentException($"A capacity of {rate} byte/s is none.", nameof(bytesPerSecond));
            }
        }

        // 1. Each flow's time alone, and from it its part of each link.
        var columns = new SortedDictionary<int, List<(int Flow, double Demand)>>();
        var full = new double[links.Count];
        for (var flow = 0; flow < links.Count; flow++)
        {
            if (links[flow].Length != bytes[flow].Length || links[flow].Distinct().Count() != links[flow].Length)
            {
                throw new ArgumentException($"Flow {flow} must name each link once, with its bytes.", nameof(links));
            }

            for (var i = 0; i < links[flow].Length; i++)
            {
                if (links[flow][i] < 0 || links[flow][i] >= bytesPerSecond.Length || !(bytes[flow][i] >= 0) || !double.IsFinite(bytes[flow][i]))
                {
                    throw new ArgumentException($"Flow {flow} puts {bytes[flow][i]} bytes on link {links[flow][i]}.", nameof(bytes));
                }

                full[flow] = Math.Max(full[flow], bytes[flow][i] / bytesPerSecond[links[flow][i]]);
            }

            for (var i = 0; i < links[flow].Length; i++)
            {
                if (bytes[flow][i] > 0)
                {
                    if (!columns.TryGetValue(links[flow][i], out var column))
                    {
                        columns[links[flow][i]] = column = [];
                    }

                    column.Add((flow, bytes[flow][i] / bytesPerSecond[links[flow][i]] / full[flow]));
                }
            }
        }

        // 2. Links that may bind, renumbered; then by flow.
        var binding = DominantLinks.Select([.. columns.Values]);
        var counts = new int[links.Count + 1];
        foreach (var column in binding)
        {
            foreach (var (flow, _) in column)
            {
                counts[flow + 1]++;
            }
        }

        for (var flow = 0; flow < links.Count; flow++)
        {
            counts[flow + 1] += counts[flow];
        }

        var next = counts[..^1];
        var entryLink = new int[counts[^1]];
        var entryDemand = new double[counts[^1]];
        for (var link = 0; link < binding.Count; link++)
        {
            foreach (var (flow, demand) in binding[link])
            {
                entryLink[next[flow]] = link;
                entryDemand[next[flow]++] = demand;
            }
        }

        return new(counts, entryLink, entryDemand, binding.Count, full);
    }
}
