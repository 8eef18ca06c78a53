using System.Globalization;

namespace MLNet.SDN.Benchmarks;

/// <summary>Processor time per packet of the agent with its flow table, beside softflowd, at a fixed rate on a veth; then the highest rate that each takes without loss.</summary>
internal static class CaptureCost
{
    private const double Rate = 500_000;
    private const double Seconds = 2.5;
    private const int Repetitions = 5;

    // Our time per packet over softflowd's.
    private const double CpuLimit = 1.0;

    // The senders, the readers and the kernel between them share the machine: less than this part of the rate is another measurement.
    private const double LeastOffered = 0.9;

    private static readonly int[] FlowCounts = [64, 4096];
    private static readonly int[] Rates = [300_000, 500_000, 700_000, 900_000, 1_200_000, 1_600_000, 2_000_000];

    public static int Run(string state, string[] options)
    {
        var bin = Path.Combine(state, "bin");
        using var cable = new HostCable(addressed: false);
        var (sender, reader, mac) = (cable.Sender, cable.Receiver, cable.FarMac);

        // Frames end where the readers have seen them: what the kernel would do next is not what is measured.
        HostCable.Load(reader, $"table netdev bench {{\n chain c {{\n type filter hook ingress device {HostCable.Far} priority 0;\n drop;\n }}\n}}\n");
        var rows = new List<Row>();
        foreach (var flows in FlowCounts)
        {
            for (var run = 0; run < Repetitions; run++)
            {
                foreach (var name in run % 2 == 0 ? new[] { "mlnet-agent", "softflowd" } : ["softflowd", "mlnet-agent"])
                {
                    rows.Add(Measure(name, bin, sender, reader, mac, Rate, flows));
                }
            }
        }

        var highest = new[] { "mlnet-agent", "softflowd", "pmacctd" }.ToDictionary(name => name, name => FindHighest(name, bin, sender, reader, mac, rows), StringComparer.Ordinal);
        return Publish(state, rows, highest);
    }

    private static int Publish(string state, List<Row> rows, Dictionary<string, Highest> highest)
    {
        var table = new List<object>();
        var ratios = new List<double>();
        double drops = 0, allocated = 0, missing = 0;
        foreach (var flows in FlowCounts)
        {
            Row[] Of(string name) => [.. rows.Where(r => r.Reader == name && r.Flows == flows && r.Rate == Rate).Take(Repetitions)];
            var (ours, theirs) = (Of("mlnet-agent"), Of("softflowd"));
            ratios.AddRange(ours.Zip(theirs, (o, t) => o.MicrosecondsPerPacket / t.MicrosecondsPerPacket));
            drops = Math.Max(drops, ours.Sum(r => r.Drops) / Math.Max(1.0, theirs.Sum(r => r.Drops)));
            allocated = Math.Max(allocated, ours.Max(r => r.AllocatedBytes));
            missing = Math.Max(missing, LeastOffered * Rate / ours.Average(r => r.Sent / r.Seconds));
            table.Add(new { flows, ours = Mean(ours), softflowd = Mean(theirs), ratio = Mean(ours) / Mean(theirs), drops = ours.Sum(r => r.Drops), softflowdDrops = theirs.Sum(r => r.Drops), packetsPerSecond = ours.Average(r => r.Sent / r.Seconds) });
        }

        var (mine, peer) = (rows.Where(r => r.Rate == Rate && r.Reader == "mlnet-agent").Average(r => r.MicrosecondsPerPacket), rows.Where(r => r.Rate == Rate && r.Reader == "softflowd").Average(r => r.MicrosecondsPerPacket));

        // The bytes that a collection takes are those of its records; of a million packets and more, one byte each would show.
        return new BenchResult
        {
            Bench = "capture",
            Ours = mine,
            Peer = peer,
            PeerName = "softflowd, processor time per packet with its flow table",
            Ratio = mine / peer,
            Unit = "us/packet",
            Better = "lower",
            Runs = ratios.Count,
            Spread = ratios.Max() - ratios.Min(),
            Worst = new[] { ratios.Chunk(Repetitions).Max(c => c.Average()) / CpuLimit, drops, allocated > 0 ? 2 : 0, missing }.Max(),
        }.Publish(state, new { cpuLimit = CpuLimit, packetsPerSecond = Rate, byFlows = table, highestRateWithoutLoss = highest, rows });
    }

