namespace MLNet.SDN.Aggregation.Memory;

/// <summary>
/// Buffers outside the managed heap, reused by size. What nobody needed between two calls of <see cref="Trim"/> goes back to the kernel,
/// so that memory follows the need of the last seconds instead of its highest point. Thread-safe.
/// </summary>
internal sealed unsafe class NativeBufferPool : IDisposable
{
    private const int Page = 4096;
    private readonly Lock _lock = new();
    private readonly List<Shelf> _shelves = [];
    private bool _disposed;

    /// <summary>Buffers handed out and not yet returned.</summary>
    public int Outstanding
    {
        get
        {
            lock (_lock)
            {
                return _shelves.Sum(s => s.Out);
            }
        }
    }

    /// <summary>Bytes mapped, in use or not.</summary>
    public long MappedBytes
    {
        get
        {
            lock (_lock)
            {
                return _shelves.Sum(s => (long)s.Capacity * (s.Out + s.Free.Count));
            }
        }
    }

    /// <summary>Takes a buffer of at least the given size; its content is undefined. The caller is its only holder.</summary>
    public NativeBuffer Rent(int bytes)
    {
        var capacity = (Math.Max(bytes, 1) + Page - 1) / Page * Page;
        NativeBuffer? buffer = null;
        lock (_lock)
        {
            var shelf = ShelfFor(capacity);
            shelf.Out++;
            if (shelf.Free.Count > 0)
            {
                buffer = shelf.Free.Pop();
                shelf.Least = Math.Min(shelf.Least, shelf.Free.Count);
            }
        }

        buffer ??= new NativeBuffer(this, Libc.MapAnonymous(capacity), capacity);
        buffer.Hand();
        return buffer;
    }

    internal void Return(NativeBuffer buffer)
    {
        lock (_lock)
        {
            var shelf = ShelfFor(buffer.Capacity);
            shelf.Out--;
            if (!_disposed)
            {
                shelf.Free.Push(buffer);
                return;
            }
        }

        Libc.Unmap(buffer.Address, buffer.Capacity);
    }

    /// <summary>Unmaps what lay idle since the call before.</summary>
    public void Trim()
    {
        lock (_lock)
        {
            foreach (var shelf in _shelves)
            {
                for (; shelf.Least > 0; shelf.Least--)
                {
                    var buffer = shelf.Free.Pop();
                    Libc.Unmap(buffer.Address, buffer.Capacity);
                }

                shelf.Least = shelf.Free.Count;
            }
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            foreach (var shelf in _shelves)
            {
                while (shelf.Free.TryPop(out var buffer))
                {
                    Libc.Unmap(buffer.Address, buffer.Capacity);
                }
            }
        }
    }

    private Shelf ShelfFor(int capacity)
    {
        foreach (var shelf in _shelves)
        {
            if (shelf.Capacity == capacity)
            {
                return shelf;
            }
        }

        var made = new Shelf(capacity);
        _shelves.Add(made);
        return made;
    }

    private sealed class Shelf(int capacity)
    {
        public int Capacity { get; } = capacity;
        public Stack<NativeBuffer> Free { get; } = new();
        public int Out { get; set; }

        /// <summary>Fewest free buffers since the last trim: so many were not needed.</summary>
        public int Least { get; set; }
    }
}
