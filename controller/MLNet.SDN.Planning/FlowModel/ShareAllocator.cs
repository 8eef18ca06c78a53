namespace MLNet.SDN.Planning.FlowModel;

/// <summary>Divides links among flows: floors first, then level by level in strict order, weighted max-min within a level.</summary>
/// <remarks>
/// Max-min by progressive filling: D. Bertsekas and R. Gallager, <i>Data Networks</i>, 2nd ed., §6.5.2, for flows over many links that take a
/// different part of each. Nobody can have more without one of no greater share losing. Exact up to rounding. Allocates nothing once made.
/// Not thread-safe: it owns the working memory of a run.
/// </remarks>
public sealed partial class ShareAllocator
{
    private readonly FlowDemands demands;
    private readonly double[] residual;
    private readonly double[] available;
    private readonly double[] rise;
    private readonly int[] users;
    private readonly int[] touched;
    private readonly int[] open;
    private readonly int[] byLevel;
    private readonly double[] limit;
    private readonly double[] gained;
    private readonly double[] even;

    /// <summary>Creates an allocator with working memory for these demands.</summary>
    public ShareAllocator(FlowDemands demands)
    {
        this.demands = demands;
        residual = new double[demands.LinkCount];
        available = new double[demands.LinkCount];
        rise = new double[demands.LinkCount];
        users = new int[demands.LinkCount];
        touched = new int[demands.LinkCount];
        open = new int[demands.FlowCount];
        byLevel = new int[demands.FlowCount];
        limit = new double[demands.FlowCount];
        gained = new double[demands.FlowCount];
        even = new double[demands.FlowCount];
        Array.Fill(even, 1);
    }

    /// <summary>Computes the share of every active flow.</summary>
    /// <param name="active">Numbers of the flows that send now, each once.</param>
    /// <param name="level">Level of every flow, by flow number; the lower goes first.</param>
    /// <param name="weight">Weight of every flow within its level, by flow number, above zero.</param>
    /// <param name="floor">What is given out before the levels.</param>
    /// <param name="share">Filled by flow number for the active flows: 0..1 of the rate the flow has alone.</param>
    /// <exception cref="ArgumentException">A span is shorter than the number of flows.</exception>
    public void Solve(ReadOnlySpan<int> active, ReadOnlySpan<int> level, ReadOnlySpan<double> weight, Floor floor, Span<double> share)
    {
        if (level.Length < demands.FlowCount || weight.Length < demands.FlowCount || share.Length < demands.FlowCount)
        {
            throw new ArgumentException($"Level, weight and share need an entry for each of {demands.FlowCount} flows.");
        }

        // 1. Everything is free, nobody has anything.
        foreach (var flow in active)
        {
            share[flow] = 0;
            for (var entry = demands.First[flow]; entry < demands.First[flow + 1]; entry++)
            {
                residual[demands.Link[entry]] = 1;
            }
        }

        active.CopyTo(byLevel);
        var sorted = byLevel.AsSpan(0, active.Length);
        SortByLevel(sorted, level);

        // 2. Floors.
        if (floor.Kind == FloorKind.Pooled)
        {
            Fill(sorted, even, floor.Fraction, share);
        }
        else if (floor.Kind == FloorKind.PerLevel)
        {
            for (var start = 0; start < sorted.Length;)
            {
                var end = EndOfLevel(sorted, start, level);
                Fill(sorted[start..end], weight, floor.Fraction, share);
                start = end;
            }
        }

        // 3. Levels in strict order on what is left.
        for (var start = 0; start < sorted.Length;)
        {
            var end = EndOfLevel(sorted, start, level);
            Fill(sorted[start..end], weight, 1, share);
            start = end;
        }
    }

    private static int EndOfLevel(ReadOnlySpan<int> sorted, int start, ReadOnlySpan<int> level)
    {
        var end = start + 1;
        while (end < sorted.Length && level[sorted[end]] == level[sorted[start]])
        {
            end++;
        }

        return end;
    }

