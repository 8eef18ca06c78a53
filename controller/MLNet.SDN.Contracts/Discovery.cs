namespace MLNet.SDN.Contracts;

/// <summary>A TCP connection, seen from the host that reports it.</summary>
/// <param name="LocalAddress">IP address in its shortest form.</param>
/// <param name="LocalPort">1..65535.</param>
/// <param name="RemoteAddress">IP address in its shortest form.</param>
/// <param name="RemotePort">1..65535.</param>
public sealed record DiscoveredConnection(string LocalAddress, int LocalPort, string RemoteAddress, int RemotePort);

/// <summary>Processes of one distributed job that run on one host and were found by their environment.</summary>
public sealed record DiscoveredPart
{
    /// <summary>With <see cref="Uid"/> the same on all hosts of the job, and for no other job.</summary>
    public required string Key { get; init; }

    /// <summary>What the job is called, as <see cref="JobSpec.Name"/>.</summary>
    public required string Name { get; init; }

    /// <summary>The user of the processes.</summary>
    public required int Uid { get; init; }

    /// <summary>Processes of the whole job.</summary>
    public required int WorldSize { get; init; }

    /// <summary>Ranks that run on this host, ascending.</summary>
    public required IReadOnlyList<int> Ranks { get; init; }

    /// <summary>Established connections of these processes that leave the host.</summary>
    public required IReadOnlyList<DiscoveredConnection> Connections { get; init; }

    /// <summary>What was inferred from the bytes of <see cref="Connections"/>; null before the first inference.</summary>
    public TrafficProfile? Profile { get; init; }
}

/// <summary>All that was discovered on a host. The whole state each time.</summary>
public sealed record DiscoveryReport
{
    /// <summary>The host.</summary>
    public required string Host { get; init; }

    /// <summary>The agent's boot.</summary>
    public required Guid Boot { get; init; }

    /// <summary>One for each job that has processes here.</summary>
    public required IReadOnlyList<DiscoveredPart> Jobs { get; init; }
}

/// <summary>A discovered job as REST shows it.</summary>
public sealed record DiscoveredJobView
{
    /// <inheritdoc cref="DiscoveredPart.Key"/>
    public required string Key { get; init; }

    /// <inheritdoc cref="DiscoveredPart.Name"/>
    public required string Name { get; init; }

    /// <inheritdoc cref="DiscoveredPart.Uid"/>
    public required int Uid { get; init; }

    /// <inheritdoc cref="DiscoveredPart.WorldSize"/>
    public required int WorldSize { get; init; }

    /// <summary>Host of each rank that was found.</summary>
    public required IReadOnlyDictionary<int, string> Hosts { get; init; }

    /// <summary>Connections that both ends report: those that are marked.</summary>
    public required int Connections { get; init; }

    /// <summary>Number of the job that was made of it; null while it is not managed.</summary>
    public long? JobId { get; init; }

    /// <summary>Why it is not managed, in words; null when it is.</summary>
    public string? Reason { get; init; }

    /// <summary>What the hosts inferred, put together; null before the first inference.</summary>
    public TrafficProfile? Profile { get; init; }
}
