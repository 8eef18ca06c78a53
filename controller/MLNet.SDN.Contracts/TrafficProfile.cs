namespace MLNet.SDN.Contracts;

/// <summary>How a job's traffic on one host repeats, inferred from its byte counters alone.</summary>
public sealed record TrafficProfile
{
    /// <summary>Seconds from the start of a round to the start of the next; 0 when no period was found.</summary>
    public required double PeriodSeconds { get; init; }

    /// <summary>Bytes that this host sends per round, payload of TCP; 0 when no period was found.</summary>
    public required long BytesPerRound { get; init; }

    /// <summary>Part of a round in which bytes flow, 0..1; 0 when no period was found.</summary>
    public required double DutyCycle { get; init; }

    /// <summary>How sure it is, 0..1: likeness of the rounds in form, timing and bytes. Below 0.4 no period is told.</summary>
    public required double Confidence { get; init; }

    /// <summary>Rounds that it was measured over.</summary>
    public required int Rounds { get; init; }

    /// <summary>Why no period was found, in words; null when one was.</summary>
    public string? Reason { get; init; }

    /// <summary>Whether a period was found.</summary>
    public bool HasPeriod => PeriodSeconds > 0;
}
