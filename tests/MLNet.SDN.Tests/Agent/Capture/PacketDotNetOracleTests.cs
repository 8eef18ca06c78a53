using MLNet.SDN.Agent.Capture;
using PacketDotNet;
using static MLNet.SDN.Tests.Agent.Capture.Frames;

namespace MLNet.SDN.Tests.Agent.Capture;

/// <summary>What our parser reads of well-formed frames is what PacketDotNet reads of them. Only in builds with <c>-p:UseSharpPcap=true</c>.</summary>
public sealed class PacketDotNetOracleTests
{
    private const int Count = 20_000;

    [Fact]
    public void TryRead_WellFormedFrames_AgreesWithPacketDotNet()
    {
        var random = new Random(1);
        for (var i = 0; i < Count; i++)
        {
            var frame = Draw(random);
            Assert.True(PacketHeaders.TryRead(frame, frame.Length, LinkLayer.Ethernet, out var ours), $"frame {i}: {Convert.ToHexString(frame)}");
            AssertAgrees(frame, ours, i);
        }
    }

    [Fact]
    public void TryRead_PaddedFrames_CountsWhatPacketDotNetDoes()
    {
        // A short packet in the shortest frame that Ethernet allows.
        byte[] frame = [.. EthernetIPv4(IPv4(UdpDatagram(1, 2, 1), Udp)), .. new byte[17]];
        Assert.True(PacketHeaders.TryRead(frame, frame.Length, LinkLayer.Ethernet, out var ours));
        AssertAgrees(frame, ours, 0);
    }

    private static byte[] Draw(Random random)
    {
        var (source, destination) = (random.Next(65_536), random.Next(65_536));
        var isTcp = random.Next(2) == 0;
        var protocol = isTcp ? Tcp : Udp;
        var transport = isTcp
            ? TcpSegment(source, destination, random.Next(200), random.Next(64), 4 * random.Next(11))
            : UdpDatagram(source, destination, random.Next(200));
        ushort[] tags = random.Next(3) == 0 ? [0x8100] : [];
        var dscp = random.Next(64);
        return random.Next(2) == 0
            ? EthernetIPv4(IPv4(transport, protocol, $"10.{random.Next(256)}.{random.Next(256)}.1", $"192.0.2.{random.Next(256)}", dscp, random.Next(4), 4 * random.Next(11)), tags)
            : EthernetIPv6(IPv6(transport, protocol, $"2001:db8::{random.Next(1, 65_536):x}", $"2001:db8:1::{random.Next(1, 65_536):x}", dscp), tags);
    }

    private static void AssertAgrees(byte[] frame, PacketHeaders ours, int number)
    {
        var packet = Packet.ParsePacket(LinkLayers.Ethernet, frame);
        var ip = packet.Extract<IPPacket>();
        var (tcp, udp) = (packet.Extract<TcpPacket>(), packet.Extract<UdpPacket>());
        var key = ours.Key;
        var isIPv6 = ip is IPv6Packet;
        var trafficClass = ip is IPv6Packet six ? six.TrafficClass : ((IPv4Packet)ip).TypeOfService;
        Assert.True(
            FlowKey.ToAddress(key.Source, isIPv6).Equals(ip.SourceAddress) && FlowKey.ToAddress(key.Destination, isIPv6).Equals(ip.DestinationAddress) && key.IsIPv6 == isIPv6,
            $"frame {number}: addresses differ in {Convert.ToHexString(frame)}");
        Assert.Equal((byte)ip.Protocol, key.Protocol);
        Assert.Equal(trafficClass >> 2, key.Dscp);
        Assert.Equal(ip.TotalPacketLength, ours.PacketBytes);
        if (tcp is not null)
        {
            Assert.Equal((tcp.SourcePort, tcp.DestinationPort), (key.SourcePort, key.DestinationPort));
            Assert.Equal((tcp.SequenceNumber, tcp.AcknowledgmentNumber), (ours.Sequence, ours.Acknowledgement));
            Assert.Equal(
                (tcp.Finished, tcp.Synchronize, tcp.Reset, tcp.Acknowledgment),
                (ours.Flags.HasFlag(TcpFlags.Fin), ours.Flags.HasFlag(TcpFlags.Syn), ours.Flags.HasFlag(TcpFlags.Rst), ours.Flags.HasFlag(TcpFlags.Ack)));
            Assert.Equal((isIPv6 ? 40 : ip.HeaderLength * 4) + (tcp.DataOffset * 4), ours.HeaderBytes);
        }
        else
        {
            Assert.Equal((udp.SourcePort, udp.DestinationPort), (key.SourcePort, key.DestinationPort));
            Assert.Equal((isIPv6 ? 40 : ip.HeaderLength * 4) + 8, ours.HeaderBytes);
        }
    }
}
