using System.Runtime.InteropServices;
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

/// <summary>How a partial sum is written.</summary>
internal enum SumForm
{
    /// <summary>As the elements of the message.</summary>
    Narrow,

    /// <summary>As binary32, although the elements are 16-bit numbers.</summary>
    Wide,

    /// <summary>Not at all: nobody in it has numbers to contribute.</summary>
    Empty,
}

/// <summary>One round of a stream on one host. Guarded by the engine's lock; reused once nothing pins it.</summary>
internal sealed class RoundState
{
    private readonly SharedArea?[] _areas;
    private readonly int _locals;
    private readonly Dictionary<string, long> _waited = new(StringComparer.Ordinal);
    private long _lastArrival;
    private int[] _nextLocal = [];
    private int _chunkBytes;

    public RoundState(StreamState stream, TreeSet trees)
    {
        Stream = stream;
        _locals = trees.LocalRanks.Length;
        _areas = new SharedArea?[_locals];
        Trees = trees;
        Shards = [];
        Adopt(trees);
    }

    public StreamState Stream { get; }

    /// <summary>Of the epoch that this host is in.</summary>
    public TreeSet Trees { get; private set; }

    public Epoch Epoch => Trees.Epoch;

    public ShardProgress[] Shards { get; private set; }

    /// <summary>Grows with each epoch: what was begun under another number is dropped.</summary>
    public int Serial { get; private set; }

    /// <summary>An epoch to be entered as soon as no thread touches shared memory; none when there is none.</summary>
    public Epoch Awaited { get; set; }

    public ulong Number { get; private set; }

    public MessageShape Shape { get; private set; }

    /// <summary>Epoch in which the next round begins; none until it is known.</summary>
    public Epoch Next { get; set; }

    /// <summary>Chunks whose result has still to reach this host and its workers.</summary>
    public int Undelivered { get; set; }

    /// <summary>Chunks that are still to be exchanged in this epoch. More than <see cref="Undelivered"/> where results of an earlier one are held.</summary>
    public int Outstanding { get; set; }

    /// <summary>Threads at work on it and frames queued of it.</summary>
    public int Pins { get; set; }

    /// <summary>Threads that read or write shared memory for it right now; a failure is told only when there is none, so that memory is never touched behind a worker's back.</summary>
    public int Users { get; set; }

    public bool Complete { get; set; }

    public bool Aborted { get; set; }

    /// <summary>The last attempt after the first in which this host, as a root, summed chunks of it; 0 for none.</summary>
    public uint SummedIn { get; set; }

    /// <summary>When its epoch began on this host; <see cref="TimeProvider"/> timestamp.</summary>
    public long BegunAt { get; private set; }

    /// <summary>When the newest sum of this host was complete; 0 before the first.</summary>
    public long GatheredAt { get; set; }

    /// <summary>When it ended on this host; 0 before.</summary>
    public long EndedAt { get; set; }

    /// <summary>When the first local worker submitted; <see cref="TimeProvider"/> timestamp, 0 before.</summary>
    public long SubmittedAt { get; set; }

    /// <summary>When this host began to wait: with its first local worker, or where it has none with the first frame.</summary>
    public long StartedAt => SubmittedAt == 0 ? BegunAt : SubmittedAt;

    /// <summary>Why this host wants the round given up; null while it does not.</summary>
    public (string Code, string Text)? Doubt { get; set; }

    /// <summary>Why the round cannot be finished in this epoch; null while nothing speaks against it.</summary>
    public string? Stuck { get; set; }

    /// <summary>When the anchor was last told of either.</summary>
    public long AskedAt { get; set; }

    /// <summary>Why it was given up, once it was.</summary>
    public (string Code, string Text) Failure { get; set; }

    /// <summary>Its outcome is not known here.</summary>
    public bool Live => !Complete && !Aborted;

    /// <summary>Chunks are exchanged: as long as it lives, and once more when others need what is held here.</summary>
    public bool Exchanging => !Aborted && Outstanding > 0;

    public void Begin(ulong number, MessageShape shape, long now)
    {
        EndedAt = 0;
        Number = number;
        Shape = shape;
        Next = default;
        Complete = false;
        Aborted = false;
        SummedIn = 0;
        SubmittedAt = 0;
        Doubt = null;
        Failure = default;
        Awaited = default;
        Cut(now);
        Undelivered = Outstanding;
    }

