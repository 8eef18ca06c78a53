using System.Net;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Contracts;
using static MLNet.SDN.Tests.Agent.Capture.Frames;

namespace MLNet.SDN.Tests.Agent.Capture;

public sealed class PacketHeadersTests
{
    private const byte HopByHop = 0;
    private const byte Routing = 43;
    private const byte Fragment = 44;
    private const byte Esp = 50;
    private const byte Authentication = 51;
    private const byte DestinationOptions = 60;

    public static TheoryData<string, byte[]> GoodFrames => new()
    {
        { "IPv4 TCP", EthernetIPv4(IPv4(TcpSegment(40_000, 7471, 100), dscp: 34, ecn: 3)) },
        { "IPv4 with options", EthernetIPv4(IPv4(TcpSegment(40_000, 7471, 100), dscp: 34, options: 8)) },
        { "VLAN", EthernetIPv4(IPv4(TcpSegment(40_000, 7471, 100), dscp: 34), 0x8100) },
        { "QinQ", EthernetIPv4(IPv4(TcpSegment(40_000, 7471, 100), dscp: 34), 0x88A8, 0x8100) },
    };

    [Theory]
    [MemberData(nameof(GoodFrames))]
    public void TryRead_IPv4Tcp_GivesTheFlow(string what, byte[] frame)
    {
        Assert.True(PacketHeaders.TryRead(frame, frame.Length, LinkLayer.Ethernet, out var headers), what);
        Assert.Equal(
            new FlowKey(Number("10.0.0.2"), Number("10.0.0.6"), 40_000, 7471, 6, 34, FlowDirection.Ingress, IsIPv6: false), headers.Key);
        Assert.Equal(100, headers.PacketBytes - headers.HeaderBytes);
        Assert.Equal(TcpFlags.Ack, headers.Flags);
    }

    [Fact]
    public void TryRead_IPv6Udp_GivesTheFlow()
    {
        var frame = EthernetIPv6(IPv6(UdpDatagram(5000, 4791, 64), Udp, dscp: 46));

        Assert.True(PacketHeaders.TryRead(frame, frame.Length, LinkLayer.Ethernet, out var headers));

        Assert.Equal(new FlowKey(Number("2001:db8::2"), Number("2001:db8::6"), 5000, 4791, 17, 46, FlowDirection.Ingress, IsIPv6: true), headers.Key);
        Assert.Equal((112, 48), (headers.PacketBytes, headers.HeaderBytes));
    }

    [Fact]
    public void TryRead_IPv6ExtensionHeaders_AreSkippedAndCountAsHeaders()
    {
        var authentication = new byte[24];
        authentication[0] = DestinationOptions;
        authentication[1] = 4; // (4 + 2) * 4 bytes, RFC 4302 §2.2
        var packet = IPv6(
            Extension(Routing, Extension(Fragment, Extension(Authentication, [.. authentication, .. Extension(Tcp, TcpSegment(1, 2, 10))], fragment: 1), extra: 1)), HopByHop);

        Assert.True(PacketHeaders.TryRead(packet, packet.Length, LinkLayer.RawIP, out var headers));

        Assert.Equal((1, 2, (byte)6), (headers.Key.SourcePort, headers.Key.DestinationPort, headers.Key.Protocol));
        Assert.Equal(10, headers.PacketBytes - headers.HeaderBytes);
        Assert.Equal(40 + 8 + 16 + 8 + 24 + 8 + 32, headers.HeaderBytes);
    }

    [Theory]
    [InlineData(0x01, TcpFlags.Fin)]
    [InlineData(0x02, TcpFlags.Syn)]
    [InlineData(0x14, TcpFlags.Rst | TcpFlags.Ack)]
    [InlineData(0xE8, TcpFlags.None)]
    public void TryRead_TcpFlags_AreRead(int bits, object expected)
    {
        var packet = IPv4(TcpSegment(1, 2, flags: bits));

        Assert.True(PacketHeaders.TryRead(packet, packet.Length, LinkLayer.RawIP, out var headers));

        Assert.Equal((TcpFlags)expected, headers.Flags);
    }

