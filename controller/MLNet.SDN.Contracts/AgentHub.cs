using System.Text.Json.Serialization;

namespace MLNet.SDN.Contracts;

/// <summary>Names of the methods of the agent hub, <c>/hubs/agent</c>. Every message may be lost, repeated or reordered without harm.</summary>
public static class AgentHubMethods
{
    /// <summary>Path of the hub.</summary>
    public const string Path = "/hubs/agent";

    /// <summary>Agent to controller, invoked with <see cref="AgentHello"/>, answers <see cref="HelloReply"/>. First of a connection.</summary>
    public const string Hello = "Hello";

    /// <summary>Agent to controller with <see cref="PolicyAck"/>.</summary>
    public const string Acknowledge = "Acknowledge";

    /// <summary>Agent to controller with <see cref="FlowReport"/>, invoked: the answer says that it was taken over.</summary>
    public const string ReportFlows = "ReportFlows";

    /// <summary>Agent to controller with <see cref="ProgressReport"/>.</summary>
    public const string ReportProgress = "ReportProgress";

    /// <summary>Agent to controller with <see cref="DiscoveryReport"/>.</summary>
    public const string ReportDiscovery = "ReportDiscovery";

    /// <summary>Controller to agent with <see cref="HostPolicy"/>.</summary>
    public const string ApplyPolicy = "ApplyPolicy";

    /// <summary>Controller to agent with a bool: somebody watches, so report each second.</summary>
    public const string SetWatched = "SetWatched";
}

/// <summary>What an agent says first.</summary>
public sealed record AgentHello
{
    /// <summary>The host's name in the topology.</summary>
    public required string Host { get; init; }

    /// <summary>Drawn anew at each start of the process.</summary>
    public required Guid Boot { get; init; }

    /// <summary>Product version.</summary>
    public required string Version { get; init; }

    /// <summary>What it can do here: <c>capture</c>, <c>mark</c>, <c>aggregate</c>; what is missing says why in <see cref="Limits"/>.</summary>
    public required IReadOnlyList<string> Capabilities { get; init; }

    /// <summary>What it cannot do, and why, one sentence each.</summary>
    public IReadOnlyList<string> Limits { get; init => field = value ?? []; } = [];

    /// <summary>TCP port of its data plane.</summary>
    public required int DataPort { get; init; }

    /// <summary>Revision of the policy it has in force.</summary>
    public required Revision Installed { get; init; }

    /// <summary>Hash of what the kernel really holds; see <see cref="PolicyAck.Hash"/>.</summary>
    public required string InstalledHash { get; init; }

    /// <summary>Jobs of the installed policy whose plan the data plane could not take over.</summary>
    public IReadOnlyList<JobFault> JobFaults { get; init => field = value ?? []; } = [];
}

/// <summary>The controller's answer to a Hello.</summary>
public sealed record HelloReply
{
    /// <summary>False when the controller refuses the host; see <see cref="Reason"/>.</summary>
    public required bool Accepted { get; init; }

    /// <summary>Why refused, in words.</summary>
    public string? Reason { get; init; }

    /// <summary>Policy to apply now; null when none is known yet.</summary>
    public HostPolicy? Policy { get; init; }

    /// <summary>Somebody watches the live view.</summary>
    public bool Watched { get; init; }
}

/// <summary>Says that a policy is in force, or why not.</summary>
public sealed record PolicyAck
{
    /// <summary>The host.</summary>
    public required string Host { get; init; }

    /// <summary>The agent's boot.</summary>
    public required Guid Boot { get; init; }

    /// <summary>The policy spoken of.</summary>
    public required Revision Revision { get; init; }

    /// <summary>True when it was applied and read back.</summary>
    public required bool Applied { get; init; }

    /// <summary>SHA-256, hex, of the agent's ruleset as read back from the kernel.</summary>
    public required string Hash { get; init; }

    /// <summary>Why it was not applied.</summary>
    public string? Error { get; init; }

    /// <summary>Jobs whose plan the data plane could not take over, though the policy is in force otherwise: their marks are, other jobs are.</summary>
    public IReadOnlyList<JobFault> JobFaults { get; init => field = value ?? []; } = [];
}

/// <summary>Why a host cannot take part in a job as planned.</summary>
/// <param name="JobId">The job.</param>
/// <param name="Reason">In words, at most 1000 characters.</param>
public sealed record JobFault(long JobId, string Reason);

