using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.SystemTests.Dashboard;

/// <summary>A small real fabric: hosts are network namespaces, switches are bridges in one namespace of their own, every port has its rate.</summary>
/// <remarks>
/// <code>
///            spine
///        10 /     \ 10 Mbit/s
///       leaf0     leaf1
///   20 /  \ 20  20 /  \ 20
///     n0   n1     n2   n3         and a management network to the root namespace, where the controller is
/// </code>
/// </remarks>
internal sealed class TrainingFabric : IAsyncDisposable
{
    private const int HostMbps = 20;
    private const int UplinkMbps = 10;
    private const int HostsPerRack = 2;

    private static readonly string[] Leaves = ["leaf0", "leaf1"];

    private readonly string _prefix = string.Create(CultureInfo.InvariantCulture, $"dsh{Environment.ProcessId}");
    private readonly List<Process> _processes = [];
    private readonly List<string> _output = [];
    private readonly string _folder = Directory.CreateTempSubdirectory("mlnet-fabric-").FullName;

    private TrainingFabric() => Hosts = [.. Enumerable.Range(0, Leaves.Length * HostsPerRack).Select(i => $"n{i}")];

    /// <summary>Names of the hosts.</summary>
    public IReadOnlyList<string> Hosts { get; }

    /// <summary>Address of the root namespace on the management network.</summary>
    public static string ManagementAddress => Management(1);

    /// <summary>What the controller is told of it.</summary>
    public Topology Topology => new()
    {
        Graph = new Dictionary<string, JsonElement> { ["name"] = JsonElement.Parse("\"two racks\"") },
        Nodes =
        [
            .. Hosts.Select((h, i) => new TopologyNode { Id = h, Kind = NodeKind.Host, Address = DataAddress(i), Rack = LeafOf(i) }),
            .. Leaves.Select(l => new TopologyNode { Id = l, Kind = NodeKind.Switch, Rack = l, Tier = "edge" }),
            new() { Id = "spine", Kind = NodeKind.Switch, Tier = "core" },
        ],
        Links =
        [
            .. Hosts.Select((h, i) => new TopologyLink { Source = h, Target = LeafOf(i), RateBitsPerSecond = HostMbps * 1_000_000 }),
            .. Leaves.Select(l => new TopologyLink { Source = l, Target = "spine", RateBitsPerSecond = UplinkMbps * 1_000_000 }),
        ],
    };

