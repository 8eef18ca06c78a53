using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.Agents;

/// <summary>What is known of a host's agent. Immutable.</summary>
internal sealed record AgentStatus
{
    /// <summary>The host.</summary>
    public required string Host { get; init; }

    /// <summary>Boot of the agent that spoke last.</summary>
    public Guid Boot { get; init; }

    /// <summary>Whether a connection is open.</summary>
    public bool Connected { get; init; }

    /// <summary>When the open connection was accepted, UTC.</summary>
    public DateTimeOffset ConnectedAt { get; init; }

    /// <summary>Last message, UTC; null when it never spoke.</summary>
    public DateTimeOffset? LastSeen { get; init; }

    /// <inheritdoc cref="AgentHello.Version"/>
    public string? Version { get; init; }

    /// <inheritdoc cref="AgentHello.Capabilities"/>
    public IReadOnlyList<string> Capabilities { get; init; } = [];

    /// <inheritdoc cref="AgentHello.Limits"/>
    public IReadOnlyList<string> Limits { get; init; } = [];

    /// <summary>Highest revision that this process sent to the host; a higher one that it holds came from elsewhere.</summary>
    public Revision Sent { get; init; }

    /// <summary>Highest revision acknowledged.</summary>
    public Revision Acknowledged { get; init; }

    /// <summary>Hash of what the kernel holds.</summary>
    public string? Hash { get; init; }

    /// <summary>Why the last policy was not applied; null when it was.</summary>
    public string? Error { get; init; }

    /// <inheritdoc cref="PolicyAck.JobFaults"/>
    public IReadOnlyList<JobFault> JobFaults { get; init; } = [];

    /// <inheritdoc cref="FlowReport.KernelDrops"/>
    public long KernelDrops { get; init; }

    /// <inheritdoc cref="FlowReport.LostRecords"/>
    public long LostRecords { get; init; }

    /// <inheritdoc cref="ProgressReport.Troubles"/>
    public IReadOnlyList<string> Troubles { get; init; } = [];

    /// <summary>As operators see it.</summary>
    public AgentView View(Revision desired) => new()
    {
        Host = Host,
        State = Connected ? "connected" : LastSeen is null ? "never" : "silent",
        LastSeen = LastSeen,
        Version = Version,
        Capabilities = Capabilities,
        Limits = Limits,
        Desired = desired,
        Acknowledged = Acknowledged,
        Hash = Hash,
        Error = Error,
        KernelDrops = KernelDrops,
        LostRecords = LostRecords,
        Troubles = Troubles,
    };
}
