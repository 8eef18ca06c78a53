using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Priorities;

/// <summary>A job's level and why it has it.</summary>
internal readonly record struct PlannedLevel(int Level, Dscp Dscp, string Reason);

/// <summary>Gives every job its level: an order by the policy, compressed to the levels of the ladder, with a reason for the operator.</summary>
internal static class LevelPlanner
{
    // Under this a change of the order is not worth the reordering of packets in flight that it causes.
    private const double WorthwhileGain = 0.05;

    public static PlannedLevel[] Fair(int jobs) =>
        [.. Enumerable.Repeat(new PlannedLevel(0, Dscp.Default, "Policy fair: nothing is marked, jobs share links evenly."), jobs)];

    /// <param name="policy">One of <see cref="PriorityPolicies.Names"/>.</param>
    /// <param name="works">Jobs in order of their ids.</param>
    /// <param name="previous">Level of each job in force; null for a new job or one that was unmarked.</param>
    /// <param name="ladder">Levels that the fabric has.</param>
    /// <param name="fabric">For the names of links.</param>
    public static PlannedLevel[] Ordered(string policy, IReadOnlyList<CommunicationWork> works, IReadOnlyList<int?> previous, PriorityLadder ladder, Fabric fabric)
    {
        var dscps = ladder.JobLevels();
        var order = PriorityPolicies.Order(policy, works);
        var contention = new Contention(works, order);
        var levels = LevelCompression.Compress(order, contention, dscps.Count);

        // Where the order changes as jobs go on, the one in force stays, new jobs sorted in, until another brings enough. The other policies' orders do not drift.
        var kept = "";
        var standing = StandingOrder(order, previous);
        if (policy is "srpt" or "bssi" && !standing.SequenceEqual(order))
        {
            var standingContention = new Contention(works, standing);
            var standingLevels = LevelCompression.Compress(standing, standingContention, dscps.Count);
            var gain = 1 - (MeanFinish(works, levels) / MeanFinish(works, standingLevels));
            if (gain < WorthwhileGain)
            {
                (levels, contention) = (standingLevels, standingContention);
                kept = $" The order in force stays: a new one would end jobs {Words.Percent(gain)} sooner.";
            }
        }

        return [.. Enumerable.Range(0, works.Count).Select(job => new PlannedLevel(levels[job], dscps[levels[job] - 1], Reason(policy, job, works, levels, contention, fabric) + kept))];
    }

    private static int[] StandingOrder(int[] order, IReadOnlyList<int?> previous)
    {
        var rank = order.Index().ToDictionary(o => o.Item, o => o.Index);
        var standing = order.Where(j => previous[j] is not null).OrderBy(j => previous[j]).ThenBy(j => rank[j]).ToList();
        foreach (var job in order.Where(j => previous[j] is null))
        {
            var at = standing.FindIndex(other => rank[job] < rank[other]);
            standing.Insert(at < 0 ? standing.Count : at, job);
        }

        return [.. standing];
    }

    /// <summary>Estimate of the mean time to finish: on each link, those above go first and those beside take turns.</summary>
    private static double MeanFinish(IReadOnlyList<CommunicationWork> works, int[] levels)
    {
        var onLink = new Dictionary<int, List<(int Job, double Left)>>();
        for (var job = 0; job < works.Count; job++)
        {
            for (var position = 0; position < works[job].Links.Length; position++)
            {
                var link = works[job].Links[position];
                if (!onLink.TryGetValue(link, out var users))
                {
                    onLink[link] = users = [];
                }

                users.Add((job, works[job].LeftOn(position)));
            }
        }

        var wait = new double[works.Count];
        foreach (var (_, users) in onLink)
        {
            foreach (var (job, left) in users)
            {
                var busy = left;
                foreach (var (other, otherLeft) in users)
                {
                    if (other != job && levels[other] <= levels[job])
                    {
                        busy += levels[other] < levels[job] ? otherLeft : Math.Min(left, otherLeft);
                    }
                }

                wait[job] = Math.Max(wait[job], busy);
            }
        }

        return works.Index().Average(w => (w.Item.Rounds * w.Item.ComputeSeconds) + wait[w.Index]);
    }

    private static string Reason(string policy, int job, IReadOnlyList<CommunicationWork> works, int[] levels, Contention contention, Fabric fabric)
    {
        var mine = works[job];
        var left = Key(policy, mine);
        int[] met = [.. Enumerable.Range(0, works.Count).Where(o => o != job && contention.Meet(job, o))];
        if (mine.Links.Length == 0)
        {
            return $"Level {levels[job]}: it uses no link.";
        }

        if (met.Length == 0)
        {
            return $"Level {levels[job]}: {left}; it shares no link with another job.";
        }

        // Named is the neighbour in the order: the nearest above, or for a top job the nearest below, and who shares the level.
        var text = $"Level {levels[job]}: {left}";
        var above = met.Where(o => levels[o] < levels[job]).OrderByDescending(o => levels[o]).ThenByDescending(o => contention.Loss(job, o)).ThenBy(o => works[o].JobId).ToArray();
        var beside = met.Where(o => levels[o] == levels[job]).OrderByDescending(o => contention.Loss(job, o)).ThenBy(o => works[o].JobId).ToArray();
        var below = met.Where(o => levels[o] > levels[job]).OrderBy(o => levels[o]).ThenByDescending(o => contention.Loss(job, o)).ThenBy(o => works[o].JobId).ToArray();
        if (above.Length > 0)
        {
            text += $"; behind {Other(above[0])}{More(above)}";
        }
        else if (below.Length > 0)
        {
            text += $"; ahead of {Other(below[0])}{More(below)}";
        }

        if (beside.Length > 0)
        {
            text += $"; beside {Other(beside[0])}{More(beside)}";
        }

        return text + ".";

        string Other(int other) => $"{works[other].Name} ({OtherKey(policy, works[other])}) on link {fabric.LinkName(contention.SharedLink(job, other))}";

        static string More(int[] others) => others.Length > 1 ? $" and {others.Length - 1} more" : "";
    }

    private static string Key(string policy, CommunicationWork work) => policy switch
    {
        "spt" => $"{Words.Seconds(work.RoundSeconds)} of communication a round",
        "gpu-intensity" => $"{Words.Seconds(work.Workers * work.ComputeSeconds)} of computation, on {work.Workers} workers together, for {Words.Seconds(work.RoundSeconds)} of communication a round",
        _ => work.Known ? $"{Words.Seconds(work.Left)} of communication left" : "rounds or bytes unknown, so taken as longer than every known job",
    };

    private static string OtherKey(string policy, CommunicationWork work) => policy switch
    {
        "spt" => Words.Seconds(work.RoundSeconds),
        "gpu-intensity" => $"{Words.Seconds(work.Workers * work.ComputeSeconds)} for {Words.Seconds(work.RoundSeconds)}",
        _ => work.Known ? Words.Seconds(work.Left) : "length unknown",
    };
}
