namespace MLNet.SDN.Contracts;

/// <summary>One edge of an aggregation tree: partial sums go from child to parent, results from parent to child.</summary>
/// <param name="Child">Host nearer to the leaves.</param>
/// <param name="Parent">Host nearer to the root.</param>
public sealed record TreeEdge(string Child, string Parent);

/// <summary>The tree of one shard. Every member host but the root is the child of exactly one edge.</summary>
public sealed record ShardTree
{
    /// <summary>Share of each message's elements relative to the other shards. ≥ 1. Shard i covers elements floor(N·W(i)/W) .. floor(N·W(i+1)/W), W(i) the sum of the weights before it.</summary>
    public required int Weight { get; init; }

    /// <summary>Roots in order of succession; the epoch's attempt modulo the length picks one. The first is the root of <see cref="Edges"/>.</summary>
    public required IReadOnlyList<string> Roots { get; init; }

    /// <summary>All edges.</summary>
    public required IReadOnlyList<TreeEdge> Edges { get; init; }
}

/// <summary>What was decided for a job, and why.</summary>
public sealed record JobPlan
{
    /// <summary>The job.</summary>
    public required long JobId { get; init; }

    /// <summary>The revision in which these trees came into force; part of every data-plane epoch. A change of level alone leaves it.</summary>
    public required Revision TreesRevision { get; init; }

    /// <summary>Which strategy made the trees: <c>direct-single</c>, <c>direct-sharded</c>, <c>rack</c>...</summary>
    public required string Strategy { get; init; }

    /// <summary>One tree per shard.</summary>
    public required IReadOnlyList<ShardTree> Shards { get; init; }

    /// <summary>Bytes of a chunk, a multiple of 8; like the trees fixed for their revision. 0 in a plan that is not in force.</summary>
    public int ChunkBytes { get; init; }

    /// <summary>Chunks of a shard that may be under way without their result; fixed for the revision too. 0 in a plan that is not in force.</summary>
    public int WindowChunks { get; init; }

    /// <summary>Whether one connection does for each edge, where it takes the way that is its turn: no link then carries more than it would if edges were spread over all ways.</summary>
    public bool SingleWay { get; init; }

    /// <summary>Rate at which a message goes through the trees on idle links, bit/s, if connections are to keep to their share of it; 0 if not.</summary>
    public long PaceBitsPerSecond { get; init; }

    /// <summary>1 is the highest job level of the ladder; 0 means unmarked.</summary>
    public required int Level { get; init; }

    /// <summary>What the job's packets carry.</summary>
    public required Dscp Dscp { get; init; }

    /// <summary>Why this level, in words for the operator.</summary>
    public required string LevelReason { get; init; }

    /// <summary>Why these trees, in words for the operator.</summary>
    public required string TreeReason { get; init; }

    /// <summary>Communication time of a round that no plan can beat, seconds, from raw link rates; 0 when bytes are unknown.</summary>
    public double BoundSeconds { get; init; }

    /// <summary>Communication time of a round under this plan with the fabric to itself, seconds; 0 when bytes are unknown.</summary>
    public double PredictedSeconds { get; init; }

    /// <summary>The link that limits the prediction, as <c>a->b</c>; null when bytes are unknown.</summary>
    public string? Bottleneck { get; init; }
}
