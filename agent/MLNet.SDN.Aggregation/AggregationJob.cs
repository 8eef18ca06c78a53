using System.Net;

namespace MLNet.SDN.Aggregation;

/// <summary>A worker's place.</summary>
public readonly record struct Member(int Rank, string Host);

/// <summary>Where a host's data plane listens.</summary>
public sealed record Endpoint(string Host, IPEndPoint Address, string? Rack);

/// <summary>An edge of a tree: partial sums go from child to parent, results back.</summary>
public readonly record struct Edge(string Child, string Parent);

/// <summary>The tree of one shard; shard i covers elements floor(N·W(i)/W) .. floor(N·W(i+1)/W) of every message.</summary>
public sealed record Shard(int Weight, IReadOnlyList<string> Roots, IReadOnlyList<Edge> Edges);

/// <summary>Orders epochs: (term, generation) of the trees.</summary>
public readonly record struct TreesRevision(long Term, long Generation) : IComparable<TreesRevision>
{
    /// <inheritdoc />
    public int CompareTo(TreesRevision other) => Term != other.Term ? Term.CompareTo(other.Term) : Generation.CompareTo(other.Generation);
}

/// <summary>Everything the data plane must know of a job. Immutable; the same on every host of the job.</summary>
public sealed record AggregationJob
{
    public required long JobId { get; init; }
    public required string Name { get; init; }

    /// <summary>Keys the mutual challenge.</summary>
    public required ReadOnlyMemory<byte> Secret { get; init; }

    /// <summary>User that may join; null: the first to join on this host fixes it.</summary>
    public int? OwnerUid { get; init; }

    /// <summary>DSCP 0..63 of the job's data connections. A change takes effect at the next round boundary.</summary>
    public required byte Dscp { get; init; }

    public required TreesRevision TreesRevision { get; init; }
    public required IReadOnlyList<Member> Members { get; init; }

    /// <summary>Rank of the member that is no worker but the job's parameter server: the last one, on whose host all trees have their root. Null for a job without.</summary>
    public int? ServerRank { get; init; }

    public required IReadOnlyList<Endpoint> Endpoints { get; init; }
    public required IReadOnlyList<Shard> Shards { get; init; }
    public required int ChunkBytes { get; init; }
    public required int WindowChunks { get; init; }
    public required int Stripes { get; init; }

    /// <summary>Whether one connection does for an edge whose way through the fabric is known, and is the one that is its turn. Where it is not, the edge has <see cref="Stripes"/>.</summary>
    public bool SingleWay { get; init; }

    /// <summary>Rate at which a message goes through the trees on idle links, bit/s: a connection sends no faster than the part of it that it carries. 0: as fast as it goes.</summary>
    public long PaceBitsPerSecond { get; init; }

    /// <summary>Rate of this host's own link, bit/s; 0 when unknown. It alone differs from host to host.</summary>
    public long LinkRateBitsPerSecond { get; init; }
}
