using System.Net;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Capture;

/// <summary>What makes packets one flow: the 5-tuple, the code point they carry, and the side of the wire. Host byte order throughout.</summary>
/// <param name="Source">Source address; an IPv4 address in the low 32 bits.</param>
/// <param name="Destination">Destination address, as the source.</param>
/// <param name="SourcePort">0 where the packet has none: fragments after the first.</param>
/// <param name="DestinationPort">As the source port.</param>
/// <param name="Protocol">IP protocol number: 6 TCP, 17 UDP.</param>
/// <param name="Dscp">0..63, as seen.</param>
/// <param name="Direction">Sent or received by this host.</param>
/// <param name="IsIPv6">Which family the addresses are of.</param>
internal readonly record struct FlowKey(
    UInt128 Source, UInt128 Destination, ushort SourcePort, ushort DestinationPort, byte Protocol, byte Dscp, FlowDirection Direction, bool IsIPv6)
{
    // HashCode is seeded per process, so nobody on the wire can choose flows that all meet in one bucket.
    /// <inheritdoc />
    public override int GetHashCode() => HashCode.Combine(
        (ulong)(Source >> 64), (ulong)Source, (ulong)(Destination >> 64), (ulong)Destination,
        ((uint)SourcePort << 16) | DestinationPort,
        ((uint)Protocol << 24) | ((uint)Dscp << 16) | ((uint)Direction << 8) | (IsIPv6 ? 1u : 0u));

    /// <summary>An address of this flow as the framework's type.</summary>
    public static IPAddress ToAddress(UInt128 value, bool isIPv6)
    {
        Span<byte> bytes = stackalloc byte[16];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt128BigEndian(bytes, value);
        return new IPAddress(isIPv6 ? bytes : bytes[12..]);
    }

    /// <summary>The number that <see cref="Source"/> and <see cref="Destination"/> hold for an address.</summary>
    public static UInt128 FromAddress(IPAddress address)
    {
        Span<byte> bytes = stackalloc byte[16];
        bytes.Clear();
        address.TryWriteBytes(address.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6 ? bytes : bytes[12..], out _);
        return System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(bytes);
    }
}
