using System.Numerics;
using System.Runtime.InteropServices;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>What a reduction must give, one element at a time and without any of the code under test.</summary>
internal static class Reference
{
    /// <summary>Every type with every operation.</summary>
    public static IEnumerable<(ElementType Type, ReduceOperation Operation)> All =>
        from type in Enum.GetValues<ElementType>()
        from operation in Enum.GetValues<ReduceOperation>().Where(o => !Elements.NeedsServer(o))
        select (type, operation);

    /// <summary>An element from a whole number: as it is for floating point (rounded where it does not fit), spread over the whole range for integers.</summary>
    public static byte[] Encode(ElementType type, IEnumerable<int> values) => type switch
    {
        ElementType.Float32 => Bytes(values.Select(v => (float)v)),
        ElementType.Float64 => Bytes(values.Select(v => v + 0.5)),
        ElementType.Float16 => Bytes(values.Select(v => (Half)v)),
        ElementType.BFloat16 => Bytes(values.Select(v => RoundToBFloat16(v))),
        ElementType.Int32 => Bytes(values.Select(v => unchecked((int)(v * 2654435761L)))),
        ElementType.Int64 => Bytes(values.Select(v => unchecked(v * -7046029254386353131L))),
        _ => throw new ArgumentOutOfRangeException(nameof(type)),
    };

    /// <summary>The result of contributions by rank. Sums are taken in the order of the ranks, 16-bit ones in binary32.</summary>
    public static byte[] Reduce(ElementType type, ReduceOperation operation, byte[][] contributions) => type switch
    {
        ElementType.Float32 => Reduce<float>(operation, contributions),
        ElementType.Float64 => Reduce<double>(operation, contributions),
        ElementType.Int32 => Reduce<int>(operation, contributions),
        ElementType.Int64 => Reduce<long>(operation, contributions),
        _ => Narrow(type, Reduce<float>(operation, [.. contributions.Select(c => Widen(type, c))])),
    };

    public static byte[] Widen(ElementType type, byte[] narrow) =>
        Bytes(Of<ushort>(narrow).Select(bits => type == ElementType.Float16 ? (float)BitConverter.UInt16BitsToHalf(bits) : BitConverter.UInt32BitsToSingle((uint)bits << 16)));

    public static byte[] Narrow(ElementType type, byte[] wide) =>
        Bytes(Of<float>(wide).Select(v => type == ElementType.Float16 ? BitConverter.HalfToUInt16Bits((Half)v) : RoundToBFloat16(v)));

    /// <summary>The nearer of the two neighbours, that with an even last digit in a tie.</summary>
    public static ushort RoundToBFloat16(float value)
    {
        var lower = (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16);
        if (float.IsNaN(value))
        {
            return (ushort)(lower | 0x40);
        }

        var (below, above) = (Value(lower), Value((ushort)(lower + 1)));
        if (float.IsInfinity(value))
        {
            return lower;
        }

        var (toBelow, toAbove) = (Math.Abs((double)value - below), Math.Abs(above - value));
        return toBelow < toAbove || (toBelow == toAbove && lower % 2 == 0) ? lower : (ushort)(lower + 1);

        // Infinity stands where the next number would be if there were one.
        static double Value(ushort bits)
        {
            var v = BitConverter.UInt32BitsToSingle((uint)bits << 16);
            return float.IsInfinity(v) ? Math.CopySign(Math.Pow(2, 128), v) : v;
        }
    }

    public static byte[] Bytes<T>(IEnumerable<T> values)
        where T : unmanaged => MemoryMarshal.AsBytes<T>(values.ToArray()).ToArray();

    public static T[] Of<T>(ReadOnlySpan<byte> bytes)
        where T : unmanaged => MemoryMarshal.Cast<byte, T>(bytes).ToArray();

    private static byte[] Reduce<T>(ReduceOperation operation, byte[][] contributions)
        where T : unmanaged, INumber<T>
    {
        var values = contributions.Select(c => Of<T>(c)).ToArray();
        var result = new T[values[0].Length];
        for (var i = 0; i < result.Length; i++)
        {
            var all = values[0][i];
            for (var rank = 1; rank < values.Length; rank++)
            {
                var other = values[rank][i];
                all = operation switch { ReduceOperation.Min => T.Min(all, other), ReduceOperation.Max => T.Max(all, other), _ => unchecked(all + other) };
            }

            result[i] = operation == ReduceOperation.Mean ? all / T.CreateChecked(values.Length) : all;
        }

        return Bytes(result);
    }
}
