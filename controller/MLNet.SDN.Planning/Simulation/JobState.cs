namespace MLNet.SDN.Planning.Simulation;

/// <summary>Where a job stands during a run; what a discipline may look at.</summary>
internal struct JobState
{
    /// <summary>Rounds not finished, the current one included.</summary>
    public long RoundsLeft;

    /// <summary>Part of the current round's bytes not moved yet, 0..1; 1 while it computes.</summary>
    public double PhaseLeft;

    /// <summary>Communication of a round alone, seconds.</summary>
    public double RoundSeconds;

    /// <summary>It has arrived and not finished.</summary>
    public bool Present;

    /// <summary>It is sending.</summary>
    public bool Sending;

    /// <summary>The least slowdown it can still end with, as of the last time a job came or finished: time since it came plus what it needs alone for the rest, over what it would have needed alone in all.</summary>
    public double Slowdown;

    /// <summary>Communication left, alone, seconds.</summary>
    public readonly double SecondsLeft => (RoundsLeft - 1 + PhaseLeft) * RoundSeconds;
}