    // Insertion sort: the order hardly changes between events, and a comparer over spans would allocate.
    private static void SortByLevel(Span<int> flows, ReadOnlySpan<int> level)
    {
        for (var i = 1; i < flows.Length; i++)
        {
            var flow = flows[i];
            var at = i;
            while (at > 0 && (level[flows[at - 1]] > level[flow] || (level[flows[at - 1]] == level[flow] && flows[at - 1] > flow)))
            {
                flows[at] = flows[at - 1];
                at--;
            }

            flows[at] = flow;
        }
    }

    /// <summary>Raises the flows together, each in proportion to its weight, until a link is full or the flow has all it can use; takes what they gained.</summary>
    /// <param name="flows">The flows.</param>
    /// <param name="weight">By flow number.</param>
    /// <param name="part">Part of each link that may be given out here, as far as it is free.</param>
    /// <param name="share">By flow number; added to.</param>
    private void Fill(ReadOnlySpan<int> flows, ReadOnlySpan<double> weight, double part, Span<double> share)
    {
        if (flows.Length == 1)
        {
            FillOne(flows[0], part, share);
            return;
        }

        // 1. How fast each link fills, and what it has.
        var links = 0;
        foreach (var flow in flows)
        {
            for (var entry = demands.First[flow]; entry < demands.First[flow + 1]; entry++)
            {
                users[demands.Link[entry]] = 0;
            }
        }

        for (var i = 0; i < flows.Length; i++)
        {
            var flow = flows[i];
            open[i] = flow;
            limit[flow] = 1 - share[flow];
            for (var entry = demands.First[flow]; entry < demands.First[flow + 1]; entry++)
            {
                var link = demands.Link[entry];
                if (users[link]++ == 0)
                {
                    touched[links++] = link;
                    rise[link] = 0;
                    available[link] = Math.Min(part, Math.Max(0, residual[link]));
                }

                rise[link] += weight[flow] * demands.Demand[entry];
            }
        }

        // 2. The lowest water level at which a link is full or a flow has enough ends the rise of those concerned.
        for (var left = flows.Length; left > 0;)
        {
            var water = double.PositiveInfinity;
            var full = -1;
            for (var i = 0; i < links;)
            {
                var link = touched[i];
                if (users[link] == 0)
                {
                    touched[i] = touched[--links];
                    continue;
                }

                var at = available[link] / rise[link];
                if (at < water)
                {
                    (water, full) = (at, link);
                }

                i++;
            }

            for (var i = 0; i < left; i++)
            {
                var enough = limit[open[i]] / weight[open[i]];
                if (enough < water)
                {
                    (water, full) = (enough, -1);
                }
            }

            var stay = 0;
            for (var i = 0; i < left; i++)
            {
                var flow = open[i];
                if (limit[flow] / weight[flow] <= water || (full >= 0 && Uses(flow, full)))
                {
                    Freeze(flow, Math.Min(limit[flow], water * weight[flow]), weight[flow]);
                }
                else
                {
                    open[stay++] = flow;
                }
            }

            left = stay;
        }

        // 3. Taken.
        foreach (var flow in flows)
        {
            share[flow] += gained[flow];
            Take(flow, gained[flow]);
        }
    }

    private void FillOne(int flow, double part, Span<double> share)
    {
        var gain = 1 - share[flow];
        for (var entry = demands.First[flow]; entry < demands.First[flow + 1]; entry++)
        {
            gain = Math.Min(gain, Math.Min(part, Math.Max(0, residual[demands.Link[entry]])) / demands.Demand[entry]);
        }

        share[flow] += gain;
        Take(flow, gain);
    }

    private void Take(int flow, double gain)
    {
        for (var entry = demands.First[flow]; entry < demands.First[flow + 1]; entry++)
        {
            residual[demands.Link[entry]] -= gain * demands.Demand[entry];
        }
    }

    private bool Uses(int flow, int link) => demands.Link.AsSpan(demands.First[flow], demands.First[flow + 1] - demands.First[flow]).BinarySearch(link) >= 0;

    private void Freeze(int flow, double gain, double weight)
    {
        gained[flow] = gain;
        for (var entry = demands.First[flow]; entry < demands.First[flow + 1]; entry++)
        {
            var link = demands.Link[entry];
            available[link] = Math.Max(0, available[link] - (gain * demands.Demand[entry]));
            rise[link] -= weight * demands.Demand[entry];
            users[link]--;
        }
    }
}
