namespace MLNet.SDN.Contracts;

/// <summary>A worker of a job and where its agent listens.</summary>
/// <param name="Rank">0..n-1.</param>
/// <param name="Host">The host's name.</param>
public sealed record JobMember(int Rank, string Host);

/// <summary>Where a host's agent takes data-plane connections.</summary>
/// <param name="Host">The host's name.</param>
/// <param name="Address">Data-plane IP address.</param>
/// <param name="Port">TCP port, 1..65535.</param>
/// <param name="Rack">Rack of the host; edges between racks are striped over several connections.</param>
public sealed record HostEndpoint(string Host, string Address, int Port, string? Rack = null);

/// <summary>One job's part of a host's policy. The same for every host of the job.</summary>
public sealed record HostJob
{
    /// <summary>The job.</summary>
    public required long JobId { get; init; }

    /// <summary>Its name; trainers join by it.</summary>
    public required string Name { get; init; }

    /// <summary>Base64 of 32 random bytes; keys the mutual challenge between agents. Kept at 0600 where it is written.</summary>
    public required string Secret { get; init; }

    /// <summary>User that may join; null: the first to join on this host fixes it.</summary>
    public int? OwnerUid { get; init; }

    /// <summary>1 is the highest; 0 is unmarked.</summary>
    public required int Level { get; init; }

    /// <summary>What its packets carry.</summary>
    public required Dscp Dscp { get; init; }

    /// <summary>Revision of the trees; part of every epoch.</summary>
    public required Revision TreesRevision { get; init; }

    /// <summary>All workers by rank, and behind them the parameter server of a job that has one.</summary>
    public required IReadOnlyList<JobMember> Members { get; init; }

    /// <summary>Rank of the parameter server, the last; on its host all trees have their root. Null for a job without.</summary>
    public int? ServerRank { get; init; }

    /// <summary>Every host that has a part in the trees, workers' and helpers'.</summary>
    public required IReadOnlyList<HostEndpoint> Endpoints { get; init; }

    /// <summary>One tree per shard.</summary>
    public required IReadOnlyList<ShardTree> Shards { get; init; }

    /// <summary>Bytes of a chunk, a multiple of 8; the last of a shard is shorter.</summary>
    public required int ChunkBytes { get; init; }

    /// <summary>Chunks of a shard that may be on the way up without their result.</summary>
    public required int WindowChunks { get; init; }

    /// <summary>Connections per edge that leaves a rack, ≥ 1.</summary>
    public required int Stripes { get; init; }

    /// <summary>Whether one connection does for an edge whose way through the fabric is known, and is the one that is its turn. Where it is not, the edge has <see cref="Stripes"/>.</summary>
    public bool SingleWay { get; init; }

    /// <summary>
    /// Rate at which a message goes through the trees on idle links, bit/s. A connection sends no faster than the part of the message that it carries, so that what comes
    /// to one port from many sides comes in step. 0: as fast as it goes.
    /// </summary>
    public long PaceBitsPerSecond { get; init; }

    /// <summary>Key by which agents discovered the job (<see cref="DiscoveredPart.Key"/>); null for a submitted one. A discovered job has no data plane.</summary>
    public string? DiscoveryKey { get; init; }

    /// <summary>Other flows to attribute to the job and to mark.</summary>
    public IReadOnlyList<FlowSelector> Selectors { get; init => field = value ?? []; } = [];
}

/// <summary>The whole desired state of one host: what is not in it is to be gone.</summary>
public sealed record HostPolicy
{
    /// <summary>The host.</summary>
    public required string Host { get; init; }

    /// <summary>Order of policies; a lower one is refused.</summary>
    public required Revision Revision { get; init; }

    /// <summary>The classes of the fabric.</summary>
    public required PriorityLadder Ladder { get; init; }

    /// <summary>Rate of the host's link, bit/s; 0 when unknown.</summary>
    public long LinkRateBitsPerSecond { get; init; }

    /// <summary>Jobs with a part on this host.</summary>
    public required IReadOnlyList<HostJob> Jobs { get; init; }
}
