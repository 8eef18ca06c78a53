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
    public static int[] Compress(int[] order, Contention contention, int levels)
    {
        // 1. A job must stand below every earlier one that it meets. Where the longest such chain fits, nothing is lost.
        var depth = new int[order.Length];
        Array.Fill(depth, 1);
        for (var i = 0; i < order.Length; i++)
        {
            var under = depth[order[i]] + 1;
            foreach (var met in contention.After(i))
            {
                var below = order[met];
                depth[below] = Math.Max(depth[below], under);
            }
        }

        if (order.Length == 0 || depth.Max() <= levels)
        {
            return depth;
        }

        // 2. Else the order is cut into runs; of two orders that both respect the chains the better is taken.
        var byDepth = order.ToArray();
        var keys = new long[order.Length];
        for (var i = 0; i < keys.Length; i++)
        {
            keys[i] = ((long)depth[order[i]] << 32) | (uint)i;
        }

        Array.Sort(keys, byDepth);
        var (first, firstLoss) = Cut(order, contention, levels);
        var (second, secondLoss) = Cut(byDepth, contention, levels);
        var (best, sequence) = secondLoss < firstLoss ? (second, byDepth) : (first, order);

        // 3. Jobs rise as far as those above them allow: a pair within a run may come apart, never change places.
        var raised = new int[order.Length];
        Array.Fill(raised, 1);
        foreach (var job in sequence)
        {
            foreach (var met in contention.After(contention.Position(job)))
            {
                var below = order[met];
                raised[below] = Math.Max(raised[below], raised[job] + (best[job] < best[below] ? 1 : 0));
            }
        }

        return raised;
    }

    private static (int[] Level, double Loss) Cut(int[] order, Contention contention, int levels)
    {
        var n = order.Length;
        var positions = new int[n];
        for (var i = 0; i < n; i++)
        {
            positions[i] = contention.Position(order[i]);
        }

        // within[start, end]: loss when the jobs at start..end-1 share a level. That of one alone is none.
        var row = n + 1;
        var within = ArrayPool<double>.Shared.Rent(row * row);
        within[(n * row) + n] = 0;
        for (var start = n - 1; start >= 0; start--)
        {
            var losses = contention.Losses(positions[start]);
            var mine = within.AsSpan(start * row, row);
            var next = within.AsSpan((start + 1) * row, row);
            (mine[start], mine[start + 1]) = (0, 0);
            var added = 0.0;
            for (var end = start + 2; end <= n; end++)
            {
                added += losses[positions[end - 1]];
                mine[end] = added + next[end];
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