    [Fact]
    public void TryRead_LaterFragment_HasNoPortsButCounts()
    {
        var v4 = IPv4(new byte[64], Udp, fragmentOffset: 185);
        var v6 = IPv6(Extension(Udp, new byte[64], fragment: 185 << 3), Fragment);

        Assert.True(PacketHeaders.TryRead(v4, v4.Length, LinkLayer.RawIP, out var first));
        Assert.True(PacketHeaders.TryRead(v6, v6.Length, LinkLayer.RawIP, out var second));

        Assert.Equal((0, 0, (byte)17, 84), (first.Key.SourcePort, first.Key.DestinationPort, first.Key.Protocol, first.PacketBytes));
        Assert.Equal((0, 0, (byte)17, 112), (second.Key.SourcePort, second.Key.DestinationPort, second.Key.Protocol, second.PacketBytes));
    }

    [Fact]
    public void TryRead_EthernetPadding_IsNotCounted()
    {
        var frame = EthernetIPv4(IPv4(TcpSegment(1, 2, options: 0)));
        Array.Resize(ref frame, 60);

        Assert.True(PacketHeaders.TryRead(frame, 60, LinkLayer.Ethernet, out var headers));

        Assert.Equal(40, headers.PacketBytes);
    }

    [Fact]
    public void TryRead_MergedBeyond64KiB_TakesTheLengthFromTheFrame()
    {
        var v4 = EthernetIPv4(IPv4(TcpSegment(1, 2, 60)));
        v4[16] = v4[17] = 0;
        var v6 = EthernetIPv6(IPv6(TcpSegment(1, 2, 60)));
        v6[18] = v6[19] = 0;

        Assert.True(PacketHeaders.TryRead(v4, 200_000, LinkLayer.Ethernet, out var first));
        Assert.True(PacketHeaders.TryRead(v6, 200_000, LinkLayer.Ethernet, out var second));

        Assert.Equal((200_000 - 14, 200_000 - 14), (first.PacketBytes, second.PacketBytes));
    }

    public static TheoryData<string, byte[]> BadFrames => new()
    {
        { "ARP", Ethernet(new byte[28], 0x0806) },
        { "three VLAN tags", EthernetIPv4(IPv4(TcpSegment(1, 2)), 0x88A8, 0x8100, 0x8100) },
        { "ICMP", EthernetIPv4(IPv4(new byte[64], 1)) },
        { "IPv4 in a frame that says IPv6 but is version 5", EthernetIPv6([0x50, .. new byte[60]]) },
        { "IPv4 header shorter than 20 bytes", Edit(EthernetIPv4(IPv4(TcpSegment(1, 2))), 14, 0x44) },
        { "IPv4 packet longer than its frame", Edit(EthernetIPv4(IPv4(TcpSegment(1, 2))), 16, 0x10) },
        { "IPv4 packet shorter than its header", Edit(EthernetIPv4(IPv4(TcpSegment(1, 2))), 17, 19) },
        { "TCP header longer than the packet", Edit(EthernetIPv4(IPv4(TcpSegment(1, 2))), 14 + 20 + 12, 0xF0) },
        { "TCP header shorter than 20 bytes", Edit(EthernetIPv4(IPv4(TcpSegment(1, 2))), 14 + 20 + 12, 0x40) },
        { "ESP hides the ports", EthernetIPv6(IPv6(new byte[64], Esp)) },
        { "a chain of nine extension headers", EthernetIPv6(IPv6(Chain(9), DestinationOptions)) },
        { "an extension header that runs out of the packet", EthernetIPv6(IPv6(Edit(Extension(Tcp, TcpSegment(1, 2)), 1, 200), DestinationOptions)) },
    };

