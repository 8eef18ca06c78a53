using System.Text.Json.Serialization;

namespace MLNet.SDN.Contracts;

/// <summary>Picks packets of a job that its own data-plane sockets do not send, for marking and attribution. Unset fields match anything; at least one must be set.</summary>
public sealed record FlowSelector
{
    /// <summary>Source prefix in CIDR form, e.g. <c>10.0.1.0/24</c>.</summary>
    public string? Source { get; init; }

    /// <summary>Destination prefix in CIDR form.</summary>
    public string? Destination { get; init; }

    /// <summary><c>tcp</c> or <c>udp</c>. Needed where ports are given.</summary>
    public string? Protocol { get; init; }

    /// <summary>First source port, 1..65535.</summary>
    public int? SourcePortFrom { get; init; }

    /// <summary>Last source port, inclusive; the first when unset.</summary>
    public int? SourcePortTo { get; init; }

    /// <summary>First destination port, 1..65535.</summary>
    public int? DestinationPortFrom { get; init; }

    /// <summary>Last destination port, inclusive; the first when unset.</summary>
    public int? DestinationPortTo { get; init; }

    /// <summary>User whose process sends, as a number ≥ 0: of each host only what its own sockets send is picked. Selectors that name a user or a control group are asked before all others.</summary>
    public int? Uid { get; init; }

    /// <summary>
    /// Control group (version 2) in which the sending process opened its socket, or one above that, as a path from the root of the hierarchy: <c>/system.slice/train.service</c>;
    /// see <see cref="CgroupPath"/>. On a host where there is no such group it picks nothing until there is one.
    /// </summary>
    public string? Cgroup { get; init; }

    /// <summary>What the operator calls these flows, e.g. <c>gloo</c>; shown as the role.</summary>
    public string? Role { get; init; }
}

/// <summary>What a user submits.</summary>
public sealed record JobSpec
{
    /// <summary>Unique among unfinished jobs; 1-63 characters of a-z, 0-9, '-', '_' and '.', starting with a letter or digit.</summary>
    public required string Name { get; init; }

    /// <summary>The host of each worker; the index is its rank. A host may stand several times.</summary>
    public required IReadOnlyList<string> Workers { get; init; }

    /// <summary>Host of the job's parameter server, which workers push to and pull from; it may have workers too. Null for a job that reduces over all workers.</summary>
    public string? Server { get; init; }

    /// <summary>Hosts that may sum for the job without having a worker. Optional.</summary>
    public IReadOnlyList<string>? Helpers { get; init; }

    /// <summary>The host of each rank: the workers', and behind them the server's.</summary>
    public IEnumerable<string> MemberHosts() => Server is null ? Workers : Workers.Append(Server);

    /// <summary>Bytes of gradient reduced per round, over all streams. 0 when unknown.</summary>
    public long GradientBytes { get; init; }

    /// <summary>Seconds of computation per round, at most 1e6. 0 when unknown.</summary>
    public double ComputeSeconds { get; init; }

    /// <summary>Rounds to train. 0 when unknown.</summary>
    public long Rounds { get; init; }

    /// <summary>The user that may join as a worker (SO_PEERCRED). Null: the user of the first worker to join on each host.</summary>
    public int? OwnerUid { get; init; }

    /// <summary>Other flows that belong to the job.</summary>
    public IReadOnlyList<FlowSelector>? Selectors { get; init; }

    /// <summary>Set by the controller for a job that nobody submitted and agents discovered: <see cref="DiscoveredPart.Key"/>. Refused in a submission.</summary>
    public string? DiscoveryKey { get; init; }
}

/// <summary>Where a job stands.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<JobState>))]
public enum JobState
{
    /// <summary>Planned; not every host has acknowledged yet.</summary>
    Pending,

    /// <summary>Every host concerned has acknowledged its policy.</summary>
    Placed,

    /// <summary>All workers left.</summary>
    Finished,

    /// <summary>Withdrawn by a user.</summary>
    Cancelled,
}

/// <summary>A job as REST and the live hub show it. The secret is never part of it.</summary>
public sealed record JobView
{
    /// <summary>Unique for ever; data-plane frames carry it.</summary>
    public required long Id { get; init; }

    /// <summary>As submitted.</summary>
    public required JobSpec Spec { get; init; }

    /// <summary>Where it stands.</summary>
    public required JobState State { get; init; }

    /// <summary>UTC.</summary>
    public required DateTimeOffset SubmittedAt { get; init; }

    /// <summary>UTC; null while it runs.</summary>
    public DateTimeOffset? EndedAt { get; init; }

    /// <summary>Plan in force; null for an ended job.</summary>
    public JobPlan? Plan { get; init; }

    /// <summary>Hosts that have not acknowledged the plan in force.</summary>
    public IReadOnlyList<string> WaitingFor { get; init => field = value ?? []; } = [];

    /// <summary>Highest round that every worker has finished, -1 before the first.</summary>
    public long RoundsDone { get; init; } = -1;

    /// <summary>Workers that have joined and not left.</summary>
    public int WorkersJoined { get; init; }

    /// <summary>Seconds per round, mean of the last rounds; 0 when unknown.</summary>
    public double SecondsPerRound { get; init; }

    /// <summary>Data-plane bytes sent by the sockets of all hosts, retransmissions included, without headers.</summary>
    public long SocketBytesSent { get; init; }

    /// <summary>TCP segments sent by the sockets of all hosts.</summary>
    public long SocketSegmentsSent { get; init; }

    /// <summary>How its rounds go on the hosts now; null before an agent has told, and for an ended job.</summary>
    public RoundSight? Sight { get; init; }

    /// <summary>What goes wrong now, in words; empty when nothing does.</summary>
    public IReadOnlyList<string> Troubles { get; init => field = value ?? []; } = [];
}

/// <summary>How the rounds of a job go, over all its hosts.</summary>
public sealed record RoundSight
{
    /// <summary>The newest round of stream 0 that some host has finished; -1 before the first.</summary>
    public long Round { get; init; } = -1;

    /// <summary>Bytes of data frames received by all hosts since their agents' boots, headers included.</summary>
    public long BytesReceived { get; init; }

    /// <summary>Bytes of data frames sent by all hosts since their agents' boots, headers included.</summary>
    public long BytesSent { get; init; }

    /// <summary>Bytes of partial sums and results held now, on the host that holds the most.</summary>
    public long BufferBytes { get; init; }

    /// <summary>Rounds that were tried again, as the host saw it that saw the most.</summary>
    public long RoundsRedone { get; init; }

    /// <summary>Seconds until the last sum of the round was complete, on the host where it took longest.</summary>
    public double GatherSeconds { get; init; }

    /// <summary>Seconds from the last sum to the last result, on the host where it took longest.</summary>
    public double DeliverSeconds { get; init; }

    /// <summary>The host that others waited for in the last round; null when nobody stands out.</summary>
    public string? Slowest { get; init; }

    /// <summary>Of its parent's time to gather, the part that was spent waiting for it; 0 to 1.</summary>
    public double SlowestShare { get; init; }

    /// <summary>A round that has waited for a second, and for whom, in words; null when none has.</summary>
    public string? WaitsFor { get; init; }
}
