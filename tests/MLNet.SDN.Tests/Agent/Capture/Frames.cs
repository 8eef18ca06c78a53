using System.Buffers.Binary;
using System.Net;

namespace MLNet.SDN.Tests.Agent.Capture;

/// <summary>Builds frames byte by byte, as the RFCs draw them.</summary>
internal static class Frames
{
    public const byte Tcp = 6;
    public const byte Udp = 17;

    public static byte[] Ethernet(byte[] packet, ushort type, params ushort[] vlanTypes)
    {
        List<byte> frame = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        foreach (var vlan in vlanTypes)
        {
            frame.AddRange([(byte)(vlan >> 8), (byte)vlan, 0x20, 0x64]);
        }

        return [.. frame, (byte)(type >> 8), (byte)type, .. packet];
    }

    public static byte[] EthernetIPv4(byte[] packet, params ushort[] vlanTypes) => Ethernet(packet, 0x0800, vlanTypes);

    public static byte[] EthernetIPv6(byte[] packet, params ushort[] vlanTypes) => Ethernet(packet, 0x86DD, vlanTypes);

    public static byte[] IPv4(
        byte[] payload, byte protocol = Tcp, string source = "10.0.0.2", string destination = "10.0.0.6", int dscp = 0, int ecn = 0, int options = 0, int fragmentOffset = 0)
    {
        var header = new byte[20 + options];
        header[0] = (byte)(0x40 | (header.Length / 4));
        header[1] = (byte)((dscp << 2) | ecn);
        BinaryPrimitives.WriteUInt16BigEndian(header.AsSpan(2), (ushort)(header.Length + payload.Length));
        BinaryPrimitives.WriteUInt16BigEndian(header.AsSpan(6), (ushort)fragmentOffset);
        header[8] = 64;
        header[9] = protocol;
        IPAddress.Parse(source).TryWriteBytes(header.AsSpan(12), out _);
        IPAddress.Parse(destination).TryWriteBytes(header.AsSpan(16), out _);
        return [.. header, .. payload];
    }

    public static byte[] IPv6(byte[] payload, byte next = Tcp, string source = "2001:db8::2", string destination = "2001:db8::6", int dscp = 0)
    {
        var header = new byte[40];
        BinaryPrimitives.WriteUInt32BigEndian(header, 0x60000000u | ((uint)dscp << 22) | 0x12345);
        BinaryPrimitives.WriteUInt16BigEndian(header.AsSpan(4), (ushort)payload.Length);
        header[6] = next;
        header[7] = 64;
        IPAddress.Parse(source).TryWriteBytes(header.AsSpan(8), out _);
        IPAddress.Parse(destination).TryWriteBytes(header.AsSpan(24), out _);
        return [.. header, .. payload];
    }

    /// <summary>An extension header of 8 + 8 * extra bytes; for the fragment header, <paramref name="extra"/> is its reserved byte.</summary>
    public static byte[] Extension(byte next, byte[] rest, byte extra = 0, ushort fragment = 0) =>
        [next, extra, (byte)(fragment >> 8), (byte)fragment, .. new byte[4 + (8 * extra)], .. rest];

    public static byte[] TcpSegment(int sourcePort, int destinationPort, int payload = 0, int flags = 0x10, int options = 12)
    {
        var segment = new byte[20 + options + payload];
        BinaryPrimitives.WriteUInt16BigEndian(segment, (ushort)sourcePort);
        BinaryPrimitives.WriteUInt16BigEndian(segment.AsSpan(2), (ushort)destinationPort);
        segment[12] = (byte)((20 + options) / 4 << 4);
        segment[13] = (byte)flags;
        return segment;
    }

    public static byte[] UdpDatagram(int sourcePort, int destinationPort, int payload = 0)
    {
        var datagram = new byte[8 + payload];
        BinaryPrimitives.WriteUInt16BigEndian(datagram, (ushort)sourcePort);
        BinaryPrimitives.WriteUInt16BigEndian(datagram.AsSpan(2), (ushort)destinationPort);
        BinaryPrimitives.WriteUInt16BigEndian(datagram.AsSpan(4), (ushort)datagram.Length);
        return datagram;
    }
}
