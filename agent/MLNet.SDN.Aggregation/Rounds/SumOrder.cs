using MLNet.SDN.Aggregation.Memory;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>
/// What comes before its turn when the chunks of a shard are summed in a fixed order: this host's workers by rank, then its children as the plan names them.
/// Holds fan-in x window buffers at most. Guarded by the engine's lock.
/// </summary>
internal sealed class SumOrder(int window, int inputs)
{
    private readonly NativeBuffer?[] _early = new NativeBuffer?[window * inputs];
    private readonly int[] _turn = new int[window];
    private readonly bool[] _busy = new bool[window];

    /// <summary>Forgets the round before, of which nothing is held any more.</summary>
    public SumOrder Begin()
    {
        Array.Clear(_turn);
        Array.Clear(_busy);
        return this;
    }

    /// <summary>Holds what came. True when the caller is to sum what can be: then nobody else does until <see cref="TryTake"/> has said that there is no more.</summary>
    public bool Add(int chunk, int input, NativeBuffer buffer)
    {
        _early[(chunk % window * inputs) + input] = buffer;
        ref var busy = ref _busy[chunk % window];
        if (busy)
        {
            return false;
        }

        busy = true;
        return true;
    }

    /// <summary>Takes what is next. False when it has not come yet.</summary>
    public bool TryTake(int chunk, out int input, out NativeBuffer? buffer)
    {
        var slot = chunk % window;
        input = _turn[slot];
        buffer = null;
        if (input == inputs)
        {
            return false;
        }

        ref var early = ref _early[(slot * inputs) + input];
        buffer = early;
        if (buffer is null)
        {
            _busy[slot] = false;
            return false;
        }

        early = null;
        _turn[slot]++;
        return true;
    }

    /// <summary>Whether everything of the chunk was taken.</summary>
    public bool IsThrough(int chunk) => _turn[chunk % window] == inputs;

    /// <summary>The chunk's result is here: its place in the window is free for another.</summary>
    public void Leave(int chunk)
    {
        var slot = chunk % window;
        _turn[slot] = 0;
        _busy[slot] = false;
    }

    /// <summary>Lets go of what waits for a chunk: its result came another way.</summary>
    public void Drop(int chunk)
    {
        var slot = chunk % window;
        foreach (ref var buffer in _early.AsSpan(slot * inputs, inputs))
        {
            buffer?.Release();
            buffer = null;
        }
    }

    /// <summary>Bytes of the buffers held now.</summary>
    public long BufferBytes() => ShardProgress.Bytes(_early);

    /// <summary>Lets go of everything held.</summary>
    public void Release()
    {
        foreach (ref var buffer in _early.AsSpan())
        {
            buffer?.Release();
            buffer = null;
        }
    }
}
