using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using MLNet.SDN.Agent.Marking;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Benchmarks;

/// <summary>What marking costs: a TCP stream of single-segment packets with ten thousand rules beside none, pairs in turn; and what packets carry while all rules change.</summary>
internal static class MarkCost
{
    private const int Few = 10;
    private const int Many = 10_000;
    private const int Pairs = 20;
    private const int Changes = 100;
    private const int Port = 5000;
    private const double Seconds = 0.7;

    // The kernel takes old rules apart for a while after they are exchanged.
    private static readonly TimeSpan Settling = TimeSpan.FromMilliseconds(100);
    private const string Receiver = "10.99.0.2";

    // The 95 % interval of the ratio lies within 1 ± this.
    private const double Tolerance = 0.1;

    // Student's t for 20 pairs, two-sided 95 %.
    private const double T = 2.093;

    public static int Run(string state, string[] options)
    {
        using var cable = new HostCable(addressed: true);
        HostCable.Load(cable.Receiver, $$"""
            table inet arrived {
              chain c {
                type filter hook prerouting priority raw;
                udp dport {{Port}} ip dscp af31 counter drop
                udp dport {{Port}} ip dscp af21 counter drop
                udp dport {{Port}} counter drop
              }
            }

            """);

        // One segment a packet: otherwise the kernel would ask the rules once for forty of them.
        HostCable.Output("ip", "-n", cable.Sender, "link", "set", HostCable.Near, "gso_max_segs", "1");

        // 1. Rules that a packet meets.
        var rules = new Dictionary<int, int>();
        foreach (var count in new[] { Few, Many })
        {
            HostCable.Load(cable.Sender, Rules(count, 26, "tcp"));
            rules[count] = new[] { "output", "selected" }.Sum(chain => HostCable.Output("ip", "netns", "exec", cable.Sender, "nft", "list", "chain", "inet", "mlnet_sdn", chain)
                .Split('\n').Count(l => l.Contains("goto dscp", StringComparison.Ordinal) || l.Contains(" accept", StringComparison.Ordinal) || l.Contains("jump ", StringComparison.Ordinal)));
        }

        // 2. Throughput.
        Rate(cable);
        var ratios = new List<double>();
        var (with, without) = (new List<double>(), new List<double>());
        for (var pair = 0; pair < Pairs; pair++)
        {
            // Each way twice, so that what drifts on the machine meanwhile meets both alike.
            var (marked, plain) = (0.0, 0.0);
            foreach (var isMarked in pair % 2 == 0 ? new[] { true, false, false, true } : [false, true, true, false])
            {
                HostCable.Load(cable.Sender, isMarked ? Rules(Many, 26, "tcp") : Ruleset.Removal);
                Thread.Sleep(Settling);
                (isMarked ? ref marked : ref plain) += Rate(cable) / 2;
            }

            with.Add(marked);
            without.Add(plain);
            ratios.Add(with[^1] / without[^1]);
        }

        var mean = ratios.Average();
        var half = T * Math.Sqrt(ratios.Sum(r => (r - mean) * (r - mean)) / (Pairs - 1) / Pairs);
        Console.Error.WriteLine($"throughput with {Many} rules over none: {mean:0.000}, 95 % interval {mean - half:0.000} to {mean + half:0.000}; {rules[Few]} rules met at {Few} elements, {rules[Many]} at {Many}");

        // 3. Changes under traffic.
        HostCable.Load(cable.Sender, Rules(Many, 26, "udp"));
        var before = Arrived(cable);
        using var sender = Process.Start(SenderOf(cable, 600, "1"))!;
        var slowest = TimeSpan.Zero;
        for (var change = 0; change < Changes; change++)
        {
            var clock = Stopwatch.StartNew();
            HostCable.Load(cable.Sender, Rules(Many, change % 2 == 0 ? 18 : 26, "udp"));
            slowest = clock.Elapsed > slowest ? clock.Elapsed : slowest;
        }

        sender.Kill();
        sender.WaitForExit();
        long[] carried = [.. Arrived(cable).Zip(before, (now, then) => now - then)];
        Console.Error.WriteLine($"{Changes} changes of {Many} rules, the slowest in {slowest.TotalMilliseconds:0} ms: {carried[0]} packets with one level, {carried[1]} with the other, {carried[2]} with neither");
        if (carried[0] == 0 || carried[1] == 0)
        {
            throw new InvalidOperationException("No packets of both levels: the changes were not under traffic.");
        }

        return new BenchResult
        {
            Bench = "mark",
            Ours = with.Average(),
            Peer = without.Average(),
            PeerName = "no rules at all",
            Ratio = mean,
            Unit = "byte/s",
            Better = "higher",
            Runs = Pairs,
            Spread = 2 * half,
            Worst = new[] { Math.Abs(mean - half - 1) / Tolerance, Math.Abs(mean + half - 1) / Tolerance, (double)rules[Many] / rules[Few], carried[2] > 0 ? 2 : 0 }.Max(),
        }.Publish(state, new { ratios, low = mean - half, high = mean + half, tolerance = Tolerance, rulesMet = rules, changes = Changes, slowestChangeMs = slowest.TotalMilliseconds, packetsByLevel = carried });
    }

