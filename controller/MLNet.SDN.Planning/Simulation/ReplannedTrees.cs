using MLNet.SDN.Planning.Simulation.Failures;
using MLNet.SDN.Planning.Trees;

namespace MLNet.SDN.Planning.Simulation;

/// <summary>
/// Trees of strategy <c>optimized</c>, planned anew when jobs come or finish, as the controller does; a host on which no job has a worker, or none any more, helps the others.
/// When a host or a link goes or comes back, all are planned anew at once; a job one of whose workers cannot be reached waits.
/// </summary>
/// <remarks>A job is known this long before it arrives: what arrives together is planned together.</remarks>
internal sealed class ReplannedTrees : TrafficPlan
{
    // A job is planned with what it knows of the hosts that may help it and with the rounds it had left, until there are this part more hosts in its racks than that,
    private const double Drift = 0.1;

    // or this part fewer rounds: it then stands in the others' way for so much less.
    private const double Shrinkage = 0.5;

    private readonly SimulationCase @case;
    private readonly FailingFabric fabric;
    private readonly double[] bytes;
    private readonly double dwellSeconds;
    private readonly int[][] workers;
    private readonly JointChoice?[] chosen;
    private readonly long[] rounds;
    private readonly bool[] waits;
    private readonly Knowledge?[] told;
    private JointTrees trees;
    private bool failed;
    private double last = double.NegativeInfinity;
    private bool due = true;

    /// <param name="case">Fabric and jobs.</param>
    /// <param name="dwellSeconds">Plans stay for at least this long; infinity: for ever.</param>
    public ReplannedTrees(SimulationCase @case, double dwellSeconds)
    {
        (this.@case, this.dwellSeconds) = (@case, dwellSeconds);
        fabric = new(@case.Fabric, @case.Failures);
        bytes = [.. @case.Jobs.Select(j => j.GradientBytes)];
        workers = [.. @case.Jobs.Select(job => job.Workers.Distinct(StringComparer.Ordinal).Select(@case.Fabric.HostNumber).Order().ToArray())];
        chosen = new JointChoice?[workers.Length];
        waits = new bool[workers.Length];
        rounds = [.. @case.Jobs.Select(j => j.Rounds)];
        told = new Knowledge?[workers.Length];
        trees = JointTrees.Empty(@case.Fabric);

        // Before anything runs: those that come first, together; the others as if alone, until they come.
        last = @case.Jobs.Select(j => j.ArrivalSeconds).DefaultIfEmpty(0).Min();
        Plan(last);
        PlanAlone();
    }

    /// <inheritdoc />
    internal override bool AtOnce => failed;

    /// <summary>What each job puts on links from its next round on.</summary>
    public JobTraffic Traffic(int job) => @case.Failures.Count > 0 ? JobTraffic.OfAll(chosen[job]!.Load, bytes[job], fabric.Now) : JobTraffic.Of(chosen[job]!.Load, bytes[job]);

    /// <inheritdoc />
    internal override double NextChange(double now) => fabric.NextChange(now);

    /// <inheritdoc />
    internal override bool Waits(int job) => waits[job];

    /// <inheritdoc />
    internal override bool Change(double now, ReadOnlySpan<JobState> states, bool jobsChanged, Span<JobTraffic> traffic)
    {
        due |= jobsChanged;
        failed = fabric.MoveTo(now);
        if (!failed && (!due || now < last + dwellSeconds))
        {
            return false;
        }

        (due, last) = (false, now);
        for (var job = 0; job < rounds.Length; job++)
        {
            rounds[job] = states[job].RoundsLeft;
        }

        var before = (JointChoice?[])chosen.Clone();
        if (failed)
        {
            for (var job = 0; job < workers.Length; job++)
            {
                waits[job] = !fabric.Joins(workers[job]);
            }
        }

        Plan(now);
        if (failed)
        {
            PlanAlone();
        }

        var changed = failed;
        for (var job = 0; job < chosen.Length; job++)
        {
            if (!ReferenceEquals(before[job], chosen[job]))
            {
                traffic[job] = Traffic(job);
                changed = true;
            }
        }

        return changed;
    }

    private void Plan(double now)
    {
        int[] known = [.. Enumerable.Range(0, workers.Length).Where(j => rounds[j] > 0 && !waits[j] && @case.Jobs[j].ArrivalSeconds <= now + dwellSeconds)];
        int[] idle = [.. @case.Fabric.Hosts.Keys.Select(@case.Fabric.HostNumber).Except(known.SelectMany(j => workers[j])).Order()];
        if (failed)
        {
            // Numbers of links are those of another fabric now.
            trees = JointTrees.Empty(fabric.Now);
            Array.Clear(told);
        }

        var idleIn = idle.CountBy(@case.Fabric.Sites.RackOf).ToDictionary();
        var changed = new List<(long, JointJob)>();
        foreach (var job in known)
        {
            var near = workers[job].Select(@case.Fabric.Sites.RackOf).Distinct().Sum(r => idleIn.GetValueOrDefault(r));
            var lost = chosen[job]?.Forest.Members.Any(m => Array.BinarySearch(workers[job], m) < 0 && Array.BinarySearch(idle, m) < 0) == true;
            if (told[job] is not { } before || lost || near < before.Near || near > before.Near + (Drift * (workers[job].Length + before.Near)) || rounds[job] < (1 - Shrinkage) * before.Rounds)
            {
                told[job] = new(near, rounds[job]);
                changed.Add((job, Job(job, Reached(job, idle))));
            }
        }

        // A job is told of what it may use and how long it has; the others look again where that touches them.
        long[] gone = [.. Enumerable.Range(0, workers.Length).Where(j => told[j] is not null && (rounds[j] == 0 || waits[j])).Select(j => (long)j)];
        trees = trees.With(gone, changed);
        foreach (var job in gone)
        {
            told[job] = null;
        }

        foreach (var job in known)
        {
            if (failed || chosen[job] is not { } standing || !standing.Forest.SameAs(trees[job].Forest))
            {
                chosen[job] = trees[job];
            }
        }
    }

    // Jobs that are to come later, as if alone.
    private void PlanAlone()
    {
        for (var job = 0; job < workers.Length; job++)
        {
            if (chosen[job] is null || (failed && !waits[job] && @case.Jobs[job].ArrivalSeconds > last + dwellSeconds))
            {
                chosen[job] = JointTrees.Best(Job(job, []), fabric.Now);
            }
        }
    }

    private int[] Reached(int job, int[] helpers)
    {
        if (ReferenceEquals(fabric.Now, @case.Fabric))
        {
            return helpers;
        }

        var reached = fabric.Now.ReachedFrom(workers[job][0]);
        return [.. helpers.Where(reached.Contains)];
    }

    private JointJob Job(int job, int[] helpers)
    {
        var standing = chosen[job]?.Forest;
        return new()
        {
            Workers = workers[job],
            Helpers = helpers,
            GradientBytes = bytes[job],
            ComputeSeconds = @case.Jobs[job].ComputeSeconds,
            Rounds = rounds[job],
            Standing = standing is not null && standing.Members.All(m => Array.BinarySearch(workers[job], m) >= 0 || Array.BinarySearch(helpers, m) >= 0) ? standing : null,
        };
    }

    private sealed record Knowledge(int Near, double Rounds);
}
