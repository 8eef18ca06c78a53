namespace MLNet.SDN.Planning.Priorities;

/// <summary>What a job still has to do, as far as it is known; the input of every priority policy.</summary>
internal sealed record CommunicationWork
{
    public required long JobId { get; init; }

    public required string Name { get; init; }

    /// <summary>Links it uses, ascending.</summary>
    public required int[] Links { get; init; }

    /// <summary>Seconds that each of <see cref="Links"/> needs for a round's bytes.</summary>
    public required double[] LinkSeconds { get; init; }

    /// <summary>Communication time of a round, alone, seconds: the most of <see cref="LinkSeconds"/>.</summary>
    public required double RoundSeconds { get; init; }

    /// <summary>Computation per round, seconds; 0 when unknown.</summary>
    public required double ComputeSeconds { get; init; }

    /// <summary>Rounds left, a begun one in part; assumed where <see cref="Known"/> is false.</summary>
    public required double Rounds { get; init; }

    /// <summary>Whether both the rounds left and the bytes per round are known.</summary>
    public required bool Known { get; init; }

    /// <summary>Workers, each taken to keep one accelerator.</summary>
    public required int Workers { get; init; }

    /// <summary>Factor of its priority, ≥ 1: above 1 for a job that was held up too long.</summary>
    public double Urgency { get; init; } = 1;

    /// <summary>Seconds of communication left on a link, by position in <see cref="Links"/>.</summary>
    public double LeftOn(int position) => Rounds * LinkSeconds[position];

    /// <summary>Seconds of communication left on the job's slowest link.</summary>
    public double Left => Rounds * RoundSeconds;

    /// <summary>Part of the time for which the job, alone, keeps a link busy: 0..1.</summary>
    public double DutyOn(int position) => RoundSeconds <= 0 ? 0 : LinkSeconds[position] / (RoundSeconds + ComputeSeconds);
}