    // mlnet-bench send-datagrams ADDRESS PORT SECONDS PAUSE-MS: prints datagrams per second. One packet each, as fast as one thread can, or with pauses.
    public static int Send(string[] arguments)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        socket.Connect(IPAddress.Parse(arguments[0]), int.Parse(arguments[1], CultureInfo.InvariantCulture));
        var seconds = double.Parse(arguments[2], CultureInfo.InvariantCulture);
        var pause = int.Parse(arguments[3], CultureInfo.InvariantCulture);
        var datagram = new byte[64];
        long sent = 0;
        var clock = Stopwatch.StartNew();
        while (clock.Elapsed.TotalSeconds < seconds)
        {
            for (var i = 0; i < 64; i++)
            {
                sent += socket.Send(datagram) == datagram.Length ? 1 : 0;
            }

            if (pause > 0)
            {
                Thread.Sleep(pause);
            }
        }

        Console.WriteLine((sent / clock.Elapsed.TotalSeconds).ToString(CultureInfo.InvariantCulture));
        return 0;
    }

    // mlnet-bench stream listen|ADDRESS PORT SECONDS: receives one stream and prints bytes per second, or sends one.
    public static int Stream(string[] arguments)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        var port = int.Parse(arguments[1], CultureInfo.InvariantCulture);
        var buffer = new byte[256 << 10];
        var clock = new Stopwatch();
        if (arguments[0] != "listen")
        {
            socket.Connect(IPAddress.Parse(arguments[0]), port);
            var seconds = double.Parse(arguments[2], CultureInfo.InvariantCulture);
            for (clock.Start(); clock.Elapsed.TotalSeconds < seconds;)
            {
                socket.Send(buffer);
            }

            return 0;
        }

        socket.Bind(new IPEndPoint(IPAddress.Any, port));
        socket.Listen();
        Console.WriteLine("listening");
        using var stream = socket.Accept();
        long received = 0;
        clock.Start();
        for (var got = 1; got > 0; received += got)
        {
            got = stream.Receive(buffer);
        }

        Console.WriteLine((received / clock.Elapsed.TotalSeconds).ToString(CultureInfo.InvariantCulture));
        return 0;
    }

    private static double Rate(HostCable cable)
    {
        using var receiver = Process.Start(new ProcessStartInfo("ip", ["netns", "exec", cable.Receiver, Environment.ProcessPath!, "stream", "listen", $"{Port}", "0"]) { RedirectStandardOutput = true })!;
        receiver.StandardOutput.ReadLine();
        HostCable.Output("ip", "netns", "exec", cable.Sender, Environment.ProcessPath!, "stream", Receiver, $"{Port}", Seconds.ToString(CultureInfo.InvariantCulture));
        var rate = double.Parse(receiver.StandardOutput.ReadToEnd(), CultureInfo.InvariantCulture);
        receiver.WaitForExit();
        return rate;
    }

    private static ProcessStartInfo SenderOf(HostCable cable, double seconds, string pause) => new(
        "ip", ["netns", "exec", cable.Sender, Environment.ProcessPath!, "send-datagrams", Receiver, $"{Port}", seconds.ToString(CultureInfo.InvariantCulture), pause]) { RedirectStandardOutput = true };

    private static long[] Arrived(HostCable cable) =>
        [.. Regex.Matches(HostCable.Output("ip", "netns", "exec", cable.Receiver, "nft", "list", "table", "inet", "arrived"), @"packets (\d+)").Select(m => long.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture))];

    // As the agent makes them, of selectors of one job each for an address, the receiver's among them.
    private static string Rules(int count, int dscp, string protocol)
    {
        var selectors = Enumerable.Range(1, count - 1).Select(i => $"10.{100 + (i / 62_500)}.{i / 250 % 250}.{i % 250}").Append(Receiver)
            .Select(a => new FlowSelector { Destination = a, Protocol = protocol, DestinationPortFrom = Port }).ToList();
        var policy = new HostPolicy
        {
            Host = "bench",
            Revision = new Revision(1, 1),
            Ladder = PriorityLadder.Standard,
            Jobs =
            [
                new HostJob
                {
                    JobId = 1, Name = "bench", Secret = Convert.ToBase64String(new byte[32]), Level = 1, Dscp = new Dscp(dscp), TreesRevision = new Revision(1, 1),
                    Members = [new JobMember(0, "bench")], Endpoints = [new HostEndpoint("bench", "10.99.0.1", 7471)], Shards = [new ShardTree { Weight = 1, Roots = ["bench"], Edges = [] }],
                    ChunkBytes = 4096, WindowChunks = 1, Stripes = 1, Selectors = selectors,
                },
            ],
        };
        var installed = PolicyRules.Read(policy, "bench", out var faults) ?? throw new InvalidOperationException(string.Join(' ', faults));
        return Ruleset.Render(installed, 7471);
    }
}
