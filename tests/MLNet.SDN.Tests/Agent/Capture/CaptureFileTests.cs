using System.Net;
using System.Text;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Contracts;
using static MLNet.SDN.Tests.Agent.Capture.Frames;

namespace MLNet.SDN.Tests.Agent.Capture;

public sealed class CaptureFileTests : IDisposable
{
    private const uint Second = 1_800_000_000;

    private readonly string path = Path.GetTempFileName();

    public void Dispose() => File.Delete(path);

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void Read_Pcap_CountsFramesWithTheirTime(bool bigEndian, bool nanoseconds)
    {
        var frame = EthernetIPv4(IPv4(TcpSegment(40_000, 7471, 1448), dscp: 34));
        Write(Pcap(bigEndian, nanoseconds, 1, frame, frame));

        var delta = Assert.Single(Count("10.0.0.2"));

        Assert.Equal((3000L, 2L, FlowDirection.Egress), (delta.Octets, delta.Packets, delta.Key.Direction));
        Assert.Equal(DateTime.UnixEpoch.AddSeconds(Second).AddMilliseconds(500).Ticks, delta.FirstTicks);
    }

    [Fact]
    public void Read_PcapCutBySnapLength_CountsTheWireLength()
    {
        var frame = EthernetIPv4(IPv4(TcpSegment(40_000, 7471, 1448)));
        Write([.. PcapHeader(false, false, 1), .. Record(false, false, frame[..96], frame.Length)]);

        Assert.Equal(1500, Assert.Single(Count()).Octets);
    }

