using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Benchmarks;

/// <summary>
/// <c>./run bench reduce</c>: what one agent receives, checks, sums and passes on, beside what iperf3 receives with as many streams in the same minute.
/// Four children and a parent are made here at the level of the protocol, with frames prepared beforehand, so that the agent is what is measured.
/// To be run in a network namespace of its own (the agent marks packets), and iperf3 in another (the agent looks at them).
/// </summary>
internal static class ReduceThroughput
{
    private const double Limit = 0.65;
    private const int FanIn = 4;
    private const long MessageBytes = 64L << 20;
    private const int ChunkBytes = 256 << 10; // what the controller gives a job on fast links
    private const int Rounds = 8;
    private const int Pairs = 5;
    private const int AgentPort = 7471;
    private const int AnchorPort = 7470;

    public static int Run(string state, string[] options)
    {
        if (options.Length > 0)
        {
            Console.Error.WriteLine($"bench reduce takes no options, not '{options[0]}'.");
            return 2;
        }

        var folder = Directory.CreateTempSubdirectory("mlnet-reduce-");
        using var agent = StartAgent(state, folder.FullName, out var job);
        try
        {
            using var children = new FrameChildren(job, FanIn, MessageBytes, new IPEndPoint(IPAddress.Loopback, AgentPort), AnchorPort);
            children.Connect(TimeSpan.FromSeconds(30));
            _ = Ours(children, agent);
            _ = IperfReceives();
            var rows = new List<Row>();
            for (var i = 0; i < Pairs; i++)
            {
                var (ours, cpu) = Ours(children, agent);
                var peer = IperfReceives();
                rows.Add(new Row(ours, peer, ours / peer, cpu));
                Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"pair {i + 1}: received and summed {ours:0.00} Gbit/s ({cpu:0.00} processors), iperf3 {peer:0.00} Gbit/s, ratio {ours / peer:0.00}"));
            }

            var ratio = Median(rows.Select(r => r.Ratio));
            return new BenchResult
            {
                Bench = "reduce",
                Ours = Median(rows.Select(r => r.OursGbps)),
                Peer = Median(rows.Select(r => r.PeerGbps)),
                PeerName = $"iperf3, {FanIn} streams",
                Ratio = ratio,
                Unit = "Gbit/s",
                Better = "higher",
                Runs = Pairs,
                Spread = rows.Max(r => r.Ratio) - rows.Min(r => r.Ratio),
                Worst = Limit / ratio,
            }.Publish(state, new { fanIn = FanIn, messageBytes = MessageBytes, chunkBytes = ChunkBytes, rounds = Rounds, rows });
        }
        finally
        {
            agent.Kill();
            agent.WaitForExit();
            folder.Delete(recursive: true);
        }
    }

    private static (double Gbps, double Processors) Ours(FrameChildren children, Process agent)
    {
        agent.Refresh();
        var (seconds, cpu) = (0.0, agent.TotalProcessorTime);
        var begun = Stopwatch.GetTimestamp();
        for (var i = 0; i < Rounds; i++)
        {
            seconds += children.Round();
        }

        agent.Refresh();
        return (Rounds * FanIn * MessageBytes * 8 / seconds / 1e9, (agent.TotalProcessorTime - cpu).TotalSeconds / Stopwatch.GetElapsedTime(begun).TotalSeconds);
    }

    private static double IperfReceives()
    {
        using var iperf = Process.Start(new ProcessStartInfo(
            "unshare", ["-n", "sh", "-c", $"ip link set lo up; iperf3 -s -1 -p 7480 >&2 & sleep 0.5; iperf3 -c 127.0.0.1 -p 7480 -P {FanIn} -t 2 -O 1 -J; wait"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        iperf.BeginErrorReadLine();
        using var report = JsonDocument.Parse(iperf.StandardOutput.ReadToEnd());
        iperf.WaitForExit();
        return report.RootElement.GetProperty("end").GetProperty("sum_received").GetProperty("bits_per_second").GetDouble() / 1e9;
    }

    private static Process StartAgent(string state, string folder, out HostJob job)
    {
        string[] children = [.. Enumerable.Range(0, FanIn).Select(i => $"child{i}")];
        job = new HostJob
        {
            JobId = 1,
            Name = "bench",
            Secret = Convert.ToBase64String(Enumerable.Range(0, 32).Select(i => (byte)i).ToArray()),
            Level = 1,
            Dscp = PriorityLadder.Standard.JobLevels()[0],
            TreesRevision = new Revision(1, 1),
            Members = [.. children.Select((host, rank) => new JobMember(rank, host))],

            // Names before the agent's: so these dial, and it only for signalling, to the host of rank 0.
            Endpoints = [.. children.Append("parent").Select(h => new HostEndpoint(h, "127.0.0.1", AnchorPort, "rack")), new HostEndpoint("sums", "127.0.0.1", AgentPort, "rack")],
            Shards = [new ShardTree { Weight = 1, Roots = ["parent"], Edges = [new TreeEdge("sums", "parent"), .. children.Select(c => new TreeEdge(c, "sums"))] }],
            ChunkBytes = ChunkBytes,

            // All of the message may be on its way: what is measured is the agent, not a round trip.
            WindowChunks = (int)(MessageBytes / ChunkBytes),
            Stripes = 1,
        };
        var policy = new HostPolicy { Host = "sums", Revision = new Revision(1, 1), Ladder = PriorityLadder.Standard, Jobs = [job] };
        File.WriteAllText(Path.Combine(folder, "sums.policy.json"), JsonSerializer.Serialize(policy, ContractsJson.Default.HostPolicy));
        var log = Path.Combine(state, "log", "bench-reduce-agent.log");
        return Process.Start(new ProcessStartInfo("sh",
        [
            "-c", $"exec \"$@\" >{log} 2>&1", "sh", Path.Combine(state, "bin", "agent", "mlnet-agent"), "--Agent:Host=sums", "--Agent:Controllers:0=http://127.0.0.1:9", "--Agent:Interface=lo",
            "--Agent:DataAddress=127.0.0.1", $"--Agent:DataPort={AgentPort}", $"--Agent:StateDirectory={folder}", $"--Agent:WorkerSocket={folder}/agent.sock",
        ]))!;
    }

    private static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return sorted[sorted.Length / 2];
    }

    private sealed record Row(double OursGbps, double PeerGbps, double Ratio, double AgentProcessors);
}
