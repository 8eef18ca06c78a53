using System.Buffers.Binary;
using MLNet.SDN.Aggregation.Rounds;

namespace MLNet.SDN.Aggregation.Memory;

/// <summary>
/// The memory shared with one worker for one stream. Made and sealed here, so nobody can cut it under our feet; no offset or length is ever read from it.
/// Counted by its holders: the mapping goes when the last round that uses it has ended.
/// </summary>
internal sealed unsafe class SharedArea
{
    private readonly byte* _base;
    private int _holders = 1;

    private SharedArea(int fd, byte* address, long capacity)
    {
        FileDescriptor = fd;
        _base = address;
        Capacity = capacity;
    }

    /// <summary>Bytes of the largest message.</summary>
    public long Capacity { get; }

    /// <summary>To be passed to the worker; open as long as the area lives.</summary>
    public int FileDescriptor { get; }

    public static SharedArea Create(long jobId, int rank, uint stream, long bytes)
    {
        var capacity = SharedAreaLayout.CapacityFor(bytes);
        var size = SharedAreaLayout.FileBytes(capacity);
        var fd = Libc.CreateSealedMemory($"mlnet-{jobId}-{rank}-{stream}", size);
        byte* address;
        try
        {
            if (!DescriptorReserve.Spares(fd))
            {
                throw new IOException("The agent is short of file descriptors.");
            }

            address = Libc.MapShared(fd, size);
        }
        catch
        {
            _ = Libc.Close(fd);
            throw;
        }

        var area = new SharedArea(fd, address, capacity);
        SharedAreaLayout.WriteHeader(new Span<byte>(address, SharedAreaLayout.Page), jobId, rank, stream, capacity);
        return area;
    }

    public byte* Contribution(ulong round) => _base + SharedAreaLayout.Contribution((int)(round % SharedAreaLayout.Slots), Capacity);

    public byte* Result(ulong round) => _base + SharedAreaLayout.Result((int)(round % SharedAreaLayout.Slots), Capacity);

    /// <summary>Writes what a restarted agent needs to know of the round; see docs/protocol.md §5.</summary>
    public void WriteSubmitted(uint stream, ulong round, TreesRevision epoch, MessageShape shape)
    {
        var header = SlotHeader(round);
        header.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(header, stream);
        header[4] = (byte)shape.Type;
        header[5] = (byte)shape.Operation;
        header[6] = shape.FixedOrder ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteUInt64LittleEndian(header[8..], round);
        BinaryPrimitives.WriteInt64LittleEndian(header[16..], shape.Bytes);
        BinaryPrimitives.WriteInt64LittleEndian(header[24..], epoch.Term);
        BinaryPrimitives.WriteInt64LittleEndian(header[32..], epoch.Generation);
        WriteStatus(round, SlotStatus.Submitted);
    }

    public void WriteDone(ulong round, TreesRevision epoch)
    {
        var header = SlotHeader(round);
        BinaryPrimitives.WriteInt64LittleEndian(header[48..], epoch.Term);
        BinaryPrimitives.WriteInt64LittleEndian(header[56..], epoch.Generation);
        WriteStatus(round, SlotStatus.Done);
    }

    public void WriteFailed(ulong round) => WriteStatus(round, SlotStatus.Failed);

    public void AddHolder() => Interlocked.Increment(ref _holders);

    public void Release()
    {
        if (Interlocked.Decrement(ref _holders) == 0)
        {
            Libc.Unmap(_base, SharedAreaLayout.FileBytes(Capacity));
            _ = Libc.Close(FileDescriptor);
        }
    }

    private void WriteStatus(ulong round, SlotStatus status)
    {
        // The other side may look at any time: what the status speaks of is written before it.
        Volatile.Write(ref *(int*)(_base + SharedAreaLayout.SlotHeader((int)(round % SharedAreaLayout.Slots)) + 72), (int)status);
    }

    private Span<byte> SlotHeader(ulong round) => new(_base + SharedAreaLayout.SlotHeader((int)(round % SharedAreaLayout.Slots)), 128);
}
