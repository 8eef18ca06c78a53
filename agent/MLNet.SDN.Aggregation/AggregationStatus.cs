namespace MLNet.SDN.Aggregation;

/// <summary>Progress of a local worker.</summary>
public sealed record WorkerStatus(
    long JobId, int Rank, bool Joined, bool Left, long RoundsDone, double SecondsPerRound, double CommunicationSeconds, string? WaitsFor);

/// <summary>TCP_INFO totals of a job's sockets on this host since start, closed connections included.</summary>
public sealed record TransportStatus(long JobId, long BytesSent, long BytesRetransmitted, long SegmentsSent, int Connections);

/// <summary>What a job moves through this host and what it waits for.</summary>
/// <param name="JobId">The job.</param>
/// <param name="BytesReceived">Of frames since the agent's start, headers included.</param>
/// <param name="BytesSent">Of frames since the agent's start, headers included.</param>
/// <param name="BufferBytes">Of partial sums and results held now.</param>
/// <param name="RoundsRedone">Rounds that workers of this host waited for and that were tried again, since the agent's start.</param>
/// <param name="Round">The last round of stream 0 finished here; -1 before the first. The next four are of this round.</param>
/// <param name="GatherSeconds">From its start here until the last sum was complete; 0 where nothing is summed.</param>
/// <param name="DeliverSeconds">From then until the last result was here.</param>
/// <param name="SlowestChild">The child that was waited for longest; null when none was.</param>
/// <param name="SlowestShare">Of the time to gather, the part that was spent waiting for it; 0 to 1.</param>
/// <param name="WaitsFor">A round that has waited for a second, and for whom, in words; null when none has.</param>
public sealed record ReductionStatus(
    long JobId, long BytesReceived, long BytesSent, long BufferBytes, long RoundsRedone, long Round, double GatherSeconds, double DeliverSeconds, string? SlowestChild, double SlowestShare,
    string? WaitsFor);

/// <summary>A snapshot of the data plane.</summary>
public sealed record AggregationStatus(
    IReadOnlyList<WorkerStatus> Workers, IReadOnlyList<TransportStatus> Transports, IReadOnlyList<string> Troubles)
{
    /// <summary>One for each job of this host.</summary>
    public IReadOnlyList<ReductionStatus> Reductions { get; init; } = [];
}

/// <summary>Which job and role a connection of ours has.</summary>
/// <param name="Role"><c>push</c> for data connections, <c>signal</c> for signalling ones.</param>
/// <param name="Routers">Routers on its way to the peer, nearest first, empty text where one did not answer; null where nobody looked.</param>
public readonly record struct ConnectionOwner(long JobId, string Role, IReadOnlyList<string>? Routers = null);

/// <summary>Why a job's plan was not taken over.</summary>
/// <param name="JobId">The job.</param>
/// <param name="Reason">Names the job and says what is wrong.</param>
public readonly record struct PlanFault(long JobId, string Reason);
