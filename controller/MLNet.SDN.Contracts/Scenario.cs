namespace MLNet.SDN.Contracts;

/// <summary>Shape of an emulated fat-tree.</summary>
public sealed record FabricShape
{
    /// <summary>Ports of a switch; even, ≥ 2.</summary>
    public int K { get; init; } = 4;

    /// <summary>Pods built, 1..k; k when unset.</summary>
    public int? Pods { get; init; }

    /// <summary>Hosts per rack; k/2 when unset.</summary>
    public int? HostsPerRack { get; init; }

    /// <summary>Rate of a host's link, Mbit/s (10^6 bit/s).</summary>
    public required double HostMbps { get; init; }

    /// <summary>Rate of a link between edge and aggregation switch, Mbit/s.</summary>
    public required double RackUplinkMbps { get; init; }

    /// <summary>Rate of a link between aggregation and core switch, Mbit/s.</summary>
    public required double CoreMbps { get; init; }
}

/// <summary>A job of a scenario.</summary>
public sealed record ScenarioJob
{
    /// <summary>As in <see cref="JobSpec.Name"/>.</summary>
    public required string Name { get; init; }

    /// <summary>Host of each rank; null: one worker on every host.</summary>
    public IReadOnlyList<string>? Workers { get; init; }

    /// <summary>Width of the perceptron's hidden layer, which sets the size of the gradient; null for a job that is only replayed.</summary>
    public int? Hidden { get; init; }

    /// <summary>Bytes of gradient of a job that is only replayed, a multiple of 4; null for one that trains.</summary>
    public long? GradientBytes { get; init; }

    /// <summary>Computation of a round of a job that is only replayed, seconds; null for none.</summary>
    public double? ComputeSeconds { get; init; }

    /// <summary>Rounds to train.</summary>
    public required int Rounds { get; init; }

    /// <summary>Samples per worker and round.</summary>
    public int BatchPerWorker { get; init; } = 64;

    /// <summary>Seed of the initial weights and of the order of samples.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>Step size of the optimiser.</summary>
    public double LearningRate { get; init; } = 0.05;

    /// <summary>Seconds after the start of the run at which it begins.</summary>
    public double StartSeconds { get; init; }
}

/// <summary>A host or a link that is away for a while.</summary>
public sealed record ScheduledFailure
{
    /// <summary>The host; null when it is a link.</summary>
    public string? Host { get; init; }

    /// <summary>The two ends of the link, in any order; parallel links between them are away together. Null when it is a host.</summary>
    public IReadOnlyList<string>? Link { get; init; }

    /// <summary>When it goes, seconds from the start, ≥ 0.</summary>
    public required double FromSeconds { get; init; }

    /// <summary>When it is back, after <see cref="FromSeconds"/>.</summary>
    public required double ToSeconds { get; init; }
}

/// <summary>One file that feeds planner, simulator and emulation alike.</summary>
public sealed record Scenario
{
    /// <summary>What the scenario is called.</summary>
    public required string Name { get; init; }

    /// <summary>The fabric.</summary>
    public required FabricShape Fabric { get; init; }

    /// <summary>The jobs.</summary>
    public required IReadOnlyList<ScenarioJob> Jobs { get; init; }

    /// <summary>What is away when; null for nothing. The simulator only: an emulation refuses it.</summary>
    public IReadOnlyList<ScheduledFailure>? Failures { get; init; }
}
