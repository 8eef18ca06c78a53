using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.RegularExpressions;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;
using MLNet.SDN.Tests.Agent.Policies;
using MLNet.SDN.Tests.Agent.Session;

namespace MLNet.SDN.SystemTests.Agent;

/// <summary>The agent of the left host marks by user and by control group: real users, real groups, real kernel; what arrives is counted on the right.</summary>
[Collection(nameof(HostPair))]
public sealed partial class ProcessSelectorTests : IAsyncDisposable
{
    private const int User = 65_534;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    // UDP to a port of the right host, five packets over IPv4 and five over IPv6 each time a line comes in.
    private const string Sender = """
        import socket, sys
        port = int(sys.argv[1])
        four, six = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        print("ready", flush=True)
        for _ in sys.stdin:
            for _ in range(5):
                four.sendto(b"x" * 64, ("10.99.0.2", port)), six.sendto(b"x" * 64, ("2001:db8:99::2", port))
            print("sent", flush=True)
        """;

    private readonly HostPair hosts;
    private readonly string directory = Directory.CreateTempSubdirectory("mlnet-process-").FullName;
    private readonly string group = $"/mlnet-test-{Environment.ProcessId}";
    private readonly CgroupTree groups;
    private readonly List<Process> started = [];
    private ControllerDouble? controller;

    public ProcessSelectorTests()
    {
        Prerequisites.RequireNamespaces("ip", "nft", "setpriv", "nsenter", "python3");
        var found = CgroupTree.Find(out var reason);
        Prerequisites.Require(found is not null, $"No control groups: {reason}.");
        groups = found!;
        hosts = new HostPair();
    }

    private static string AgentPath => Path.Combine(AppContext.BaseDirectory, "mlnet-agent");

    private string Folder => groups.Mount + group;

    public async ValueTask DisposeAsync()
    {
        foreach (var process in started)
        {
            if (!process.HasExited)
            {
                process.Kill(entireProcessTree: true);
            }

            await process.WaitForExitAsync();
            process.Dispose();
        }

        if (controller is not null)
        {
            await controller.DisposeAsync();
        }

        RemoveGroups();
        hosts.Dispose();
        Directory.Delete(directory, recursive: true);
    }

