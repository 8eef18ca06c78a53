namespace MLNet.SDN.Planning.Priorities;

/// <summary>Moves jobs up the order that the others have held up too long: P' = P · (1 + max(0, slowdown/4 - 1)).</summary>
/// <remarks>
/// The slowdown meant is the least that a job can still end with: time since it came plus what it needs alone for the rest, over what it would have needed
/// alone in all. So it grows for a short job in the time of a short job, and a job cannot wait for ever: its priority grows without bound.
/// </remarks>
internal static class Aging
{
    // Up to here nobody is moved. Under srpt the worst of 60 to 120 jobs on one fabric end at 2 to 4 times: aging is for what is worse than usual.
    private const double Usual = 4;

    /// <summary>Factor of a job's priority, ≥ 1.</summary>
    /// <param name="slowdown">As above; null when unknown.</param>
    public static double Urgency(double? slowdown) => 1 + Math.Max(0, ((slowdown ?? 1) / Usual) - 1);
}
