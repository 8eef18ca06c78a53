using System.Numerics;
using System.Runtime.InteropServices;

namespace MLNet.SDN.Aggregation.Wire;

/// <summary>CRC-32C (Castagnoli, reflected polynomial 0x82F63B78; RFC 3720 §12.1), by the processor's instruction where there is one.</summary>
internal static class Crc32C
{
    public const uint Start = 0xFFFF_FFFF;

    /// <summary>Carries a running value on over more bytes. Begin with <see cref="Start"/>, end with <see cref="Finish"/>.</summary>
    public static uint Append(uint running, ReadOnlySpan<byte> bytes)
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

    public static uint Finish(uint running) => ~running;
}
