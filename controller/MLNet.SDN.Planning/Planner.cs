using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Priorities;
using MLNet.SDN.Planning.Topology;
using MLNet.SDN.Planning.Trees;

namespace MLNet.SDN.Planning;

/// <summary>A job to be planned.</summary>
public sealed record PlanningJob
{
    /// <summary>The job; unique among those planned together.</summary>
    public required long JobId { get; init; }

    /// <summary>As submitted, and free of faults (<see cref="Jobs.JobRules"/>).</summary>
    public required JobSpec Spec { get; init; }

    /// <summary>Rounds still to train; 0 when unknown.</summary>
    public long RoundsLeft { get; init; }

    /// <summary>The least slowdown it can still end with: time since it came plus what it needs alone for the rest, over what it would have needed alone in all; null when unknown.</summary>
    public double? Slowdown { get; init; }

    /// <summary>Plan in force; null for a new job. Kept where nothing better is found, so that trees and their revision stay.</summary>
    public JobPlan? Previous { get; init; }
}

/// <summary>Plans of all jobs.</summary>
/// <param name="Jobs">In order of the jobs' ids.</param>
/// <param name="Warnings">What the operator should know, one sentence each.</param>
public sealed record PlanSet(IReadOnlyList<JobPlan> Jobs, IReadOnlyList<string> Warnings);

/// <summary>Decides trees and levels of all jobs together. Pure and deterministic: equal input, in any order of jobs, gives equal plans. Thread-safe.</summary>
public static class Planner
{
    // Rounds assumed where no job's are known: any number keeps the order, which is then by the length of a round.
    private const double RoundsAssumed = 1000;

    // Bytes assumed where no job's are known; only proportions count then.
    private const double BytesAssumed = 1e8;

    /// <summary>Plans all unfinished jobs.</summary>
    /// <param name="fabric">Where they run.</param>
    /// <param name="jobs">All unfinished jobs.</param>
    /// <param name="settings">Strategy and policy.</param>
    /// <param name="ladder">Levels that the fabric has.</param>
    /// <param name="next">Revision of the trees that are made anew.</param>
    /// <exception cref="ArgumentException">
    /// The settings name no known strategy or policy, the ladder has no job level, two jobs have one id, or a job without a plan in force names a host that the fabric has not.
    /// </exception>
    public static PlanSet Plan(Fabric fabric, IReadOnlyList<PlanningJob> jobs, PlanningSettings settings, PriorityLadder ladder, Revision next)
    {
        if (PlanningSettingsRules.Check(settings, ladder) is [var fault, ..])
        {
            throw new ArgumentException(fault.Message, nameof(settings));
        }

        if (ladder.JobLevels().Count == 0)
        {
            throw new ArgumentException("The ladder has no level that jobs may use.", nameof(ladder));
        }

        PlanningJob[] sorted = [.. jobs.OrderBy(j => j.JobId)];
        if (sorted.DistinctBy(j => j.JobId).Count() != sorted.Length)
        {
            throw new ArgumentException("Two jobs have one id.", nameof(jobs));
        }

        // 1. A job whose hosts left the topology cannot be planned; it goes on as it is.
        var warnings = new List<string>();
        var plans = new SortedDictionary<long, JobPlan>();
        var planned = new List<PlanningJob>();
        foreach (var job in sorted)
        {
            if (job.Spec.Workers.Concat(job.Spec.Helpers ?? []).FirstOrDefault(h => !fabric.Hosts.ContainsKey(h)) is not { } missing)
            {
                planned.Add(job);
                continue;
            }

            plans[job.JobId] = job.Previous ?? throw new ArgumentException($"Job {job.Spec.Name} names host {missing}, which the topology has not.", nameof(jobs));
            warnings.Add($"Job {job.Spec.Name} keeps its plan: the topology no longer has host {missing}.");
        }

        // 2. Trees of each job, then levels of all.
        var trees = TreePlanner.Plan(fabric, planned, settings.Strategy);
        var works = Works(planned, trees);
        int?[] inForce = [.. planned.Select(j => j.Previous is { Level: > 0 } p ? p.Level : (int?)null)];
        var levels = settings.Policy switch
        {
            "fair" => LevelPlanner.Fair(planned.Count),
            "weighted" => WeightedLevels.Planned(works, inForce, ladder),
            var policy => LevelPlanner.Ordered(policy, works, inForce, ladder, fabric),
        };

        for (var i = 0; i < planned.Count; i++)
        {
            var (job, made) = (planned[i], trees[i]);
            var bytes = job.Spec.GradientBytes;
            plans[job.JobId] = new JobPlan
            {
                JobId = job.JobId,
                TreesRevision = made.Kept ? job.Previous!.TreesRevision : next,
                Strategy = settings.Strategy,
                Shards = made.Shards,
                Level = levels[i].Level,
                Dscp = levels[i].Dscp,
                LevelReason = levels[i].Reason,
                TreeReason = made.Reason,
                BoundSeconds = made.BoundSecondsPerByte * bytes,
                PredictedSeconds = made.Load.BottleneckSecondsPerByte * bytes,
                Bottleneck = bytes > 0 && made.Load.Bottleneck >= 0 ? fabric.LinkName(made.Load.Bottleneck) : null,
            };
        }

        warnings.AddRange(Overload(planned, works, fabric));
        return new([.. plans.Values], warnings);
    }

