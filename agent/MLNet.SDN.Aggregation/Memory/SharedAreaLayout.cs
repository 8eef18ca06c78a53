using System.Buffers.Binary;

namespace MLNet.SDN.Aggregation.Memory;

/// <summary>
/// Where things lie in the memory that an agent shares with one worker for one stream; docs/protocol.md §5 is the authority.
/// One page of header, one page of slot headers, then for each of the two slots the contribution and the result, each of <c>capacity</c> bytes.
/// </summary>
internal static class SharedAreaLayout
{
    internal const ulong Magic = 0x314D_4853_4E4C_4D31; // "1MLNSHM1"
    internal const int Version = 1;
    internal const int Slots = 2;
    internal const int Page = 4096;

    private const int HeaderBytes = 40;
    private const int SlotHeaders = Page;
    private const int SlotHeaderStride = 256;
    private const int Data = 2 * Page;

    /// <summary>Largest message of one stream, 64 GiB: keeps every product of sizes within 63 bits.</summary>
    internal const long MaxCapacity = 1L << 36;

    /// <summary>Smallest power of two that holds the message, at least a page.</summary>
    internal static long CapacityFor(long bytes) => (long)System.Numerics.BitOperations.RoundUpToPowerOf2((ulong)Math.Max(bytes, Page));

    internal static long FileBytes(long capacity) => Data + (Slots * 2 * capacity);

    internal static long SlotHeader(int slot) => SlotHeaders + (slot * SlotHeaderStride);

    internal static long Contribution(int slot, long capacity) => Data + (slot * 2 * capacity);

    internal static long Result(int slot, long capacity) => Data + (((slot * 2) + 1) * capacity);

    internal static void WriteHeader(Span<byte> page, long jobId, int rank, uint stream, long capacity)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(page, Magic);
        BinaryPrimitives.WriteInt32LittleEndian(page[8..], Version);
        BinaryPrimitives.WriteInt32LittleEndian(page[12..], Slots);
        BinaryPrimitives.WriteInt64LittleEndian(page[16..], jobId);
        BinaryPrimitives.WriteInt32LittleEndian(page[24..], rank);
        BinaryPrimitives.WriteUInt32LittleEndian(page[28..], stream);
        BinaryPrimitives.WriteInt64LittleEndian(page[32..], capacity);
    }

    /// <summary>Whether the page says what <see cref="WriteHeader"/> wrote for these.</summary>
    internal static bool IsHeader(ReadOnlySpan<byte> page, long jobId, int rank, uint stream, long capacity)
    {
        Span<byte> expected = stackalloc byte[HeaderBytes];
        WriteHeader(expected, jobId, rank, stream, capacity);
        return page[..HeaderBytes].SequenceEqual(expected);
    }
}

/// <summary>State of a slot as it stands in shared memory, so that it outlives the agent.</summary>
internal enum SlotStatus
{
    /// <summary>Nothing asked for.</summary>
    Empty = 0,

    /// <summary>Contribution complete, result awaited.</summary>
    Submitted = 1,

    /// <summary>Result complete.</summary>
    Done = 2,

    /// <summary>The round failed.</summary>
    Failed = 3,
}
