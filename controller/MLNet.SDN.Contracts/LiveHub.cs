namespace MLNet.SDN.Contracts;

/// <summary>Names of the methods of the live hub, <c>/hubs/live</c>, for dashboards and <c>mlnetctl --watch</c>.</summary>
public static class LiveHubMethods
{
    /// <summary>Path of the hub.</summary>
    public const string Path = "/hubs/live";

    /// <summary>Client to server with <see cref="LiveFilter"/>; replaces the former filter, answers nothing. A whole <see cref="LiveUpdate"/> follows, then deltas.</summary>
    public const string Subscribe = "Subscribe";

    /// <summary>Server to client with <see cref="LiveUpdate"/>, at most ten times a second.</summary>
    public const string Update = "Update";
}

/// <summary>What a client wants to see.</summary>
public sealed record LiveFilter
{
    /// <summary>Only this job's flows; null for all.</summary>
    public string? Job { get; init; }

    /// <summary>Only flows that this host sends or receives; null for all.</summary>
    public string? Host { get; init; }

    /// <summary>Most flows to be sent, 1..5000; the fastest are kept, and <see cref="LiveUpdate.FlowsHidden"/> counts the rest.</summary>
    public int MaxFlows { get; init; } = 500;
}

/// <summary>A flow as seen now: the sender's and the receiver's side joined.</summary>
public sealed record LiveFlow
{
    /// <summary>Stable while the flow lives.</summary>
    public required string Key { get; init; }

    /// <summary>Job name; null when it belongs to none.</summary>
    public string? Job { get; init; }

    /// <summary>What the flow does in the job.</summary>
    public string? Role { get; init; }

    /// <summary>Host name, or the address where no host has it.</summary>
    public required string Source { get; init; }

    /// <summary>Host name, or the address where no host has it.</summary>
    public required string Destination { get; init; }

    /// <summary>Transport port.</summary>
    public required int SourcePort { get; init; }

    /// <summary>Transport port.</summary>
    public required int DestinationPort { get; init; }

    /// <summary>IP protocol number.</summary>
    public required int Protocol { get; init; }

    /// <summary>bit/s over the last report interval.</summary>
    public required double RateBitsPerSecond { get; init; }

    /// <summary>IP octets sent since the flow began.</summary>
    public required long Octets { get; init; }

    /// <summary>As it left the sender; null while only the receiver has reported.</summary>
    public Dscp? DscpSent { get; init; }

    /// <summary>As it reached the receiver; null while only the sender has reported.</summary>
    public Dscp? DscpArrived { get; init; }

    /// <summary>Last packet, UTC.</summary>
    public required DateTimeOffset LastSeen { get; init; }
}

/// <summary>An agent as the controller sees it.</summary>
public sealed record AgentView
{
    /// <summary>The host.</summary>
    public required string Host { get; init; }

    /// <summary><c>connected</c>, <c>silent</c> (was here, is not now) or <c>never</c>.</summary>
    public required string State { get; init; }

    /// <summary>UTC; null before the first contact.</summary>
    public DateTimeOffset? LastSeen { get; init; }

    /// <summary>Product version.</summary>
    public string? Version { get; init; }

    /// <summary>What it can do.</summary>
    public IReadOnlyList<string> Capabilities { get; init => field = value ?? []; } = [];

    /// <summary>What it cannot do, and why.</summary>
    public IReadOnlyList<string> Limits { get; init => field = value ?? []; } = [];

    /// <summary>Revision it should have.</summary>
    public required Revision Desired { get; init; }

    /// <summary>Revision it last acknowledged.</summary>
    public required Revision Acknowledged { get; init; }

    /// <summary>Hash of what the kernel holds.</summary>
    public string? Hash { get; init; }

    /// <summary>Why the last policy was not applied; null when it was.</summary>
    public string? Error { get; init; }

    /// <summary>Frames the kernel dropped before they were counted.</summary>
    public long KernelDrops { get; init; }

    /// <summary>Records lost on the way.</summary>
    public long LostRecords { get; init; }