    private static CommunicationWork[] Works(List<PlanningJob> jobs, PlannedTrees[] trees)
    {
        var known = jobs.Where(j => j.Spec.GradientBytes > 0).Select(j => (double)j.Spec.GradientBytes).DefaultIfEmpty(BytesAssumed).Max();
        double[] round = [.. jobs.Index().Select(j => trees[j.Index].Load.BottleneckSecondsPerByte * (j.Item.Spec.GradientBytes > 0 ? j.Item.Spec.GradientBytes : known))];

        // A job of unknown length is taken as twice as long as the longest known: behind all of them, but no further.
        var longest = jobs.Index().Where(j => IsKnown(j.Item)).Select(j => j.Item.RoundsLeft * round[j.Index]).DefaultIfEmpty(0).Max();
        return [.. jobs.Index().Select(j => new CommunicationWork
        {
            JobId = j.Item.JobId,
            Name = j.Item.Spec.Name,
            Links = trees[j.Index].Load.Links,
            LinkSeconds = [.. trees[j.Index].Load.SecondsPerByte.Select(s => s * (j.Item.Spec.GradientBytes > 0 ? j.Item.Spec.GradientBytes : known))],
            Workers = j.Item.Spec.Workers.Count,
            RoundSeconds = round[j.Index],
            ComputeSeconds = j.Item.Spec.ComputeSeconds,
            Rounds = IsKnown(j.Item) ? j.Item.RoundsLeft : longest > 0 && round[j.Index] > 0 ? 2 * longest / round[j.Index] : RoundsAssumed,
            Known = IsKnown(j.Item),
            Urgency = Aging.Urgency(j.Item.Slowdown),
        })];
    }

    private static bool IsKnown(PlanningJob job) => job is { RoundsLeft: > 0, Spec.GradientBytes: > 0 };

    // Where jobs ask a link for more than all of its time, priorities decide who waits but cannot make room.
    private static IEnumerable<string> Overload(List<PlanningJob> jobs, CommunicationWork[] works, Fabric fabric)
    {
        var duty = new SortedDictionary<int, (double Sum, List<int> Jobs)>();
        for (var job = 0; job < works.Length; job++)
        {
            if (jobs[job].Spec is not { GradientBytes: > 0, ComputeSeconds: > 0 })
            {
                continue;
            }

            for (var position = 0; position < works[job].Links.Length; position++)
            {
                var link = works[job].Links[position];
                var (sum, users) = duty.GetValueOrDefault(link, (0, []));
                users.Add(job);
                duty[link] = (sum + works[job].DutyOn(position), users);
            }
        }

        // One sentence for each set of jobs, at its worst link.
        foreach (var group in duty.Where(d => d.Value.Sum > 1).GroupBy(d => string.Join(", ", d.Value.Jobs.Select(j => works[j].Name)), StringComparer.Ordinal))
        {
            var worst = group.MaxBy(d => d.Value.Sum);
            yield return $"Link {fabric.LinkName(worst.Key)} is asked for {Words.Percent(worst.Value.Sum)} of its time by jobs {group.Key}: each of their rounds will take longer than alone.";
        }
    }
}