    private static double Mean(Row[] rows) => rows.Average(r => r.MicrosecondsPerPacket);

    private static Highest FindHighest(string name, string bin, string sender, string reader, string mac, List<Row> rows)
    {
        var best = new Highest(0, LimitedBySender: true);
        foreach (var rate in Rates)
        {
            // A moment in which the machine did something else is not the reader's limit: one more try.
            var row = Measure(name, bin, sender, reader, mac, rate, FlowCounts[0]);
            row = row.Drops > 0 ? Measure(name, bin, sender, reader, mac, rate, FlowCounts[0]) : row;
            rows.Add(row with { Reader = $"{name} at its limit" });
            best = row.Drops == 0 ? new(Math.Max(best.PacketsPerSecond, row.Sent / row.Seconds), LimitedBySender: true) : best with { LimitedBySender = false };

            // Beyond what the sender can do, a higher rate is the same again.
            if (row.Drops > 0 || row.Sent / row.Seconds < rate * LeastOffered)
            {
                break;
            }
        }

        Console.Error.WriteLine($"{name,-12} without loss up to {best.PacketsPerSecond / 1000:0} thousand packets/s, {(best.LimitedBySender ? "the most that could be sent" : "and not more")}");
        return best;
    }

    private static Row Measure(string name, string bin, string sender, string host, string mac, double rate, int flows)
    {
        using var reader = FlowReader.Start(name, bin, host, HostCable.Far);

        // All flows are in the table and all code is compiled before the clock starts.
        Send(sender, mac, rate, 0.5, flows);
        Thread.Sleep(500);
        var (before, cpu) = (reader.Counts(), reader.CpuSeconds());
        var (sent, seconds) = Send(sender, mac, rate, Seconds, flows);
        Thread.Sleep(500);
        var (spent, after) = (reader.CpuSeconds() - cpu, reader.Counts());
        var packets = after.Packets - before.Packets;

        // Softflowd and pmacctd tell late what waits in the last block of their ring, so for all three what the kernel dropped is the loss. Ours must also add up.
        if (name == "mlnet-agent" && packets + after.Drops - before.Drops != sent)
        {
            throw new InvalidOperationException($"{sent} frames were sent, but the agent counted {packets} and {after.Drops - before.Drops} drops.");
        }

        var row = new Row(
            name, rate, flows, sent, seconds, packets, after.Drops - before.Drops, spent * 1e6 / Math.Max(1, packets), after.AllocatedBytes - before.AllocatedBytes);
        Console.Error.WriteLine(
            $"{name,-12} {flows,5} flows {sent / seconds / 1000,5:0} thousand/s: {row.MicrosecondsPerPacket:0.000} us/packet, {row.Drops} dropped by the kernel, {row.AllocatedBytes} B allocated");
        return row;
    }

    private static (long Sent, double Seconds) Send(string host, string mac, double rate, double seconds, int flows)
    {
        var words = HostCable.Output("ip", "netns", "exec", host, Environment.ProcessPath!, "send-frames", HostCable.Near, mac, Text(rate), Text(seconds), Text(flows)).Split(' ');
        return (long.Parse(words[0], CultureInfo.InvariantCulture), double.Parse(words[1], CultureInfo.InvariantCulture));
    }

    private static string Text(double value) => value.ToString(CultureInfo.InvariantCulture);

    /// <summary>Packets per second that a reader took without loss, and whether more could not be sent on this machine.</summary>
    private sealed record Highest(double PacketsPerSecond, bool LimitedBySender);

    private sealed record Row(
        string Reader, double Rate, int Flows, long Sent, double Seconds, long Packets, long Drops, double MicrosecondsPerPacket, long AllocatedBytes);
}
