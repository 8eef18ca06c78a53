using MLNet.SDN.Planning.FlowModel;

namespace MLNet.SDN.Planning.Simulation;

/// <summary>Gives jobs their levels and weights as a run goes on. One object serves one run.</summary>
public abstract class Discipline
{
    /// <summary>What is guaranteed before levels count.</summary>
    public virtual Floor Floor => Floor.None;

    /// <summary>Weight of each level's queue, from level 1 on; empty where levels go in strict order.</summary>
    public virtual ReadOnlySpan<double> ClassWeights => [];

    /// <summary>Sees the jobs before the run starts, and again whenever their traffic was laid anew; flow numbers are job numbers.</summary>
    internal virtual void Begin(IReadOnlyList<SimulatedJob> jobs, FlowDemands demands)
    {
    }

    /// <summary>Sets level and weight of every sending job.</summary>
    /// <param name="states">By job number.</param>
    /// <param name="sending">Numbers of the sending jobs, ascending.</param>
    /// <param name="jobsChanged">Whether a job came or finished since the last call.</param>
    /// <param name="level">By job number; the lower goes first. Starts at 0.</param>
    /// <param name="weight">By job number. Starts at 1.</param>
    internal abstract void Assign(ReadOnlySpan<JobState> states, ReadOnlySpan<int> sending, bool jobsChanged, Span<int> level, Span<double> weight);
}

/// <summary>One level, equal weights.</summary>
public sealed class FairDiscipline : Discipline
{
    /// <inheritdoc />
    internal override void Assign(ReadOnlySpan<JobState> states, ReadOnlySpan<int> sending, bool jobsChanged, Span<int> level, Span<double> weight)
    {
    }
}

/// <summary>A fixed order of jobs, one level each.</summary>
/// <param name="order">Job numbers, first the one that goes first.</param>
/// <param name="floor">What is guaranteed to all.</param>
public sealed class FixedOrderDiscipline(IReadOnlyList<int> order, Floor floor) : Discipline
{
    /// <inheritdoc />
    public override Floor Floor => floor;

    /// <inheritdoc />
    internal override void Assign(ReadOnlySpan<JobState> states, ReadOnlySpan<int> sending, bool jobsChanged, Span<int> level, Span<double> weight)
    {
        for (var i = 0; i < order.Count; i++)
        {
            level[order[i]] = i;
        }
    }
}

/// <summary>Shortest remaining communication first, a level for each job, decided anew at every event: what no switch can do, and what few levels are measured against.</summary>
/// <param name="floor">What is guaranteed to all.</param>
public sealed class UnlimitedSrptDiscipline(Floor floor) : Discipline
{
    private int[] order = [];
    private double[] left = [];

    /// <inheritdoc />
    public override Floor Floor => floor;

    /// <inheritdoc />
    internal override void Begin(IReadOnlyList<SimulatedJob> jobs, FlowDemands demands)
    {
        if (order.Length != jobs.Count)
        {
            (order, left) = (new int[jobs.Count], new double[jobs.Count]);
        }
    }

    /// <inheritdoc />
    internal override void Assign(ReadOnlySpan<JobState> states, ReadOnlySpan<int> sending, bool jobsChanged, Span<int> level, Span<double> weight)
    {
        for (var i = 0; i < sending.Length; i++)
        {
            (order[i], left[i]) = (sending[i], states[sending[i]].SecondsLeft);
        }

        // Stable by job number: sending is ascending, and equal keys keep their places.
        for (var i = 1; i < sending.Length; i++)
        {
            var (job, key) = (order[i], left[i]);
            var at = i;
            while (at > 0 && left[at - 1] > key)
            {
                (order[at], left[at]) = (order[at - 1], left[at - 1]);
                at--;
            }

            (order[at], left[at]) = (job, key);
        }

        for (var i = 0; i < sending.Length; i++)
        {
            level[order[i]] = i;
        }
    }
}
