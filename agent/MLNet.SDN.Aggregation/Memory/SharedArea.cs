using System.Buffers.Binary;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Memory;

/// <summary>
/// The memory shared with one worker for one stream. Made and sealed here, so nobody can cut it under our feet; no offset or length is ever read from it.
/// Counted by its holders: the mapping goes when the last round that uses it has ended.
/// </summary>
internal sealed unsafe class SharedArea
{
    private const int SlotHeaderBytes = 128;

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

    /// <summary>Bytes of the file, all of which are mapped.</summary>
    public long FileBytes => SharedAreaLayout.FileBytes(Capacity);

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

            address = Map(fd, size);
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

    /// <summary>
    /// Takes back memory that an earlier life of the agent made. Nothing in it is believed that could harm more than its own job.
    /// </summary>
    /// <param name="fd">Ours from now on, also when it is refused.</param>
    /// <param name="jobId">The job that it must belong to.</param>
    /// <param name="rank">The worker that it must belong to.</param>
    /// <param name="stream">The stream that it must belong to.</param>
    /// <param name="capacity">As the worker says; the file must have the size and the seals that belong to it.</param>
    /// <returns>Null when it is not such memory.</returns>
    public static SharedArea? TryRestore(int fd, long jobId, int rank, uint stream, long capacity)
    {
        if (capacity is < SharedAreaLayout.Page or > SharedAreaLayout.MaxCapacity
            || !System.Numerics.BitOperations.IsPow2(capacity)
            || !Libc.IsSealedMemory(fd, SharedAreaLayout.FileBytes(capacity)))
        {
            _ = Libc.Close(fd);
            return null;
        }

        byte* address;
        try
        {
            address = Map(fd, SharedAreaLayout.FileBytes(capacity));
        }
        catch (IOException)
        {
            _ = Libc.Close(fd);
            return null;
        }

        var area = new SharedArea(fd, address, capacity);
        if (!SharedAreaLayout.IsHeader(new ReadOnlySpan<byte>(address, SharedAreaLayout.Page), jobId, rank, stream, capacity))
        {
            area.Release();
            return null;
        }

        return area;
    }

    /// <summary>Reads what an earlier life of the agent wrote of a round. False when it wrote nothing, or nothing that makes sense.</summary>
    public bool TryReadSlot(uint stream, ulong round, out MessageShape shape, out SlotStatus status, out Epoch promised)
    {
        // A copy: the worker may write to it at any time, and what is checked must be what is used.
        Span<byte> header = stackalloc byte[SlotHeaderBytes];
        SlotHeader(round).CopyTo(header);
        status = (SlotStatus)BinaryPrimitives.ReadInt32LittleEndian(header[72..]);
        shape = new MessageShape(BinaryPrimitives.ReadInt64LittleEndian(header[16..]), (ElementType)header[4], (ReduceOperation)header[5], header[6] == 1);
        promised = new Epoch(
            new TreesRevision(BinaryPrimitives.ReadInt64LittleEndian(header[24..]), BinaryPrimitives.ReadInt64LittleEndian(header[32..])),
            BinaryPrimitives.ReadUInt32LittleEndian(header[40..]));
        return status is SlotStatus.Submitted or SlotStatus.Done or SlotStatus.Failed
            && BinaryPrimitives.ReadUInt32LittleEndian(header) == stream
            && BinaryPrimitives.ReadUInt64LittleEndian(header[8..]) == round
            && Elements.IsKnown(shape.Type)
            && Elements.IsKnown(shape.Operation)
            && header[6] <= 1
            && shape.Bytes > 0
            && shape.Bytes <= Capacity
            && shape.Bytes % Elements.Bytes(shape.Type) == 0
            && promised.IsWellFormed
            && !promised.IsNone;
    }

    public byte* Contribution(ulong round) => _base + SharedAreaLayout.Contribution((int)(round % SharedAreaLayout.Slots), Capacity);

    public byte* Result(ulong round) => _base + SharedAreaLayout.Result((int)(round % SharedAreaLayout.Slots), Capacity);

    /// <summary>Writes what a restarted agent needs to know of the round; see docs/protocol.md §5.</summary>
    public void WriteSubmitted(uint stream, ulong round, Epoch epoch, in MessageShape shape)
    {
        WriteStatus(round, SlotStatus.Empty);
        var header = SlotHeader(round);
        header.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(header, stream);
        header[4] = (byte)shape.Type;
        header[5] = (byte)shape.Operation;
        header[6] = shape.FixedOrder ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteUInt64LittleEndian(header[8..], round);
        BinaryPrimitives.WriteInt64LittleEndian(header[16..], shape.Bytes);
        WritePromise(round, epoch);
        WriteStatus(round, SlotStatus.Submitted);
    }

    /// <summary>Writes the highest epoch that is answered with this contribution. To be called before it is.</summary>
    public void WritePromise(ulong round, Epoch epoch) => WriteEpoch(round, 24, epoch);

    public void WriteDone(ulong round, Epoch epoch)
    {
        WriteEpoch(round, 48, epoch);
        WriteStatus(round, SlotStatus.Done);
    }

    public void WriteFailed(ulong round) => WriteStatus(round, SlotStatus.Failed);

    public void AddHolder() => Interlocked.Increment(ref _holders);

    public void Release()
    {
        if (Interlocked.Decrement(ref _holders) == 0)
        {
            Libc.Unmap(_base, FileBytes);
            AddressSpace.GiveBack(FileBytes);
            _ = Libc.Close(FileDescriptor);
        }
    }

    private static byte* Map(int fd, long bytes)
    {
        if (!AddressSpace.TryTake(bytes))
        {
            throw new IOException($"The workers of this host have mapped more than {AddressSpace.MostInAll >> 40} TiB.");
        }

        try
        {
            return Libc.MapShared(fd, bytes);
        }
        catch
        {
            AddressSpace.GiveBack(bytes);
            throw;
        }
    }

    /// <summary>The highest word first: whenever the agent dies in between, what stands there is no lower than what was promised.</summary>
    private void WriteEpoch(ulong round, int offset, Epoch epoch)
    {
        var at = _base + SharedAreaLayout.SlotHeader((int)(round % SharedAreaLayout.Slots)) + offset;
        Volatile.Write(ref *(long*)at, epoch.Trees.Term);
        Volatile.Write(ref *(long*)(at + 8), epoch.Trees.Generation);
        Volatile.Write(ref *(uint*)(at + 16), epoch.Attempt);
    }

    private void WriteStatus(ulong round, SlotStatus status)
    {
        // The other side may look at any time: what the status speaks of is written before it.
        Volatile.Write(ref *(int*)(_base + SharedAreaLayout.SlotHeader((int)(round % SharedAreaLayout.Slots)) + 72), (int)status);
    }

    private Span<byte> SlotHeader(ulong round) => new(_base + SharedAreaLayout.SlotHeader((int)(round % SharedAreaLayout.Slots)), SlotHeaderBytes);
}
