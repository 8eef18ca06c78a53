using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Flows;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Agent.Flows;

/// <summary>The bytes against a reader written from RFC 7011 alone. A collector that others wrote reads them in the system tests.</summary>
public sealed class IpfixMessageTests
{
    private static readonly DateTimeOffset Now = new(2026, 1, 1, 0, 0, 10, TimeSpan.Zero);

    [Fact]
    public void Finish_TemplatesAndRecords_AreReadBack()
    {
        var message = new IpfixMessage(new byte[IpfixMessage.MaxBytes]);
        message.AddTemplates();
        Assert.True(message.TryAdd(Delta("10.0.0.2", "10.0.0.6", 1_500, 2), new Dscp(26)));
        Assert.True(message.TryAdd(Delta("2001:db8::2", "2001:db8::6", 5_000_000_000, 4_000_000), new Dscp(0)));
        Assert.True(message.TryAdd(Delta("10.0.0.3", "10.0.0.6", 60, 1), new Dscp(0)));

        var records = Read(message.Finish(Now, 7, 1).ToArray(), [], out var sequence);

        Assert.Equal(7u, sequence);
        Assert.Equal(["10.0.0.2", "2001:db8::2", "10.0.0.3"], records.Select(r => (r.GetValueOrDefault(8) ?? r[27]) is var bytes ? new IPAddress(bytes).ToString() : ""));
        var first = records[0];
        Assert.Equal((1_500UL, 2UL, 40_000UL, 7471UL), (Number(first[1]), Number(first[2]), Number(first[7]), Number(first[11])));
        Assert.Equal((6UL, 136UL, 34UL, 26UL, 1UL, 1UL), (Number(first[4]), Number(first[5]), Number(first[195]), Number(first[98]), Number(first[61]), Number(first[136])));
        Assert.Equal((ulong)Now.ToUnixTimeMilliseconds() - 1000, Number(first[152]));
        Assert.Equal((ulong)Now.ToUnixTimeMilliseconds(), Number(first[153]));
        Assert.Equal((5_000_000_000UL, 4_000_000UL), (Number(records[1][1]), Number(records[1][2])));
    }

    [Fact]
    public void Export_ManyRecords_FitIntoPacketsAndLoseNothing()
    {
        using var collector = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp) { ReceiveTimeout = 10_000, ReceiveBufferSize = 1 << 20 };
        collector.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var time = new FakeTimeProvider(Now);
        using var exporter = new IpfixExporter((IPEndPoint)collector.LocalEndPoint!, time, NullLogger.Instance);
        var attribution = new FlowAttribution(null);
        var deltas = Enumerable.Range(1, 500).Select(i => Delta($"10.0.{i / 250}.{i % 250}", "10.0.0.6", i, i % 7)).ToArray();
        var records = Array.ConvertAll(deltas, d => attribution.Describe(d, InstalledPolicy.None));

        exporter.Export(deltas, records);
        time.Advance(TimeSpan.FromSeconds(31));
        exporter.Export(deltas.AsSpan(0, 1), records.AsSpan(0, 1));

        var expected = deltas.Where(d => d.Packets > 0).Select(d => (ulong)d.Octets).Append(1UL).ToList();
        var templates = new Dictionary<int, List<(int, int)>>();
        var got = new List<ulong>();
        var buffer = new byte[65_536];
        while (got.Count < expected.Count)
        {
            var packet = buffer[..collector.Receive(buffer)];
            Assert.InRange(packet.Length, 20, IpfixMessage.MaxBytes);
            got.AddRange(Read(packet, templates, out var sequence, got.Count == expected.Count - 1).Select(r => Number(r[1])));
            Assert.InRange(sequence, 0u, (uint)got.Count);
        }

        Assert.Equal(expected, got);
    }

    private static ulong Number(byte[] bytes) => bytes.Aggregate(0UL, (sum, b) => (sum << 8) | b);

    private static FlowDelta Delta(string source, string destination, long octets, long packets)
    {
        var key = new FlowKey(
            FlowKey.FromAddress(IPAddress.Parse(source)), FlowKey.FromAddress(IPAddress.Parse(destination)), 40_000, 7471, 6, 34, FlowDirection.Egress,
            source.Contains(':', StringComparison.Ordinal));
        return new FlowDelta(key, Now.UtcTicks - TimeSpan.TicksPerSecond, Now.UtcTicks, octets, packets, FlowEndReason.Idle);
    }

    private static List<Dictionary<int, byte[]>> Read(byte[] packet, Dictionary<int, List<(int Element, int Length)>> templates, out uint sequence, bool needsTemplates = false)
    {
        int Word(int at) => BinaryPrimitives.ReadUInt16BigEndian(packet.AsSpan(at));
        Assert.Equal((10, packet.Length), (Word(0), Word(2)));
        sequence = BinaryPrimitives.ReadUInt32BigEndian(packet.AsSpan(8));
        var records = new List<Dictionary<int, byte[]>>();
        var sawTemplates = false;
        for (var at = 16; at < packet.Length; at += Word(at + 2))
        {
            var end = at + Word(at + 2);
            Assert.InRange(end, at + 5, packet.Length);
            var position = at + 4;
            sawTemplates |= Word(at) == 2;
            while (position < end)
            {
                if (Word(at) == 2)
                {
                    var fields = Enumerable.Range(0, Word(position + 2)).Select(i => (Word(position + 4 + (4 * i)), Word(position + 6 + (4 * i)))).ToList();
                    templates[Word(position)] = fields;
                    position += 4 + (4 * fields.Count);
                    continue;
                }

                var record = new Dictionary<int, byte[]>();
                foreach (var (element, length) in templates[Word(at)])
                {
                    record[element] = packet[position..(position + length)];
                    position += length;
                }

                records.Add(record);
            }

            Assert.Equal(end, position);
        }

        Assert.True(sawTemplates || !needsTemplates, "templates are due after 30 s");
        return records;
    }
}
