using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Simulation.Workloads;

/// <summary>A kind of workload as data: fabric, mix of jobs, placement, load and arrivals. A kind and a seed make a <see cref="BatchScenario"/>.</summary>
public sealed record WorkloadKind
{
    /// <summary>What the kind is called; the scenarios bear it.</summary>
    public required string Name { get; init; }

    /// <summary>The fabric.</summary>
    public required LogicalTreeShape Topology { get; init; }

    /// <summary>Number of jobs, 1..100,000.</summary>
    public required int Jobs { get; init; }

    /// <summary>Workers of a job: drawn from these by their weights.</summary>
    public required IReadOnlyList<WeightedWorkers> WorkersPerJob { get; init; }

    /// <summary>What is trained: drawn from these by their weights.</summary>
    public required IReadOnlyList<WorkloadModel> Models { get; init; }

    /// <summary>Rounds of a job.</summary>
    public required RoundsDistribution Rounds { get; init; }

    /// <summary>When jobs come.</summary>
    public required ArrivalDistribution Arrivals { get; init; }

    /// <summary>Which hosts they get.</summary>
    public required WorkloadPlacement Placement { get; init; }

    /// <summary>Most workers of all jobs together: numbers of workers are drawn anew until they are no more. Null: as many as there are places.</summary>
    public int? MostWorkers { get; init; }
}

/// <summary>A number of workers and how often it is drawn.</summary>
/// <param name="Workers">Workers of a job, each on a host of its own, ≥ 1.</param>
/// <param name="Weight">Relative frequency, above 0.</param>
public sealed record WeightedWorkers(int Workers, double Weight);

/// <summary>A model to be trained.</summary>
public sealed record WorkloadModel
{
    /// <summary>What it is called, e.g. <c>bert-large</c>.</summary>
    public required string Name { get; init; }

    /// <summary>Bytes of gradient per round, ≥ 0.</summary>
    public required double Bytes { get; init; }

    /// <summary>Computation per round, seconds, ≥ 0.</summary>
    public required double ComputeSeconds { get; init; }

    /// <summary>Relative frequency, above 0.</summary>
    public double Weight { get; init; } = 1;
}

/// <summary>Rounds of a job: lognormal, rounded to whole rounds and cut to a range.</summary>
public sealed record RoundsDistribution
{
    /// <summary>Half of the jobs have fewer rounds; above 0.</summary>
    public required double Median { get; init; }

    /// <summary>Standard deviation of the logarithm, 0..5; at 0 all jobs have the median.</summary>
    public required double Sigma { get; init; }

    /// <summary>Fewer become this many, ≥ 1.</summary>
    public long Least { get; init; } = 1;

    /// <summary>More become this many.</summary>
    public long Most { get; init; } = 1_000_000_000;
}

/// <summary>When jobs come: the sum of three parts, each of which may be zero.</summary>
public sealed record ArrivalDistribution
{
    /// <summary>Uniform in [0, this × the job's computation per round]: jobs that started together and drifted apart. ≥ 0.</summary>
    public double ComputeFactor { get; init; }

    /// <summary>Uniform in [0, this], seconds, ≥ 0.</summary>
    public double WindowSeconds { get; init; }

    /// <summary>Poisson process: the n-th job comes after n gaps, exponential with this mean, seconds, ≥ 0.</summary>
    public double MeanGapSeconds { get; init; }
}

/// <summary>How workers are placed. A host has at most one worker of a job.</summary>
public enum PlacementRule
{
    /// <summary>
    /// A job that fits into one rack goes into the fullest one that has room (of equals, any); a larger one fills racks in order from the first with room.
    /// </summary>
    Packed,

    /// <summary>In equal parts on racks that are drawn, on drawn hosts of each.</summary>
    Split,

    /// <summary>On drawn hosts anywhere.</summary>
    Random,
}

/// <summary>Which hosts jobs get.</summary>
public sealed record WorkloadPlacement
{
    /// <summary>The rule.</summary>
    public required PlacementRule Rule { get; init; }

    /// <summary>Hosts of each rack, from its first, that run workers; the others are idle helpers. Null: all.</summary>
    public int? HostsPerRack { get; init; }

    /// <summary>Workers that a host has room for, ≥ 1.</summary>
    public int JobsPerHost { get; init; } = 1;

    /// <summary><see cref="PlacementRule.Split"/> only: fewest racks of a job, ≥ 1.</summary>
    public int LeastRacks { get; init; } = 2;

    /// <summary><see cref="PlacementRule.Split"/> only: most racks of a job, where its parts fit on so few.</summary>
    public int MostRacks { get; init; } = 4;

    /// <summary><see cref="PlacementRule.Split"/> only: a job is spread over as many racks as leave each part at least this many workers.</summary>
    public int LeastPart { get; init; } = 4;
}
