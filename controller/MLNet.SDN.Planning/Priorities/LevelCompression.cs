using System.Buffers;

namespace MLNet.SDN.Planning.Priorities;

/// <summary>Fits an order of jobs into few levels, so that what is lost by sharing a level is least.</summary>
/// <remarks>
/// The dynamic programme of J. Cao et al., "Crux: GPU-efficient communication scheduling for deep learning training", SIGCOMM 2024, §4.3:
/// an order is cut into runs of one level each, the cut of greatest weight is best. Run on two orders that respect the contention graph:
/// by priority, and by depth in that graph. O(n²) for n jobs.
/// </remarks>
internal static class LevelCompression
{
    /// <summary>Level of each job, 1 the highest.</summary>
    /// <param name="order">Jobs, first the one to be served first.</param>
    /// <param name="contention">Who meets whom, in that order.</param>
    /// <param name="levels">Levels that exist, ≥ 1.</param>
    public static int[] Compress(IReadOnlyList<int> order, Contention contention, int levels)
    {
        // 1. A job must stand below every earlier one that it meets. Where the longest such chain fits, nothing is lost.
        var depth = new int[order.Count];
        Array.Fill(depth, 1);
        for (var i = 0; i < order.Count; i++)
        {
            var after = contention.After(i);
            for (var k = 0; k < after.Length; k++)
            {
                if (after[k] > 0)
                {
                    var below = order[i + 1 + k];
                    depth[below] = Math.Max(depth[below], depth[order[i]] + 1);
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
        Array.Fill(raised, 1);
        foreach (var job in sequence)
        {
            var position = contention.Position(job);
            var after = contention.After(position);
            for (var k = 0; k < after.Length; k++)
            {
                if (after[k] > 0)
                {
                    var below = order[position + 1 + k];
                    raised[below] = Math.Max(raised[below], raised[job] + (best[job] < best[below] ? 1 : 0));
                }
            }
        }

        return raised;
    }

    private static (int[] Level, double Loss) Cut(IReadOnlyList<int> order, Contention contention, int levels)
    {
        // within[start, end]: loss when the jobs at start..end-1 share a level.
        var n = order.Count;
        var row = n + 1;
        var within = ArrayPool<double>.Shared.Rent(row * row);
        for (var start = n; start >= 0; start--)
        {
            var added = 0.0;
            var mine = start * row;
            within[mine + start] = 0;
            for (var end = start + 1; end <= n; end++)
            {
                added += end > start + 1 ? contention.Loss(order[start], order[end - 1]) : 0;
                within[mine + end] = added + (end > start + 1 ? within[mine + row + end] : 0);
            }
        }

        // Losses of pairs add up, so the best start of the last run never moves back as the end moves on: each level takes n log n steps.
        var least = new double[levels + 1, n + 1];
        var from = new int[levels + 1, n + 1];
        for (var end = 1; end <= n; end++)
        {
            least[0, end] = double.PositiveInfinity;
        }

        for (var level = 1; level <= levels; level++)
        {
            Fill(level, 1, n, 0, n - 1);
        }

        ArrayPool<double>.Shared.Return(within);
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

        void Fill(int level, int firstEnd, int lastEnd, int firstStart, int lastStart)
        {
            if (firstEnd > lastEnd)
            {
                return;
            }

            var end = (firstEnd + lastEnd) / 2;
            var best = firstStart;
            least[level, end] = double.PositiveInfinity;
            for (var start = firstStart; start <= Math.Min(lastStart, end - 1); start++)
            {
                var loss = least[level - 1, start] + within[(start * row) + end];
                if (loss < least[level, end])
                {
                    (least[level, end], best) = (loss, start);
                }
            }

            from[level, end] = best;
            Fill(level, firstEnd, end - 1, firstStart, best);
            Fill(level, end + 1, lastEnd, best, lastStart);
        }
    }
}
