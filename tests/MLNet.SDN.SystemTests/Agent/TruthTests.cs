using System.Globalization;
using System.Net;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Tests.Agent.Capture;
using static MLNet.SDN.Tests.Agent.Capture.Frames;

namespace MLNet.SDN.SystemTests.Agent;

/// <summary>Flows of a capture file against what Wireshark's dissectors make of the same file.</summary>
public sealed class TruthTests
{
    private const string Tshark = "/usr/bin/tshark";

    private static readonly string[] Fields =
    [
        "ip.src", "ip.dst", "ip.proto", "ip.len", "ip.dsfield.dscp", "ip.frag_offset", "ipv6.src", "ipv6.dst", "ipv6.plen", "ipv6.tclass.dscp", "ipv6.fraghdr.nxt",
        "ipv6.fraghdr.offset", "tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport", "icmp.type", "icmpv6.type",
    ];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Read_MixedFrames_FlowForFlowAsTshark(int seed)
    {
        Prerequisites.Require(File.Exists(Tshark), "tshark is missing: apt-get install tshark.");
        var path = Path.GetTempFileName();
        try
        {
            WriteFile(path, new Random(seed), 4000);

            var ours = Ours(path);
            var theirs = Theirs(path);

            Assert.InRange(theirs.Count, 500, 4000);
            Assert.Equal(theirs.OrderBy(f => f.Key, StringComparer.Ordinal), ours.OrderBy(f => f.Key, StringComparer.Ordinal));
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static Dictionary<string, (long Packets, long Octets)> Ours(string path)
    {
        var meter = new FlowMeter(10_000, TimeSpan.FromDays(1));
        using (var file = CaptureFile.Open(path, ushort.MaxValue))
        {
            while (file.Read(meter, TimeSpan.Zero))
            {
            }
        }

        var deltas = new List<FlowDelta>();
        meter.Collect(CollectScope.Everything, DateTime.UnixEpoch.AddHours(1).Ticks, deltas);
        var flows = new Dictionary<string, (long, long)>(StringComparer.Ordinal);
        foreach (var delta in deltas)
        {
            var key = delta.Key;
            Add(flows, FlowKey.ToAddress(key.Source, key.IsIPv6), FlowKey.ToAddress(key.Destination, key.IsIPv6), $"{key.SourcePort} {key.DestinationPort} {key.Protocol} {key.Dscp}", delta.Packets, delta.Octets);
        }

        return flows;
    }

    private static Dictionary<string, (long Packets, long Octets)> Theirs(string path)
    {
        // Fragments and segments as they came, not put together.
        List<string> arguments = ["-n", "-r", path, "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-o", "tcp.desegment_tcp_streams:FALSE", "-T", "fields", "-E", "occurrence=f"];
        arguments.AddRange(Fields.SelectMany(f => new[] { "-e", f }));
        var flows = new Dictionary<string, (long, long)>(StringComparer.Ordinal);
        foreach (var line in HostPair.Run(Tshark, [.. arguments]).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var row = Fields.Zip(line.Split('\t')).ToDictionary(f => f.First, f => f.Second, StringComparer.Ordinal);
            var isIPv6 = row["ipv6.src"].Length > 0;

            // Of a header that was cut, tshark tells the first half.
            if (row[isIPv6 ? "ipv6.dst" : "ip.dst"].Length == 0 || row["icmp.type"].Length + row["icmpv6.type"].Length > 0)
            {
                continue;
            }

            var offset = isIPv6 ? row["ipv6.fraghdr.offset"] : row["ip.frag_offset"];
            var isLater = offset.Length > 0 && offset != "0";
            var protocol = row["tcp.srcport"].Length > 0 ? "6" : row["udp.srcport"].Length > 0 ? "17" : isLater ? (isIPv6 ? row["ipv6.fraghdr.nxt"] : row["ip.proto"]) : "";
            if (protocol is not ("6" or "17"))
            {
                continue;
            }

            string Port(string side) => isLater ? "0" : protocol == "6" ? row[$"tcp.{side}"] : row[$"udp.{side}"];
            var octets = isIPv6 ? 40 + Number(row["ipv6.plen"]) : Number(row["ip.len"]);
            var dscp = isIPv6 ? row["ipv6.tclass.dscp"] : row["ip.dsfield.dscp"];
            Add(
                flows, IPAddress.Parse(row[isIPv6 ? "ipv6.src" : "ip.src"]), IPAddress.Parse(row[isIPv6 ? "ipv6.dst" : "ip.dst"]), $"{Port("srcport")} {Port("dstport")} {protocol} {dscp}", 1, octets);
        }

        return flows;
    }

    private static long Number(string text) => long.Parse(text, CultureInfo.InvariantCulture);

    private static void Add(Dictionary<string, (long Packets, long Octets)> flows, IPAddress source, IPAddress destination, string rest, long packets, long octets)
    {
        var key = $"{source} {destination} {rest}";
        var known = flows.GetValueOrDefault(key);
        flows[key] = (known.Packets + packets, known.Octets + octets);
    }

    private static void WriteFile(string path, Random random, int frames)
    {
        using var writer = new BinaryWriter(File.Create(path));
        foreach (var word in new uint[] { 0xA1B2C3D4, 0x00040002, 0u, 0u, 262_144u, 1u })
        {
            writer.Write(word);
        }

        for (var i = 0; i < frames; i++)
        {
            var frame = Draw(random, out var least);

            // Cut anywhere, but not within the transport header: there tshark tells ports of what may be no header at all.
            var captured = random.Next(8) != 0 ? frame.Length : random.Next(3) == 0 ? random.Next(0, Math.Min(34, frame.Length)) : random.Next(Math.Min(least, frame.Length), frame.Length + 1);
            writer.Write(i / 1000);
            writer.Write(i % 1000);
            writer.Write(captured);
            writer.Write(frame.Length);
            writer.Write(frame, 0, captured);
        }
    }

    private static byte[] Draw(Random random, out int headers)
    {
        // Ports that mean nothing to a dissector.
        var (source, destination) = (50_001 + random.Next(20), 50_101 + random.Next(5));
        var isTcp = random.Next(2) == 0;
        var options = 4 * random.Next(0, 11);
        var payload = random.Next(0, 300);
        var transport = isTcp ? TcpSegment(source, destination, payload, 0x10, options) : UdpDatagram(source, destination, payload);
        var transportHeader = isTcp ? 20 + options : 8;
        random.NextBytes(transport.AsSpan(transportHeader));
        var dscp = random.Next(64);
        var protocol = isTcp ? Tcp : Udp;
        ushort[][] tags = [[], [], [0x8100], [0x88A8, 0x8100], [0x9100, 0x8100]];
        var vlans = tags[random.Next(tags.Length)];
        headers = 14 + (4 * vlans.Length);
        switch (random.Next(12))
        {
            case 0:
                headers = 0;
                var garbage = new byte[random.Next(14, 200)];
                random.NextBytes(garbage);
                garbage[12] = 0x7A; // no type that anybody knows
                return garbage;
            case 1:
                headers = 0;
                return Ethernet(new byte[46], 0x0806);
            case 2:
                headers = 0;
                return EthernetIPv4(IPv4(new byte[40], 1), vlans);
            case 3:
                headers += 40;
                var later = IPv6(Extension(protocol, new byte[64], fragment: 8 * 185), 44, dscp: dscp);
                headers += 8;
                return EthernetIPv6(later, vlans);
            case 4:
                headers += 20;
                return EthernetIPv4(IPv4(new byte[64], protocol, dscp: dscp, fragmentOffset: 185), vlans);
            case 5:
                headers += 20 + transportHeader;
                return EthernetIPv4(IPv4(transport, protocol, dscp: dscp, fragmentOffset: 0x2000), vlans);
            case 6:
                // Padded to the least length of Ethernet: the padding is not of the packet.
                headers += 20 + transportHeader;
                return [.. EthernetIPv4(IPv4(transport, protocol, dscp: dscp), vlans), .. new byte[random.Next(1, 20)]];
            case 7 or 8:
                byte[] kinds = [0, 60, 43];
                var rest = transport;
                var next = protocol;
                headers += 40 + transportHeader;
                foreach (var kind in kinds.Where(_ => random.Next(2) == 0).Reverse())
                {
                    var extra = kind == 43 ? 0 : random.Next(3);
                    rest = Extension(next, rest, (byte)extra);
                    headers += 8 + (8 * extra);
                    next = kind;
                }

                return EthernetIPv6(IPv6(rest, next, dscp: dscp), vlans);
            case 9:
                headers += 48 + transportHeader;
                return EthernetIPv6(IPv6(Extension(protocol, transport, fragment: 1), 44, dscp: dscp), vlans);
            default:
                var ipOptions = 4 * random.Next(0, 4);
                headers += 20 + ipOptions + transportHeader;
                return EthernetIPv4(IPv4(transport, protocol, $"10.0.{random.Next(3)}.{random.Next(1, 9)}", dscp: dscp, ecn: random.Next(4), options: ipOptions), vlans);
        }
    }
}
