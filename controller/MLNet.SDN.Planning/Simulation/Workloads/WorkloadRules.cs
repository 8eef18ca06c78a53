using System.Globalization;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Simulation.Workloads;

/// <summary>What a kind of workload must hold.</summary>
public static class WorkloadRules
{
    private const int MostJobs = 100_000;

    /// <summary>Everything wrong with a kind; empty when scenarios can be drawn from it.</summary>
    public static IReadOnlyList<FieldFault> Check(WorkloadKind kind)
    {
        var faults = LogicalTree.Check(kind.Topology).Select(f => f with { Field = $"topology.{f.Field}" }).ToList();
        Whole("jobs", kind.Jobs, 1, MostJobs);
        if (kind.WorkersPerJob.Count == 0)
        {
            faults.Add(new("workersPerJob", "", "There is no number of workers to draw; add at least one."));
        }

        if (kind.Models.Count == 0)
        {
            faults.Add(new("models", "", "There is no model to draw; add at least one."));
        }

        for (var i = 0; i < kind.Models.Count; i++)
        {
            if (kind.Models[i] is null)
            {
                faults.Add(new($"models[{i}]", "null", "A model is an object; remove the null."));
                continue;
            }

            Number($"models[{i}].bytes", kind.Models[i].Bytes, 0, 1e15);
            Number($"models[{i}].computeSeconds", kind.Models[i].ComputeSeconds, 0, 1e9);
            Number($"models[{i}].weight", kind.Models[i].Weight, 1e-9, 1e9);
        }

        for (var i = 0; i < kind.WorkersPerJob.Count; i++)
        {
            if (kind.WorkersPerJob[i] is null)
            {
                faults.Add(new($"workersPerJob[{i}]", "null", "A number of workers is an object; remove the null."));
            }
        }

        Number("rounds.median", kind.Rounds.Median, 1e-3, 1e12);
        Number("rounds.sigma", kind.Rounds.Sigma, 0, 5);
        Whole("rounds.least", kind.Rounds.Least, 1, long.MaxValue);
        Whole("rounds.most", kind.Rounds.Most, kind.Rounds.Least, long.MaxValue);
        Number("arrivals.computeFactor", kind.Arrivals.ComputeFactor, 0, 1e9);
        Number("arrivals.windowSeconds", kind.Arrivals.WindowSeconds, 0, 1e9);
        Number("arrivals.meanGapSeconds", kind.Arrivals.MeanGapSeconds, 0, 1e9);

        var placement = kind.Placement;
        Whole("placement.jobsPerHost", placement.JobsPerHost, 1, MostJobs);
        if (placement.Rule == PlacementRule.Split)
        {
            Whole("placement.leastRacks", placement.LeastRacks, 1, Math.Max(1, kind.Topology.Racks));
            Whole("placement.mostRacks", placement.MostRacks, placement.LeastRacks, int.MaxValue);
            Whole("placement.leastPart", placement.LeastPart, 1, int.MaxValue);
        }

        if (placement.HostsPerRack is { } hosts)
        {
            Whole("placement.hostsPerRack", hosts, 1, Math.Max(1, kind.Topology.HostsPerRack));
        }

        if (faults.Count > 0)
        {
            return faults;
        }

        // What needs sound numbers.
        var usable = kind.Topology.Racks * (placement.HostsPerRack ?? kind.Topology.HostsPerRack);
        for (var i = 0; i < kind.WorkersPerJob.Count; i++)
        {
            Whole($"workersPerJob[{i}].workers", kind.WorkersPerJob[i].Workers, 1, usable);
            Number($"workersPerJob[{i}].weight", kind.WorkersPerJob[i].Weight, 1e-9, 1e9);
        }

        if (faults.Count == 0 && (long)kind.Jobs * kind.WorkersPerJob.Min(w => w.Workers) > Places(kind))
        {
            faults.Add(new("jobs", Text(kind.Jobs), $"So many jobs need {(long)kind.Jobs * kind.WorkersPerJob.Min(w => w.Workers)} workers even when all are small, but there is room for {Places(kind)}; take fewer jobs, more jobs per host or more hosts."));
        }

        return faults;

        void Whole(string field, long value, long least, long most)
        {
            if (value < least || value > most)
            {
                faults.Add(new(field, Text(value), $"The number must be {(most is long.MaxValue or int.MaxValue ? $"{least} or more" : $"{least} to {most}")}."));
            }
        }

        void Number(string field, double value, double least, double most)
        {
            if (!(value >= least && value <= most))
            {
                faults.Add(new(field, value.ToString(CultureInfo.InvariantCulture), string.Create(CultureInfo.InvariantCulture, $"The number must be {least} to {most}.")));
            }
        }
    }

    /// <summary>Most workers that the jobs of a sound kind may have together.</summary>
    internal static long Places(WorkloadKind kind) => Math.Min(
        kind.MostWorkers ?? long.MaxValue,
        (long)kind.Topology.Racks * (kind.Placement.HostsPerRack ?? kind.Topology.HostsPerRack) * kind.Placement.JobsPerHost);

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);
}
