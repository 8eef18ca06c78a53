using MLNet.SDN.Planning.FlowModel;
using MLNet.SDN.Planning.Priorities;

namespace MLNet.SDN.Planning.Simulation;

/// <summary>As the planner does it: an order by a policy, compressed to the levels there are, decided anew when a job comes or finishes.</summary>
/// <param name="policy">One of <c>srpt</c>, <c>spt</c>, <c>gpu-intensity</c>, <c>bssi</c>.</param>
/// <param name="levels">Levels that the fabric has, ≥ 1.</param>
/// <param name="floor">What is guaranteed.</param>
public sealed class LevelDiscipline(string policy, int levels, Floor floor) : Discipline
{
    private IReadOnlyList<SimulatedJob> jobs = [];
    private FlowDemands? demands;
    private int[] levelOf = [];

    /// <inheritdoc />
    public override Floor Floor => floor;

    /// <inheritdoc />
    internal override void Begin(IReadOnlyList<SimulatedJob> jobs, FlowDemands demands)
    {
        this.jobs = jobs;
        this.demands = demands;
        if (levelOf.Length != jobs.Count)
        {
            levelOf = new int[jobs.Count];
        }
    }

    /// <inheritdoc />
    internal override void Assign(ReadOnlySpan<JobState> states, ReadOnlySpan<int> sending, bool jobsChanged, Span<int> level, Span<double> weight)
    {
        if (jobsChanged)
        {
            var works = Works(jobs, states, demands!);
            var order = PriorityPolicies.Order(policy, works);
            using var contention = new Contention(works, order);
            var compressed = LevelCompression.Compress(order, contention, levels);
            for (var i = 0; i < works.Count; i++)
            {
                levelOf[works[i].JobId] = compressed[i];
            }
        }

        levelOf.CopyTo(level);
    }

    /// <summary>What the present jobs still have to do; their ids are their numbers.</summary>
    internal static IReadOnlyList<CommunicationWork> Works(IReadOnlyList<SimulatedJob> jobs, ReadOnlySpan<JobState> states, FlowDemands demands)
    {
        var works = new List<CommunicationWork>();
        for (var job = 0; job < jobs.Count; job++)
        {
            if (!states[job].Present)
            {
                continue;
            }

            var seconds = states[job].RoundSeconds;
            var entries = demands.First[job]..demands.First[job + 1];
            works.Add(new()
            {
                JobId = job,
                Name = jobs[job].Name,
                Links = demands.Link[entries],
                LinkSeconds = [.. demands.Demand[entries].Select(d => d * seconds)],
                RoundSeconds = seconds,
                ComputeSeconds = jobs[job].ComputeSeconds,
                Rounds = states[job].RoundsLeft - 1 + states[job].PhaseLeft,
                Known = true,
                Urgency = Aging.Urgency(states[job].Slowdown),
                Workers = jobs[job].Workers,
            });
        }

        return works;
    }
}

/// <summary>Max-min weighted by 1/communication left, decided anew at every event: for wide, scattered jobs, which strict order holds up at their worst link.</summary>
/// <remarks>Weights without limit, as no small number of queues can give them: a yardstick.</remarks>
public sealed class UnlimitedWeightDiscipline : Discipline
{
    /// <inheritdoc />
    internal override void Assign(ReadOnlySpan<JobState> states, ReadOnlySpan<int> sending, bool jobsChanged, Span<int> level, Span<double> weight)
    {
        foreach (var job in sending)
        {
            weight[job] = 1 / Math.Max(states[job].SecondsLeft, 1e-6);
        }
    }
}
