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
    /// <param name="keepOrder">Whether the order in force stays without another being weighed: where next to nothing is different.</param>
    public static PlannedLevel[] Ordered(string policy, IReadOnlyList<CommunicationWork> works, IReadOnlyList<int?> previous, PriorityLadder ladder, Fabric fabric, bool keepOrder = false)
    {
        var dscps = ladder.JobLevels();
        var order = PriorityPolicies.Order(policy, works);

        // Where the order changes as jobs go on, the one in force stays, new jobs sorted in, until another brings enough. The other policies' orders do not drift.
        var standing = StandingOrder(order, previous);
        if (policy is not ("srpt" or "bssi") || standing.SequenceEqual(order))
        {
            return Levels(order, "");
        }

        if (keepOrder)
        {
            return Levels(standing, "");
        }

        int[] levels;
        using (var contention = new Contention(works, order))
        {
            levels = LevelCompression.Compress(order, contention, dscps.Count);
        }

        int[] standingLevels;
        using (var contention = new Contention(works, standing))
        {
            standingLevels = LevelCompression.Compress(standing, contention, dscps.Count);
        }

        var gain = 1 - (MeanFinish(works, levels) / MeanFinish(works, standingLevels));
        return gain < WorthwhileGain ? Levels(standing, $" The order in force stays: a new one would end jobs {Words.Percent(gain)} sooner.") : Levels(order, "");

        PlannedLevel[] Levels(int[] by, string kept)
        {
            using var contention = new Contention(works, by);
            var levels = LevelCompression.Compress(by, contention, dscps.Count);
            var met = Met(works, by, levels, contention);
            return [.. Enumerable.Range(0, works.Count).Select(job => new PlannedLevel(levels[job], dscps[levels[job] - 1], Reason(policy, job, works, levels, met[job], contention, fabric) + kept))];
        }
    }

    private static int[] StandingOrder(int[] order, IReadOnlyList<int?> previous)
    {
        var rank = new int[order.Length];
        for (var i = 0; i < order.Length; i++)
        {
            rank[order[i]] = i;
        }

        int[] held = [.. order.Where(j => previous[j] is not null)];
        long[] keys = [.. held.Select(j => ((long)previous[j]!.Value << 32) | (uint)rank[j])];
        Array.Sort(keys, held);
        var standing = held.ToList();
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
        var onLink = new SortedDictionary<int, List<(int Level, double Left, int Job)>>();
        for (var job = 0; job < works.Count; job++)
        {
            for (var position = 0; position < works[job].Links.Length; position++)
            {
                var link = works[job].Links[position];
                if (!onLink.TryGetValue(link, out var users))
                {
                    onLink[link] = users = [];
                }

                users.Add((levels[job], works[job].LeftOn(position), job));
            }
        }

        var wait = new double[works.Count];
        foreach (var users in onLink.Values)
        {
            // Level by level from the top, within a level from the least on: whoever has less holds up one who has more by all of it, and the other way
            // round by no more than the one's own.
            users.Sort();
            var (above, start) = (0.0, 0);
            for (var end = 0; end < users.Count; start = end)
            {
                var level = 0.0;
                for (; end < users.Count && users[end].Level == users[start].Level; end++)
                {
                    level += users[end].Left;
                }

                var less = 0.0;
                for (var i = start; i < end; i++)
                {
                    var (_, left, job) = users[i];
                    wait[job] = Math.Max(wait[job], above + less + (left * (end - i)));
                    less += left;
                }

                above += level;
            }
        }

        return works.Index().Average(w => (w.Item.Rounds * w.Item.ComputeSeconds) + wait[w.Index]);
    }

    private static string Reason(string policy, int job, IReadOnlyList<CommunicationWork> works, int[] levels, Meetings met, Contention contention, Fabric fabric)
    {
        var mine = works[job];
        var left = Key(policy, mine);
        if (mine.Links.Length == 0)
        {
            return $"Level {levels[job]}: it uses no link.";
        }

        // Named is the neighbour in the order: the nearest above, or for a top job the nearest below, and who shares the level.
        var (above, beside, below) = met;
        if (above.Number + beside.Number + below.Number == 0)
        {
            return $"Level {levels[job]}: {left}; it shares no link with another job.";
        }

        var text = $"Level {levels[job]}: {left}";
        if (above.Number > 0)
        {
            text += $"; behind {Other(above)}";
        }
        else if (below.Number > 0)
        {
            text += $"; ahead of {Other(below)}";
        }

        if (beside.Number > 0)
        {
            text += $"; beside {Other(beside)}";
        }

        return text + ".";

        string Other(Neighbours side) =>
            $"{works[side.Nearest].Name} ({OtherKey(policy, works[side.Nearest])}) on link {fabric.LinkName(contention.SharedLink(job, side.Nearest))}{(side.Number > 1 ? $" and {side.Number - 1} more" : "")}";
    }

    // Whom each job meets: every pair is looked at once.
    private static Meetings[] Met(IReadOnlyList<CommunicationWork> works, int[] order, int[] levels, Contention contention)
    {
        Meetings[] met = [.. works.Select(_ => new Meetings(new(), new(), new()))];
        for (var position = 0; position < order.Length; position++)
        {
            var job = order[position];
            var losses = contention.Losses(position);
            foreach (var at in contention.After(position))
            {
                var other = order[at];
                var near = -Math.Abs(levels[other] - levels[job]);
                met[job].Side(levels[other] - levels[job]).Count(other, near, losses[at], works[other].JobId);
                met[other].Side(levels[job] - levels[other]).Count(job, near, 0, works[job].JobId);
            }
        }

        return met;
    }

    /// <summary>Whom a job meets.</summary>
    private sealed record Meetings(Neighbours Above, Neighbours Beside, Neighbours Below)
    {
        /// <param name="levels">Levels by which the other stands below the job.</param>
        public Neighbours Side(int levels) => levels < 0 ? Above : levels == 0 ? Beside : Below;
    }

    /// <summary>Jobs that a job meets above, beside or below it: how many, and the nearest.</summary>
    private sealed class Neighbours
    {
        private (int Near, double Loss, long MinusId) best = (int.MinValue, 0, 0);

        public int Number { get; private set; }

        public int Nearest { get; private set; } = -1;

        /// <param name="job">The neighbour.</param>
        /// <param name="near">The greater the nearer.</param>
        /// <param name="loss">Of equally near ones the one to which more is lost is named.</param>
        /// <param name="id">Of equals the lower.</param>
        public void Count(int job, int near, double loss, long id)
        {
            Number++;
            var (nearest, most, minusId) = best;
            if (near > nearest || (near == nearest && (loss > most || (loss.Equals(most) && -id > minusId))))
            {
                best = (near, loss, -id);
                Nearest = job;
            }
        }
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