    /// <summary>
    /// Enters a later epoch: every chunk is exchanged anew. Results that this host's workers have already stay what they are, and are offered to the new root.
    /// </summary>
    /// <param name="trees">Of the later epoch.</param>
    /// <param name="everything">Whether this host holds the whole result, whatever its chunks say.</param>
    /// <param name="now"><see cref="TimeProvider"/> timestamp.</param>
    public void Enter(TreeSet trees, bool everything, long now)
    {
        var (before, chunkBytes) = (Shards, _chunkBytes);
        everything |= Complete;
        foreach (var shard in before)
        {
            shard.ReleaseSums();
            shard.ReleaseKept();
        }

        Adopt(trees);
        Cut(now);
        Awaited = default;
        EndedAt = 0;
        Undelivered = Outstanding;
        if (_locals == 0)
        {
            // Nobody here has been told anything.
            Complete = Outstanding == 0;
            EndedAt = Complete ? now : 0;
            return;
        }

        Undelivered = 0;
        for (var i = 0; i < Shards.Length; i++)
        {
            for (var chunk = 0; chunk < Shards[i].Chunks; chunk++)
            {
                var from = ChunkOffset(i, chunk);
                if (everything || IsDelivered(before, chunkBytes, from, from + ChunkBytes(i, chunk)))
                {
                    Shards[i].HoldResult(chunk);
                }
                else
                {
                    Undelivered++;
                }
            }
        }
    }

    /// <summary>A partial sum has come. If it was all that a sum still lacked, the time since the arrival before it was spent waiting for this child.</summary>
    public void NoteArrival(string child, bool wasLast, long now)
    {
        var since = Math.Max(_lastArrival, StartedAt);
        if (wasLast && now > since)
        {
            CollectionsMarshal.GetValueRefOrAddDefault(_waited, child, out _) += now - since;
        }

        _lastArrival = now;
    }

    /// <summary>The child that was waited for longest, and its part of the time to gather. Null when none was.</summary>
    public (string? Child, double Share) SlowestChild()
    {
        var (slowest, longest) = ((string?)null, 0L);
        foreach (var (child, waited) in _waited)
        {
            (slowest, longest) = waited > longest ? (child, waited) : (slowest, longest);
        }

        return GatheredAt > StartedAt ? (slowest, Math.Min(1, (double)longest / (GatheredAt - StartedAt))) : (null, 0);
    }

    private void Adopt(TreeSet trees)
    {
        Trees = trees;
        Shards = new ShardProgress[trees.Places.Length];
        for (var i = 0; i < Shards.Length; i++)
        {
            Shards[i] = new ShardProgress(trees.Places[i], trees.Window, trees.Words);
        }

        _nextLocal = new int[_locals * Shards.Length];
    }

    private void Cut(long now)
    {
        BegunAt = now;
        GatheredAt = 0;
        _lastArrival = 0;
        _waited.Clear();
        Serial++;
        Stuck = null;
        AskedAt = 0;
        Outstanding = 0;
        Array.Clear(_nextLocal);
        var elementBytes = Elements.Bytes(Shape.Type);
        var elements = Shape.Bytes / elementBytes;
        var inOrder = Shape.FixedOrder && Elements.OrderMatters(Shape.Type, Shape.Operation);
        _chunkBytes = ChunkBytesOf(Trees, Shape);
        for (var i = 0; i < Shards.Length; i++)
        {
            var length = Trees.ShardBytes(i, elements, elementBytes);
            var chunks = (length + _chunkBytes - 1) / _chunkBytes;
            Shards[i].Reset((int)chunks, Trees.FirstElement(i, elements) * elementBytes, length, inOrder ? _locals + Trees.Places[i].Children.Length : 0);
            if (Trees.Places[i].TakesPart)
            {
                Outstanding += (int)chunks;
            }
        }
    }

    /// <summary>Whether all results between two offsets in the message had reached this host's workers. To be asked only while no thread touches shared memory.</summary>
    private static bool IsDelivered(ShardProgress[] shards, int chunkBytes, long from, long to)
    {
        foreach (var shard in shards)
        {
            var first = Math.Max(from, shard.Offset) - shard.Offset;
            var end = Math.Min(to, shard.Offset + shard.Length) - shard.Offset;
            for (var chunk = first / chunkBytes; chunk * chunkBytes < end; chunk++)
            {
                if ((chunk >= shard.High || !shard.IsDone((int)chunk)) && !shard.IsResultHeld((int)chunk))
                {
                    return false;
                }
            }
        }

        return true;
    }

    /// <summary>Whether a message of this size can be cut by these trees: no shard may have more chunks than a frame can number.</summary>
    public static bool Fits(TreeSet trees, MessageShape shape) => (trees.ServerRank is not null || !Elements.NeedsServer(shape.Operation)) && shape.Bytes / ChunkBytesOf(trees, shape) < int.MaxValue - trees.Window;

