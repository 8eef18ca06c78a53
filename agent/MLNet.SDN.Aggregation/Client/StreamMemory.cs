using MLNet.SDN.Aggregation.Memory;

namespace MLNet.SDN.Aggregation.Client;

/// <summary>The memory shared with the agent for one stream, seen from the worker. docs/protocol.md §5 is the authority.</summary>
internal sealed unsafe class StreamMemory : IDisposable
{
    private readonly byte* _base;
    private readonly long _bytes;

    /// <exception cref="IOException">The memory cannot be mapped; the descriptor is closed.</exception>
    public StreamMemory(int descriptor, long bytes, long capacity)
    {
        Descriptor = descriptor;
        _bytes = bytes;
        Capacity = capacity;
        try
        {
            // The layout that the offsets below count on.
            if (capacity <= 0 || capacity > SharedAreaLayout.MaxCapacity || bytes != SharedAreaLayout.FileBytes(capacity))
            {
                throw new IOException($"The agent named shared memory of {bytes} bytes for messages of up to {capacity}.");
            }

            _base = Libc.MapShared(descriptor, bytes);
        }
        catch
        {
            _ = Libc.Close(descriptor);
            throw;
        }
    }

    /// <summary>Open as long as this; an agent that is started anew is given it.</summary>
    public int Descriptor { get; }

    /// <summary>Bytes of the largest message.</summary>
    public long Capacity { get; }

    /// <summary>Puts a contribution in its place.</summary>
    public void Write(ulong round, ReadOnlySpan<byte> contribution) =>
        contribution.CopyTo(new Span<byte>(_base + SharedAreaLayout.Contribution((int)(round % SharedAreaLayout.Slots), Capacity), contribution.Length));

    /// <summary>Copies a result, or the part of it that begins with a byte, out.</summary>
    public void Read(ulong round, Span<byte> result, long offset) =>
        new ReadOnlySpan<byte>(_base + SharedAreaLayout.Result((int)(round % SharedAreaLayout.Slots), Capacity) + offset, result.Length).CopyTo(result);

    public void Dispose()
    {
        Libc.Unmap(_base, _bytes);
        _ = Libc.Close(Descriptor);
    }
}