    [Fact]
    public async Task Policy_SelectsByUserAndGroup_MarksThatAndNothingElseAsGroupsComeAndGo()
    {
        HostPair.LoadRules(hosts.Right, $"table inet arrived {{\n\tchain c {{\n\t\ttype filter hook prerouting priority raw;\n{string.Concat(
            from port in Enumerable.Range(5001, 4) from mark in new[] { "cs0", "af41", "af21" } from family in new[] { "ip", "ip6" }
            select $"\t\tudp dport {port} {family} dscp {mark} counter\n")}\t}}\n}}\n");
        controller = await ControllerDouble.StartAsync(8080, endpoint => HostPair.In(hosts.Left, () =>
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(endpoint);
            return socket;
        }));
        var user = PolicySamples.Job(7, "user", 1, 34, new FlowSelector { Uid = User, Role = "mine" });
        var slice = PolicySamples.Job(8, "slice", 3, 18, new FlowSelector { Cgroup = group, Protocol = "udp" });
        controller.Reply = new HelloReply { Accepted = true, Policy = PolicySamples.Policy(1, user, slice) };

        // Not by "ip netns exec", which mounts a /sys of its own without control groups.
        Run("nsenter", $"--net=/run/netns/{hosts.Left}", AgentPath, $"--Agent:Host={PolicySamples.Host}", "--Agent:Controllers:0=http://127.0.0.1:8080", $"--Agent:Interface={HostPair.LeftInterface}",
            $"--Agent:StateDirectory={directory}", $"--Agent:WorkerSocket={directory}/w", $"--Agent:ControlSocket={directory}/c", "--Agent:Aggregate=false", "--Agent:LogLevel=Error");
        var ack = await controller.Acks.Reader.ReadAsync().AsTask().WaitAsync(Patience);

        // 1. A group that is not there yet holds up nothing, and is told of.
        Assert.True(ack.Applied, ack.Error);
        Assert.Equal([group], Absent());

        // 2. The user's packets are marked, those of root are not.
        var (of, root) = (await SenderAsync(5001, User), await SenderAsync(5002, 0));
        await SendAsync(of, root);
        Assert.Equal([0, 0, 5, 5, 0, 0], Arrived(5001));
        Assert.Equal([5, 5, 0, 0, 0, 0], Arrived(5002));

        // 3. The group comes, and another below it, in which a process opens sockets.
        Directory.CreateDirectory($"{Folder}/worker");
        PacketRingTests.WaitFor(() => Absent() is []);
        var inside = await SenderAsync(5003, 0, $"{Folder}/worker");
        await SendAsync(inside, root);
        Assert.Equal([0, 0, 0, 0, 5, 5], Arrived(5003));
        Assert.Equal([10, 10, 0, 0, 0, 0], Arrived(5002));

        // 4. Flows are known by the sockets that sent them.
        PacketRingTests.WaitFor(() => Flows().Count(f => f is { JobId: not null, DestinationTransportPort: >= 5001 and <= 5003 }) == 4);
        Assert.All(Flows().Where(f => f.DestinationTransportPort == 5001), f => Assert.Equal((7L, "mine", new Dscp(34)), (f.JobId, f.Role, f.PostIpDiffServCodePoint)));
        Assert.All(Flows().Where(f => f.DestinationTransportPort == 5002), f => Assert.Null(f.JobId));
        Assert.All(Flows().Where(f => f.DestinationTransportPort == 5003), f => Assert.Equal((8L, new Dscp(18)), (f.JobId, f.PostIpDiffServCodePoint)));

        // 5. It goes and comes back: another group for the kernel, under the same name.
        inside.Kill();
        await inside.WaitForExitAsync();
        RemoveGroups();
        PacketRingTests.WaitFor(() => Absent() is [_]);
        Directory.CreateDirectory($"{Folder}/worker");
        PacketRingTests.WaitFor(() => Absent() is []);
        await SendAsync(await SenderAsync(5004, 0, $"{Folder}/worker"), of);
        Assert.Equal([0, 0, 0, 0, 5, 5], Arrived(5004));
        Assert.Equal([0, 0, 10, 10, 0, 0], Arrived(5001));
    }

    [GeneratedRegex("counter packets ([0-9]+)")]
    private static partial Regex Counter();

    private static async Task SendAsync(params Process[] senders)
    {
        foreach (var sender in senders)
        {
            await sender.StandardInput.WriteLineAsync("go");
            await sender.StandardInput.FlushAsync();
            Assert.Equal("sent", await sender.StandardOutput.ReadLineAsync().WaitAsync(Patience));
        }
    }

    private async Task<Process> SenderAsync(int port, int uid, string? folder = null)
    {
        var sender = Run("sh", "-c", $"{(folder is null ? "" : $"echo $$ > {folder}/cgroup.procs && ")}exec ip netns exec {hosts.Left} setpriv --reuid {uid} --clear-groups /usr/bin/python3 -c '{Sender}' {port}");
        Assert.Equal("ready", await sender.StandardOutput.ReadLineAsync().WaitAsync(Patience));
        return sender;
    }

    private Process Run(string program, params string[] arguments)
    {
        var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardInput = true, RedirectStandardOutput = true })!;
        started.Add(process);
        return process;
    }

    private void RemoveGroups()
    {
        foreach (var folder in new[] { $"{Folder}/worker", Folder })
        {
            // A process that has ended leaves its group a moment later.
            for (var i = 0; i < 50 && Directory.Exists(folder); i++)
            {
                try
                {
                    Directory.Delete(folder);
                }
                catch (IOException) when (i < 49)
                {
                    Thread.Sleep(20);
                }
            }
        }
    }

    private IReadOnlyList<string> Absent() =>
        [.. JsonDocument.Parse(Ask("status")).RootElement.GetProperty("absentCgroups").EnumerateArray().Select(e => e.GetString()!)];

    private List<FlowRecord> Flows() =>
        [.. Ask("flows").Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonSerializer.Deserialize(line, ContractsJson.Default.FlowRecord)!)];

    private string Ask(string question) => HostPair.RunIn(hosts.Left, AgentPath, question, $"--Agent:Host={PolicySamples.Host}", $"--Agent:ControlSocket={directory}/c", $"--Agent:StateDirectory={directory}");

    // Packets to a port on the right: unmarked, with the one mark and with the other; of IPv4 and IPv6 each.
    private int[] Arrived(int port)
    {
        int[] counts = [];
        PacketRingTests.WaitFor(() =>
        {
            counts = [.. HostPair.RunIn(hosts.Right, "nft", "list", "table", "inet", "arrived").Split('\n').Where(l => l.Contains($"dport {port} ", StringComparison.Ordinal))
                .Select(l => int.Parse(Counter().Match(l).Groups[1].Value, CultureInfo.InvariantCulture))];
            return counts.Sum() % 10 == 0 && counts.Sum() > 0;
        });
        return counts;
    }
}
