namespace MLNet.SDN.Planning.Tomography;

/// <summary>What flows between two hosts tell of the switches between them: of those that took the same path, how many arrived changed and how many as they were sent.</summary>
public sealed record FlowEvidence
{
    /// <summary>Sending host.</summary>
    public required string Source { get; init; }

    /// <summary>Receiving host.</summary>
    public required string Destination { get; init; }

    /// <summary>Switches that they crossed, in order; null when it is not known which of the equal-cost paths they took.</summary>
    public IReadOnlyList<string>? Path { get; init; }

    /// <summary>Flows that were changed on the way; ≥ 0.</summary>
    public int Changed { get; init; }

    /// <summary>Flows that arrived as they were sent; ≥ 0.</summary>
    public int Intact { get; init; }
}

/// <summary>A switch that changes what crosses it, or may.</summary>
/// <param name="Switch">Its name.</param>
/// <param name="Neighbour">Set when only what comes from this neighbour (or, where that is a host, goes to it) seems to be changed; null for all that crosses the switch.</param>
/// <param name="Fault">Number of the fault, from 0: suspects of one fault are alternatives, those of different faults stand side by side.</param>
/// <param name="Confidence">Share of this one among the explanations of its fault, 0..1; those of a fault add up to at most 1.</param>
/// <param name="Pairs">Pairs of hosts with a changed flow that crossed it, or may have.</param>
/// <param name="Changed">Changed flows that crossed it, or may have.</param>
/// <param name="Intact">Flows that crossed it for certain and arrived as they were sent.</param>
public sealed record Suspicion(string Switch, string? Neighbour, int Fault, double Confidence, int Pairs, int Changed, int Intact);
