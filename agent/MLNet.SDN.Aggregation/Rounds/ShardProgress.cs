using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Trees;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>How far a chunk has come on this host.</summary>
internal enum ChunkPhase : byte
{
    /// <summary>Contributions are awaited.</summary>
    Gathering = 0,

    /// <summary>The partial sum is complete and on its way to the parent.</summary>
    Sent = 1,

    /// <summary>The result is here.</summary>
    Done = 2,
}

/// <summary>
/// The window of one shard in one round on one host: chunks <see cref="Low"/> to <see cref="High"/>, kept in a ring.
/// A child sends chunk c only when it holds the results of all chunks up to c minus the window, so the ring never needs to be larger.
/// </summary>
internal sealed class ShardProgress
{
    private readonly int _window;
    private readonly int _words;
    private readonly ChunkPhase[] _phase;
    private readonly NativeBuffer?[] _sum;
    private readonly NativeBuffer?[] _kept;
    private readonly int[] _delivered;
    private readonly ulong[] _seen;
    private readonly ulong[] _held;
    private readonly NativeBuffer?[] _adopted;
    private readonly int[] _waiting;
    private bool[]? _results;

    public ShardProgress(ShardPlace place, int window, int words)
    {
        Place = place;
        _window = window;
        _words = words;
        _phase = new ChunkPhase[window];
        _sum = new NativeBuffer?[window];
        _kept = new NativeBuffer?[window];
        _delivered = new int[window];
        _seen = new ulong[window * words];
        _held = new ulong[window * words];
        _adopted = new NativeBuffer?[window];
        _waiting = new int[window];
    }

    public ShardPlace Place { get; }

    /// <summary>What waits for its turn when contributions are taken in order; else null.</summary>
    public SumOrder? Order { get; private set; }

    /// <summary>Chunks of the shard in this message; 0 for an empty shard.</summary>
    public int Chunks { get; private set; }

    /// <summary>Bytes before the shard in the message.</summary>
    public long Offset { get; private set; }

    /// <summary>Bytes of the shard.</summary>
    public long Length { get; private set; }

    /// <summary>First chunk whose result is not here.</summary>
    public int Low { get; private set; }

    /// <summary>First chunk beyond the window.</summary>
    public int High => Math.Min(Low + _window, Chunks);

    /// <summary>Begins a round.</summary>
    /// <param name="chunks">Chunks of the shard.</param>
    /// <param name="offset">Bytes before it.</param>
    /// <param name="length">Its bytes.</param>
    /// <param name="inputs">Contributions and partial sums that are taken in order; 0 when they are taken as they come.</param>
    public void Reset(int chunks, long offset, long length, int inputs)
    {
        Order = inputs == 0 ? null : Order?.Begin() ?? new SumOrder(_window, inputs);
        Chunks = chunks;
        Offset = offset;
        Length = length;
        Low = 0;
        Array.Clear(_phase);
        Array.Fill(_delivered, -1);
        Array.Clear(_seen);
        Array.Clear(_held);
        Array.Clear(_waiting);
        _results = null;
        ParentLife = 0;
    }

    /// <summary>Life of the parent that this host's partial sums of the epoch went to; 0 before the first. Another life has never heard of them.</summary>
    public ulong ParentLife { get; set; }

    /// <summary>Breaks the rule on purpose: goes on with another's sums. See <see cref="ProtocolFault.MergeAcrossEpochs"/>.</summary>
    public void TakeOver(ShardProgress other)
    {
        (Chunks, Offset, Length, Low, _results) = (other.Chunks, other.Offset, other.Length, other.Low, other._results);
        Order = other.Order;
        other._phase.CopyTo(_phase, 0);
        other._sum.CopyTo(_sum, 0);
        other._kept.CopyTo(_kept, 0);
        other._delivered.CopyTo(_delivered, 0);
        other._seen.CopyTo(_seen, 0);
        other._held.CopyTo(_held, 0);
        other._adopted.CopyTo(_adopted, 0);
        other._waiting.CopyTo(_waiting, 0);
        for (var chunk = Low; chunk < High; chunk++)
        {
            if (Phase(chunk) == ChunkPhase.Sent && Place.Parent is null)
            {
                SetPhase(chunk, ChunkPhase.Gathering);
            }
        }
    }

    /// <summary>Whether the chunk's result lies in this host's shared memory since an earlier epoch.</summary>
    public bool IsResultHeld(int chunk) => _results is not null && _results[chunk];

