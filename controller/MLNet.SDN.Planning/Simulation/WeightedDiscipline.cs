using MLNet.SDN.Planning.FlowModel;
using MLNet.SDN.Planning.Priorities;

namespace MLNet.SDN.Planning.Simulation;

/// <summary>Weighted queues instead of strict order: a job's level goes by its communication left, decided anew when a job comes or finishes.</summary>
/// <param name="levels">Levels that the fabric has, ≥ 1; each with half of the weight of the one before.</param>
internal sealed class WeightedDiscipline(int levels) : Discipline
{
    private readonly double[] weights = WeightedLevels.Weights(levels);
    private IReadOnlyList<SimulatedJob> jobs = [];
    private FlowDemands? demands;
    private int[] levelOf = [];

    /// <inheritdoc />
    public override ReadOnlySpan<double> ClassWeights => weights;

    /// <inheritdoc />
    internal override void Begin(IReadOnlyList<SimulatedJob> jobs, FlowDemands demands)
    {
        (this.jobs, this.demands) = (jobs, demands);
        Array.Resize(ref levelOf, jobs.Count);
    }

    /// <inheritdoc />
    internal override void Assign(ReadOnlySpan<JobState> states, ReadOnlySpan<int> sending, bool jobsChanged, Span<int> level, Span<double> weight)
    {
        if (jobsChanged)
        {
            var works = LevelDiscipline.Works(jobs, states, demands!);
            var levels = WeightedLevels.Of(works, weights);
            for (var i = 0; i < works.Count; i++)
            {
                levelOf[works[i].JobId] = levels[i];
            }
        }

        levelOf.CopyTo(level);
    }
}
