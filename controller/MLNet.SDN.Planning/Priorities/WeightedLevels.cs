namespace MLNet.SDN.Planning.Priorities;

/// <summary>Levels for queues that share a link by weights: a job's part of a link is to go by 1/communication left.</summary>
internal static class WeightedLevels
{
    /// <summary>Weights that queues are set to, each half of the one before: 32, 16, 8, 4, 2, 1 for six levels.</summary>
    public static double[] Weights(int levels) => [.. Enumerable.Range(1, levels).Select(level => Math.ScaleB(1, levels - level))];

    /// <summary>Level of each job, 1 the one of most weight: the one whose weight, beside the least job's, is nearest to 1/left, in proportion.</summary>
    /// <param name="works">The jobs.</param>
    /// <param name="weights">Weight of each level, falling.</param>
    public static int[] Of(IReadOnlyList<CommunicationWork> works, IReadOnlyList<double> weights)
    {
        var least = works.Select(w => w.Left).Where(l => l > 0).DefaultIfEmpty(1).Min();
        return [.. works.Select(work => 1 + Enumerable.Range(0, weights.Count).MinBy(k => Math.Abs(Math.Log(Math.Max(work.Left, least) / least) - Math.Log(weights[0] / weights[k]))))];
    }
}
