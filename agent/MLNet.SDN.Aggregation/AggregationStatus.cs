namespace MLNet.SDN.Aggregation;

/// <summary>Progress of a local worker.</summary>
public sealed record WorkerStatus(
    long JobId, int Rank, bool Joined, bool Left, long RoundsDone, double SecondsPerRound, double CommunicationSeconds, string? WaitsFor);

/// <summary>TCP_INFO totals of a job's sockets on this host since start, closed connections included.</summary>
public sealed record TransportStatus(long JobId, long BytesSent, long BytesRetransmitted, long SegmentsSent, int Connections);

/// <summary>A snapshot of the data plane.</summary>
public sealed record AggregationStatus(
    IReadOnlyList<WorkerStatus> Workers, IReadOnlyList<TransportStatus> Transports, IReadOnlyList<string> Troubles);

/// <summary>Which job and role a connection of ours has.</summary>
/// <param name="Role"><c>push</c> for data connections, <c>signal</c> for signalling ones.</param>
/// <param name="Routers">Routers on its way to the peer, nearest first, empty text where one did not answer; null where nobody looked.</param>
public readonly record struct ConnectionOwner(long JobId, string Role, IReadOnlyList<string>? Routers = null);

/// <summary>Why a job's plan was not taken over.</summary>
/// <param name="JobId">The job.</param>
/// <param name="Reason">Names the job and says what is wrong.</param>
public readonly record struct PlanFault(long JobId, string Reason);
