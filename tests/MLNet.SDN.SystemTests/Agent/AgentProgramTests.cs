using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using System.Threading.Channels;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;
using MLNet.SDN.Tests.Agent.Policies;
using MLNet.SDN.Tests.Agent.Session;

namespace MLNet.SDN.SystemTests.Agent;

/// <summary>The program itself, started in a namespace, beside a controller that listens on that namespace's loopback.</summary>
[Collection(nameof(HostPair))]
public sealed class AgentProgramTests : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly HostPair? hosts;
    private readonly string directory = Directory.CreateTempSubdirectory("mlnet-agent-").FullName;
    private readonly List<Process> agents = [];
    private readonly List<string> settings = [];
    private ControllerDouble? controller;

    public AgentProgramTests()
    {
        Prerequisites.RequireNamespaces("ip", "nft", "setpriv");
        hosts = new HostPair();
        File.SetUnixFileMode(directory, (UnixFileMode)0b111_111_111);
    }

    private static FlowSelector Selector => new() { Protocol = "tcp", DestinationPortFrom = 5000, Role = "test" };

    public async ValueTask DisposeAsync()
    {
        foreach (var agent in agents)
        {
            if (!agent.HasExited)
            {
                agent.Kill(entireProcessTree: true);
                await agent.WaitForExitAsync();
            }

            agent.Dispose();
        }

        if (controller is not null)
        {
            await controller.DisposeAsync();
        }

        hosts?.Dispose();
        Directory.Delete(directory, recursive: true);
    }

    [Fact]
    public async Task Run_JobSelectsATransfer_IsMarkedAttributedAndCountedWithinATenthOfAPercent()
    {
        controller = await StartControllerAsync();
        controller.Reply = new HelloReply { Accepted = true, Watched = true, Policy = PolicySamples.Policy(1, PolicySamples.Job(7, "job", 2, 26, Selector)) };
        Start();
        var hello = await Next(controller.Hellos);
        Assert.Equal(["capture", "mark"], hello.Capabilities);
        var ack = await Next(controller.Acks);
        Assert.True(ack.Applied, ack.Error);
        Assert.NotEqual(hello.InstalledHash, ack.Hash);

        var info = Transfer(10_000_000);

        var records = new List<FlowRecord>();
        while (!records.Any(r => r is { Direction: FlowDirection.Egress, EndReason: FlowEndReason.EndOfFlow }))
        {
            records.AddRange((await Next(controller.Reports)).Records);
        }

        var sent = records.Where(r => r.Direction == FlowDirection.Egress && r.DestinationTransportPort == 5000).ToList();
        var expected = info.BytesSent + (info.SegmentsOut * 52);
        Assert.InRange(sent.Sum(r => r.OctetDeltaCount), expected * 0.999, expected * 1.001);
        Assert.All(sent, r => Assert.Equal((7L, "test", new Dscp(26), new Dscp(26)), (r.JobId, r.Role, r.IpDiffServCodePoint, r.PostIpDiffServCodePoint)));
        Assert.Contains(records, r => r is { Direction: FlowDirection.Ingress, JobId: 7, SourceTransportPort: 5000 });
    }

    [Fact]
    public async Task Run_KilledAndStartedWithoutController_MarksAreThereAllTheTime()
    {
        controller = await StartControllerAsync();
        controller.Reply = new HelloReply { Accepted = true, Policy = PolicySamples.Policy(3, PolicySamples.Job(7, "job", 2, 26, Selector)) };
        var first = Start();
        var hash = (await Next(controller.Acks)).Hash;
        var marks = Marks();
        Assert.NotEqual("", marks);

        first.Kill(entireProcessTree: true);
        await first.WaitForExitAsync();
        Assert.Equal(marks, Marks());

        // As after a restart of the machine: the policy on disk is all there is.
        HostPair.RunIn(hosts!.Left, "nft", "flush", "ruleset");
        await controller.DisposeAsync();
        Start();
        PacketRingTests.WaitFor(() => Marks() == marks);

        controller = await StartControllerAsync();
        var hello = await Next(controller.Hellos);
        Assert.Equal((new Revision(1, 3), hash), (hello.Installed, hello.InstalledHash));
    }

    [Fact]
    public async Task Run_DiskFull_PolicyIsInForceToldAndTheOneOnDiskStaysWhole()
    {
        var mount = Path.Combine(directory, "small");
        Directory.CreateDirectory(mount);
        HostPair.Run("mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", mount);
        try
        {
            controller = await StartControllerAsync();
            controller.Reply = new HelloReply { Accepted = true, Policy = PolicySamples.Policy(1, PolicySamples.Job(7, "job", 2, 26, Selector)) };
            settings.Add($"--Agent:StateDirectory={mount}");
            var agent = Start();
            Assert.True((await Next(controller.Acks)).Applied);
            var (store, before) = (new PolicyStore(mount, PolicySamples.Host), Marks());
            Assert.Equal(1, store.Load()!.Revision.Generation);
            Fill(Path.Combine(mount, "others"));

            await controller.SendAsync(AgentHubMethods.ApplyPolicy, PolicySamples.Policy(2, PolicySamples.Job(7, "job", 3, 18, Selector)));

            var ack = await Next(controller.Acks);
            Assert.True(ack.Applied, ack.Error);
            Assert.NotEqual(before, Marks());
            Assert.Equal(1, store.Load()!.Revision.Generation);
            Assert.Contains("could not be saved", await Trouble(t => t is not null), StringComparison.Ordinal);

            // Room again: the next policy is on disk, and nothing is amiss any more.
            File.Delete(Path.Combine(mount, "others"));
            await controller.SendAsync(AgentHubMethods.ApplyPolicy, PolicySamples.Policy(3, PolicySamples.Job(7, "job", 2, 26, Selector)));
            Assert.True((await Next(controller.Acks)).Applied);
            Assert.Equal(3, store.Load()!.Revision.Generation);
            await Trouble(t => t is null);

            agent.Kill(entireProcessTree: true);
            await agent.WaitForExitAsync();
        }
        finally
        {
            HostPair.Run("umount", "--lazy", mount);
        }

        async Task<string?> Trouble(Func<string?, bool> wanted)
        {
            while (true)
            {
                var report = await Next(controller.Progress);
                var found = report.Troubles.FirstOrDefault(t => t.Contains("saved", StringComparison.Ordinal));
                if (wanted(found))
                {
                    return found;
                }
            }
        }
    }

    [Fact]
    public async Task Run_Terminated_DeliversTheRestAndLeavesTheMarks()
    {
        controller = await StartControllerAsync();
        controller.Reply = new HelloReply { Accepted = true, Policy = PolicySamples.Policy(1, PolicySamples.Job(7, "job", 2, 26, Selector)) };
        var agent = Start();
        await Next(controller.Acks);
        Transfer(100_000, close: false);

        HostPair.Run("kill", "-TERM", $"{agent.Id}");

        await agent.WaitForExitAsync().WaitAsync(Patience);
        Assert.Equal(0, agent.ExitCode);
        var records = new List<FlowRecord>();
        while (controller.Reports.Reader.TryRead(out var report))
        {
            records.AddRange(report.Records);
        }

        Assert.InRange(records.Where(r => r.DestinationTransportPort == 5000).Sum(r => r.OctetDeltaCount), 100_000, 120_000);
        Assert.Contains(records, r => r.EndReason == FlowEndReason.Forced);
        Assert.NotEqual("", Marks());
    }

    [Fact]
    public async Task Run_WithoutAnyCapability_GoesOnAndSaysWhatItCannotDo()
    {
        controller = await StartControllerAsync();
        controller.Reply = new HelloReply { Accepted = true, Policy = PolicySamples.Policy(1, PolicySamples.Job(7, "job", 2, 26, Selector)) };
        Start("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all");

        var hello = await Next(controller.Hellos);

        Assert.Empty(hello.Capabilities);
        Assert.Contains(hello.Limits, l => l.Contains("CAP_NET_RAW", StringComparison.Ordinal));
        Assert.Contains(hello.Limits, l => l.Contains("CAP_NET_ADMIN", StringComparison.Ordinal));
        Assert.True((await Next(controller.Acks)).Applied);
    }

    [Fact]
    public async Task Run_OnlyItsTwoCapabilities_CanDoAll()
    {
        controller = await StartControllerAsync();
        controller.Reply = new HelloReply { Accepted = true, Policy = PolicySamples.Policy(1, PolicySamples.Job(7, "job", 2, 26, Selector)) };
        Start("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all,+net_raw,+net_admin", "--ambient-caps=-all,+net_raw,+net_admin",
            "--bounding-set=-all,+net_raw,+net_admin");

        Assert.Equal(["capture", "mark"], (await Next(controller.Hellos)).Capabilities);
        Assert.True((await Next(controller.Acks)).Applied);
        Assert.NotEqual("", Marks());
    }

    [Fact]
    public async Task Disable_AgentDead_TakesEveryTraceOut()
    {
        controller = await StartControllerAsync();
        controller.Reply = new HelloReply { Accepted = true, Policy = PolicySamples.Policy(1, PolicySamples.Job(7, "job", 2, 26, Selector)) };
        HostPair.LoadRules(hosts!.Left, "table inet strangers {\n\tchain c {\n\t}\n}\n");
        var before = HostPair.RunIn(hosts.Left, "nft", "list", "ruleset");
        var agent = Start();
        await Next(controller.Acks);
        agent.Kill(entireProcessTree: true);
        await agent.WaitForExitAsync();

        HostPair.RunIn(hosts.Left, AgentPath, "disable");

        Assert.Equal(before, HostPair.RunIn(hosts.Left, "nft", "list", "ruleset"));
        HostPair.RunIn(hosts.Left, AgentPath, "disable");
    }

    [Fact]
    public async Task Run_Asked_TellsStatusPolicyAndFlows()
    {
        controller = await StartControllerAsync();
        controller.Reply = new HelloReply { Accepted = true, Watched = true, Policy = PolicySamples.Policy(3, PolicySamples.Job(7, "job", 2, 26, Selector)) };
        Start();
        Assert.True((await Next(controller.Acks)).Applied);
        var info = Transfer(1_000_000, close: false);
        await Next(controller.Reports);
        string Ask(string word) => HostPair.Run(AgentPath, word, $"--Agent:ControlSocket={directory}/control.sock");

        using var status = JsonDocument.Parse(Ask("status"));
        using var policy = JsonDocument.Parse(Ask("policy"));
        var flows = Ask("flows").Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonSerializer.Deserialize(line, ContractsJson.Default.FlowRecord)!).ToList();

        Assert.Equal((PolicySamples.Host, "http://127.0.0.1:8080", 1), (
            status.RootElement.GetProperty("host").GetString(), status.RootElement.GetProperty("controller").GetString(), status.RootElement.GetProperty("selectors").GetInt32()));
        Assert.Equal(HostPair.LeftInterface, status.RootElement.GetProperty("captures")[0].GetProperty("interface").GetString());
        Assert.Equal("", policy.RootElement.GetProperty("jobs")[0].GetProperty("secret").GetString());
        var flow = Assert.Single(flows, f => f is { Direction: FlowDirection.Egress, DestinationTransportPort: 5000 });
        Assert.InRange(flow.OctetDeltaCount, info.BytesSent, info.BytesSent + (info.SegmentsOut * 60));
        Assert.Equal(7L, flow.JobId);
        Assert.Equal((UnixFileMode)0b110_000_000, File.GetUnixFileMode($"{directory}/control.sock"));
    }

    [Fact]
    public async Task Run_IpfixCollector_NfdumpCountsTheSameToTheByte()
    {
        const string Nfcapd = "/usr/bin/nfcapd";
        Prerequisites.Require(File.Exists(Nfcapd), "nfdump is missing: apt-get install nfdump.");
        var files = Directory.CreateDirectory(Path.Combine(directory, "nf")).FullName;
        var collector = Process.Start(new ProcessStartInfo("ip", ["netns", "exec", hosts!.Left, Nfcapd, "-w", files, "-b", "127.0.0.1", "-p", "4739", "-S", "0"]))!;
        agents.Add(collector);
        PacketRingTests.WaitFor(() => HostPair.RunIn(hosts.Left, "cat", "/proc/net/udp").Contains(":1283 ", StringComparison.Ordinal));
        settings.Add("--Agent:IpfixCollector=127.0.0.1:4739");
        controller = await StartControllerAsync();
        controller.Reply = new HelloReply { Accepted = true, Watched = true, Policy = PolicySamples.Policy(1, PolicySamples.Job(7, "job", 2, 26, Selector)) };
        var agent = Start();
        Assert.True((await Next(controller.Acks)).Applied);
        Transfer(10_000_000);
        Transfer(100_000, close: false);
        HostPair.RunIn(hosts.Left, "ping", "-6", "-c", "1", "2001:db8:99::2"); // not TCP or UDP: in neither
        HostPair.In(hosts.Left, () =>
        {
            using var socket = new Socket(AddressFamily.InterNetworkV6, SocketType.Dgram, ProtocolType.Udp);
            return socket.SendTo(new byte[1000], new IPEndPoint(IPAddress.Parse("2001:db8:99::2"), 9));
        });

        HostPair.Run("kill", "-TERM", $"{agent.Id}");
        await agent.WaitForExitAsync().WaitAsync(Patience);
        HostPair.Run("kill", "-TERM", $"{collector.Id}");
        await collector.WaitForExitAsync().WaitAsync(Patience);

        var ours = new List<FlowRecord>();
        while (controller.Reports.Reader.TryRead(out var report))
        {
            ours.AddRange(report.Records);
        }

        var lines = HostPair.Run("/usr/bin/nfdump", "-R", files, "-q", "-N", "-o", "fmt:%sa %da %sp %dp %tos %pkt %byt").Split('\n', StringSplitOptions.RemoveEmptyEntries);
        var theirs = lines.Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries)).ToList();
        string[] Flow(string source, string destination, int from, int to, long dscp) => [IPAddress.Parse(source).ToString(), IPAddress.Parse(destination).ToString(), $"{from}", $"{to}", $"{dscp}"];
        Assert.Contains(ours, r => r.SourceAddress.Contains(':', StringComparison.Ordinal));
        Assert.Equal(
            Sums(ours.Where(r => r.PacketDeltaCount > 0).Select(r => (Flow(r.SourceAddress, r.DestinationAddress, r.SourceTransportPort, r.DestinationTransportPort, r.IpDiffServCodePoint.Value), r.PacketDeltaCount, r.OctetDeltaCount))),
            Sums(theirs.Select(t => (Flow(t[0], t[1], int.Parse(t[2], CultureInfo.InvariantCulture), int.Parse(t[3], CultureInfo.InvariantCulture), long.Parse(t[4], CultureInfo.InvariantCulture) / 4), long.Parse(t[5], CultureInfo.InvariantCulture), long.Parse(t[6], CultureInfo.InvariantCulture)))));
    }

    private static List<string> Sums(IEnumerable<(string[] Flow, long Packets, long Octets)> records) =>
        [.. records.GroupBy(r => string.Join(' ', r.Flow), StringComparer.Ordinal).Select(g => $"{g.Key}: {g.Sum(r => r.Packets)} packets, {g.Sum(r => r.Octets)} octets").Order(StringComparer.Ordinal)];

    private static string AgentPath => Path.Combine(AppContext.BaseDirectory, "mlnet-agent");

    private static async Task<T> Next<T>(Channel<T> channel) => await channel.Reader.ReadAsync().AsTask().WaitAsync(Patience);

    private Task<ControllerDouble> StartControllerAsync() =>
        ControllerDouble.StartAsync(8080, endpoint => HostPair.In(hosts!.Left, () =>
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(endpoint);
            return socket;
        }));

    private Process Start(params string[] prefix)
    {
        string[] arguments =
        [
            "netns", "exec", hosts!.Left, .. prefix, AgentPath, $"--Agent:Host={PolicySamples.Host}", "--Agent:Controllers:0=http://127.0.0.1:8080",
            $"--Agent:Interface={HostPair.LeftInterface}", $"--Agent:DataAddress={HostPair.LeftAddress}", $"--Agent:StateDirectory={directory}",
            $"--Agent:WorkerSocket={directory}/{PolicySamples.Host}.sock", $"--Agent:ControlSocket={directory}/control.sock", "--Agent:Aggregate=false", "--Agent:LogLevel=Warning",
            .. settings,
        ];
        var agent = Process.Start(new ProcessStartInfo("ip", arguments))!;
        agents.Add(agent);
        return agent;
    }

    /// <summary>Writes until the disk takes no more.</summary>
    private static void Fill(string path)
    {
        using var file = new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0);
        for (var block = new byte[4096]; ;)
        {
            try
            {
                file.Write(block);
            }
            catch (IOException)
            {
                return;
            }
        }
    }

    private string Marks() => HostPair.RunIn(hosts!.Left, "sh", "-c", "nft -s list table inet mlnet_sdn 2>/dev/null || true");

    private TcpInfo Transfer(int bytes, bool close = true)
    {
        var listener = HostPair.In(hosts!.Right, () =>
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(new IPEndPoint(IPAddress.Parse(HostPair.RightAddress), 5000));
            socket.Listen();
            return socket;
        });
        var client = HostPair.In(hosts.Left, () => new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
        client.Connect(listener.LocalEndPoint!);
        var server = listener.Accept();
        var receiving = Task.Run(() =>
        {
            var buffer = new byte[65_536];
            for (int left = bytes, got = 1; left > 0 && got > 0; left -= got)
            {
                got = server.Receive(buffer);
            }
        });
        for (var left = bytes; left > 0;)
        {
            left -= client.Send(new byte[Math.Min(left, 100_000)]);
        }

        receiving.Wait();
        var info = TcpInfo.Of(client);
        if (close)
        {
            client.Dispose();
            server.Dispose();
        }

        listener.Dispose();
        return info;
    }
}
