using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.FlowModel;
using MLNet.SDN.Planning.Simulation;
using MLNet.SDN.Planning.Topology;
using JobState = MLNet.SDN.Planning.Simulation.JobState;
using LinkLoad = MLNet.SDN.Planning.Trees.LinkLoad;

namespace MLNet.SDN.Planning.Explanation;

/// <summary>A job whose rounds are forecast.</summary>
/// <param name="Load">What it puts on links per byte.</param>
/// <param name="GradientBytes">Bytes of a round; 0 when unknown.</param>
/// <param name="ComputeSeconds">Computation of a round.</param>
/// <param name="Level">Its level; 0 when nothing is marked.</param>
internal sealed record ForecastJob(LinkLoad Load, double GradientBytes, double ComputeSeconds, int Level)
{
    /// <summary>A round with the fabric to itself, seconds.</summary>
    public double AloneSeconds => ComputeSeconds + (Load.BottleneckSecondsPerByte * GradientBytes);
}

/// <summary>How long the rounds of jobs take beside each other, by running them all for a while in the simulator. Pure and deterministic.</summary>
internal static class RoundForecast
{
    // Rounds of the slowest job that are looked at: enough to even out how the jobs' rounds happen to meet.
    private const int Rounds = 40;

    // Rounds of all jobs together: what an answer to a waiting person may cost.
    private const double MostRounds = 20_000;

    // Rounds that each job has room for, however long its own are beside those of the others.
    private const double LeastRounds = 20;

    /// <summary>Mean seconds of a round of each job, in their order; 0 for one whose bytes are unknown, which is taken to be silent.</summary>
    public static double[] Run(IReadOnlyList<ForecastJob> jobs, Fabric fabric, PriorityLadder ladder, CancellationToken cancellationToken)
    {
        var seconds = new double[jobs.Count];
        int[] known = [.. Enumerable.Range(0, jobs.Count).Where(j => jobs[j].GradientBytes > 0)];
        int[] sending = [.. known.Where(j => jobs[j].Load.BottleneckSecondsPerByte > 0)];
        foreach (var job in known)
        {
            seconds[job] = jobs[job].AloneSeconds;
        }

        if (sending.Length < 2)
        {
            return seconds;
        }

        // All run for the same time; a job that has its rounds sooner would leave the others the links, so everybody has some to spare.
        var horizon = Math.Min(Rounds * sending.Max(j => seconds[j]), MostRounds / sending.Sum(j => 1 / seconds[j]));
        var rates = fabric.Graph.Links.Select(l => l.EvenRateBitsPerSecond / 8.0).ToArray();
        SimulatedJob[] simulated = [.. sending.Select(job =>
        {
            // Rounds of minutes beside rounds of milliseconds: cut into shorter ones of the same proportions, which take the same part of the links' time.
            var part = Math.Min(1, horizon / (LeastRounds * seconds[job]));
            return new SimulatedJob
            {
                Name = "",
                ArrivalSeconds = 0,
                ComputeSeconds = part * jobs[job].ComputeSeconds,
                Rounds = (long)Math.Ceiling(horizon / (part * seconds[job])) + 1,
                Links = jobs[job].Load.Links,
                Bytes = [.. jobs[job].Load.Bytes.Select(b => b * jobs[job].GradientBytes * part)],
            };
        })];

        var moved = new double[sending.Length];
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        try
        {
            Simulator.Run(rates, simulated, new GivenLevels([.. sending.Select(j => jobs[j].Level)], ladder), Observe, cancellationToken: enough.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // The horizon is reached.
        }

        foreach (var (i, job) in sending.Index())
        {
            // Work done within the horizon, in rounds; at least what was begun, so that a job behind all others has a length too.
            var rounds = moved[i] / (jobs[job].Load.BottleneckSecondsPerByte * jobs[job].GradientBytes);
            seconds[job] = Math.Max(seconds[job], horizon / Math.Max(rounds, 1e-9));
        }

        return seconds;

        void Observe(double from, double to, ReadOnlySpan<int> active, ReadOnlySpan<double> share, ReadOnlySpan<int> level, ReadOnlySpan<double> roundSeconds)
        {
            var until = Math.Min(to, horizon);
            foreach (var job in active)
            {
                moved[job] += share[job] * Math.Max(0, until - from);
            }

            if (to >= horizon)
            {
                enough.Cancel();
            }
        }
    }

    /// <summary>Levels as they were given, with the ladder's floors.</summary>
    private sealed class GivenLevels(int[] levels, PriorityLadder ladder) : Discipline
    {
        public override Floor Floor => levels.All(l => l == 0) ? Floor.None : new(FloorKind.PerLevel, ladder.Classes.First(c => !c.Signalling).Floor);

        internal override void Assign(ReadOnlySpan<JobState> states, ReadOnlySpan<int> sending, bool jobsChanged, Span<int> level, Span<double> weight) => levels.CopyTo(level);
    }
}
