using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>Trees decided for a job, with what they load and why.</summary>
internal sealed record PlannedTrees(IReadOnlyList<ShardTree> Shards, bool Kept, LinkLoad Load, double BoundSecondsPerByte, string Reason);

/// <summary>Trees of all jobs, and what they were made of. Immutable.</summary>
internal sealed record TreeState(Fabric Fabric, string Strategy, IReadOnlyDictionary<long, TreeState.Entry> Jobs, JointTrees Together)
{
    // Rounds left may differ this much before a job's trees are looked at again: they only say for how long others meet it.
    private const double Drift = 0.2;

    /// <summary>Jobs that came, ended or changed since all were last planned anew.</summary>
    public int ChangesSinceAnew { get; init; }

    /// <summary>Jobs that came, ended or changed in this step.</summary>
    public int Changes { get; init; }

    /// <param name="Job">As it was planned.</param>
    /// <param name="Joint">The same by numbers of nodes.</param>
    /// <param name="Trees">What was planned; null while it is not.</param>
    internal sealed record Entry(PlanningJob Job, JointJob Joint, PlannedTrees? Trees)
    {
        /// <summary>Whether nothing of the job is different that matters for trees, and the trees planned are in force.</summary>
        public bool Stands(PlanningJob now) =>
            now.Previous is { } previous && ReferenceEquals(previous.Shards, Trees!.Shards) && now.Spec == Job.Spec
            && Math.Abs(now.RoundsLeft - Job.RoundsLeft) <= Drift * Job.RoundsLeft;
    }
}

/// <summary>Chooses the trees of one job: builds what the strategy allows, scores each by its own link loads, takes the best.</summary>
internal static class TreePlanner
{
    // Under this a change of trees is not worth a new generation on every host.
    private const double WorthwhileGain = 0.05;

    // All are planned anew after a quarter of the jobs, but at least so many, came, ended or changed: the work of that is then spread over as many steps.
    private const int LeastChangesUntilAnew = 8;

    // Plans made anew are taken for less than what a single job's change must bring: what is lost until the next time adds to it.
    private const double WorthwhileAnew = 0.025;

    // Where rounds are unknown, jobs are taken to run for long.
    private const double RoundsAssumed = 1000;

    // Equal to rounding.
    private const double Tie = 1e-9;

    /// <summary>Trees of all jobs, in their order.</summary>
    /// <param name="fabric">Where they run.</param>
    /// <param name="jobs">All jobs.</param>
    /// <param name="strategy">How trees are made.</param>
    /// <param name="before">What was planned last; null to plan all anew.</param>
    /// <param name="after">What is planned now.</param>
    public static PlannedTrees[] Plan(Fabric fabric, IReadOnlyList<PlanningJob> jobs, string strategy, TreeState? before, out TreeState after)
    {
        if (before is null || before.Fabric != fabric || !string.Equals(before.Strategy, strategy, StringComparison.Ordinal))
        {
            before = new(fabric, strategy, new Dictionary<long, TreeState.Entry>(), JointTrees.Empty(fabric));
        }

        // 1. What is different: jobs that came or ended, and those with another request, other trees in force, or much less to do.
        var entries = new Dictionary<long, TreeState.Entry>(jobs.Count);
        var changed = new List<(long, JointJob)>();
        foreach (var job in jobs)
        {
            var known = before.Jobs.GetValueOrDefault(job.JobId);
            if (known is not null && known.Stands(job))
            {
                entries[job.JobId] = known;
                continue;
            }

            var joint = Joint(fabric, job, strategy);
            entries[job.JobId] = new(job, joint, null);
            changed.Add((job.JobId, joint));
        }

        // 2. Trees of those, and of those whom they touch.
        long[] gone = [.. before.Jobs.Keys.Where(k => !entries.ContainsKey(k))];
        var together = strategy == "optimized" ? before.Together.With(gone, changed) : before.Together;

        // 3. Steps that are each worth while may lead astray together: now and then all are planned anew, beside what is in force.
        var since = before.ChangesSinceAnew + changed.Count + gone.Length;
        if (before.Jobs.Count == 0)
        {
            since = 0;
        }
        else if (strategy == "optimized" && since >= Math.Max(LeastChangesUntilAnew, jobs.Count / 4))
        {
            since = 0;
            var anew = JointTrees.Empty(fabric).With([], [.. entries.Select(e => (e.Key, e.Value.Joint with { Standing = null }))]);
            together = anew.MeanRoundSeconds() < together.MeanRoundSeconds() * (1 - WorthwhileAnew) ? anew : together;
        }

        var planned = new PlannedTrees[jobs.Count];
        for (var i = 0; i < planned.Length; i++)
        {
            var (job, entry) = (jobs[i], entries[jobs[i].JobId]);
            if (strategy != "optimized")
            {
                planned[i] = entry.Trees is { } standing ? standing with { Kept = true } : Planned(fabric, job, entry.Joint, Alone(fabric, job, entry.Joint, strategy));
            }
            else
            {
                var choice = together[job.JobId];
                planned[i] = entry.Trees is { } standing && ReferenceEquals(standing.Load, choice.Load) ? standing with { Kept = true } : Planned(fabric, job, entry.Joint, choice);
            }

            entries[job.JobId] = entry with { Trees = planned[i], Joint = strategy == "optimized" ? entry.Joint with { Standing = together[job.JobId].Forest } : entry.Joint };
        }

        after = new(fabric, strategy, entries, together) { Changes = changed.Count + gone.Length, ChangesSinceAnew = since };
        return planned;
    }

