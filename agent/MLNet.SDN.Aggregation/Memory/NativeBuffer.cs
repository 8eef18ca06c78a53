namespace MLNet.SDN.Aggregation.Memory;

/// <summary>A chunk's worth of native memory, counted by its holders; the last one to let go returns it to its pool.</summary>
internal sealed unsafe class NativeBuffer
{
    private readonly NativeBufferPool _pool;
    private int _holders;

    internal NativeBuffer(NativeBufferPool pool, byte* address, int capacity)
    {
        _pool = pool;
        Address = address;
        Capacity = capacity;
    }

    public byte* Address { get; }

    /// <summary>Bytes, a multiple of the page size.</summary>
    public int Capacity { get; }

    public Span<byte> Span(int length) => length <= Capacity ? new(Address, length) : throw new ArgumentOutOfRangeException(nameof(length));

    internal void Hand() => _holders = 1;

    public void AddHolder() => Interlocked.Increment(ref _holders);

    public void Release()
    {
        var left = Interlocked.Decrement(ref _holders);
        if (left == 0)
        {
            _pool.Return(this);
        }
        else if (left < 0)
        {
            throw new InvalidOperationException("A buffer was let go more often than it was held.");
        }
    }
}
