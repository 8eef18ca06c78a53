using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MLNet.SDN.Aggregation.Wire;

/// <summary>
/// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78; RFC 3720 §12.1), by the processor's instruction where there is one. That instruction takes three cycles,
/// but a new one can begin in each: so three blocks are summed side by side and put together by tables (V. Gopal et al., <i>Fast CRC Computation for iSCSI
/// Polynomial Using CRC32 Instruction</i>, Intel 2011).
/// </summary>
internal static class Crc32C
{
    public const uint Start = 0xFFFF_FFFF;

    /// <summary>Three blocks of so many bytes first: over memory that no cache holds, the processor fetches ahead only within long runs (measured: twice as fast as with 1 KiB).</summary>
    private const int LargeBlockBytes = 16 * 1024;

    /// <summary>And of so many behind them: large against the cost of putting them together.</summary>
    private const int BlockBytes = 1024;

    private static readonly uint[] OverOneLargeBlock = ShiftTable(LargeBlockBytes);
    private static readonly uint[] OverTwoLargeBlocks = ShiftTable(2 * LargeBlockBytes);
    private static readonly uint[] OverOneBlock = ShiftTable(BlockBytes);
    private static readonly uint[] OverTwoBlocks = ShiftTable(2 * BlockBytes);

    /// <summary>Carries a running value on over more bytes. Begin with <see cref="Start"/>, end with <see cref="Finish"/>.</summary>
    public static uint Append(uint running, ReadOnlySpan<byte> bytes)
    {
        running = AppendBlocks(running, ref bytes, LargeBlockBytes, OverOneLargeBlock, OverTwoLargeBlocks);
        running = AppendBlocks(running, ref bytes, BlockBytes, OverOneBlock, OverTwoBlocks);
        return AppendSerially(running, bytes);
    }

    public static uint Finish(uint running) => ~running;

    /// <summary>Takes as many bytes from the front as make whole triples of blocks.</summary>
    private static uint AppendBlocks(uint running, ref ReadOnlySpan<byte> bytes, int blockBytes, uint[] overOne, uint[] overTwo)
    {
        for (; bytes.Length >= 3 * blockBytes; bytes = bytes[(3 * blockBytes)..])
        {
            ref var words = ref Unsafe.As<byte, ulong>(ref MemoryMarshal.GetReference(bytes));
            var blockWords = blockBytes / sizeof(ulong);
            uint second = 0, third = 0;
            for (var i = 0; i < blockWords; i++)
            {
                running = BitOperations.Crc32C(running, Unsafe.ReadUnaligned<ulong>(ref Unsafe.As<ulong, byte>(ref Unsafe.Add(ref words, i))));
                second = BitOperations.Crc32C(second, Unsafe.ReadUnaligned<ulong>(ref Unsafe.As<ulong, byte>(ref Unsafe.Add(ref words, i + blockWords))));
                third = BitOperations.Crc32C(third, Unsafe.ReadUnaligned<ulong>(ref Unsafe.As<ulong, byte>(ref Unsafe.Add(ref words, i + (2 * blockWords)))));
            }

            running = Shift(running, overTwo) ^ Shift(second, overOne) ^ third;
        }

        return running;
    }

    private static uint AppendSerially(uint running, ReadOnlySpan<byte> bytes)
    {
        var words = MemoryMarshal.Cast<byte, ulong>(bytes);
        foreach (var word in words)
        {
            running = BitOperations.Crc32C(running, word);
        }

        foreach (var value in bytes[(words.Length * sizeof(ulong))..])
        {
            running = BitOperations.Crc32C(running, value);
        }

        return running;
    }

    private static uint Shift(uint running, uint[] table) =>
        table[running & 255] ^ table[256 + (running >> 8 & 255)] ^ table[512 + (running >> 16 & 255)] ^ table[768 + (running >> 24)];

    /// <summary>What becomes of a running value over so many zero bytes, by each of its four bytes: the checksum is linear.</summary>
    private static uint[] ShiftTable(int zeroBytes)
    {
        var zeros = new byte[zeroBytes];
        var table = new uint[4 * 256];
        for (var i = 0; i < table.Length; i++)
        {
            table[i] = AppendSerially((uint)(i & 255) << (i >> 8 << 3), zeros);
        }

        return table;
    }
}
