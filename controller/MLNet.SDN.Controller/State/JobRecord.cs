using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.State;

/// <summary>A job as it is stored.</summary>
internal sealed record JobRecord
{
    /// <summary>Never used twice.</summary>
    public required long Id { get; init; }

    /// <summary>As submitted.</summary>
    public required JobSpec Spec { get; init; }

    /// <summary><see cref="JobState.Pending"/> stands for every unfinished job: whether it is placed follows from what agents acknowledge.</summary>
    public required JobState State { get; init; }

    /// <summary>UTC.</summary>
    public required DateTimeOffset SubmittedAt { get; init; }

    /// <summary>UTC; null while it runs.</summary>
    public DateTimeOffset? EndedAt { get; init; }

    /// <summary>Base64 of 32 random bytes. Leaves the process only towards agents.</summary>
    public required string Secret { get; init; }

    /// <summary>Last plan.</summary>
    public JobPlan? Plan { get; init; }

    /// <summary>Last known figures.</summary>
    public JobFigures Figures { get; init; } = JobFigures.None;

    /// <summary>The submitter's Idempotency-Key.</summary>
    public string? IdempotencyKey { get; init; }

    /// <summary>SHA-256, hex, of the body that came with the key.</summary>
    public string? BodySha256 { get; init; }

    /// <summary>Whether it is to be placed.</summary>
    public bool Unfinished => State is JobState.Pending or JobState.Placed;

    /// <summary>Whether it was discovered and then withdrawn. The key is what a new find would be known by, so a job without it is no longer left alone.</summary>
    public bool IsWithdrawn => State == JobState.Cancelled && Spec.DiscoveryKey is not null;

    /// <summary>Every member but the secret, so that a log line cannot leak it.</summary>
    public override string ToString() => $"job {Id} '{Spec.Name}' {State}";
}

/// <summary>How far a job is; kept so that an ended job can be shown and a restarted controller knows what is left.</summary>
internal sealed record JobFigures
{
    /// <summary>Nothing known.</summary>
    public static JobFigures None { get; } = new();

    /// <summary>Rounds that every worker has finished.</summary>
    public long RoundsFinished { get; init; }

    /// <summary>Mean of the last rounds; 0 when unknown.</summary>
    public double SecondsPerRound { get; init; }

    /// <summary>Joined and not left.</summary>
    public int WorkersJoined { get; init; }

    /// <summary>Ranks that left in good order, ascending.</summary>
    public IReadOnlyList<int> RanksLeft { get; init; } = [];

    /// <summary>Payload bytes sent by all hosts' sockets, retransmissions included.</summary>
    public long SocketBytesSent { get; init; }

    /// <summary>TCP segments sent by all hosts' sockets.</summary>
    public long SocketSegmentsSent { get; init; }
}
