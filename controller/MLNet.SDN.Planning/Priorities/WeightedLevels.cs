using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Priorities;

/// <summary>Levels for queues that share a link by weights: a job's part of a link is to go by 1/communication left.</summary>
internal static class WeightedLevels
{
    // Between weights of 2 and 1 a job drifts from the middle by this much before its level changes: a fifth more or less left.
    private const double WorthAChange = 0.2;

    /// <summary>Weights that queues are set to, each half of the one before: 32, 16, 8, 4, 2, 1 for six levels.</summary>
    public static double[] Weights(int levels) => [.. Enumerable.Range(1, levels).Select(level => Math.ScaleB(1, levels - level))];

    /// <summary>Level of each job, 1 the one of most weight: the one whose weight, beside the first level's, is nearest to its 1/left beside the most urgent job's, in proportion.</summary>
    /// <param name="works">The jobs.</param>
    /// <param name="weights">Weight of each level, falling.</param>
    public static int[] Of(IReadOnlyList<CommunicationWork> works, IReadOnlyList<double> weights)
    {
        var least = Least(works);
        return [.. works.Select(work => 1 + Enumerable.Range(0, weights.Count).MinBy(k => Distance(work, least, weights, k)))];
    }

    /// <summary>Levels of all jobs with their reasons. A job whose level in force is nearly as near as another keeps it.</summary>
    /// <param name="works">Jobs in order of their ids.</param>
    /// <param name="previous">Level of each job in force; null for none.</param>
    /// <param name="ladder">Levels that the fabric has, with weights.</param>
    public static PlannedLevel[] Planned(IReadOnlyList<CommunicationWork> works, IReadOnlyList<int?> previous, PriorityLadder ladder)
    {
        var (weights, dscps) = (ladder.JobWeights(), ladder.JobLevels());
        var (levels, least) = (Of(works, weights), Least(works));
        return [.. works.Select((work, i) =>
        {
            var level = levels[i];
            if (previous[i] is { } held && held <= weights.Count && Distance(work, least, weights, held - 1) - Distance(work, least, weights, level - 1) < WorthAChange)
            {
                level = held;
            }

            var left = work.Known ? $"{Words.Seconds(work.Left)} of communication left" : "rounds or bytes unknown, so taken as longer than every known job";
            return new PlannedLevel(level, dscps[level - 1], $"Level {level}: {left}; its queue has weight {Words.Number(weights[level - 1])} of {Words.Number(weights.Sum())}.");
        })];
    }

    private static double Least(IReadOnlyList<CommunicationWork> works) => works.Select(Need).Where(n => n > 0).DefaultIfEmpty(1).Min();

    private static double Need(CommunicationWork work) => work.Left / work.Urgency;

    private static double Distance(CommunicationWork work, double least, IReadOnlyList<double> weights, int k) =>
        Math.Abs(Math.Log(Math.Max(Need(work), least) / least) - Math.Log(weights[0] / weights[k]));
}
