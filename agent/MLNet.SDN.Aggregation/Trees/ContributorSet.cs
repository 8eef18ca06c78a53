using System.Numerics;
using System.Runtime.InteropServices;

namespace MLNet.SDN.Aggregation.Trees;

/// <summary>Sets of ranks as bits in 64-bit words, rank r at bit r mod 64 of word r / 64. All spans of one job have the same length.</summary>
internal static class ContributorSet
{
    public static int Words(int world) => (world + 63) / 64;

    /// <summary>Length on the wire: one bit per rank, rank r at bit r mod 8 of byte r / 8, padded with zero bits.</summary>
    public static int WireBytes(int world) => (world + 7) / 8;

    public static void Add(Span<ulong> set, int rank) => set[rank >> 6] |= 1UL << (rank & 63);

    public static bool Contains(ReadOnlySpan<ulong> set, int rank) => (set[rank >> 6] & (1UL << (rank & 63))) != 0;

    public static void Unite(Span<ulong> set, ReadOnlySpan<ulong> other)
    {
        for (var i = 0; i < set.Length; i++)
        {
            set[i] |= other[i];
        }
    }

    public static bool Intersects(ReadOnlySpan<ulong> a, ReadOnlySpan<ulong> b)
    {
        for (var i = 0; i < a.Length; i++)
        {
            if ((a[i] & b[i]) != 0)
            {
                return true;
            }
        }

        return false;
    }

    public static bool IsSubset(ReadOnlySpan<ulong> part, ReadOnlySpan<ulong> whole)
    {
        for (var i = 0; i < part.Length; i++)
        {
            if ((part[i] & ~whole[i]) != 0)
            {
                return false;
            }
        }

        return true;
    }

    public static bool IsEmpty(ReadOnlySpan<ulong> set) => !set.ContainsAnyExcept(0UL);

    public static int Count(ReadOnlySpan<ulong> set)
    {
        var count = 0;
        foreach (var word in set)
        {
            count += BitOperations.PopCount(word);
        }

        return count;
    }

    /// <summary>The ranks in order.</summary>
    public static IEnumerable<int> Ranks(ulong[] set)
    {
        for (var rank = 0; rank < set.Length * 64; rank++)
        {
            if (Contains(set, rank))
            {
                yield return rank;
            }
        }
    }

    public static void Write(ReadOnlySpan<ulong> set, Span<byte> wire) => MemoryMarshal.AsBytes(set)[..wire.Length].CopyTo(wire);

    /// <summary>Reads a set from the wire. False when its length is not that of the job or a bit beyond the last rank is set.</summary>
    public static bool TryRead(ReadOnlySpan<byte> wire, int world, Span<ulong> set)
    {
        if (wire.Length != WireBytes(world))
        {
            return false;
        }

        set.Clear();
        wire.CopyTo(MemoryMarshal.AsBytes(set));
        var used = world & 7;
        return used == 0 || wire[^1] >> used == 0;
    }
}