    /// <summary>Notes results of an earlier epoch.</summary>
    public void HoldResult(int chunk) => (_results ??= new bool[Chunks])[chunk] = true;

    /// <summary>Whether the chunk's result is here, also of chunks that left the window.</summary>
    public bool IsDone(int chunk) => chunk < Low || Phase(chunk) == ChunkPhase.Done;

    public ChunkPhase Phase(int chunk) => _phase[chunk % _window];

    public void SetPhase(int chunk, ChunkPhase phase) => _phase[chunk % _window] = phase;

    /// <summary>The sum so far; null while there is none or a thread adds to it.</summary>
    public ref NativeBuffer? Sum(int chunk) => ref _sum[chunk % _window];

    /// <summary>Leaves a local worker's contribution where it lies, to be added to what comes next. False when another's waits already.</summary>
    public bool TryWait(int chunk, int local)
    {
        ref var waiting = ref _waiting[chunk % _window];
        if (waiting != 0)
        {
            return false;
        }

        waiting = local + 1;
        return true;
    }

    /// <summary>Takes the local worker whose contribution waits. False when none does.</summary>
    public bool TryTakeWaiting(int chunk, out int local)
    {
        ref var waiting = ref _waiting[chunk % _window];
        local = waiting - 1;
        waiting = 0;
        return local >= 0;
    }

    /// <summary>Ranks whose contributions have arrived, added or not.</summary>
    public Span<ulong> Seen(int chunk) => _seen.AsSpan(chunk % _window * _words, _words);

    /// <summary>Ranks that <see cref="Sum"/> holds.</summary>
    public Span<ulong> Held(int chunk) => _held.AsSpan(chunk % _window * _words, _words);

    /// <summary>The result of an earlier epoch, from a member that holds it: it is the result of this one once everybody has answered. Null where nobody holds one so far.</summary>
    public ref NativeBuffer? Adopted(int chunk) => ref _adopted[chunk % _window];

    /// <summary>Notes a result and moves the window.</summary>
    public void MarkDone(int chunk)
    {
        SetPhase(chunk, ChunkPhase.Done);
        _waiting[chunk % _window] = 0;
        while (Low < Chunks && Phase(Low) == ChunkPhase.Done)
        {
            Seen(Low).Clear();
            Held(Low).Clear();
            SetPhase(Low, ChunkPhase.Gathering);
            Order?.Leave(Low);
            Low++;
        }
    }

    /// <summary>
    /// Holds on to a result, for children that lost it with a connection. The result one window further on exists only when every child has this one,
    /// so a window of results is enough.
    /// </summary>
    public void Keep(int chunk, NativeBuffer result)
    {
        ref var kept = ref _kept[chunk % _window];
        kept?.Release();
        result.AddHolder();
        kept = result;
    }

    /// <summary>
    /// Notes that a result is where it can be read again: in the shared memory of this host's workers, which then need no other copy, or kept.
    /// Until then it is still to be sent to every child, or being sent.
    /// </summary>
    public void MarkDelivered(int chunk, NativeBuffer result, bool inSharedMemory)
    {
        ref var delivered = ref _delivered[chunk % _window];
        delivered = Math.Max(delivered, chunk);
        ref var kept = ref _kept[chunk % _window];
        if (inSharedMemory && ReferenceEquals(kept, result))
        {
            kept!.Release();
            kept = null;
        }
    }

    /// <summary>Whether the chunk's result can be read again.</summary>
    public bool IsDelivered(int chunk) => _delivered[chunk % _window] == chunk;

    /// <summary>A result that was kept; null when it was let go.</summary>
    public NativeBuffer? Kept(int chunk) => _kept[chunk % _window];

    /// <summary>Lets go of all sums.</summary>
    public void ReleaseSums()
    {
        Release(_sum);
        Release(_adopted);
        Order?.Release();
    }

    /// <summary>Lets go of all results.</summary>
    public void ReleaseKept() => Release(_kept);

    /// <summary>Bytes of the buffers held now.</summary>
    public long BufferBytes() => Bytes(_sum) + Bytes(_kept) + Bytes(_adopted) + (Order?.BufferBytes() ?? 0);

    internal static long Bytes(NativeBuffer?[] buffers)
    {
        var bytes = 0L;
        foreach (var buffer in buffers)
        {
            bytes += buffer?.Capacity ?? 0;
        }

        return bytes;
    }

    private static void Release(NativeBuffer?[] buffers)
    {
        foreach (ref var buffer in buffers.AsSpan())
        {
            buffer?.Release();
            buffer = null;
        }
    }
}