    /// <summary>What goes wrong on the host now, one sentence each.</summary>
    public IReadOnlyList<string> Troubles { get; init => field = value ?? []; } = [];
}

/// <summary>Load of one direction of a link.</summary>
public sealed record LinkLoad
{
    /// <summary>Sending end.</summary>
    public required string Source { get; init; }

    /// <summary>Receiving end.</summary>
    public required string Target { get; init; }

    /// <summary>bit/s.</summary>
    public required double BitsPerSecond { get; init; }

    /// <summary>Capacity, bit/s.</summary>
    public required long RateBitsPerSecond { get; init; }

    /// <summary>True where the path of the flows is not known and equal-cost paths were taken to share evenly.</summary>
    public required bool Estimated { get; init; }
}

/// <summary>A pair of hosts between which marks do not arrive as sent.</summary>
public sealed record MarkingFault
{
    /// <summary>Sending host.</summary>
    public required string Source { get; init; }

    /// <summary>Receiving host.</summary>
    public required string Destination { get; init; }

    /// <summary>Code point as sent.</summary>
    public required Dscp Sent { get; init; }

    /// <summary>Code point as arrived.</summary>
    public required Dscp Arrived { get; init; }

    /// <summary>Octets that arrived with another mark than they were sent with.</summary>
    public required long Octets { get; init; }

    /// <summary>First seen, UTC.</summary>
    public required DateTimeOffset Since { get; init; }

    /// <summary>Last seen, UTC.</summary>
    public required DateTimeOffset LastSeen { get; init; }
}

/// <summary>A switch that changes marks on their way, or may: what its flows say, voting over all pairs of hosts.</summary>
public sealed record MarkingSuspect
{
    /// <summary>Its name.</summary>
    public required string Switch { get; init; }

    /// <summary>Set where only packets from this neighbour (or to it, where that is a host) seem to be changed; null for all that crosses the switch.</summary>
    public string? Neighbour { get; init; }

    /// <summary>Number of the fault, from 0: suspects of one fault are alternatives.</summary>
    public required int Fault { get; init; }

    /// <summary>How much speaks for this one among the explanations of its fault, 0..1.</summary>
    public required double Confidence { get; init; }

    /// <summary>The votes in words.</summary>
    public required string Reason { get; init; }

    /// <summary>First suspected, UTC.</summary>
    public required DateTimeOffset Since { get; init; }
}

/// <summary>A change of the live view. Lists hold what changed since the update before, or everything when <see cref="Whole"/>.</summary>
public sealed record LiveUpdate
{
    /// <summary>UTC.</summary>
    public required DateTimeOffset Time { get; init; }

    /// <summary>True: forget what you have; this is everything.</summary>
    public required bool Whole { get; init; }

    /// <summary>New and changed flows.</summary>
    public IReadOnlyList<LiveFlow> Flows { get; init => field = value ?? []; } = [];

    /// <summary>Keys of flows that are gone.</summary>
    public IReadOnlyList<string> FlowsGone { get; init => field = value ?? []; } = [];

    /// <summary>Flows that match but were left out by the limit.</summary>
    public int FlowsHidden { get; init; }

    /// <summary>New and changed jobs.</summary>
    public IReadOnlyList<JobView> Jobs { get; init => field = value ?? []; } = [];

    /// <summary>New and changed agents.</summary>
    public IReadOnlyList<AgentView> Agents { get; init => field = value ?? []; } = [];

    /// <summary>Links whose load changed.</summary>
    public IReadOnlyList<LinkLoad> Links { get; init => field = value ?? []; } = [];

    /// <summary>Every pair of hosts whose marks do not arrive; null when unchanged.</summary>
    public IReadOnlyList<MarkingFault>? MarkingFaults { get; init; }

    /// <summary>Every switch that may be the cause; null when unchanged.</summary>
    public IReadOnlyList<MarkingSuspect>? MarkingSuspects { get; init; }

    /// <summary>Updates that this client was too slow to take since the last one.</summary>
    public int Skipped { get; init; }

    /// <summary>What the controller cannot do now (e.g. no database), one sentence each; null when unchanged.</summary>
    public IReadOnlyList<string>? Warnings { get; init; }
}