/// <summary>Which side of the wire saw the flow.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<FlowDirection>))]
public enum FlowDirection
{
    /// <summary>The observing host received it (IPFIX flowDirection 0).</summary>
    [JsonStringEnumMemberName("ingress")] Ingress,

    /// <summary>The observing host sent it (IPFIX flowDirection 1).</summary>
    [JsonStringEnumMemberName("egress")] Egress,
}

/// <summary>Why a record ends here (RFC 5102 §5.11.3 flowEndReason).</summary>
[JsonConverter(typeof(JsonStringEnumConverter<FlowEndReason>))]
public enum FlowEndReason
{
    /// <summary>Goes on: a delta report.</summary>
    [JsonStringEnumMemberName("active")] Active = 2,

    /// <summary>Nothing seen for the idle timeout.</summary>
    [JsonStringEnumMemberName("idle")] Idle = 1,

    /// <summary>FIN or RST seen.</summary>
    [JsonStringEnumMemberName("end")] EndOfFlow = 3,

    /// <summary>The agent stops.</summary>
    [JsonStringEnumMemberName("forced")] Forced = 4,

    /// <summary>Evicted to make room.</summary>
    [JsonStringEnumMemberName("resources")] LackOfResources = 5,
}

/// <summary>Octets and packets of one flow since the last record of it. Names as in RFC 7012. A flow is a 5-tuple with one code point, seen in one direction.</summary>
public sealed record FlowRecord
{
    /// <summary>Start of the interval, UTC.</summary>
    public required DateTimeOffset FlowStart { get; init; }

    /// <summary>Last packet of the interval, UTC.</summary>
    public required DateTimeOffset FlowEnd { get; init; }

    /// <summary>IE 61.</summary>
    public required FlowDirection Direction { get; init; }

    /// <summary>IPv4 or IPv6 address.</summary>
    public required string SourceAddress { get; init; }

    /// <summary>IPv4 or IPv6 address.</summary>
    public required string DestinationAddress { get; init; }

    /// <summary>0 where the protocol has none.</summary>
    public required int SourceTransportPort { get; init; }

    /// <summary>0 where the protocol has none.</summary>
    public required int DestinationTransportPort { get; init; }

    /// <summary>IP protocol number: 6 TCP, 17 UDP.</summary>
    public required int ProtocolIdentifier { get; init; }

    /// <summary>IE 195: code point on the wire at this host.</summary>
    public required Dscp IpDiffServCodePoint { get; init; }

    /// <summary>IE 98: what the policy says this flow should carry.</summary>
    public required Dscp PostIpDiffServCodePoint { get; init; }

    /// <summary>IE 1: octets of IP packets, headers included, link layer excluded; merged segments count the headers that the wire had.</summary>
    public required long OctetDeltaCount { get; init; }

    /// <summary>IE 2; estimated from the segment size where the kernel merged segments.</summary>
    public required long PacketDeltaCount { get; init; }

    /// <summary>Of the packets, those of TCP that carried again what this host had seen; null for none.</summary>
    public long? Retransmissions { get; init; }

    /// <summary>Of the packets, those of TCP that were overtaken on their way here; null for none.</summary>
    public long? OutOfOrder { get; init; }

    /// <summary>Microseconds from the connection's SYN to its SYN+ACK, in the record of the side that answered; null elsewhere.</summary>
    public long? HandshakeMicroseconds { get; init; }

    /// <summary>
    /// Addresses of the routers on the flow's way, nearest first and empty where one did not answer, in egress records of connections whose path the agent has looked at;
    /// null elsewhere.
    /// </summary>
    public IReadOnlyList<string>? Routers { get; init; }

    /// <summary>Why the record ends.</summary>
    public required FlowEndReason EndReason { get; init; }

    /// <summary>Job the flow belongs to; null when none.</summary>
    public long? JobId { get; init; }

    /// <summary>What the flow does in the job: <c>push</c>, <c>signal</c>, a selector's role; null without a job.</summary>
    public string? Role { get; init; }
}

/// <summary>Records of one interval. (Host, Boot, Sequence) is unique, so a repeated report is known.</summary>
public sealed record FlowReport
{
    /// <summary>Most records of one report; a longer one is refused whole, so an agent cuts it into several.</summary>
    public const int MaxRecords = 5_000;

    /// <summary>The host.</summary>
    public required string Host { get; init; }

    /// <summary>The agent's boot.</summary>
    public required Guid Boot { get; init; }

    /// <summary>Grows by one with each report of a boot.</summary>
    public required long Sequence { get; init; }

