using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Capture;

/// <summary>TCP control bits that begin, join and end flows (RFC 9293 §3.1).</summary>
[Flags]
internal enum TcpFlags : byte
{
    /// <summary>None of those below.</summary>
    None = 0,

    /// <summary>No more data from this side.</summary>
    Fin = 0x01,

    /// <summary>A new connection.</summary>
    Syn = 0x02,

    /// <summary>The connection is gone.</summary>
    Rst = 0x04,

    /// <summary>The acknowledgement number counts.</summary>
    Ack = 0x10,
}

/// <summary>What a frame begins with.</summary>
internal enum LinkLayer
{
    /// <summary>Ethernet II, VLAN tags allowed.</summary>
    Ethernet,

    /// <summary>The IP header at once.</summary>
    RawIP,
}

/// <summary>The headers of one captured frame, as far as flows need them.</summary>
/// <param name="Key">The flow.</param>
/// <param name="PacketBytes">Bytes of the IP packet, headers included, link layer and Ethernet padding excluded.</param>
/// <param name="HeaderBytes">Bytes of IP and transport headers; of the IP header alone in fragments after the first.</param>
/// <param name="Flags">TCP control bits; none where there is no TCP header.</param>
/// <param name="Sequence">TCP sequence number.</param>
/// <param name="Acknowledgement">TCP acknowledgement number.</param>
internal readonly record struct PacketHeaders(FlowKey Key, int PacketBytes, int HeaderBytes, TcpFlags Flags, uint Sequence = 0, uint Acknowledgement = 0)
{
    /// <summary>The flow; a field, so that the table reads it in place.</summary>
    public readonly FlowKey Key = Key;

    private const int EthernetHeader = 14;
    private const int VlanTag = 4;
    private const int MaxVlanTags = 2;
    private const int IPv4Header = 20;
    private const int IPv6Header = 40;
    private const int TcpHeader = 20;
    private const int UdpHeader = 8;

    // A longer chain does not occur in practice, and each step costs: RFC 8200 §4.1 knows six kinds, one of them twice.
    private const int MaxExtensionHeaders = 8;

    private const byte HopByHop = 0;
    private const byte Tcp = 6;
    private const byte Udp = 17;
    private const byte Routing = 43;
    private const byte Fragment = 44;
    private const byte Authentication = 51;
    private const byte DestinationOptions = 60;
    private const byte Mobility = 135;

    /// <summary>Reads the headers of a captured frame without copying or allocating.</summary>
    /// <param name="frame">The frame from its link layer on; may be cut short by the snap length.</param>
    /// <param name="wireBytes">Length of the frame before it was cut.</param>
    /// <param name="link">What the frame begins with.</param>
    /// <param name="headers">The headers, when the result is <see langword="true"/>.</param>
    /// <param name="direction">Goes into the key: the frame does not tell it.</param>
    /// <returns><see langword="false"/> for what is not IP with TCP or UDP, is malformed, or was cut before its ports. Never throws: the wire is untrusted.</returns>
    /// <remarks>Layout: IEEE 802.1Q, RFC 791 §3.1, RFC 8200 §3-4, RFC 2474 §3 (DSCP), RFC 9293 §3.1, RFC 768.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static bool TryRead(ReadOnlySpan<byte> frame, int wireBytes, LinkLayer link, out PacketHeaders headers, FlowDirection direction = FlowDirection.Ingress)
    {
        headers = default;
        if (link == LinkLayer.Ethernet && !TrySkipEthernet(ref frame, ref wireBytes))
        {
            return false;
        }

        if (frame.IsEmpty || wireBytes < frame.Length)
        {
            return false;
        }

        return (frame[0] >> 4) switch
        {
            4 => TryReadIPv4(frame, wireBytes, direction, out headers),
            6 => TryReadIPv6(frame, wireBytes, direction, out headers),
            _ => false,
        };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TrySkipEthernet(ref ReadOnlySpan<byte> frame, ref int wireBytes)
    {
        if (frame.Length < EthernetHeader)
        {
            return false;
        }

        var length = EthernetHeader;
        var type = BinaryPrimitives.ReadUInt16BigEndian(frame[12..]);
        for (var tags = 0; type is 0x8100 or 0x88A8 or 0x9100; tags++)
        {
            if (tags == MaxVlanTags || frame.Length < length + VlanTag)
            {
                return false;
            }

            type = BinaryPrimitives.ReadUInt16BigEndian(frame[(length + 2)..]);
            length += VlanTag;
        }

        if (type is not (0x0800 or 0x86DD))
        {
            return false;
        }

        frame = frame[length..];
        wireBytes -= length;
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TryReadIPv4(ReadOnlySpan<byte> ip, int wireBytes, FlowDirection direction, out PacketHeaders headers)
    {
        headers = default;
        if (ip.Length < IPv4Header)
        {
            return false;
        }

        var headerBytes = (ip[0] & 0x0F) * 4;
        int packetBytes = BinaryPrimitives.ReadUInt16BigEndian(ip[2..]);
        if (packetBytes == 0)
        {
            // The kernel merges more than 64 KiB into one frame ("BIG TCP") and then has no room for the length.
            packetBytes = wireBytes;
        }

        if (headerBytes < IPv4Header || ip.Length < headerBytes || packetBytes < headerBytes || packetBytes > wireBytes)
        {
            return false;
        }

        var isFirstFragment = (BinaryPrimitives.ReadUInt16BigEndian(ip[6..]) & 0x1FFF) == 0;
        return TryReadTransport(
            ip[headerBytes..], ip[9], isFirstFragment,
            BinaryPrimitives.ReadUInt32BigEndian(ip[12..]), BinaryPrimitives.ReadUInt32BigEndian(ip[16..]),
            (byte)(ip[1] >> 2), isIPv6: false, direction, packetBytes, headerBytes, out headers);
    }

    private static bool TryReadIPv6(ReadOnlySpan<byte> ip, int wireBytes, FlowDirection direction, out PacketHeaders headers)
    {
        headers = default;
        if (ip.Length < IPv6Header)
        {
            return false;
        }

        int payloadBytes = BinaryPrimitives.ReadUInt16BigEndian(ip[4..]);

        // Zero stands for a jumbogram (RFC 2675), which is also how the kernel merges more than 64 KiB.
        var packetBytes = payloadBytes == 0 ? wireBytes : IPv6Header + payloadBytes;
        if (packetBytes > wireBytes)
        {
            return false;
        }

        var next = ip[6];
        var headerBytes = IPv6Header;
        var isFirstFragment = true;
        for (var i = 0; next is HopByHop or Routing or Fragment or Authentication or DestinationOptions or Mobility; i++)
        {
            if (i == MaxExtensionHeaders || ip.Length < headerBytes + 8)
            {
                return false;
            }

            var extension = ip[headerBytes..];
            if (next == Fragment)
            {
                isFirstFragment &= (BinaryPrimitives.ReadUInt16BigEndian(extension[2..]) & 0xFFF8) == 0;
            }

            headerBytes += next switch
            {
                Fragment => 8,
                Authentication => (extension[1] + 2) * 4,
                _ => (extension[1] + 1) * 8,
            };
            next = extension[0];
            if (!isFirstFragment)
            {
                break;
            }
        }

        if (headerBytes > ip.Length || headerBytes > packetBytes)
        {
            return false;
        }

        return TryReadTransport(
            ip[headerBytes..], next, isFirstFragment,
            BinaryPrimitives.ReadUInt128BigEndian(ip[8..]), BinaryPrimitives.ReadUInt128BigEndian(ip[24..]),
            (byte)((BinaryPrimitives.ReadUInt16BigEndian(ip) >> 6) & 0x3F), isIPv6: true, direction, packetBytes, headerBytes, out headers);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TryReadTransport(
        ReadOnlySpan<byte> transport, byte protocol, bool isFirstFragment, UInt128 source, UInt128 destination,
        byte dscp, bool isIPv6, FlowDirection direction, int packetBytes, int headerBytes, out PacketHeaders headers)
    {
        headers = default;
        if (protocol is not (Tcp or Udp))
        {
            return false;
        }

        ushort sourcePort = 0, destinationPort = 0;
        uint sequence = 0, acknowledgement = 0;
        var flags = TcpFlags.None;
        if (isFirstFragment)
        {
            if (transport.Length < (protocol == Tcp ? 14 : UdpHeader))
            {
                return false;
            }

            sourcePort = BinaryPrimitives.ReadUInt16BigEndian(transport);
            destinationPort = BinaryPrimitives.ReadUInt16BigEndian(transport[2..]);
            var transportHeader = UdpHeader;
            if (protocol == Tcp)
            {
                transportHeader = (transport[12] >> 4) * 4;
                flags = (TcpFlags)transport[13] & (TcpFlags.Fin | TcpFlags.Syn | TcpFlags.Rst | TcpFlags.Ack);
                sequence = BinaryPrimitives.ReadUInt32BigEndian(transport[4..]);
                acknowledgement = BinaryPrimitives.ReadUInt32BigEndian(transport[8..]);
                if (transportHeader < TcpHeader)
                {
                    return false;
                }
            }

            headerBytes += transportHeader;
            if (headerBytes > packetBytes)
            {
                return false;
            }
        }

        headers = new PacketHeaders(
            new FlowKey(source, destination, sourcePort, destinationPort, protocol, dscp, direction, isIPv6), packetBytes, headerBytes, flags, sequence, acknowledgement);
        return true;
    }
}
