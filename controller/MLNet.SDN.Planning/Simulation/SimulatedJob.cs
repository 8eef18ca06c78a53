namespace MLNet.SDN.Planning.Simulation;

/// <summary>A job as the simulator sees it: rounds of computation, each followed by one move of bytes over links.</summary>
public sealed record SimulatedJob
{
    /// <summary>What the job is called.</summary>
    public required string Name { get; init; }

    /// <summary>When it starts, seconds from the start of the run, ≥ 0.</summary>
    public required double ArrivalSeconds { get; init; }

    /// <summary>Computation of a round, during which it sends nothing, seconds, ≥ 0.</summary>
    public required double ComputeSeconds { get; init; }

    /// <summary>Rounds, ≥ 1.</summary>
    public required long Rounds { get; init; }

    /// <summary>Links that its traffic crosses, each once.</summary>
    public required int[] Links { get; init; }

    /// <summary>Bytes of a round on each of <see cref="Links"/>.</summary>
    public required double[] Bytes { get; init; }

    /// <summary>Workers; counts for policy <c>gpu-intensity</c> only.</summary>
    public int Workers { get; init; } = 1;
}

/// <summary>How a job fared.</summary>
/// <param name="FinishSeconds">When its last round ended, from the start of the run.</param>
/// <param name="CompletionSeconds">From its arrival to its finish.</param>
/// <param name="AloneSeconds">The same with the network to itself.</param>
public readonly record struct SimulatedFinish(double FinishSeconds, double CompletionSeconds, double AloneSeconds)
{
    /// <summary>How many times longer it took than alone, ≥ 1.</summary>
    public double Slowdown => AloneSeconds > 0 ? CompletionSeconds / AloneSeconds : 1;
}
