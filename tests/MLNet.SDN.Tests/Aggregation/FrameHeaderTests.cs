using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation;

public class FrameHeaderTests
{
    private static readonly FrameHeader Sample = new()
    {
        Type = FrameType.Partial,
        ElementType = ElementType.Float32,
        Operation = ReduceOperation.Mean,
        JobId = long.MaxValue,
        Stream = uint.MaxValue,
        Shard = 65_535,
        ContributorBytes = 3,
        Round = FrameHeader.MaxRound - 1,
        MessageBytes = 1L << 36,
        Chunk = int.MaxValue,
        PayloadBytes = 16,
        Epoch = new Epoch(new TreesRevision(5, 6), 7),
        PayloadType = ElementType.Float32,
        FixedOrder = true,
        Next = new Epoch(new TreesRevision(8, 9), 10),
    };

    [Fact]
    public void Write_ThenRead_GivesEveryFieldBack()
    {
        var wire = Frame(Sample, out var payload);

        Assert.True(FrameHeader.TryRead(wire, out var read));
        Assert.Equal(Sample, read with { Checksum = 0 });
        Assert.True(read.Verify(wire.AsSpan(0, 99), payload));
    }

    [Fact]
    public void Layout_IsThatOfTheProtocol()
    {
        var header = new FrameHeader
        {
            Type = FrameType.Result, ElementType = ElementType.Float16, Operation = ReduceOperation.Sum, JobId = 0x0102030405060708,
            Stream = 0x11121314, Shard = 0x2122, ContributorBytes = 1, Round = 0x31, MessageBytes = 0x40, Chunk = 0x51, PayloadBytes = 0x10,
            Epoch = new Epoch(new TreesRevision(0x61, 0x62), 0x63), PayloadType = ElementType.Float16, FixedOrder = true, Next = new Epoch(new TreesRevision(0x71, 0x72), 0x73),
        };
        var wire = new byte[FrameHeader.Bytes];

        header.Write(wire);

        Assert.Equal(
            "4D4C4E46 02020301 0807060504030201 14131211 2221 0100 3100000000000000 4000000000000000 51000000 10000000 "
            + "6100000000000000 6200000000000000 63000000 03010000 7100000000000000 7200000000000000 00000000 73000000",
            Grouped(wire, 4, 4, 8, 4, 2, 2, 8, 8, 4, 4, 8, 8, 4, 4, 8, 8, 4, 4));
    }

    [Theory]
    [InlineData(true, ElementType.BFloat16, ReduceOperation.Mean, ElementType.Float32, true)]
    [InlineData(true, ElementType.Float16, ReduceOperation.Sum, ElementType.Float16, true)]
    [InlineData(true, ElementType.Float16, ReduceOperation.Max, ElementType.Float32, false)] // the greatest of 16-bit numbers is one
    [InlineData(false, ElementType.BFloat16, ReduceOperation.Sum, ElementType.Float32, false)]
    [InlineData(true, ElementType.Int32, ReduceOperation.Sum, ElementType.Float32, false)]
    [InlineData(true, ElementType.Float32, ReduceOperation.Sum, ElementType.Float64, false)]
    public void TryRead_PayloadTypes_OnlyThoseThatPartialSumsHave(bool isPartial, ElementType elements, ReduceOperation operation, ElementType payload, bool accepted)
    {
        var wire = new byte[FrameHeader.Bytes];
        (Sample with { Type = isPartial ? FrameType.Partial : FrameType.Result, ElementType = elements, Operation = operation, PayloadType = payload }).Write(wire);

        Assert.Equal(accepted, FrameHeader.TryRead(wire, out _));
    }

    [Theory]
    [InlineData(1, ReduceOperation.Push, 16, true)]
    [InlineData(1, ReduceOperation.Push, 0, false)]
    [InlineData(2, ReduceOperation.Push, 0, true)]
    [InlineData(2, ReduceOperation.Push, 16, false)]
    [InlineData(3, ReduceOperation.Push, 16, false)] // the server alone holds what was pushed, and it is at the root
    [InlineData(3, ReduceOperation.Push, 0, false)]
    [InlineData(1, ReduceOperation.Pull, 0, true)]
    [InlineData(1, ReduceOperation.Pull, 16, false)]
    [InlineData(2, ReduceOperation.Pull, 16, true)]
    [InlineData(2, ReduceOperation.Pull, 0, false)]
    [InlineData(3, ReduceOperation.Pull, 16, true)]
    [InlineData(1, ReduceOperation.Sum, 0, false)]
    [InlineData(2, ReduceOperation.Sum, 0, false)]
    [InlineData(1, (ReduceOperation)7, 16, false)]
    public void TryRead_PushesAndPulls_CarryNumbersOneWayOnly(byte type, ReduceOperation operation, int payload, bool accepted)
    {
        var wire = new byte[FrameHeader.Bytes];
        (Sample with { Type = (FrameType)type, Operation = operation, PayloadBytes = payload }).Write(wire);

        Assert.Equal(accepted, FrameHeader.TryRead(wire, out _));
    }

