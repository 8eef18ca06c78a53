using System.Buffers.Binary;

namespace MLNet.SDN.Aggregation.Wire;

/// <summary>What a frame carries.</summary>
internal enum FrameType : byte
{
    /// <summary>A partial sum, from child to parent.</summary>
    Partial = 1,

    /// <summary>A finished result, from parent to child.</summary>
    Result = 2,

    /// <summary>The result of an earlier epoch, from a member that holds it to the root of a later one, in place of its partial sum.</summary>
    Held = 3,
}

/// <summary>
/// The fixed part of a data frame, little endian, 96 bytes; behind it the contributors (one bit per rank) and the payload. docs/protocol.md §3 is the authority.
/// </summary>
internal readonly record struct FrameHeader
{
    public const int Bytes = 96;

    /// <summary>"MLNF".</summary>
    public const uint Magic = 0x464E_4C4D;

    public const byte Version = 2;

    /// <summary>Bits for 8,192 ranks.</summary>
    public const int MaxContributorBytes = 1024;

    /// <summary>A cap that holds before anything is known of the job: no frame may ask for more.</summary>
    public const int MaxPayloadBytes = 16 << 20;

    private const int ChecksumOffset = 88;
    private const byte FixedOrderFlag = 1;

    public required FrameType Type { get; init; }
    public required ElementType ElementType { get; init; }
    public required ReduceOperation Operation { get; init; }
    public required long JobId { get; init; }
    public required uint Stream { get; init; }
    public required ushort Shard { get; init; }
    public required ushort ContributorBytes { get; init; }
    public required ulong Round { get; init; }

    /// <summary>Bytes of the whole message that is reduced; differing shapes show here.</summary>
    public required long MessageBytes { get; init; }

    public required uint Chunk { get; init; }
    public required int PayloadBytes { get; init; }
    public required Epoch Epoch { get; init; }

    /// <summary>How the payload is written: <see cref="ElementType"/>, or float32 for partial sums of 16-bit numbers.</summary>
    public required ElementType PayloadType { get; init; }

    /// <summary>Contributions are taken in one order, so that the same ones give the same bits whenever they come.</summary>
    public required bool FixedOrder { get; init; }

    /// <summary>Epoch in which the stream's next round begins; zero where the sender does not know it.</summary>
    public required Epoch Next { get; init; }

    /// <summary>CRC-32C of header (this field zero), contributors and payload.</summary>
    public uint Checksum { get; init; }

    /// <summary>Writes the header with a checksum of zero; see <see cref="Seal"/>.</summary>
    public void Write(Span<byte> target)
    {
        target[..Bytes].Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(target, Magic);
        target[4] = Version;
        target[5] = (byte)Type;
        target[6] = (byte)ElementType;
        target[7] = (byte)Operation;
        BinaryPrimitives.WriteInt64LittleEndian(target[8..], JobId);
        BinaryPrimitives.WriteUInt32LittleEndian(target[16..], Stream);
        BinaryPrimitives.WriteUInt16LittleEndian(target[20..], Shard);
        BinaryPrimitives.WriteUInt16LittleEndian(target[22..], ContributorBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(target[24..], Round);
        BinaryPrimitives.WriteInt64LittleEndian(target[32..], MessageBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(target[40..], Chunk);
        BinaryPrimitives.WriteInt32LittleEndian(target[44..], PayloadBytes);
        BinaryPrimitives.WriteInt64LittleEndian(target[48..], Epoch.Trees.Term);
        BinaryPrimitives.WriteInt64LittleEndian(target[56..], Epoch.Trees.Generation);
        BinaryPrimitives.WriteUInt32LittleEndian(target[64..], Epoch.Attempt);
        target[68] = (byte)PayloadType;
        target[69] = FixedOrder ? FixedOrderFlag : (byte)0;
        BinaryPrimitives.WriteInt64LittleEndian(target[72..], Next.Trees.Term);
        BinaryPrimitives.WriteInt64LittleEndian(target[80..], Next.Trees.Generation);
        BinaryPrimitives.WriteUInt32LittleEndian(target[92..], Next.Attempt);
    }

    /// <summary>Writes the checksum into a written header.</summary>
    /// <param name="headerAndContributors">The header and the contributors behind it.</param>
    /// <param name="payload">The payload.</param>
    public static void Seal(Span<byte> headerAndContributors, ReadOnlySpan<byte> payload)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(headerAndContributors[ChecksumOffset..], 0);
        var sum = Crc32C.Append(Crc32C.Append(Crc32C.Start, headerAndContributors), payload);
        BinaryPrimitives.WriteUInt32LittleEndian(headerAndContributors[ChecksumOffset..], Crc32C.Finish(sum));
    }

    /// <summary>Whether a received frame is as it was sent. Clears the checksum field of the bytes given.</summary>
    public bool Verify(Span<byte> headerAndContributors, ReadOnlySpan<byte> payload)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(headerAndContributors[ChecksumOffset..], 0);
        return Crc32C.Finish(Crc32C.Append(Crc32C.Append(Crc32C.Start, headerAndContributors), payload)) == Checksum;
    }

    /// <summary>Reads a header. False for anything that no sender of this version writes; never throws.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out FrameHeader header)
    {
        header = default;
        if (bytes.Length < Bytes
            || BinaryPrimitives.ReadUInt32LittleEndian(bytes) != Magic
            || bytes[4] != Version
            || (bytes[69] & ~FixedOrderFlag) != 0
            || BinaryPrimitives.ReadUInt16LittleEndian(bytes[70..]) != 0)
        {
            return false;
        }

        header = new FrameHeader
        {
            Type = (FrameType)bytes[5],
            ElementType = (ElementType)bytes[6],
            Operation = (ReduceOperation)bytes[7],
            JobId = BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]),
            Stream = BinaryPrimitives.ReadUInt32LittleEndian(bytes[16..]),
            Shard = BinaryPrimitives.ReadUInt16LittleEndian(bytes[20..]),
            ContributorBytes = BinaryPrimitives.ReadUInt16LittleEndian(bytes[22..]),
            Round = BinaryPrimitives.ReadUInt64LittleEndian(bytes[24..]),
            MessageBytes = BinaryPrimitives.ReadInt64LittleEndian(bytes[32..]),
            Chunk = BinaryPrimitives.ReadUInt32LittleEndian(bytes[40..]),
            PayloadBytes = BinaryPrimitives.ReadInt32LittleEndian(bytes[44..]),
            Epoch = new Epoch(
                new TreesRevision(BinaryPrimitives.ReadInt64LittleEndian(bytes[48..]), BinaryPrimitives.ReadInt64LittleEndian(bytes[56..])),
                BinaryPrimitives.ReadUInt32LittleEndian(bytes[64..])),
            PayloadType = (ElementType)bytes[68],
            FixedOrder = (bytes[69] & FixedOrderFlag) != 0,
            Next = new Epoch(
                new TreesRevision(BinaryPrimitives.ReadInt64LittleEndian(bytes[72..]), BinaryPrimitives.ReadInt64LittleEndian(bytes[80..])),
                BinaryPrimitives.ReadUInt32LittleEndian(bytes[92..])),
            Checksum = BinaryPrimitives.ReadUInt32LittleEndian(bytes[ChecksumOffset..]),
        };

        return header.Type is FrameType.Partial or FrameType.Result or FrameType.Held
            && Elements.IsKnown(header.ElementType)
            && Elements.IsKnown(header.Operation)
            && (header.PayloadType == header.ElementType
                || (header is { Type: FrameType.Partial, PayloadType: ElementType.Float32 } && Elements.SumsWide(header.ElementType, header.Operation)))
            && header.ContributorBytes is > 0 and <= MaxContributorBytes
            && header.PayloadBytes is >= 0 and <= MaxPayloadBytes
            && header.PayloadBytes > 0 == Elements.HasPayload(header.Type, header.Operation)
            && (header.Type, header.Operation) is not (FrameType.Held, ReduceOperation.Push)
            && header.MessageBytes is > 0 and <= Memory.SharedAreaLayout.MaxCapacity
            && header.MessageBytes % Elements.Bytes(header.ElementType) == 0
            && header.Chunk <= int.MaxValue
            && header.Round < MaxRound
            && header.Epoch.IsWellFormed
            && header.Next.IsWellFormed;
    }

    /// <summary>Rounds are counted from 0 and never come near this.</summary>
    public const ulong MaxRound = 1UL << 62;
}
