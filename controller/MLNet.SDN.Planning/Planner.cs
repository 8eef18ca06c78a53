using System.Text.Json.Serialization;
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
public sealed record PlanSet(IReadOnlyList<JobPlan> Jobs, IReadOnlyList<string> Warnings)
{
    /// <summary>For the next call: with it only what is different by then is planned anew.</summary>
    [JsonIgnore]
    public PlanState? State { get; init; }
}

/// <summary>What was planned, to plan on from. Immutable; thread-safe; belongs to one fabric, and is of no use without it.</summary>
public sealed class PlanState
{
    internal PlanState(TreeState trees, PlanningSettings settings, int changesSinceWeighed)
    {
        Trees = trees;
        Settings = settings;
        ChangesSinceWeighed = changesSinceWeighed;
    }

    internal TreeState Trees { get; }

    internal PlanningSettings Settings { get; }

    /// <summary>Jobs that came, ended or changed since an order of all jobs was last weighed against the one in force.</summary>
    internal int ChangesSinceWeighed { get; }
}

/// <summary>Decides trees and levels of all jobs together. Pure and deterministic: equal input, in any order of jobs, gives equal plans. Thread-safe.</summary>
public static class Planner
{
    // Rounds assumed where no job's are known: any number keeps the order, which is then by the length of a round.
    private const double RoundsAssumed = 1000;

    // Overloaded links told one by one; the others are counted.
    private const int MostOverloads = 20;

    // Overloaded links among which those to be told are looked for: several are of the same jobs, and told once.
    private const int MostWeighed = 10 * MostOverloads;

    // Orders of all jobs are weighed against each other after this part of the jobs came, ended or changed; in between new ones are sorted in.
    private const double WeighedAfter = 0.02;

    // Bytes assumed where no job's are known; only proportions count then.
    private const double BytesAssumed = 1e8;

    /// <summary>Plans all unfinished jobs.</summary>
    /// <param name="fabric">Where they run.</param>
    /// <param name="jobs">All unfinished jobs.</param>
    /// <param name="settings">Strategy and policy.</param>
    /// <param name="ladder">Levels that the fabric has.</param>
    /// <param name="next">Revision of the trees that are made anew.</param>
    /// <param name="state">Of the last call's result: jobs that are still as they were then, and whose plans in force are those it gave, are looked at again
    /// only where others that came, ended or changed touch them. Without it, or after a change of fabric or strategy, all are planned anew.</param>
    /// <exception cref="ArgumentException">
    /// The settings name no known strategy or policy, the ladder has no job level, two jobs have one id, or a job without a plan in force names a host that the fabric has not.
    /// </exception>
    public static PlanSet Plan(Fabric fabric, IReadOnlyList<PlanningJob> jobs, PlanningSettings settings, PriorityLadder ladder, Revision next, PlanState? state = null)
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
            if (MissingHost(job) is not { } missing)
            {
                planned.Add(job);
                continue;
            }

            plans[job.JobId] = job.Previous ?? throw new ArgumentException($"Job {job.Spec.Name} names host {missing}, which the topology has not.", nameof(jobs));
            warnings.Add($"Job {job.Spec.Name} keeps its plan: the topology no longer has host {missing}.");
        }

        string? MissingHost(PlanningJob job) =>
            state is not null && state.Trees.Fabric == fabric && state.Trees.Jobs.TryGetValue(job.JobId, out var known) && ReferenceEquals(known.Job.Spec, job.Spec) ? null
            : job.Spec.MemberHosts().Concat(job.Spec.Helpers ?? []).FirstOrDefault(h => !fabric.Hosts.ContainsKey(h));

        // 2. Trees of each job, then levels of all.
        var trees = TreePlanner.Plan(fabric, planned, settings.Strategy, state?.Trees, out var after);
        var works = Works(planned, trees);
        var since = state?.Settings == settings ? state.ChangesSinceWeighed + after.Changes : planned.Count;
        var keepOrder = since < WeighedAfter * planned.Count;
        int?[] inForce = [.. planned.Select(j => j.Previous is { Level: > 0 } p ? p.Level : (int?)null)];
        var levels = settings.Policy switch
        {
            "fair" => LevelPlanner.Fair(planned.Count),
            "weighted" => WeightedLevels.Planned(works, inForce, ladder),
            var policy => LevelPlanner.Ordered(policy, works, inForce, ladder, fabric, keepOrder),
        };

        for (var i = 0; i < planned.Count; i++)
        {
            var (job, made) = (planned[i], trees[i]);
            var bytes = job.Spec.GradientBytes;
            var plan = new JobPlan
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

            // A plan that is what was in force is that very one.
            plans[job.JobId] = plan == job.Previous ? job.Previous : plan;
        }

        warnings.AddRange(Overload(planned, works, fabric));
        return new([.. plans.Values], warnings) { State = new(after, settings, keepOrder ? since : 0) };
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
        var duty = LinkAmounts.For(fabric);
        for (var job = 0; job < works.Length; job++)
        {
            if (CanOverload(job))
            {
                for (var position = 0; position < works[job].Links.Length; position++)
                {
                    duty.Add(works[job].Links[position], works[job].DutyOn(position));
                }
            }
        }

        // Only the worst are told: the others need no order.
        var asked = 0;
        var worst = new PriorityQueue<(int Link, double Duty), (double, int)>();
        foreach (var link in duty.Touched)
        {
            if (duty[link] > 1)
            {
                asked++;
                worst.Enqueue((link, duty[link]), (duty[link], -link));
                if (worst.Count > MostWeighed)
                {
                    worst.Dequeue();
                }
            }
        }

        if (asked == 0)
        {
            yield break;
        }

        (int Link, double Duty)[] over = [.. worst.UnorderedItems.Select(w => w.Element).OrderByDescending(l => l.Duty).ThenBy(l => l.Link)];
        var users = over.ToDictionary(l => l.Link, _ => new List<int>());
        for (var job = 0; job < works.Length; job++)
        {
            if (CanOverload(job))
            {
                foreach (var link in works[job].Links)
                {
                    if (users.TryGetValue(link, out var on))
                    {
                        on.Add(job);
                    }
                }
            }
        }

        // One sentence for each set of jobs, at its worst link, the worst first.
        var told = new HashSet<string>(StringComparer.Ordinal);
        var links = 0;
        foreach (var (link, part) in over.TakeWhile(_ => told.Count < MostOverloads))
        {
            links++;
            var names = string.Join(", ", users[link].Select(j => works[j].Name));
            if (told.Add(names))
            {
                yield return $"Link {fabric.LinkName(link)} is asked for {Words.Percent(part)} of its time by jobs {names}: each of their rounds will take longer than alone.";
            }
        }

        if (links < asked)
        {
            yield return $"{asked - links} more links are asked for more than all of their time.";
        }

        bool CanOverload(int job) => jobs[job].Spec is { GradientBytes: > 0, ComputeSeconds: > 0 };
    }
}