    [Fact]
    public void Read_CookedLinks_TellTheDirection()
    {
        var packet = IPv4(TcpSegment(1, 2, 10));
        byte[] sent = [0, 4, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0, .. packet];
        byte[] received = [8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, .. packet];

        Write(Pcap(false, false, 113, sent));
        Assert.Equal(FlowDirection.Egress, Assert.Single(Count()).Key.Direction);
        Write(Pcap(false, false, 276, received));
        Assert.Equal((FlowDirection.Ingress, 62L), Assert.Single(Count()) is var d ? (d.Key.Direction, d.Octets) : default);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Read_Pcapng_KnowsDirectionResolutionAndSkipsOtherBlocks(bool bigEndian)
    {
        var frame = EthernetIPv4(IPv4(TcpSegment(40_000, 7471, 100)));
        var nanoseconds = ((ulong)Second * 1_000_000_000) + 500_000_000;
        Write(
        [
            .. Section(bigEndian),
            .. Interface(bigEndian, 1, resolution: 9),
            .. Block(bigEndian, 5, [1, 2, 3, 4, 5, 6, 7, 8]),
            .. EnhancedPacket(bigEndian, 0, nanoseconds, frame, flags: 2),
            .. EnhancedPacket(bigEndian, 0, nanoseconds, frame, flags: 1),
        ]);

        var deltas = Count().OrderBy(d => d.Key.Direction).ToList();

        Assert.Equal([FlowDirection.Ingress, FlowDirection.Egress], deltas.Select(d => d.Key.Direction));
        Assert.All(deltas, d => Assert.Equal(DateTime.UnixEpoch.AddSeconds(Second).AddMilliseconds(500).Ticks, d.FirstTicks));
        Assert.All(deltas, d => Assert.Equal(152, d.Octets));
    }

    [Fact]
    public void Read_SecondSectionOfAnotherByteOrder_IsUnderstood()
    {
        var frame = EthernetIPv4(IPv4(TcpSegment(40_000, 7471, 100)));
        Write(
        [
            .. Section(false), .. Interface(false, 1), .. EnhancedPacket(false, 0, 1, frame),
            .. Section(true), .. Interface(true, 101), .. EnhancedPacket(true, 0, 1, frame[14..]),
        ]);

        Assert.Equal(2, Assert.Single(Count()).Packets);
    }

    [Fact]
    public void Read_EveryTruncation_CountsWhatIsWholeThenSaysSo()
    {
        var frame = EthernetIPv4(IPv4(TcpSegment(40_000, 7471, 4)));
        foreach (var (bytes, ends) in new[]
        {
            (Pcap(false, false, 1, frame, frame), new[] { 24, 24 + 16 + frame.Length, 24 + (2 * (16 + frame.Length)) }),
            ([.. Section(false), .. Interface(false, 1), .. EnhancedPacket(false, 0, 1, frame)], [28, 48, 48 + 32 + ((frame.Length + 3) & ~3)]),
        })
        {
            Assert.Equal(bytes.Length, ends[^1]);
            for (var length = 0; length < bytes.Length; length++)
            {
                Write(bytes[..length]);
                if (ends.Contains(length))
                {
                    Count();
                }
                else
                {
                    Assert.Throws<IOException>(() => Count());
                }
            }
        }
    }

    [Fact]
    public void Read_DamagedFiles_ThrowsNothingButIOException()
    {
        var random = new Random(7);
        var frame = EthernetIPv4(IPv4(TcpSegment(40_000, 7471, 4)));
        byte[][] seeds =
        [
            Pcap(false, false, 1, frame, frame),
            [.. Section(false), .. Interface(false, 276, resolution: 9), .. EnhancedPacket(false, 0, ulong.MaxValue, frame, flags: 2), .. Block(false, 3, [200, 0, 0, 0, .. frame])],
        ];
        var refused = 0;
        for (var i = 0; i < 4000; i++)
        {
            var bytes = (byte[])seeds[i % 2].Clone();
            for (var damage = random.Next(1, 4); damage > 0; damage--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            Write(bytes);
            try
            {
                Count();
            }
            catch (IOException)
            {
                refused++;
            }
        }

        Assert.InRange(refused, 100, 3900);
    }

    [Fact]
    public void Print_File_WritesOneRecordALine()
    {
        Write(Pcap(false, false, 1, EthernetIPv4(IPv4(TcpSegment(40_000, 7471, 100), dscp: 34)), Ethernet(new byte[46], 0x0806)));
        var (output, error) = (new StringWriter(), new StringWriter());

        Assert.Equal(0, CaptureFileReport.Print(path, [IPAddress.Parse("10.0.0.2")], 1500, output, error));

        var line = Assert.Single(output.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains("\"direction\":\"egress\"", line, StringComparison.Ordinal);
        Assert.Contains("\"ipDiffServCodePoint\":\"AF41\"", line, StringComparison.Ordinal);
        Assert.Contains("\"octetDeltaCount\":152", line, StringComparison.Ordinal);
        Assert.StartsWith("2 frames, 1 of them", error.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Print_NoCaptureFile_SaysSo()
    {
        File.WriteAllText(path, "This is no capture file at all, and longer than a header.", Encoding.ASCII);
        var error = new StringWriter();

        Assert.Equal(1, CaptureFileReport.Print(path, [], 1500, TextWriter.Null, error));

        Assert.Contains("neither pcap nor pcapng", error.ToString(), StringComparison.Ordinal);
    }

    private static byte[] Pcap(bool bigEndian, bool nanoseconds, int link, params byte[][] frames) =>
        [.. PcapHeader(bigEndian, nanoseconds, link), .. frames.SelectMany(f => Record(bigEndian, nanoseconds, f, f.Length))];

    private static byte[] PcapHeader(bool bigEndian, bool nanoseconds, int link) => Numbers(bigEndian, nanoseconds ? 0xA1B23C4D : 0xA1B2C3D4, 0x00040002, 0, 0, 65535, (uint)link);

    private static byte[] Record(bool bigEndian, bool nanoseconds, byte[] frame, int wire) =>
        [.. Numbers(bigEndian, Second, nanoseconds ? 500_000_000u : 500_000u, (uint)frame.Length, (uint)wire), .. frame];

    private static byte[] Section(bool bigEndian) => Block(bigEndian, 0x0A0D0D0A, Numbers(bigEndian, 0x1A2B3C4D, bigEndian ? 0x00010000u : 1u, uint.MaxValue, uint.MaxValue));

    private static byte[] Interface(bool bigEndian, int link, int? resolution = null)
    {
        byte[] options = resolution is null ? [] : [.. Short(bigEndian, 9), .. Short(bigEndian, 1), (byte)resolution, 0, 0, 0, 0, 0, 0, 0];
        return Block(bigEndian, 1, [.. Short(bigEndian, link), 0, 0, .. Numbers(bigEndian, 0), .. options]);
    }

    private static byte[] EnhancedPacket(bool bigEndian, uint number, ulong units, byte[] frame, uint? flags = null)
    {
        byte[] options = flags is null ? [] : [.. Short(bigEndian, 2), .. Short(bigEndian, 4), .. Numbers(bigEndian, flags.Value), 0, 0, 0, 0];
        return Block(bigEndian, 6,
        [
            .. Numbers(bigEndian, number, (uint)(units >> 32), (uint)units, (uint)frame.Length, (uint)frame.Length),
            .. frame, .. new byte[((frame.Length + 3) & ~3) - frame.Length], .. options,
        ]);
    }

    private static byte[] Block(bool bigEndian, uint type, byte[] body)
    {
        byte[] padded = [.. body, .. new byte[((body.Length + 3) & ~3) - body.Length]];
        var length = (uint)padded.Length + 12;
        return [.. Numbers(bigEndian, type, length), .. padded, .. Numbers(bigEndian, length)];
    }

    private static byte[] Numbers(bool bigEndian, params uint[] values) =>
        [.. values.SelectMany(v => bigEndian ? BitConverter.GetBytes(v).Reverse() : BitConverter.GetBytes(v))];

    private static byte[] Short(bool bigEndian, int value) => bigEndian ? [(byte)(value >> 8), (byte)value] : [(byte)value, (byte)(value >> 8)];

    private void Write(byte[] bytes) => File.WriteAllBytes(path, bytes);

    private List<FlowDelta> Count(params string[] local)
    {
        var meter = new FlowMeter(100, TimeSpan.FromSeconds(30), local.Select(a => FlowKey.FromAddress(IPAddress.Parse(a))));
        using var file = CaptureFile.Open(path, 1500);
        while (file.Read(meter, TimeSpan.Zero))
        {
        }

        var deltas = new List<FlowDelta>();
        meter.Collect(CollectScope.Everything, file.LastTicks, deltas);
        return deltas;
    }
}
