using System.Runtime.InteropServices;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation.Model;

/// <summary>What virtual workers reduce, and what must come back.</summary>
internal abstract class VirtualMessage(ElementType type, ReduceOperation operation, bool fixedOrder = false)
{
    /// <summary>Whole numbers in binary32, added.</summary>
    public static VirtualMessage Numbers { get; } = new ChaosMessage(false);

    public int ElementBytes => Elements.Bytes(type);

    public MessageShape Shape(uint stream, int elements) => new((long)elements * ElementBytes, type, Operation(stream), fixedOrder);

    /// <summary>What is done on a stream.</summary>
    protected virtual ReduceOperation Operation(uint stream) => operation;

    /// <summary>Whether a rank gets a result of the stream.</summary>
    public virtual bool Gets(int rank, uint stream) => true;

    /// <summary>A whole number that names rank, round and element.</summary>
    public static int Number(int rank, uint stream, ulong round, int i) => ((i * 7) + (rank * 13) + ((int)round * 29) + ((int)stream * 31)) % 1009;

    /// <summary>The contribution of a rank.</summary>
    public abstract byte[] Contribution(int rank, uint stream, ulong round, int elements);

    /// <summary>Whether the result is right; throws when it is not.</summary>
    public abstract void Check(int world, uint stream, ulong round, ReadOnlySpan<byte> result);
}

/// <summary>
/// Sums in binary32. Even streams carry whole numbers that name rank and round, so that every contribution that is lost or doubled shows; odd ones carry numbers
/// whose sum depends on the order of addition, so that two results of one round show.
/// </summary>
internal sealed class ChaosMessage(bool fixedOrder) : VirtualMessage(ElementType.Float32, ReduceOperation.Sum, fixedOrder)
{
    private const double Rounding = 1e-5;

    public override byte[] Contribution(int rank, uint stream, ulong round, int elements)
    {
        var bytes = new byte[elements * ElementBytes];
        var values = MemoryMarshal.Cast<byte, float>(bytes.AsSpan());
        for (var i = 0; i < elements; i++)
        {
            values[i] = Value(rank, stream, round, i);
        }

        return bytes;
    }

    public override void Check(int world, uint stream, ulong round, ReadOnlySpan<byte> result)
    {
        var values = MemoryMarshal.Cast<byte, float>(result);
        for (var i = 0; i < values.Length; i++)
        {
            var sum = 0d;
            for (var rank = 0; rank < world; rank++)
            {
                sum += Value(rank, stream, round, i);
            }

            GuaranteeBrokenException.Unless(
                Math.Abs(sum - values[i]) <= (stream % 2 == 0 ? 0 : sum * Rounding), $"G1: stream {stream}, round {round}, element {i} of {values.Length}: {values[i]} instead of {sum}");
        }
    }

    private static float Value(int rank, uint stream, ulong round, int i)
    {
        var whole = Number(rank, stream, round, i);
        return stream % 2 == 0 ? whole : MathF.Sqrt(whole + 1.3f) * (1 + (rank * 0.37f));
    }
}
