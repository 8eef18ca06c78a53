using System.Globalization;
using MLNet.SDN.Agent.Capture;
using static MLNet.SDN.Tests.Agent.Capture.Frames;

namespace MLNet.SDN.Tests.Agent.Capture;

/// <summary>Random and mutated frames: the parser neither throws nor reads past the end, and what it tells is of the frame.</summary>
public sealed class FrameFuzzTests
{
    // A twentieth of what `./run soak frames` does.
    private static readonly long Rounds = long.Parse(Environment.GetEnvironmentVariable("MLNET_SOAK_FRAMES") ?? "5000000", CultureInfo.InvariantCulture);

    private static readonly byte[][] Seeds =
    [
        EthernetIPv4(IPv4(TcpSegment(1, 2, 40))),
        EthernetIPv4(IPv4(UdpDatagram(1, 2, 40), Udp, options: 16), 0x88A8, 0x8100),
        EthernetIPv4(IPv4(new byte[40], Udp, fragmentOffset: 185), 0x8100),
        EthernetIPv6(IPv6(TcpSegment(1, 2, 20))),
        EthernetIPv6(IPv6(Extension(60, Extension(43, Extension(44, Extension(Tcp, TcpSegment(1, 2, 10)), extra: 0)), 1), 0)),
        EthernetIPv6(IPv6(Extension(Udp, UdpDatagram(1, 2, 10), fragment: 1), 44)),
        new byte[160],
    ];

    [Fact]
    public void TryRead_RandomAndMutated_NeverThrowsAndTellsOnlyWhatCanBe()
    {
        // Part by part on all processors, each from a seed of its own: a failure can be run again alone.
        const int Parts = 20;
        var accepted = new long[Parts];
        Parallel.For(0, Parts, part => accepted[part] = Fuzz(part, Rounds / Parts));

        // Otherwise only the first check of the parser was tried.
        Assert.InRange(accepted.Sum(), Rounds / 10, Rounds * 9 / 10);
    }

    private static long Fuzz(int seed, long rounds)
    {
        var random = new Random(seed);
        Span<byte> buffer = stackalloc byte[256];
        Span<byte> noise = stackalloc byte[256];
        random.NextBytes(noise);
        var meter = new FlowMeter(1000, TimeSpan.FromSeconds(30));
        long accepted = 0;
        for (long round = 0; round < rounds; round++)
        {
            // 1. A frame, some bytes of it others, cut somewhere; the length on the wire right, or not.
            var draw = (uint)random.Next();
            var source = Seeds[draw % Seeds.Length];
            source.CopyTo(buffer);
            if (draw % 64 == 0)
            {
                random.NextBytes(noise);
            }

            for (var changes = (draw >> 8) % 5; changes > 0; changes--)
            {
                var at = random.Next(source.Length);
                buffer[at] = (draw & 0x80) == 0 ? noise[at] : (byte)random.Next();
            }

            var length = (draw & 0x3000) == 0 ? random.Next(source.Length + 1) : source.Length;
            var wire = (draw & 0xC000) switch { 0 => random.Next(), 0x4000 => random.Next(200) - 50, _ => source.Length };
            var frame = buffer[..length];
            var link = (draw & 0x10000) == 0 ? LinkLayer.Ethernet : LinkLayer.RawIP;
            var start = link == LinkLayer.RawIP && length > 14 ? 14 : 0;

            // 2. What is told can be.
            if (PacketHeaders.TryRead(frame[start..], wire - start, link, out var headers))
            {
                accepted++;
                if (headers.HeaderBytes > headers.PacketBytes || headers.PacketBytes > wire || headers.HeaderBytes < 20 || headers.Key.Dscp > 63 || headers.Key.Protocol is not (6 or 17))
                {
                    Assert.Fail($"seed {seed}, round {round}: {headers} of {Convert.ToHexString(frame)}, {wire} bytes on the wire");
                }

                var size = SegmentCount.Of(headers, random.Next(2) * random.Next(2000), 1500);
                if (size.Packets < 1 || size.Octets < headers.PacketBytes)
                {
                    Assert.Fail($"seed {seed}, round {round}: {size} of {headers}");
                }
            }

            // 3. The table takes whatever comes.
            if (round % 16 == 0)
            {
                using (meter.Batch())
                {
                    meter.Add(new FrameInfo(round, wire, (FrameOrigin)(draw >> 20 & 3), random.Next(3000)), frame, LinkLayer.Ethernet, 1500);
                }
            }
        }

        return accepted;
    }
}
