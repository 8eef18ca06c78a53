using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>Arithmetic on chunks.</summary>
internal static class Reduction
{
    /// <summary>Additions run several times faster while both operands and the result stay in the second-level cache.</summary>
    private const int SliceElements = 64 * 1024 / sizeof(float);

    /// <summary>Adds a contribution to a sum, element by element.</summary>
    public static void Accumulate(Span<byte> sum, ReadOnlySpan<byte> contribution, ElementType type)
    {
        if (type != ElementType.Float32)
        {
            throw new ArgumentOutOfRangeException(nameof(type));
        }

        var target = MemoryMarshal.Cast<byte, float>(sum);
        var source = MemoryMarshal.Cast<byte, float>(contribution);
        while (!target.IsEmpty)
        {
            var n = Math.Min(SliceElements, target.Length);
            TensorPrimitives.Add(target[..n], source[..n], target[..n]);
            target = target[n..];
            source = source[n..];
        }
    }

    /// <summary>Makes the result of the sum over all workers.</summary>
    public static void Finish(Span<byte> sum, ElementType type, ReduceOperation operation, int world)
    {
        if (operation == ReduceOperation.Mean)
        {
            var values = MemoryMarshal.Cast<byte, float>(sum);
            TensorPrimitives.Divide(values, world, values);
        }
    }
}