    private static JointJob Joint(Fabric fabric, PlanningJob job, string strategy)
    {
        int[] workers = [.. job.Spec.MemberHosts().Distinct(StringComparer.Ordinal).Select(fabric.HostNumber).Order()];
        int[] helpers = [.. (job.Spec.Helpers ?? []).Distinct(StringComparer.Ordinal).Select(fabric.HostNumber).Except(workers).Order()];
        return new()
        {
            Workers = workers,
            Server = job.Spec.Server is { } server ? fabric.HostNumber(server) : null,
            Helpers = helpers,
            GradientBytes = job.Spec.GradientBytes,
            ComputeSeconds = job.Spec.ComputeSeconds,
            Rounds = job.RoundsLeft > 0 ? job.RoundsLeft : RoundsAssumed,
            Standing = job.Previous is { } previous && previous.Strategy == strategy ? Forest.TryRead(previous.Shards, workers, helpers, fabric) : null,
        };
    }

    // Strategies that do not look at other jobs.
    private static JointChoice Alone(Fabric fabric, PlanningJob job, JointJob joint, string strategy)
    {
        var workers = joint.Workers;
        var best = strategy switch
        {
            "direct-single" => Measured(
                DirectTrees.Single(workers, Array.IndexOf(workers, joint.Server ?? fabric.HostNumber(job.Spec.Workers[0]))),
                $"every host sends the whole message to the host of {(joint.Server is null ? "rank 0" : "the server")}", fabric),
            "direct-sharded" => Measured(DirectTrees.Sharded(workers), Sharded(workers), fabric),
            "binary" => Measured(BinaryTrees.Build(MemberSites.Of(workers, fabric)), Binary(workers), fabric),
            "rack" => OrChains(BestRackTrees(workers, DirectTrees.Sharded(workers), fabric), ChainTrees.Best(workers, job.Spec.GradientBytes, fabric)),
            _ => throw new ArgumentException($"Unknown strategy {strategy}.", nameof(strategy)),
        };

        if (joint.Standing is { } standing)
        {
            var kept = Measured(standing, "", fabric);
            if (kept.Load.BottleneckSecondsPerByte * (1 - WorthwhileGain) <= best.Load.BottleneckSecondsPerByte)
            {
                return standing.SameAs(best.Forest) ? best : kept;
            }
        }

        return best;
    }

    // Trees that are what was in force keep their revision, and their words too where nobody has newer ones for them.
    private static PlannedTrees Planned(Fabric fabric, PlanningJob job, JointJob joint, JointChoice choice)
    {
        var bound = TrafficBound.SecondsPerByte(joint.Workers, joint.Helpers, fabric);
        var kept = joint.Standing is { } standing && Rooted(standing, joint).SameAs(Rooted(choice.Forest, joint));
        return new(
            kept ? job.Previous!.Shards : Rooted(choice.Forest, joint).ToTrees(fabric, hasSuccessors: joint.Server is null),
            kept,
            choice.Load,
            bound,
            choice.Words.Length == 0 ? job.Previous!.TreeReason
                : Reason(choice, DirectTrees.Sharded(joint.Workers), bound, job.Spec.GradientBytes, fabric)
                    + (job.Spec.Server is { } server ? $" All shards are turned so that {server}, the server's host, is their root, which leaves every link its load." : ""));
    }

