using System.Globalization;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Simulation.Workloads;

/// <summary>Draws scenarios of a kind.</summary>
/// <remarks>
/// One sequence of <see cref="SeededRandom"/> in fixed order: workers of all jobs (anew while they are too many), then for each job model, rounds and
/// arrival, then placement job by job; when a job finds no room, everything is drawn anew from where the sequence stands. Pure and thread-safe; the same
/// kind and seed give the same scenario everywhere.
/// </remarks>
public static class WorkloadGenerator
{
    // A kind that fits at all fits within a few draws; one that does not must not be tried for ever.
    private const int Tries = 2_000;

    /// <summary>Draws a scenario.</summary>
    /// <param name="kind">The kind.</param>
    /// <param name="seed">Any number; equal seeds give equal scenarios.</param>
    /// <param name="faults">Everything wrong with the kind; empty when the result is not null.</param>
    public static BatchScenario? Generate(WorkloadKind kind, long seed, out IReadOnlyList<FieldFault> faults)
    {
        faults = WorkloadRules.Check(kind);
        if (faults.Count > 0)
        {
            return null;
        }

        var random = new SeededRandom(seed);
        for (var attempt = 0; attempt < Tries; attempt++)
        {
            var workers = DrawWorkers(kind, random);
            if (workers.Sum(w => (long)w) > WorkloadRules.Places(kind))
            {
                continue;
            }

            var drawn = DrawJobs(kind, workers.Length, random);
            if (new WorkloadPlacer(kind, random).Place(workers) is { } hosts)
            {
                return new() { Name = kind.Name, Seed = seed, Topology = kind.Topology, Jobs = [.. drawn.Zip(hosts, (job, on) => job with { Workers = on })] };
            }
        }

        faults = [new("jobs", kind.Jobs.ToString(CultureInfo.InvariantCulture), $"In {Tries} draws the jobs never found room; take fewer or smaller jobs, more jobs per host or more hosts.")];
        return null;
    }

    private static int[] DrawWorkers(WorkloadKind kind, SeededRandom random)
    {
        double[] weights = [.. kind.WorkersPerJob.Select(w => w.Weight)];
        var workers = new int[kind.Jobs];
        for (var job = 0; job < workers.Length; job++)
        {
            workers[job] = kind.WorkersPerJob[random.NextWeighted(weights)].Workers;
        }

        return workers;
    }

    private static BatchJob[] DrawJobs(WorkloadKind kind, int count, SeededRandom random)
    {
        double[] weights = [.. kind.Models.Select(m => m.Weight)];
        var jobs = new BatchJob[count];
        var clock = 0.0;
        for (var job = 0; job < count; job++)
        {
            var model = kind.Models[random.NextWeighted(weights)];
            var rounds = Math.Round(kind.Rounds.Median * SeededRandom.Exp(kind.Rounds.Sigma * random.NextNormal()));
            clock += random.NextExponential() * kind.Arrivals.MeanGapSeconds;
            jobs[job] = new()
            {
                Model = model.Name,
                Workers = [],
                Bytes = model.Bytes,
                ComputeSeconds = model.ComputeSeconds,
                Iterations = rounds >= kind.Rounds.Most ? kind.Rounds.Most : Math.Max(kind.Rounds.Least, (long)rounds),
                ArrivalSeconds = clock + (random.NextUnit() * ((kind.Arrivals.ComputeFactor * model.ComputeSeconds) + kind.Arrivals.WindowSeconds)),
            };
        }

        return jobs;
    }
}