    /// <summary>Bytes of the chunk in the message, and of its contributions and its result.</summary>
    public int ChunkBytes(int shard, int chunk) => (int)Math.Min(_chunkBytes, Shards[shard].Length - ((long)chunk * _chunkBytes));

    /// <summary>Bytes of the chunk's partial sum of the given ranks.</summary>
    public int SumBytes(int shard, int chunk, ReadOnlySpan<ulong> contributors) => FormOf(contributors) switch
    {
        SumForm.Empty => 0,
        SumForm.Wide => ChunkBytes(shard, chunk) / Elements.Bytes(Shape.Type) * sizeof(float),
        _ => ChunkBytes(shard, chunk),
    };

    /// <summary>How a partial sum of the given ranks is written.</summary>
    public SumForm FormOf(ReadOnlySpan<ulong> contributors)
    {
        if (Elements.NeedsServer(Shape.Operation))
        {
            var server = ContributorSet.Contains(contributors, Trees.ServerRank!.Value);
            var contents = Shape.Operation == ReduceOperation.Pull ? (server ? 1 : 0) : ContributorSet.Count(contributors) - (server ? 1 : 0);
            return contents == 0 ? SumForm.Empty : Shape.SumsWide && contents > 1 ? SumForm.Wide : SumForm.Narrow;
        }

        return Shape.SumsWide && ContributorSet.Count(contributors) > 1 ? SumForm.Wide : SumForm.Narrow;
    }

    /// <summary>How many ranks contribute numbers.</summary>
    public int Contributions => Shape.Operation switch
    {
        ReduceOperation.Push => Trees.World - 1,
        ReduceOperation.Pull => 1,
        _ => Trees.World,
    };

    /// <summary>
    /// Whether this host can answer a later epoch with results of an earlier one. What was pushed is with the server alone: until it has all of it nobody has seen
    /// any of it, so that everybody else contributes again.
    /// </summary>
    public bool OffersResults => Shape.Operation != ReduceOperation.Push || Trees.ServerIndex >= 0;

    /// <summary>Whether a local rank has something to contribute.</summary>
    public bool Contributes(int local) => Shape.Operation switch
    {
        ReduceOperation.Push => local != Trees.ServerIndex,
        ReduceOperation.Pull => local == Trees.ServerIndex,
        _ => true,
    };

    /// <summary>Whether a local rank gets a result into its memory. What a server gives to all is where it lies already.</summary>
    public bool GetsResult(int local) => Shape.Operation switch
    {
        ReduceOperation.Push => local == Trees.ServerIndex,
        ReduceOperation.Pull => local != Trees.ServerIndex,
        _ => true,
    };

    /// <summary>Where results that reached this host can be read again, in shared memory; null where they cannot.</summary>
    public unsafe byte* Results
    {
        get
        {
            var server = Elements.NeedsServer(Shape.Operation) && Trees.ServerIndex >= 0 ? _areas[Trees.ServerIndex] : null;
            return !OffersResults || _locals == 0 ? null
                : server is not null ? ResultIn(server)
                : Shape.Operation == ReduceOperation.Push || _areas[0] is not { } first ? null
                : first.Result(Number);
        }
    }

    /// <summary>Where the result lies in the memory of a local rank that was told of it.</summary>
    public unsafe byte* ResultIn(SharedArea area) =>
        Shape.Operation == ReduceOperation.Pull && Trees.ServerIndex >= 0 && ReferenceEquals(area, _areas[Trees.ServerIndex]) ? area.Contribution(Number) : area.Result(Number);

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
    public ref int NextLocal(int shard, int local) => ref _nextLocal[(shard * _locals) + local];

    /// <summary>Breaks the rule on purpose: another tree, the same sums. See <see cref="ProtocolFault.MergeAcrossEpochs"/>.</summary>
    public void EnterWithoutReset(TreeSet trees)
    {
        var before = Shards;
        var nextLocal = _nextLocal;
        Stuck = null;
        AskedAt = 0;
        Adopt(trees);
        _nextLocal = nextLocal;
        for (var i = 0; i < Shards.Length; i++)
        {
            Shards[i].TakeOver(before[i]);
        }
    }

    /// <summary>Ends the exchange without touching the outcome: frames queued of it are dropped.</summary>
    public void Stop()
    {
        Outstanding = 0;
        Serial++;
        foreach (var shard in Shards)
        {
            shard.ReleaseSums();
            shard.ReleaseKept();
        }
    }

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
