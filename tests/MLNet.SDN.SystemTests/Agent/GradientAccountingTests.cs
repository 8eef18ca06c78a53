using System.Diagnostics;
using System.Net.Sockets;
using System.Threading.Channels;
using MLNet.SDN.Contracts;
using MLNet.SDN.Tests.Agent.Policies;
using MLNet.SDN.Tests.Agent.Session;

namespace MLNet.SDN.SystemTests.Agent;

/// <summary>Two agents and two workers that reduce real gradients over a slow link: what is recorded of it against what the sockets count.</summary>
[Collection(nameof(HostPair))]
public sealed class GradientAccountingTests : IAsyncDisposable
{
    private const string Python = "/usr/bin/python3";
    private const int HeadersOfASegment = 52;

    // Rounds of different sizes, integer-valued, so that sums are exact.
    private const string Trainer = """
        import numpy, mlnet
        with mlnet.join() as job:
            for round in range(12):
                size = 1 + 40_000 * round
                total = job.allreduce(numpy.full(size, 1 + job.rank, dtype=numpy.float32))
                assert total.shape == (size,) and (total == 3).all(), (round, total[:10])
        print("good")
        """;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private readonly HostPair? hosts;
    private readonly string directory = Directory.CreateTempSubdirectory("mlnet-gradient-").FullName;
    private readonly List<Process> processes = [];
    private readonly List<ControllerDouble> controllers = [];

    public GradientAccountingTests()
    {
        Prerequisites.RequireNamespaces("ip", "tc", "nft");
        Assert.SkipUnless(File.Exists(Python), "needs Debian's python3 with numpy");
        hosts = new HostPair();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var process in processes)
        {
            if (!process.HasExited)
            {
                process.Kill(entireProcessTree: true);
                await process.WaitForExitAsync();
            }

            process.Dispose();
        }

        foreach (var controller in controllers)
        {
            await controller.DisposeAsync();
        }