    /// <summary>Builds it.</summary>
    public static async Task<TrainingFabric> BuildAsync()
    {
        var fabric = new TrainingFabric();
        try
        {
            await fabric.BuildNetworkAsync();
            return fabric;
        }
        catch
        {
            await fabric.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts the agent process of a host.</summary>
    public void StartAgent(string host, Uri controller, string tokenFile) => Start(
        host, new Dictionary<string, string>(), "dotnet", Path.Combine(AppContext.BaseDirectory, "mlnet-agent.dll"), $"--Agent:Host={host}", $"--Agent:Controllers:0={controller}", $"--Agent:TokenFile={tokenFile}",
        "--Agent:Interface=eth0", $"--Agent:DataAddress={DataAddress(Index(host))}", $"--Agent:StateDirectory={Path.Combine(_folder, host)}", $"--Agent:WorkerSocket={Socket(host)}");

    /// <summary>Starts a worker that calls the library as a trainer does: compute, all-reduce, again. It prints the sum of its last result.</summary>
    public Process StartWorker(string host, string job, int rank, int elements, int rounds, double computeSeconds)
    {
        const string Trainer = """
            import sys, time, numpy, mlnet
            elements, rounds, compute = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
            with mlnet.join() as job:
                gradient = numpy.full(elements, job.rank + 1, numpy.float32)
                for _ in range(rounds):
                    time.sleep(compute)
                    result = job.allreduce(gradient)
                print("sum", int(result[0]), int(result[-1]), flush=True)
            """;
        Dictionary<string, string> environment = new()
        {
            ["PYTHONPATH"] = Path.Combine(Prerequisites.Root, "agent/python"),
            ["PYTHONDONTWRITEBYTECODE"] = "1",
            ["MLNET_AGENT_SOCKET"] = Socket(host),
            ["MLNET_JOB"] = job,
            ["MLNET_RANK"] = rank.ToString(CultureInfo.InvariantCulture),
        };
        return Start(
            host, environment, "/usr/bin/python3", "-c", Trainer, elements.ToString(CultureInfo.InvariantCulture), rounds.ToString(CultureInfo.InvariantCulture),
            computeSeconds.ToString(CultureInfo.InvariantCulture));
    }

    /// <summary>All that the processes have said.</summary>
    public string Output()
    {
        lock (_output)
        {
            return string.Join('\n', _output);
        }
    }

    /// <summary>Ends its processes, then takes its namespaces away, and with them every link.</summary>
    public async ValueTask DisposeAsync()
    {
        foreach (var process in _processes)
        {
            if (!process.HasExited)
            {
                process.Kill(entireProcessTree: true);
            }

            await process.WaitForExitAsync();
            process.Dispose();
        }

        foreach (var space in Hosts.Append("fabric"))
        {
            await RunAsync("ip", ignoreFailure: true, "netns", "del", $"{_prefix}-{space}");
        }

        await RunAsync("ip", ignoreFailure: true, "link", "del", _prefix);
        Directory.Delete(_folder, recursive: true);
    }

    private static string LeafOf(int host) => Leaves[host / HostsPerRack];

    private static string DataAddress(int host) => $"10.77.0.{host + 2}";

    // Its own for each process, so that two runs beside each other do not meet.
    private static string Management(int number) => $"198.19.{Environment.ProcessId % 250}.{number}";

    private static int Index(string host) => int.Parse(host.AsSpan(1), CultureInfo.InvariantCulture);

    private string Socket(string host) => Path.Combine(_folder, $"{host}.sock");

    private string Space(string name) => $"{_prefix}-{name}";

    private async Task BuildNetworkAsync()
    {
        var fabric = Space("fabric");
        foreach (var space in Hosts.Append("fabric"))
        {
            await RunAsync("ip", "netns", "add", Space(space));
            await RunAsync("ip", "-n", Space(space), "link", "set", "lo", "up");
        }

        foreach (var bridge in Leaves.Append("spine").Append("mgmt"))
        {
            await RunAsync("ip", "-n", fabric, "link", "add", bridge, "type", "bridge");
            await RunAsync("ip", "-n", fabric, "link", "set", bridge, "up");
        }

        foreach (var leaf in Leaves)
        {
            await RunAsync("ip", "-n", fabric, "link", "add", $"{leaf}-up", "type", "veth", "peer", "name", $"{leaf}-down");
            await PlugAsync($"{leaf}-up", leaf, UplinkMbps);
            await PlugAsync($"{leaf}-down", "spine", UplinkMbps);
        }

        for (var i = 0; i < Hosts.Count; i++)
        {
            var (host, space) = (Hosts[i], Space(Hosts[i]));
            await RunAsync("ip", "link", "add", "eth0", "netns", space, "type", "veth", "peer", "name", host, "netns", fabric);
            await RunAsync("ip", "link", "add", "mgmt0", "netns", space, "type", "veth", "peer", "name", $"{host}-m", "netns", fabric);
            await PlugAsync(host, LeafOf(i), HostMbps);
            await PlugAsync($"{host}-m", "mgmt", mbps: null);
            await RunAsync("ip", "-n", space, "addr", "add", $"{DataAddress(i)}/24", "dev", "eth0");
            await RunAsync("ip", "-n", space, "addr", "add", $"{Management(i + 2)}/24", "dev", "mgmt0");
            await RunAsync("ip", "-n", space, "link", "set", "eth0", "gso_max_size", "6000", "up");
            await RunAsync("ip", "-n", space, "link", "set", "mgmt0", "up");
            await LimitAsync(space, "eth0", HostMbps);
        }

        await RunAsync("ip", "link", "add", _prefix, "type", "veth", "peer", "name", "root-m", "netns", fabric);
        await PlugAsync("root-m", "mgmt", mbps: null);
        await RunAsync("ip", "addr", "add", $"{ManagementAddress}/24", "dev", _prefix);
        await RunAsync("ip", "link", "set", _prefix, "up");

        async Task PlugAsync(string port, string bridge, int? mbps)
        {
            await RunAsync("ip", "-n", fabric, "link", "set", port, "master", bridge);
            await RunAsync("ip", "-n", fabric, "link", "set", port, "up");
            if (mbps is { } rate)
            {
                await LimitAsync(fabric, port, rate);
            }
        }

        static async Task LimitAsync(string space, string device, int mbps)
        {
            await RunAsync("tc", "-n", space, "qdisc", "add", "dev", device, "root", "handle", "1:", "htb", "default", "1");
            await RunAsync("tc", "-n", space, "class", "add", "dev", device, "parent", "1:", "classid", "1:1", "htb", "rate", $"{mbps}mbit", "burst", "3200", "cburst", "3200", "quantum", "1514");
            await RunAsync("tc", "-n", space, "qdisc", "add", "dev", device, "parent", "1:1", "handle", "10:", "bfifo", "limit", "60000");
        }
    }

    private Process Start(string host, IReadOnlyDictionary<string, string> environment, params string[] command)
    {
        var start = new ProcessStartInfo("ip") { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = _folder };
        foreach (var argument in (string[])["netns", "exec", Space(host), .. command])
        {
            start.ArgumentList.Add(argument);
        }

        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        var process = new Process { StartInfo = start };
        process.OutputDataReceived += (_, line) => Note(host, line.Data);
        process.ErrorDataReceived += (_, line) => Note(host, line.Data);
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        _processes.Add(process);
        return process;
    }

    private void Note(string host, string? line)
    {
        if (line is not null)
        {
            lock (_output)
            {
                _output.Add($"{host}: {line}");
            }
        }
    }

    private static Task RunAsync(string program, params string[] arguments) => RunAsync(program, ignoreFailure: false, arguments);

    private static async Task RunAsync(string program, bool ignoreFailure, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        var error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.True(ignoreFailure || process.ExitCode == 0, $"{program} {string.Join(' ', arguments)}: {error}");
    }
}
