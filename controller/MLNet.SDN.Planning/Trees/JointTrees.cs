using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>A job among others.</summary>
internal sealed record JointJob
{
    /// <summary>Node numbers of the hosts with workers, each once, ascending.</summary>
    public required int[] Workers { get; init; }

    /// <summary>Node numbers of other hosts that may sum for it, ascending.</summary>
    public required int[] Helpers { get; init; }

    /// <summary>Bytes per round; 0 when unknown: then nobody makes room for it.</summary>
    public required double GradientBytes { get; init; }

    /// <summary>Computation per round, seconds.</summary>
    public required double ComputeSeconds { get; init; }

    /// <summary>Rounds to train; any number where unknown.</summary>
    public required double Rounds { get; init; }

    /// <summary>Trees in force; null for none. They stay until others are worth a change.</summary>
    public Forest? Standing { get; init; }
}

/// <summary>Trees chosen for a job.</summary>
internal sealed record JointChoice(Forest Forest, LinkLoad Load, string Words);

/// <summary>Trees of many jobs that know of each other: each in turn answers what the others load, until nobody gains enough by changing.</summary>
internal static class JointTrees
{
    // Most batches settle in three or four; the bound keeps the time of a plan in proportion to the number of jobs.
    private const int MostTurns = 6;

    // Under this a change of trees is not worth it: for running jobs a new generation on every host, for all others one more turn.
    private const double WorthwhileGain = 0.05;

    // What a second on a link costs the others, by the square of the time they take of it. Found by trial on batches of 16 to 120 jobs: from 0.01 to 1 the mean
    // time to finish changes by less than 3 %, without it scattered jobs crowd each other off the uplinks and lose a third.
    private const double CareForOthers = 0.1;

    /// <summary>Trees of all jobs, in their order.</summary>
    public static JointChoice[] Plan(IReadOnlyList<JointJob> jobs, Fabric fabric)
    {
        var chosen = new JointChoice[jobs.Count];
        for (var job = 0; job < jobs.Count; job++)
        {
            chosen[job] = jobs[job].Standing is { } standing ? new(standing, standing.Load(fabric), "") : Best(jobs[job], fabric, null);
        }

        for (var (turn, changed) = (0, true); turn < MostTurns && changed; turn++)
        {
            changed = false;
            for (var job = 0; job < jobs.Count; job++)
            {
                var background = Background(job, jobs, chosen, fabric);
                var best = Best(jobs[job], fabric, background);
                if (Cost(best.Load, background) < Cost(chosen[job].Load, background) * (1 - WorthwhileGain))
                {
                    chosen[job] = best;
                    changed = true;
                }
            }
        }

        return chosen;
    }

    /// <summary>The best trees for one job.</summary>
    /// <param name="job">The job.</param>
    /// <param name="fabric">The fabric.</param>
    /// <param name="background">By link the part of time that others take of it; null for none.</param>
    public static JointChoice Best(JointJob job, Fabric fabric, double[]? background)
    {
        JointChoice? best = null;
        foreach (var (forest, words) in Candidates(job, fabric, background))
        {
            var choice = new JointChoice(forest, forest.Load(fabric), words);
            if (best is null || Cost(choice.Load, background) < Cost(best.Load, background) * (1 - 1e-9))
            {
                best = choice;
            }
        }

        return best!;
    }

    /// <summary>Time of the slowest link per byte of gradient, each slower by what others take of it, and what the job costs them.</summary>
    private static double Cost(LinkLoad load, double[]? background)
    {
        if (background is null)
        {
            return load.BottleneckSecondsPerByte;
        }

        var (own, others) = (0.0, 0.0);
        for (var i = 0; i < load.Links.Length; i++)
        {
            var busy = background[load.Links[i]];
            own = Math.Max(own, load.SecondsPerByte[i] * (1 + busy));
            others += load.SecondsPerByte[i] * busy * busy;
        }

        return own + (CareForOthers * others);
    }

    private static IEnumerable<(Forest Forest, string Words)> Candidates(JointJob job, Fabric fabric, double[]? background)
    {
        if (job.Workers.Length > 1)
        {
            var filled = WaterFilledTrees.Build(job.Workers, job.Helpers, fabric, background);
            var helpers = filled.Members.Length - job.Workers.Length;
            yield return (filled, $"{filled.Shards.Count} shards; in each rack hosts sum, and racks root, what their links have room for beside the other jobs"
                + (helpers > 0 ? $", {helpers} of {job.Helpers.Length} helpers among them" : ""));

            var even = RackTrees.Build(MemberSites.Of(job.Workers, fabric), RootSpread.EvenOverRacks, podAggregators: false);
            yield return (even, $"{even.Shards.Count} shards; hosts of a rack send to one of them, in turn, racks to the root, every rack rooting the same part");
        }

        var (rack, rackWords) = TreePlanner.BestRackTrees(job.Workers, fabric);
        yield return (rack, rackWords);
        yield return (DirectTrees.Sharded(job.Workers), $"{job.Workers.Length} shards, one rooted at each host, to which every host sends straight");
    }

    // What the other jobs take of each link on average while this one runs: a job that ends early stands in the way for that long only.
    private static double[] Background(int job, IReadOnlyList<JointJob> jobs, JointChoice[] chosen, Fabric fabric)
    {
        var background = new double[fabric.Graph.Links.Length];
        var length = Length(job);
        for (var other = 0; other < jobs.Count; other++)
        {
            if (other == job || jobs[other].GradientBytes <= 0)
            {
                continue;
            }

            var load = chosen[other].Load;
            var round = jobs[other].ComputeSeconds + (load.BottleneckSecondsPerByte * jobs[other].GradientBytes);
            var part = round <= 0 ? 0 : jobs[other].GradientBytes / round * Math.Min(1, length <= 0 ? 1 : Length(other) / length);
            for (var i = 0; i < load.Links.Length; i++)
            {
                background[load.Links[i]] += load.SecondsPerByte[i] * part;
            }
        }

        return background;

        double Length(int of) => jobs[of].Rounds * (jobs[of].ComputeSeconds + (chosen[of].Load.BottleneckSecondsPerByte * jobs[of].GradientBytes));
    }
}