    private static Forest Rooted(Forest forest, JointJob joint) => joint.Server is { } server ? forest.RootedAt(server) : forest;

    /// <summary>The best trees of strategy <c>rack</c>.</summary>
    /// <param name="workers">Node numbers of the hosts, ascending.</param>
    /// <param name="fabric">The fabric.</param>
    public static (Forest Forest, string Words) BestRackTrees(int[] workers, Fabric fabric) =>
        BestRackTrees(workers, DirectTrees.Sharded(workers), fabric) is var best ? (best.Forest, best.Words) : default;

    private static JointChoice BestRackTrees(int[] workers, Forest direct, Fabric fabric)
    {
        var sites = MemberSites.Of(workers, fabric);
        var shards = $"{workers.Length} shards, one rooted at each host";
        if (workers.Length < 2 || sites.Racks.Length == 1)
        {
            return Measured(direct, workers.Length < 2 ? "all workers are on one host, which sums without the network" : $"all hosts are in one rack; {shards}", fabric);
        }

        if (sites.Racks.Length == workers.Length && sites.Pods == workers.Length)
        {
            return Measured(direct, $"every host is alone in its rack, so nothing can be summed on the way; {shards}", fabric);
        }

        var best = default(JointChoice);
        foreach (var pods in sites.Pods > 1 && sites.Racks.Length > sites.Pods ? new[] { true, false } : [false])
        {
            foreach (var spread in sites.Racks.All(r => r.Length == sites.Racks[0].Length) ? [RootSpread.EvenOverHosts] : Enum.GetValues<RootSpread>())
            {
                var forest = RackTrees.Build(sites, spread, pods);
                var words = $"{forest.Shards.Count} shards, rooted in turn at every host{(spread == RootSpread.EvenOverRacks ? ", the same part in every rack" : "")}; "
                    + $"hosts of a rack send to one of them, in turn, {(pods ? "racks of a pod to one rack of it, pods to the root" : "racks to the root")}";
                best = Better(best, Measured(forest, words, fabric));
            }
        }

        return Better(best, Measured(direct, $"rack trees would be slower here, so every host sends straight to the roots; {shards}", fabric));
    }

    // Of trees that cost the same those are best in which nobody takes from many.
    private static JointChoice OrChains(JointChoice best, JointChoice? chains) =>
        chains is not null && chains.Load.BottleneckSecondsPerByte <= best.Load.BottleneckSecondsPerByte * (1 + Tie) && chains.Load.Utilisation <= best.Load.Utilisation * (1 + Tie) ? chains : best;

    // The first wins ties: trees that spare the fabric stand before those that do not.
    private static JointChoice Better(JointChoice? first, JointChoice second)
    {
        if (first is null)
        {
            return second;
        }

        var (a, b) = (first.Load, second.Load);
        var faster = b.BottleneckSecondsPerByte < a.BottleneckSecondsPerByte * (1 - Tie);
        var equal = b.BottleneckSecondsPerByte <= a.BottleneckSecondsPerByte * (1 + Tie);
        return faster || (equal && b.Utilisation < a.Utilisation * (1 - Tie)) ? second : first;
    }

    private static string Sharded(int[] workers) => $"{workers.Length} shards, one rooted at each host, to which every host sends straight";

    private static string Binary(int[] workers) => $"{workers.Length} shards, one rooted at each host, over binary trees of racks and of the hosts in each";

    private static string Reason(JointChoice best, Forest direct, double bound, long bytes, Fabric fabric)
    {
        if (best.Load.Bottleneck < 0)
        {
            return best.Words + ".";
        }

        var link = fabric.LinkName(best.Load.Bottleneck);
        if (bytes == 0)
        {
            return $"{best.Words}. Busiest link {link}; times unknown until gradient bytes are.";
        }

        var text = $"{best.Words}. Busiest link {link}: {Words.Seconds(best.Load.BottleneckSecondsPerByte * bytes)} a round, {Words.Percent((best.Load.BottleneckSecondsPerByte / bound) - 1)} above the bound";
        var plain = best.Forest.SameAs(direct) ? best.Load : direct.Load(fabric);
        return best.Forest.SameAs(direct) ? text + "." : $"{text}; direct sharded would need {Words.Seconds(plain.BottleneckSecondsPerByte * bytes)}.";
    }

    private static JointChoice Measured(Forest forest, string words, Fabric fabric) => new(forest, forest.Load(fabric), words);
}
