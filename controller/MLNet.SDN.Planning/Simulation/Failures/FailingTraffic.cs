using MLNet.SDN.Planning.Trees;

namespace MLNet.SDN.Planning.Simulation.Failures;

/// <summary>Traffic of a strategy that does not look at other jobs, on a fabric that fails: the same flows over the paths that are left; a job one of whose hosts cannot be reached waits.</summary>
internal sealed class FailingTraffic : TrafficPlan
{
    private readonly FailingFabric fabric;
    private readonly string strategy;
    private readonly int[][] hosts;
    private readonly double[] bytes;
    private readonly bool[] waits;
    private bool changed;

    public FailingTraffic(SimulationCase @case, string strategy)
    {
        fabric = new(@case.Fabric, @case.Failures);
        this.strategy = strategy;
        hosts = [.. @case.Jobs.Select(j => j.Workers.Distinct(StringComparer.Ordinal).Select(@case.Fabric.HostNumber).ToArray())];
        bytes = [.. @case.Jobs.Select(j => j.GradientBytes)];
        waits = new bool[hosts.Length];
    }

    /// <summary>What each job puts on links as the fabric is.</summary>
    public JobTraffic Traffic(int job) => JobTraffic.OfAll(TrafficStrategies.Load(strategy, hosts[job], fabric.Now), bytes[job], fabric.Now);

    /// <inheritdoc />
    internal override bool AtOnce => changed;

    /// <inheritdoc />
    internal override double NextChange(double now) => fabric.NextChange(now);

    /// <inheritdoc />
    internal override bool Waits(int job) => waits[job];

    /// <inheritdoc />
    internal override bool Change(double now, ReadOnlySpan<JobState> states, bool jobsChanged, Span<JobTraffic> traffic)
    {
        changed = fabric.MoveTo(now);
        for (var job = 0; changed && job < hosts.Length; job++)
        {
            waits[job] = !fabric.Joins(hosts[job]);
            if (!waits[job])
            {
                traffic[job] = Traffic(job);
            }
        }

        return changed;
    }
}