    [Fact]
    public void TryRead_EveryTruncation_IsRefused()
    {
        var wire = Frame(Sample, out _);
        for (var length = 0; length < FrameHeader.Bytes; length++)
        {
            Assert.False(FrameHeader.TryRead(wire.AsSpan(0, length), out _));
        }
    }

    [Fact]
    public void AnyFlippedBit_IsRefusedByHeaderOrChecksum()
    {
        var original = Frame(Sample, out _);
        for (var bit = 0; bit < original.Length * 8; bit++)
        {
            var wire = (byte[])original.Clone();
            wire[bit / 8] ^= (byte)(1 << (bit % 8));
            var accepted = FrameHeader.TryRead(wire, out var header)
                && header.ContributorBytes == Sample.ContributorBytes
                && header.PayloadBytes == Sample.PayloadBytes
                && header.Verify(wire.AsSpan(0, 99), wire.AsSpan(99));
            Assert.False(accepted, $"bit {bit} of {original.Length * 8}");
        }
    }

    [Fact]
    public void TryRead_RandomBytesBehindARightStart_NeverThrowAndNeverGiveLengthsBeyondTheCaps()
    {
        var random = new Random(1);
        var wire = new byte[FrameHeader.Bytes];
        for (var i = 0; i < 200_000; i++)
        {
            random.NextBytes(wire);
            Sample.Write(i % 2 == 0 ? wire : new byte[FrameHeader.Bytes]);
            for (var n = random.Next(1, 6); n > 0; n--)
            {
                wire[random.Next(4, wire.Length)] = (byte)random.Next(256);
            }

            if (FrameHeader.TryRead(wire, out var header))
            {
                Assert.InRange(header.PayloadBytes, Elements.NeedsServer(header.Operation) ? 0 : 1, FrameHeader.MaxPayloadBytes);
                Assert.InRange((int)header.ContributorBytes, 1, FrameHeader.MaxContributorBytes);
                Assert.True(header.MessageBytes > 0 && header.MessageBytes % Elements.Bytes(header.ElementType) == 0);
            }
        }
    }

    [Theory]
    [InlineData("", 0x00000000u)]
    [InlineData("123456789", 0xE3069283u)] // RFC 3720 §B.4 check value of CRC-32C
    public void Crc32C_KnownText_KnownValue(string text, uint expected)
    {
        var bytes = System.Text.Encoding.ASCII.GetBytes(text);

        Assert.Equal(expected, Crc32C.Finish(Crc32C.Append(Crc32C.Start, bytes)));
    }

    [Fact]
    public void Crc32C_InPieces_IsThatOfTheWhole()
    {
        var random = new Random(3);
        var bytes = new byte[120_011]; // runs of large blocks, of small ones and of single words
        random.NextBytes(bytes);
        var whole = Crc32C.Append(Crc32C.Start, bytes);
        for (var cut = 0; cut < bytes.Length; cut += 617)
        {
            Assert.Equal(whole, Crc32C.Append(Crc32C.Append(Crc32C.Start, bytes.AsSpan(0, cut)), bytes.AsSpan(cut)));
        }

        // One at a time, by the definition: nothing is summed side by side.
        var bitwise = Crc32C.Start;
        foreach (var value in bytes)
        {
            bitwise ^= value;
            for (var bit = 0; bit < 8; bit++)
            {
                bitwise = (bitwise >> 1) ^ ((bitwise & 1) * 0x82F63B78);
            }
        }

        Assert.Equal(bitwise, whole);
    }

    private static byte[] Frame(FrameHeader header, out byte[] payload)
    {
        payload = [.. Enumerable.Range(0, header.PayloadBytes).Select(i => (byte)(i * 37))];
        var head = new byte[FrameHeader.Bytes + header.ContributorBytes];
        header.Write(head);
        head[FrameHeader.Bytes] = 0x5A;
        FrameHeader.Seal(head, payload);
        return [.. head, .. payload];
    }

    private static string Grouped(byte[] bytes, params int[] sizes)
    {
        var at = 0;
        return string.Join(' ', sizes.Select(size => Convert.ToHexString(bytes, (at += size) - size, size)));
    }
}
