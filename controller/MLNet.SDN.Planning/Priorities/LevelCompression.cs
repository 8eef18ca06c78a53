namespace MLNet.SDN.Planning.Priorities;

/// <summary>Fits an order of jobs into few levels, so that what is lost by sharing a level is least.</summary>
/// <remarks>
/// The dynamic programme of J. Cao et al., "Crux: GPU-efficient communication scheduling for deep learning training", SIGCOMM 2024, §4.3:
/// an order is cut into runs of one level each, the cut of greatest weight is best. Run on two orders that respect the contention graph:
/// by priority, and by depth in that graph. O(n²·levels).
/// </remarks>
internal static class LevelCompression
{
    /// <summary>Level of each job, 1 the highest.</summary>
    /// <param name="order">Jobs, first the one to be served first.</param>
    /// <param name="contention">Who meets whom.</param>
    /// <param name="levels">Levels that exist, ≥ 1.</param>
    public static int[] Compress(IReadOnlyList<int> order, Contention contention, int levels)
    {
        // 1. A job must stand below every earlier one that it meets. Where the longest such chain fits, nothing is lost.
        var depth = new int[order.Count];
        for (var i = 0; i < order.Count; i++)
        {
            depth[order[i]] = 1;
            for (var before = 0; before < i; before++)
            {
                if (contention.Meet(order[before], order[i]))
                {
                    depth[order[i]] = Math.Max(depth[order[i]], depth[order[before]] + 1);
                }
            }
        }

        if (order.Count == 0 || depth.Max() <= levels)
        {
            return depth;
        }

        // 2. Else the order is cut into runs; of two orders that both respect the chains the better is taken.
        var byDepth = order.Index().OrderBy(o => depth[o.Item]).ThenBy(o => o.Index).Select(o => o.Item).ToArray();
        var (first, firstLoss) = Cut(order, contention, levels);
        var (second, secondLoss) = Cut(byDepth, contention, levels);
        var (best, sequence) = secondLoss < firstLoss ? (second, byDepth) : (first, order);

        // 3. Jobs rise as far as those above them allow: a pair within a run may come apart, never change places.
        var raised = new int[order.Count];
        for (var i = 0; i < sequence.Count; i++)
        {
            var job = sequence[i];
            raised[job] = 1;
            for (var before = 0; before < i; before++)
            {
                var above = sequence[before];
                if (contention.Meet(above, job))
                {
                    raised[job] = Math.Max(raised[job], raised[above] + (best[above] < best[job] ? 1 : 0));
                }
            }
        }

        return raised;
    }

    private static (int[] Level, double Loss) Cut(IReadOnlyList<int> order, Contention contention, int levels)
    {
        // within[i, j]: loss when the jobs at i..j-1 share a level.
        var n = order.Count;
        var within = new double[n + 1, n + 1];
        for (var end = 1; end <= n; end++)
        {
            var added = 0.0;
            for (var start = end - 1; start >= 0; start--)
            {
                added += start < end - 1 ? contention.Loss(order[start], order[end - 1]) : 0;
                within[start, end] = within[start, end - 1] + added;
            }
        }

        var least = new double[levels + 1, n + 1];
        var from = new int[levels + 1, n + 1];
        for (var end = 1; end <= n; end++)
        {
            least[0, end] = double.PositiveInfinity;
        }

        for (var level = 1; level <= levels; level++)
        {
            for (var end = 1; end <= n; end++)
            {
                least[level, end] = double.PositiveInfinity;
                for (var start = 0; start < end; start++)
                {
                    var loss = least[level - 1, start] + within[start, end];
                    if (loss < least[level, end])
                    {
                        (least[level, end], from[level, end]) = (loss, start);
                    }
                }
            }
        }

        var used = Enumerable.Range(1, levels).MinBy(l => least[l, n]);
        var levelOf = new int[n];
        for (var (level, end) = (used, n); level >= 1; end = from[level, end], level--)
        {
            for (var i = from[level, end]; i < end; i++)
            {
                levelOf[order[i]] = level;
            }
        }

        return (levelOf, least[used, n]);
    }
}