    [Theory]
    [MemberData(nameof(BadFrames))]
    public void TryRead_NotAFlow_IsRefused(string what, byte[] frame) =>
        Assert.False(PacketHeaders.TryRead(frame, frame.Length, LinkLayer.Ethernet, out _), what);

    [Fact]
    public void TryRead_EveryTruncation_IsRefusedUpToTheFlagsThenTheSame()
    {
        var frame = EthernetIPv6(IPv6(Extension(Tcp, TcpSegment(40_000, 7471, 200), extra: 1), DestinationOptions), 0x8100);
        const int UpToFlags = 14 + 4 + 40 + 16 + 14;
        Assert.True(PacketHeaders.TryRead(frame, frame.Length, LinkLayer.Ethernet, out var whole));

        for (var length = 0; length <= frame.Length; length++)
        {
            var accepted = PacketHeaders.TryRead(frame.AsSpan(0, length), frame.Length, LinkLayer.Ethernet, out var headers);
            Assert.True(accepted == length >= UpToFlags, $"{length} bytes");
            Assert.Equal(accepted ? whole : default, headers);
        }
    }

    [Fact]
    public void TryRead_DamagedFrames_NeverThrowsAndNeverCountsMoreThanTheFrame()
    {
        var random = new Random(20260101);
        byte[][] seeds =
        [
            EthernetIPv4(IPv4(TcpSegment(1, 2, 40), options: 12), 0x8100),
            EthernetIPv6(IPv6(Extension(Fragment, Extension(Udp, UdpDatagram(1, 2, 40))), HopByHop)),
            EthernetIPv6(IPv6(Extension(Authentication, new byte[60]), Routing)),
        ];
        var accepted = 0;
        for (var i = 0; i < 200_000; i++)
        {
            var frame = (byte[])seeds[i % seeds.Length].Clone();
            for (var damage = random.Next(1, 5); damage > 0; damage--)
            {
                frame[random.Next(12, frame.Length)] = (byte)random.Next(256);
            }

            var cut = frame.AsSpan(0, random.Next(frame.Length + 1));
            if (PacketHeaders.TryRead(cut, frame.Length, LinkLayer.Ethernet, out var headers))
            {
                accepted++;
                Assert.InRange(headers.PacketBytes, headers.HeaderBytes, frame.Length - 14);
                Assert.InRange(headers.HeaderBytes, 20, headers.PacketBytes);
                Assert.InRange(headers.Key.Dscp, 0, 63);
            }
        }

        Assert.InRange(accepted, 1_000, 199_000);
    }

    [Fact]
    public void TryRead_AllocatesNothing()
    {
        var frame = EthernetIPv6(IPv6(Extension(Tcp, TcpSegment(1, 2)), DestinationOptions));
        PacketHeaders.TryRead(frame, frame.Length, LinkLayer.Ethernet, out _);
        var before = GC.GetAllocatedBytesForCurrentThread();

        for (var i = 0; i < 1000; i++)
        {
            PacketHeaders.TryRead(frame, frame.Length, LinkLayer.Ethernet, out _);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void FlowKey_AddressThereAndBack_IsTheSame()
    {
        foreach (var text in new[] { "10.0.0.2", "255.255.255.255", "2001:db8::6", "::ffff:10.0.0.2" })
        {
            var address = IPAddress.Parse(text);
            Assert.Equal(address, FlowKey.ToAddress(FlowKey.FromAddress(address), text.Contains(':', StringComparison.Ordinal)));
        }
    }

    private static UInt128 Number(string address) => FlowKey.FromAddress(IPAddress.Parse(address));

    private static byte[] Edit(byte[] frame, int at, byte value)
    {
        frame[at] = value;
        return frame;
    }

    private static byte[] Chain(int length) =>
        length == 0 ? TcpSegment(1, 2) : Extension(length == 1 ? Tcp : DestinationOptions, Chain(length - 1));
}
