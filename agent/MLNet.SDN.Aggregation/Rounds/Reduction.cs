using System.Numerics;
using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>
/// Arithmetic on chunks. 16-bit numbers that are added become binary32 with the first addition and are rounded once, when the result is made;
/// a partial sum in that form is called wide. Allocates nothing.
/// </summary>
internal static class Reduction
{
    /// <summary>Additions run several times faster while both operands and the result stay in the second-level cache.</summary>
    private const int SliceBytes = 64 * 1024;

    /// <summary>16-bit numbers converted at a time, on the stack.</summary>
    private const int ConvertedElements = 2048;

    /// <summary>Takes a contribution or partial sum into another of the same form, element by element.</summary>
    /// <param name="sum">Partial sum; becomes that of both.</param>
    /// <param name="other">As long as <paramref name="sum"/>.</param>
    /// <param name="type">How both are written: <see cref="ElementType.Float32"/> for wide ones.</param>
    /// <param name="operation">What is done; <see cref="ReduceOperation.Mean"/> adds, see <see cref="Finish"/>.</param>
    public static void Accumulate(Span<byte> sum, ReadOnlySpan<byte> other, ElementType type, ReduceOperation operation)
    {
        switch (type)
        {
            case ElementType.Float32:
                Accumulate<float>(sum, other, operation);
                break;
            case ElementType.Float64:
                Accumulate<double>(sum, other, operation);
                break;
            case ElementType.Int32:
                Accumulate<int>(sum, other, operation);
                break;
            case ElementType.Int64:
                Accumulate<long>(sum, other, operation);
                break;
            case ElementType.Float16 or ElementType.BFloat16 when !Elements.SumsWide(type, operation):
                Compare(MemoryMarshal.Cast<byte, ushort>(sum), MemoryMarshal.Cast<byte, ushort>(other), type, operation);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(type), type, "16-bit numbers are added in wide form.");
        }
    }

    /// <summary>Adds a contribution of 16-bit numbers to a wide sum.</summary>
    [SkipLocalsInit]
    public static void AccumulateNarrow(Span<byte> wideSum, ReadOnlySpan<byte> contribution, ElementType type)
    {
        var sum = MemoryMarshal.Cast<byte, float>(wideSum);
        var narrow = MemoryMarshal.Cast<byte, ushort>(contribution);
        Span<float> scratch = stackalloc float[ConvertedElements];
        for (var at = 0; at < narrow.Length; at += ConvertedElements)
        {
            var n = Math.Min(ConvertedElements, narrow.Length - at);
            ToSingle(narrow.Slice(at, n), scratch, type);
            TensorPrimitives.Add(sum.Slice(at, n), scratch[..n], sum.Slice(at, n));
        }
    }

    /// <summary>Turns a contribution of 16-bit numbers into a wide sum where it lies.</summary>
    /// <param name="buffer">Twice as long as the contribution, which lies in its first half.</param>
    /// <param name="type">Type of the contribution.</param>
    [SkipLocalsInit]
    public static void Widen(Span<byte> buffer, ElementType type)
    {
        var wide = MemoryMarshal.Cast<byte, float>(buffer);
        var narrow = MemoryMarshal.Cast<byte, ushort>(buffer)[..wide.Length];
        Span<ushort> scratch = stackalloc ushort[ConvertedElements];

        // From the end: what is written lies behind everything that is still to be read.
        for (var end = narrow.Length; end > 0;)
        {
            var n = Math.Min(ConvertedElements, end);
            end -= n;
            narrow.Slice(end, n).CopyTo(scratch);
            ToSingle(scratch[..n], wide.Slice(end, n), type);
        }
    }

    /// <summary>Makes the result of what all workers contributed, where it lies.</summary>
    /// <param name="sum">The sum; wide for 16-bit numbers unless there is one worker. The result lies in its first bytes.</param>
    /// <param name="type">Type of the message.</param>
    /// <param name="operation">What is done.</param>
    /// <param name="world">Number of workers.</param>
    public static void Finish(Span<byte> sum, ElementType type, ReduceOperation operation, int world)
    {
        if (world == 1)
        {
            return;
        }

        var wide = Elements.SumsWide(type, operation);
        if (operation == ReduceOperation.Mean)
        {
            switch (wide ? ElementType.Float32 : type)
            {
                case ElementType.Float32:
                    Divide<float>(sum, world);
                    break;
                case ElementType.Float64:
                    Divide<double>(sum, world);
                    break;
                case ElementType.Int32:
                    Divide<int>(sum, world);
                    break;
                default:
                    Divide<long>(sum, world);
                    break;
            }
        }

        if (wide)
        {
            Narrow(sum, type);
        }
    }

    /// <summary>Rounds a wide sum to the nearest 16-bit numbers, ties to even, where it lies; they fill its first half.</summary>
    [SkipLocalsInit]
    private static void Narrow(Span<byte> buffer, ElementType type)
    {
        var wide = MemoryMarshal.Cast<byte, float>(buffer);
        var narrow = MemoryMarshal.Cast<byte, ushort>(buffer)[..wide.Length];
        Span<float> scratch = stackalloc float[ConvertedElements];
        for (var at = 0; at < wide.Length; at += ConvertedElements)
        {
            var n = Math.Min(ConvertedElements, wide.Length - at);
            wide.Slice(at, n).CopyTo(scratch);
            FromSingle(scratch[..n], narrow.Slice(at, n), type);
        }
    }

    private static void Accumulate<T>(Span<byte> sumBytes, ReadOnlySpan<byte> otherBytes, ReduceOperation operation)
        where T : unmanaged, INumber<T>
    {
        var sum = MemoryMarshal.Cast<byte, T>(sumBytes);
        var other = MemoryMarshal.Cast<byte, T>(otherBytes);
        var slice = SliceBytes / Unsafe.SizeOf<T>();
        while (!sum.IsEmpty)
        {
            var n = Math.Min(slice, sum.Length);
            Take(sum[..n], other[..n], operation);
            sum = sum[n..];
            other = other[n..];
        }
    }

    private static void Take<T>(Span<T> sum, ReadOnlySpan<T> other, ReduceOperation operation)
        where T : unmanaged, INumber<T>
    {
        switch (operation)
        {
            case ReduceOperation.Min:
                TensorPrimitives.Min(sum, other, sum);
                break;
            case ReduceOperation.Max:
                TensorPrimitives.Max(sum, other, sum);
                break;
            default:
                TensorPrimitives.Add(sum, other, sum);
                break;
        }
    }

    private static void Divide<T>(Span<byte> sum, int world)
        where T : unmanaged, INumber<T>
    {
        var values = MemoryMarshal.Cast<byte, T>(sum);
        TensorPrimitives.Divide(values, T.CreateChecked(world), values);
    }

    /// <summary>Least or greatest of 16-bit numbers: exact, as each is a binary32 too.</summary>
    [SkipLocalsInit]
    private static void Compare(Span<ushort> sum, ReadOnlySpan<ushort> other, ElementType type, ReduceOperation operation)
    {
        Span<float> left = stackalloc float[ConvertedElements];
        Span<float> right = stackalloc float[ConvertedElements];
        for (var at = 0; at < sum.Length; at += ConvertedElements)
        {
            var n = Math.Min(ConvertedElements, sum.Length - at);
            ToSingle(sum.Slice(at, n), left, type);
            ToSingle(other.Slice(at, n), right, type);
            Take<float>(left[..n], right[..n], operation);
            FromSingle(left[..n], sum.Slice(at, n), type);
        }
    }

    private static void ToSingle(ReadOnlySpan<ushort> source, Span<float> target, ElementType type)
    {
        if (type == ElementType.Float16)
        {
            TensorPrimitives.ConvertToSingle(MemoryMarshal.Cast<ushort, Half>(source), target);
        }
        else
        {
            BFloat16.ToSingle(source, target);
        }
    }

    private static void FromSingle(ReadOnlySpan<float> source, Span<ushort> target, ElementType type)
    {
        if (type == ElementType.Float16)
        {
            TensorPrimitives.ConvertToHalf(source, MemoryMarshal.Cast<ushort, Half>(target));
        }
        else
        {
            BFloat16.FromSingle(source, target);
        }
    }
}
