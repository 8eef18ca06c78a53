using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>What must be the same for all contributions of a round.</summary>
/// <param name="Bytes">Of the message.</param>
/// <param name="Type">Of its elements.</param>
/// <param name="Operation">What is done.</param>
/// <param name="FixedOrder">Contributions are taken in one order, whenever they come.</param>
internal readonly record struct MessageShape(long Bytes, ElementType Type, ReduceOperation Operation, bool FixedOrder = false)
{
    /// <summary>Whether partial sums of several contributions are binary32 although the elements are 16-bit numbers.</summary>
    public bool SumsWide => Elements.SumsWide(Type, Operation);

    /// <inheritdoc />
    public override string ToString() =>
        $"{Elements.Name(Type)} x {Bytes / Elements.Bytes(Type)} ({Bytes} bytes), {Elements.Name(Operation)}{(FixedOrder ? ", deterministic" : "")}";
}

/// <summary>One round of a stream on one host. Guarded by the engine's lock; reused once nothing pins it.</summary>
internal sealed class RoundState
{
    private readonly SharedArea?[] _areas;
    private readonly int[] _nextLocal;
    private int _chunkBytes;

    public RoundState(StreamState stream, TreeSet trees)
    {
        Stream = stream;
        Trees = trees;
        Shards = new ShardProgress[trees.Places.Length];
        for (var i = 0; i < Shards.Length; i++)
        {
            Shards[i] = new ShardProgress(trees.Places[i], trees.Window, trees.Words);
        }

        _areas = new SharedArea?[trees.LocalRanks.Length];
        _nextLocal = new int[trees.LocalRanks.Length * Shards.Length];
    }

    public StreamState Stream { get; }

    public TreeSet Trees { get; }

    public ShardProgress[] Shards { get; }

    public ulong Number { get; private set; }

    public MessageShape Shape { get; private set; }

    /// <summary>Revision of the next round; default until it is known.</summary>
    public TreesRevision Next { get; set; }

    /// <summary>Chunks whose result has still to reach this host and its workers.</summary>
    public int Undelivered { get; set; }

    /// <summary>Threads at work on it and frames queued of it.</summary>
    public int Pins { get; set; }

    /// <summary>Threads that read or write shared memory for it right now; a failure is told only when there is none, so that memory is never touched behind a worker's back.</summary>
    public int Users { get; set; }

    public bool Complete { get; set; }

    public bool Aborted { get; set; }

    /// <summary>When it began on this host; <see cref="TimeProvider"/> timestamp.</summary>
    public long BegunAt { get; private set; }

    /// <summary>When it ended on this host; 0 before.</summary>
    public long EndedAt { get; set; }

    /// <summary>When the first local worker submitted; <see cref="TimeProvider"/> timestamp, 0 before.</summary>
    public long SubmittedAt { get; set; }

    /// <summary>Why this host wants the round given up; null while it does not.</summary>
    public (string Code, string Text)? Doubt { get; set; }

    /// <summary>When the anchor was last asked to give it up.</summary>
    public long AskedAt { get; set; }

    /// <summary>Why it was given up, once it was.</summary>
    public (string Code, string Text) Failure { get; set; }

    public bool Live => !Complete && !Aborted;

    public void Begin(ulong number, MessageShape shape, long now)
    {
        BegunAt = now;
        EndedAt = 0;
        Number = number;
        Shape = shape;
        Next = default;
        Complete = false;
        Aborted = false;
        SubmittedAt = 0;
        Doubt = null;
        AskedAt = 0;
        Failure = default;
        Undelivered = 0;
        Array.Clear(_nextLocal);
        var elementBytes = Elements.Bytes(shape.Type);
        var elements = shape.Bytes / elementBytes;
        _chunkBytes = ChunkBytesOf(Trees, shape);
        var inOrder = shape.FixedOrder && Elements.OrderMatters(shape.Type, shape.Operation);
        for (var i = 0; i < Shards.Length; i++)
        {
            var length = Trees.ShardBytes(i, elements, elementBytes);
            var chunks = (length + _chunkBytes - 1) / _chunkBytes;
            Shards[i].Reset((int)chunks, Trees.FirstElement(i, elements) * elementBytes, length, inOrder ? _areas.Length + Trees.Places[i].Children.Length : 0);
            if (Trees.Places[i].TakesPart)
            {
                Undelivered += (int)chunks;
            }
        }
    }

    /// <summary>Whether a message of this size can be cut by these trees: no shard may have more chunks than a frame can number.</summary>
    public static bool Fits(TreeSet trees, MessageShape shape) => shape.Bytes / ChunkBytesOf(trees, shape) < int.MaxValue - trees.Window;

    /// <summary>Bytes of the chunk in the message, and of its contributions and its result.</summary>
    public int ChunkBytes(int shard, int chunk) => (int)Math.Min(_chunkBytes, Shards[shard].Length - ((long)chunk * _chunkBytes));

    /// <summary>Bytes of the chunk's partial sum of the given ranks.</summary>
    public int SumBytes(int shard, int chunk, ReadOnlySpan<ulong> contributors) =>
        IsWide(contributors) ? ChunkBytes(shard, chunk) / Elements.Bytes(Shape.Type) * sizeof(float) : ChunkBytes(shard, chunk);

    /// <summary>Whether a partial sum of the given ranks is binary32 although the message is not.</summary>
    public bool IsWide(ReadOnlySpan<ulong> contributors) => Shape.SumsWide && ContributorSet.Count(contributors) > 1;

    /// <summary>Bytes before the chunk in the message.</summary>
    public long ChunkOffset(int shard, int chunk) => Shards[shard].Offset + ((long)chunk * _chunkBytes);

    /// <summary>Shared memory of a local worker, by its index in <see cref="TreeSet.LocalRanks"/>; null until it submitted.</summary>
    public SharedArea? Area(int local) => _areas[local];

    public void Submit(int local, SharedArea area)
    {
        area.AddHolder();
        _areas[local] = area;
    }

    /// <summary>Next chunk of the shard to be taken from a local worker.</summary>
    public ref int NextLocal(int shard, int local) => ref _nextLocal[(shard * Trees.LocalRanks.Length) + local];

    /// <summary>Lets go of everything held for the round.</summary>
    public void Release()
    {
        foreach (var shard in Shards)
        {
            shard.ReleaseSums();
            shard.ReleaseKept();
        }

        foreach (ref var area in _areas.AsSpan())
        {
            area?.Release();
            area = null;
        }
    }

    /// <summary>Chunks are cut so that a partial sum fills the plan's chunk: one of 16-bit numbers may become twice as long as they are.</summary>
    private static int ChunkBytesOf(TreeSet trees, MessageShape shape) => trees.ChunkBytes / Elements.SummedBytes(shape.Type) * Elements.Bytes(shape.Type);
}