        hosts?.Dispose();
        Directory.Delete(directory, recursive: true);
    }

    [Fact]
    public async Task Allreduce_OverASlowLink_RecordsAgreeWithTheSocketsAndBelongToTheJob()
    {
        var sides = new[]
        {
            (Host: "h0-0-0", Namespace: hosts!.Left, Interface: HostPair.LeftInterface, Address: HostPair.LeftAddress),
            (Host: "h0-0-1", Namespace: hosts.Right, Interface: HostPair.RightInterface, Address: HostPair.RightAddress),
        };
        var job = PolicySamples.Job() with
        {
            Endpoints = [.. sides.Select(s => new HostEndpoint(s.Host, s.Address, 7471, "e0-0"))],
            Shards =
            [
                new ShardTree { Weight = 1, Roots = ["h0-0-0"], Edges = [new TreeEdge("h0-0-1", "h0-0-0")] },
                new ShardTree { Weight = 1, Roots = ["h0-0-1"], Edges = [new TreeEdge("h0-0-0", "h0-0-1")] },
            ],
        };
        var agents = new List<Process>();
        foreach (var side in sides)
        {
            SlowDown(side.Namespace, side.Interface);
            var controller = await StartControllerAsync(side.Namespace);
            controller.Reply = new HelloReply { Accepted = true, Watched = true, Policy = PolicySamples.Policy(1, job) with { Host = side.Host } };
            controllers.Add(controller);
            agents.Add(StartAgent(side.Host, side.Namespace, side.Interface, side.Address));
            var ack = await controller.Acks.Reader.ReadAsync().AsTask().WaitAsync(Patience);
            Assert.True(ack.Applied, ack.Error);
        }

        var workers = sides.Select((side, rank) => StartWorker(side.Host, side.Namespace, rank)).ToList();
        foreach (var worker in workers)
        {
            Assert.Equal("good", (await worker.StandardOutput.ReadToEndAsync().WaitAsync(Patience)).Trim());
        }

        // The last records and the last state of the sockets come when the agents leave.
        foreach (var agent in agents)
        {
            HostPair.Run("kill", "-TERM", $"{agent.Id}");
            await agent.WaitForExitAsync().WaitAsync(Patience);
            Assert.Equal(0, agent.ExitCode);
        }

        foreach (var controller in controllers)
        {
            var records = All(controller.Reports).SelectMany(r => r.Records).ToList();
            var transport = Assert.Single(All(controller.Progress)[^1].Transports);
            var egress = records.Where(r => r is { Direction: FlowDirection.Egress, JobId: 1 }).ToList();
            var expected = transport.BytesSent + (transport.SegmentsSent * HeadersOfASegment);
            Assert.InRange(transport.BytesSent, 10_000_000, 30_000_000);
            Assert.InRange(transport.BytesRetransmitted, 1, transport.BytesSent / 5);
            Assert.InRange(egress.Sum(r => r.OctetDeltaCount), 0.98 * expected, 1.02 * expected);
            Assert.InRange(records.Where(r => r.JobId is null).Sum(r => r.OctetDeltaCount), 0, 0.01 * records.Sum(r => r.OctetDeltaCount));

            var data = egress.Where(r => r.Role == "push").ToList();
            Assert.InRange(
                data.Where(r => r.IpDiffServCodePoint == new Dscp(34) && r.PostIpDiffServCodePoint == new Dscp(34)).Sum(r => r.OctetDeltaCount),
                0.99 * data.Sum(r => r.OctetDeltaCount), data.Sum(r => r.OctetDeltaCount));
            Assert.Contains(egress, r => r.Role == "signal" && r.PostIpDiffServCodePoint == new Dscp(40));
        }
    }

    private static List<T> All<T>(Channel<T> channel)
    {
        var all = new List<T>();
        while (channel.Reader.TryRead(out var item))
        {
            all.Add(item);
        }

        return all;
    }

    // As a host's port in the emulated fabric, with a link that loses one frame in a hundred. The queue is long, as a host's is: the kernel
    // counts what it fails to put into its own queue as sent, though it never left.
    private static void SlowDown(string host, string name)
    {
        HostPair.LoadRules(host, "table inet lossy {\n\tchain input {\n\t\ttype filter hook input priority 0; policy accept;\n\t\ttcp dport 7471 numgen random mod 100 == 0 drop\n\t\ttcp sport 7471 numgen random mod 100 == 0 drop\n\t}\n}\n");

        HostPair.Run("ip", "-n", host, "link", "set", name, "gso_max_size", "6000");
        HostPair.Run("tc", "-n", host, "qdisc", "add", "dev", name, "root", "handle", "1:", "htb", "default", "10");
        HostPair.Run("tc", "-n", host, "class", "add", "dev", name, "parent", "1:", "classid", "1:10", "htb", "rate", "40mbit", "burst", "3200", "cburst", "3200", "quantum", "1514");
        HostPair.Run("tc", "-n", host, "qdisc", "add", "dev", name, "parent", "1:10", "handle", "10:", "bfifo", "limit", "4000000");
    }

    private static Task<ControllerDouble> StartControllerAsync(string host) =>
        ControllerDouble.StartAsync(8080, endpoint => HostPair.In(host, () =>
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(endpoint);
            return socket;
        }));

    private static string Repository()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "MLNet.SDN.sln")))
        {
            folder = folder.Parent!;
        }

        return folder.FullName;
    }

    private Process StartAgent(string host, string space, string name, string address)
    {
        var agent = Process.Start(new ProcessStartInfo("ip",
        [
            "netns", "exec", space, Path.Combine(AppContext.BaseDirectory, "mlnet-agent"), $"--Agent:Host={host}", "--Agent:Controllers:0=http://127.0.0.1:8080",
            $"--Agent:Interface={name}", $"--Agent:DataAddress={address}", $"--Agent:StateDirectory={directory}", $"--Agent:WorkerSocket={directory}/{host}.sock",
            "--Agent:LogLevel=Warning",
        ]))!;
        processes.Add(agent);
        return agent;
    }

    private Process StartWorker(string host, string space, int rank)
    {
        var start = new ProcessStartInfo("ip", ["netns", "exec", space, Python, "-c", Trainer]) { RedirectStandardOutput = true };
        start.Environment["PYTHONPATH"] = Path.Combine(Repository(), "agent/python");
        start.Environment["MLNET_AGENT_SOCKET"] = $"{directory}/{host}.sock";
        start.Environment["MLNET_JOB"] = "resnet";
        start.Environment["MLNET_RANK"] = $"{rank}";
        var worker = Process.Start(start)!;
        processes.Add(worker);
        return worker;
    }
}
