using System.Buffers.Binary;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation.Model;

/// <summary>
/// What a job with a server exchanges: on even streams workers push small whole numbers, whose sum is exact in every type and goes to the server alone; on odd ones the
/// server gives numbers to all. Where a rank has nothing to say its memory holds what must never show.
/// </summary>
internal sealed class ServerMessage(ElementType type, int server, bool fixedOrder) : VirtualMessage(type, ReduceOperation.Push, fixedOrder)
{
    private const byte NeverShown = 0xAB;

    /// <summary>Of seven workers at most, so that the sum of all has the eight bits that a bfloat16 can hold.</summary>
    private const int Largest = 30;

    private readonly ElementType _type = type;

    public static readonly ElementType[] Types = [ElementType.Float32, ElementType.Float64, ElementType.Float16, ElementType.BFloat16, ElementType.Int32, ElementType.Int64];

    protected override ReduceOperation Operation(uint stream) => IsPush(stream) ? ReduceOperation.Push : ReduceOperation.Pull;

    public override bool Gets(int rank, uint stream) => (rank == server) == IsPush(stream);

    public override byte[] Contribution(int rank, uint stream, ulong round, int elements)
    {
        var bytes = new byte[elements * ElementBytes];
        if (Gets(rank, stream))
        {
            bytes.AsSpan().Fill(NeverShown);
            return bytes;
        }

        for (var i = 0; i < elements; i++)
        {
            Write(Value(rank, stream, round, i), bytes.AsSpan(i * ElementBytes));
        }

        return bytes;
    }

    public override void Check(int world, uint stream, ulong round, ReadOnlySpan<byte> result)
    {
        Span<byte> expected = stackalloc byte[sizeof(long)];
        expected = expected[..ElementBytes];
        for (var i = 0; i * ElementBytes < result.Length; i++)
        {
            var value = IsPush(stream) ? Enumerable.Range(0, world).Where(r => r != server).Sum(r => Value(r, stream, round, i)) : Value(server, stream, round, i);
            Write(value, expected);
            var got = result.Slice(i * ElementBytes, ElementBytes);
            GuaranteeBrokenException.Unless(
                got.SequenceEqual(expected), $"G1: {Elements.Name(Operation(stream))} of {Elements.Name(_type)}, stream {stream}, round {round}, element {i}: {Convert.ToHexString(got)} instead of {value}");
        }
    }

    private static bool IsPush(uint stream) => stream % 2 == 0;

    private static int Value(int rank, uint stream, ulong round, int i) => Number(rank, stream, round, i) % Largest;

    private void Write(int value, Span<byte> target)
    {
        switch (_type)
        {
            case ElementType.Float32:
                BinaryPrimitives.WriteSingleLittleEndian(target, value);
                break;
            case ElementType.Float64:
                BinaryPrimitives.WriteDoubleLittleEndian(target, value);
                break;
            case ElementType.Float16:
                BinaryPrimitives.WriteHalfLittleEndian(target, (Half)value);
                break;
            case ElementType.BFloat16:
                BinaryPrimitives.WriteUInt16LittleEndian(target, (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16));
                break;
            case ElementType.Int32:
                BinaryPrimitives.WriteInt32LittleEndian(target, value);
                break;
            default:
                BinaryPrimitives.WriteInt64LittleEndian(target, value);
                break;
        }
    }
}