    /// <summary>The records.</summary>
    public required IReadOnlyList<FlowRecord> Records { get; init; }

    /// <summary>Frames the kernel dropped before they were counted, since the boot.</summary>
    public long KernelDrops { get; init; }

    /// <summary>Frames that are no IP with TCP or UDP, since the boot.</summary>
    public long IgnoredFrames { get; init; }

    /// <summary>Records lost since the boot because the table or the queue to the controller was full.</summary>
    public long LostRecords { get; init; }
}

/// <summary>Progress of one worker.</summary>
public sealed record WorkerProgress
{
    /// <summary>The job.</summary>
    public required long JobId { get; init; }

    /// <summary>The worker.</summary>
    public required int Rank { get; init; }

    /// <summary>Joined and not left.</summary>
    public required bool Joined { get; init; }

    /// <summary>True once it left in good order.</summary>
    public bool Left { get; init; }

    /// <summary>Rounds finished of stream 0.</summary>
    public long RoundsDone { get; init; }

    /// <summary>Seconds of the last rounds, mean, from start to start; 0 when unknown.</summary>
    public double SecondsPerRound { get; init; }

    /// <summary>Mean seconds per round spent waiting for the result; 0 when unknown.</summary>
    public double CommunicationSeconds { get; init; }

    /// <summary>What the worker waits for, in words; null when nothing.</summary>
    public string? WaitsFor { get; init; }
}

/// <summary>What the job's sockets on one host have sent since the agent's boot (TCP_INFO), open and closed ones together.</summary>
public sealed record JobTransport
{
    /// <summary>The job.</summary>
    public required long JobId { get; init; }

    /// <summary>tcpi_bytes_sent: payload, retransmissions included.</summary>
    public required long BytesSent { get; init; }

    /// <summary>tcpi_bytes_retrans.</summary>
    public required long BytesRetransmitted { get; init; }

    /// <summary>tcpi_segs_out: segments, pure acknowledgements included.</summary>
    public required long SegmentsSent { get; init; }

    /// <summary>Open connections.</summary>
    public required int Connections { get; init; }
}

/// <summary>What a job moves through the agent of one host, and how its last round went there.</summary>
public sealed record JobReduction
{
    /// <summary>The job.</summary>
    public required long JobId { get; init; }

    /// <summary>Bytes of data frames received since the agent's boot, headers included.</summary>
    public long BytesReceived { get; init; }

    /// <summary>Bytes of data frames sent since the agent's boot, headers included.</summary>
    public long BytesSent { get; init; }

    /// <summary>Bytes of partial sums and results held now.</summary>
    public long BufferBytes { get; init; }

    /// <summary>Rounds that workers of the host waited for and that were tried again in a later epoch, since the agent's boot.</summary>
    public long RoundsRedone { get; init; }

    /// <summary>The last round of stream 0 that was finished on the host; -1 before the first. The times and the slowest child are of this round.</summary>
    public long Round { get; init; } = -1;

    /// <summary>Seconds from the round's start on the host until its last sum was complete; 0 where nothing is summed.</summary>
    public double GatherSeconds { get; init; }

    /// <summary>Seconds from then until the last result was there.</summary>
    public double DeliverSeconds { get; init; }

    /// <summary>The child in the trees that was waited for longest; null when none was.</summary>
    public string? SlowestChild { get; init; }

    /// <summary>Of the time to gather, the part that was spent waiting for it; 0 to 1.</summary>
    public double SlowestShare { get; init; }

    /// <summary>A round that has waited for a second, and for whom, in words; null when none has.</summary>
    public string? WaitsFor { get; init; }
}

/// <summary>Progress, socket totals and troubles of one host. The whole state each time.</summary>
public sealed record ProgressReport
{
    /// <summary>The host.</summary>
    public required string Host { get; init; }

    /// <summary>The agent's boot.</summary>
    public required Guid Boot { get; init; }

    /// <summary>Workers on this host.</summary>
    public required IReadOnlyList<WorkerProgress> Workers { get; init; }

    /// <summary>Sockets by job.</summary>
    public required IReadOnlyList<JobTransport> Transports { get; init; }

    /// <summary>What jobs move through this host, helpers' included.</summary>
    public IReadOnlyList<JobReduction> Reductions { get; init => field = value ?? []; } = [];

    /// <summary>What goes wrong now, one sentence each; with the job's name where there is one.</summary>
    public IReadOnlyList<string> Troubles { get; init => field = value ?? []; } = [];
}
