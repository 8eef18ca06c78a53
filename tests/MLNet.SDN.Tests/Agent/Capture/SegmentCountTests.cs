using MLNet.SDN.Agent.Capture;
using static MLNet.SDN.Tests.Agent.Capture.Frames;

namespace MLNet.SDN.Tests.Agent.Capture;

public sealed class SegmentCountTests
{
    [Theory]
    [InlineData(0, 0, 1, 52)] // a pure acknowledgement
    [InlineData(1448, 0, 1, 1500)] // a full packet
    [InlineData(1448, 1448, 1, 1500)]
    [InlineData(1449, 0, 2, 1449 + 104)] // one byte more: a second packet with headers of its own
    [InlineData(5792, 0, 4, 6000)] // four full ones, merged
    [InlineData(5792, 1448, 4, 6000)]
    [InlineData(5793, 1448, 5, 5793 + (5 * 52))]
    [InlineData(1000, 100, 10, 1000 + (10 * 52))] // a small segment size shows below the MTU too
    [InlineData(5792, 536, 11, 5792 + (11 * 52))] // the size the kernel told beats what the MTU would say
    public void Of_TcpFrame_CountsPacketsAndTheirHeaders(int payload, int segmentPayload, int packets, long octets)
    {
        var packet = IPv4(TcpSegment(1, 2, payload));
        Assert.True(PacketHeaders.TryRead(packet, packet.Length, LinkLayer.RawIP, out var headers));

        Assert.Equal(new SegmentCount(packets, octets), SegmentCount.Of(headers, segmentPayload, 1500));
    }

    [Fact]
    public void Of_JumboMtu_IsNoMergedFrame()
    {
        var packet = IPv4(TcpSegment(1, 2, 8948));
        Assert.True(PacketHeaders.TryRead(packet, packet.Length, LinkLayer.RawIP, out var headers));

        Assert.Equal(new SegmentCount(1, 9000), SegmentCount.Of(headers, 0, 9000));
    }

    [Fact]
    public void Of_MergedDatagrams_EachHasItsHeaders()
    {
        var packet = IPv6(UdpDatagram(1, 2, 3000), Udp);
        Assert.True(PacketHeaders.TryRead(packet, packet.Length, LinkLayer.RawIP, out var headers));

        Assert.Equal(new SegmentCount(3, 3000 + (3 * 48)), SegmentCount.Of(headers, 1200, 1500));
    }

    [Fact]
    public void Of_MtuSmallerThanTheHeaders_CountsOnePacket()
    {
        var packet = IPv4(TcpSegment(1, 2, 100));
        Assert.True(PacketHeaders.TryRead(packet, packet.Length, LinkLayer.RawIP, out var headers));

        Assert.Equal(new SegmentCount(1, 152), SegmentCount.Of(headers, 0, 40));
    }
}
