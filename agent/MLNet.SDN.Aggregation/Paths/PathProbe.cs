using System.Buffers.Binary;
using System.Net;

namespace MLNet.SDN.Aggregation.Paths;

/// <summary>A packet that dies on the way: a TCP SYN with the addresses and ports of a connection to come and a short life. The router at which it dies says so, and thereby its name.</summary>
/// <remarks>
/// Routers hash addresses and ports, so the probe takes the way the connection will take. Layout: RFC 791 §3.1, RFC 9293 §3.1; the answer RFC 792, "time exceeded".
/// The TCP checksum is left zero on purpose: routers do not look at it, and a host that a probe reaches after all drops it without a word.
/// </remarks>
internal static class PathProbe
{
    /// <summary>Bytes of a probe on the IP layer.</summary>
    public const int Bytes = 40;

    private const byte Tcp = 6;
    private const byte TimeExceeded = 11;

    /// <summary>Writes a probe. The kernel fills in source address, length and header checksum.</summary>
    /// <param name="packet">At least <see cref="Bytes"/> long.</param>
    /// <param name="destination">IPv4.</param>
    /// <param name="sourcePort">Port of the connection to come.</param>
    /// <param name="destinationPort">The peer's.</param>
    /// <param name="hops">Routers after which it dies, 1..255; comes back in the answer.</param>
    /// <param name="dscp">0..63.</param>
    public static void Write(Span<byte> packet, IPAddress destination, int sourcePort, int destinationPort, byte hops, byte dscp)
    {
        packet = packet[..Bytes];
        packet.Clear();
        packet[0] = 0x45;
        packet[1] = (byte)(dscp << 2);
        BinaryPrimitives.WriteUInt16BigEndian(packet[2..], Bytes);
        BinaryPrimitives.WriteUInt16BigEndian(packet[4..], hops);
        packet[8] = hops;
        packet[9] = Tcp;
        destination.TryWriteBytes(packet[16..], out _);
        BinaryPrimitives.WriteUInt16BigEndian(packet[20..], (ushort)sourcePort);
        BinaryPrimitives.WriteUInt16BigEndian(packet[22..], (ushort)destinationPort);
        packet[32] = 5 << 4;
        packet[33] = 0x02; // SYN
        BinaryPrimitives.WriteUInt16BigEndian(packet[34..], 1024);
    }

    /// <summary>Reads a packet from a raw ICMP socket.</summary>
    /// <param name="packet">With its IP header.</param>
    /// <param name="destination">Where the probes were sent.</param>
    /// <param name="destinationPort">To which port.</param>
    /// <param name="answer">Which probe died where.</param>
    /// <returns>False when it answers no probe to that destination.</returns>
    public static bool TryReadAnswer(ReadOnlySpan<byte> packet, IPAddress destination, int destinationPort, out ProbeAnswer answer)
    {
        answer = default;
        if (packet.Length < 20 || packet[0] >> 4 != 4)
        {
            return false;
        }

        var icmp = packet[Math.Min(packet.Length, (packet[0] & 15) * 4)..];
        if (icmp.Length < 8 + 20 + 8 || icmp[0] != TimeExceeded || icmp[1] != 0)
        {
            return false;
        }

        var probe = icmp[8..];
        var tcp = probe[Math.Min(probe.Length, (probe[0] & 15) * 4)..];
        Span<byte> expected = stackalloc byte[4];
        if (tcp.Length < 8 || probe[0] >> 4 != 4 || probe[9] != Tcp || !destination.TryWriteBytes(expected, out _) || !probe[16..20].SequenceEqual(expected)
            || BinaryPrimitives.ReadUInt16BigEndian(tcp[2..]) != destinationPort)
        {
            return false;
        }

        answer = new(BinaryPrimitives.ReadUInt16BigEndian(tcp), BinaryPrimitives.ReadUInt16BigEndian(probe[4..]), new IPAddress(packet[12..16]));
        return answer.Hops is >= 1 and <= byte.MaxValue;
    }
}

/// <summary>Where a probe died.</summary>
/// <param name="SourcePort">Of the probe.</param>
/// <param name="Hops">Routers it passed, that one included.</param>
/// <param name="Router">Address of the router.</param>
internal readonly record struct ProbeAnswer(int SourcePort, int Hops, IPAddress Router);
