using System.Numerics;
using System.Runtime.InteropServices;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>Conversion of bfloat16, the upper half of a binary32.</summary>
internal static class BFloat16
{
    private const int HalfBits = 16;
    private const uint Infinity = 0x7F80_0000;
    private const uint Magnitude = 0x7FFF_FFFF;
    private const ushort Quiet = 0x0040;

    /// <summary>Exact.</summary>
    public static void ToSingle(ReadOnlySpan<ushort> source, Span<float> target)
    {
        var words = MemoryMarshal.Cast<float, uint>(target);
        var at = 0;
        for (; at <= source.Length - Vector<ushort>.Count; at += Vector<ushort>.Count)
        {
            Vector.Widen(new Vector<ushort>(source[at..]), out var low, out var high);
            (low << HalfBits).CopyTo(words[at..]);
            (high << HalfBits).CopyTo(words[(at + Vector<uint>.Count)..]);
        }

        for (; at < source.Length; at++)
        {
            words[at] = (uint)source[at] << HalfBits;
        }
    }

    /// <summary>To the nearest, ties to even; a NaN stays one.</summary>
    public static void FromSingle(ReadOnlySpan<float> source, Span<ushort> target)
    {
        var words = MemoryMarshal.Cast<float, uint>(source);
        var at = 0;
        for (; at <= words.Length - Vector<ushort>.Count; at += Vector<ushort>.Count)
        {
            var low = Round(new Vector<uint>(words[at..]));
            var high = Round(new Vector<uint>(words[(at + Vector<uint>.Count)..]));
            Vector.Narrow(low, high).CopyTo(target[at..]);
        }

        for (; at < words.Length; at++)
        {
            var bits = words[at];
            target[at] = (bits & Magnitude) > Infinity ? (ushort)((bits >> HalfBits) | Quiet) : (ushort)((bits + 0x7FFF + ((bits >> HalfBits) & 1)) >> HalfBits);
        }
    }

    private static Vector<uint> Round(Vector<uint> bits)
    {
        var upper = bits >> HalfBits;
        var rounded = (bits + new Vector<uint>(0x7FFF) + (upper & Vector<uint>.One)) >> HalfBits;
        var isNumber = Vector.LessThanOrEqual(bits & new Vector<uint>(Magnitude), new Vector<uint>(Infinity));
        return Vector.ConditionalSelect(isNumber, rounded, upper | new Vector<uint>(Quiet));
    }
}
