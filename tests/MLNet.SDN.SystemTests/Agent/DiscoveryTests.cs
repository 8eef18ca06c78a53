using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.RegularExpressions;
using MLNet.SDN.Contracts;
using MLNet.SDN.SystemTests.Controller;

namespace MLNet.SDN.SystemTests.Agent;

/// <summary>Jobs that know nothing of MLNet, on two hosts with agents and discovery units under the rights that their units give, and a controller.</summary>
[Collection(nameof(HostPair))]
public sealed partial class DiscoveryTests : IAsyncDisposable
{
    private const string Python = "/usr/bin/python3";
    private const int ControllerPort = 8080;
    private const double Promise = 0.05;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);
    private static readonly TimeSpan UnmarkedWithin = TimeSpan.FromSeconds(90);

    private readonly HostPair? hosts;
    private readonly string third = $"nsAGt{Environment.ProcessId % 100_000}";
    private readonly string directory = Directory.CreateTempSubdirectory("mlnet-discovery-").FullName;
    private readonly List<Process> processes = [];
    private readonly ConcurrentDictionary<int, ConcurrentQueue<string>> output = [];
    private readonly HttpClient? http;

    public DiscoveryTests()
    {
        Prerequisites.RequireNamespaces("ip", "nft", "setpriv", "unshare");
        Prerequisites.Require(Directory.Exists("/usr/lib/python3/dist-packages/torch"), "PyTorch is missing for /usr/bin/python3: apt-get install python3-torch.");
        Prerequisites.Require(File.Exists("/usr/bin/mpirun") && Directory.Exists("/usr/lib/python3/dist-packages/mpi4py"), "Open MPI is missing: apt-get install openmpi-bin python3-mpi4py.");
        hosts = new HostPair();
        HostPair.Run("ip", "netns", "add", third);
        foreach (var host in new[] { hosts.Left, hosts.Right })
        {
            // Else the kernel would keep the ports of ended connections from strangers for a minute, by which time the marks are long gone.
            HostPair.RunIn(host, "sysctl", "-qw", "net.ipv4.tcp_max_tw_buckets=0");
        }

        File.SetUnixFileMode(directory, (UnixFileMode)0b111_111_111);
        http = new(new SocketsHttpHandler
        {
            ConnectCallback = (_, _) => ValueTask.FromResult<Stream>(new NetworkStream(HostPair.In(hosts.Left, () =>
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                socket.Connect(HostPair.LeftAddress, ControllerPort);
                return socket;
            }), ownsSocket: true)),
        }) { BaseAddress = new($"http://{HostPair.LeftAddress}:{ControllerPort}") };
    }

    public async ValueTask DisposeAsync()
    {
        http?.Dispose();
        foreach (var process in processes)
        {
            await KillAsync(process);
            process.Dispose();
        }

        if (hosts is not null)
        {
            // What mpirun left in its namespaces.
            foreach (var space in new[] { hosts.Left, hosts.Right, third })
            {
                foreach (var id in HostPair.Run("ip", "netns", "pids", space).Split('\n', StringSplitOptions.RemoveEmptyEntries))
                {
                    HostPair.Run("sh", "-c", $"kill -9 {id} || true");
                }
            }

            HostPair.Run("ip", "netns", "del", third);
            hosts.Dispose();
        }

        Directory.Delete(directory, recursive: true);
    }

    [Fact]
    public async Task UnmodifiedJobs_AreDiscoveredNamedMarkedProfiledAndUnmarkedWhenTheyEnd()
    {
        // Two jobs; a process without the variables; one with them in another namespace.
        var torch = StartTorch();
        var mpi = StartMpi();
        var plain = Start(hosts!.Left, [], "sleep", "600");
        var elsewhere = Start(third, TorchVariables(0), "sleep", "600");
        await UntilAsync(() => Said(torch[0]).Count > 0 && Said(mpi).Count > 0, "both jobs make rounds");
        var watcher = Start(hosts.Left, [], Python, Source("watch_opens.py"), $"{torch[0].Id}", $"{plain.Id}", $"{elsewhere.Id}");
        await UntilAsync(() => Said(watcher).Contains("ready"), "the watch is set");

        var controller = StartController();
        await UntilAsync(async () => await TryGetAsync<List<DiscoveredJobView>>("discovered") is not null, "the controller answers");
        StartAgents();

        // 1. Discovered, named, placed.
        await UntilAsync(async () => (await GetAsync<List<DiscoveredJobView>>("discovered")).Count(j => j.JobId is not null) == 2, "both jobs are managed");
        var names = (await GetAsync<List<DiscoveredJobView>>("discovered")).Select(j => j.Name).Order(StringComparer.Ordinal).ToList();
        Assert.Matches("^mpi-[0-9]+$", names[0]);
        Assert.Equal("torch-10.99.0.1-29500", names[1]);
        foreach (var name in names)
        {
            Assert.Equal(["h0-0-0", "h0-0-1"], (await GetAsync<JobView>($"jobs/{name}")).Spec.Workers);
        }

        // 2. Nobody else was looked into; that the trainer was shows that the watch sees.
        Assert.Contains($"{torch[0].Id} environ", Said(watcher));
        Assert.Contains($"{torch[0].Id} fd", Said(watcher));
        Assert.Contains($"{plain.Id} environ", Said(watcher));
        Assert.DoesNotContain($"{plain.Id} fd", Said(watcher));
        Assert.DoesNotContain($"{elsewhere.Id} environ", Said(watcher));
        Assert.DoesNotContain($"{elsewhere.Id} fd", Said(watcher));

        // 3. Marked, both ways, as the plan says.
        foreach (var name in names)
        {
            await UntilAsync(async () => (await GetAsync<JobView>($"jobs/{name}")).State == JobState.Placed, $"{name} is in force");
            var job = await GetAsync<JobView>($"jobs/{name}");
            Assert.NotEqual(Dscp.Default, job.Plan!.Dscp);
            await UntilAsync(() => CountMarked(job) is var (marked, all) && all.Min() > 20 && marked.SequenceEqual(all), $"{name} is marked");
        }

        // 4. Profiled: period and bytes within 5 %, and both fill what the job did not say.
        var profiles = new Dictionary<string, (TrafficProfile Profile, double At)>();
        await UntilAsync(
            async () =>
            {
                foreach (var job in (await GetAsync<List<DiscoveredJobView>>("discovered")).Where(j => j.Profile is { HasPeriod: true }))
                {
                    profiles.TryAdd(job.Name, (job.Profile!, Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency));
                }

                return profiles.Count == 2;
            },
            "both jobs are profiled");
        foreach (var (name, process, bytes) in new[] { (names[0], mpi, 4.0e6), (names[1], torch[0], 8.0e6) })
        {
            var (found, at) = profiles[name];
            var measured = RoundSeconds(process, at - (found.PeriodSeconds * (found.Rounds + 2)) - 2, at);
            TestContext.Current.SendDiagnosticMessage($"{name}: {measured} s a round by the job, {found}");
            Assert.InRange(found.PeriodSeconds, measured * (1 - Promise), measured * (1 + Promise));
            Assert.InRange(found.BytesPerRound, bytes * (1 - Promise), bytes * (1 + Promise));
            await UntilAsync(async () => (await GetAsync<JobView>($"jobs/{name}")).Spec is { GradientBytes: > 0, ComputeSeconds: > 0 }, $"{name} has its sizes");
        }

        // 5. The one ends, and a stranger of the same user takes its ports at once.
        var ending = await GetAsync<JobView>($"jobs/{names[1]}");
        foreach (var rank in torch)
        {
            await KillAsync(rank);
        }

        var byController = await UnmarkedAfterAsync(ending);
        Assert.Equal(JobState.Finished, (await GetAsync<JobView>($"jobs/{names[1]}")).State);

        // 6. The other ends when there is no controller: the agents see to it themselves.
        ending = await GetAsync<JobView>($"jobs/{names[0]}");
        await KillAsync(controller);
        await KillAsync(mpi);
        HostPair.Run("sh", "-c", $"for p in $(ip netns pids {hosts.Left}) $(ip netns pids {hosts.Right}); do if grep -q discovered_mpi /proc/$p/cmdline; then kill -9 $p; fi; done");
        var byAgents = await UnmarkedAfterAsync(ending);
        TestContext.Current.SendDiagnosticMessage($"unmarked after {byController} with a controller, {byAgents} without");
    }

    [GeneratedRegex("packets ([0-9]+) ")]
    private static partial Regex Packets { get; }

    private static string Source(string file) => Path.Combine(Prerequisites.Root, "tests/MLNet.SDN.SystemTests/Agent", file);

    private static Dictionary<string, string> TorchVariables(int rank) => new()
    {
        ["RANK"] = rank.ToString(CultureInfo.InvariantCulture), ["WORLD_SIZE"] = "2", ["MASTER_ADDR"] = HostPair.LeftAddress, ["MASTER_PORT"] = "29500",
        ["GLOO_SOCKET_IFNAME"] = rank == 0 ? HostPair.LeftInterface : HostPair.RightInterface, ["OMP_NUM_THREADS"] = "1",
    };

    private static async Task KillAsync(Process process)
    {
        if (!process.HasExited)
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
        }
    }

    private Process[] StartTorch() =>
        [.. new[] { hosts!.Left, hosts.Right }.Select((host, rank) => Start(host, TorchVariables(rank), Python, Source("discovered_torch.py"), "2000000", "0.25"))];

    private Process StartMpi()
    {
        // mpirun starts its part on the other host by this instead of ssh; a host name of its own keeps it from taking them for one machine.
        var shell = Path.Combine(directory, "on-host");
        File.WriteAllText(shell, $"#!/bin/sh\nshift\nexec ip netns exec {hosts!.Right} unshare -u sh -c \"hostname right; $*\"\n");
        File.SetUnixFileMode(shell, (UnixFileMode)0b111_101_101);
        return Start(
            hosts.Left, new() { ["TMPDIR"] = directory, ["OMP_NUM_THREADS"] = "1" },
            "unshare", "-u", "sh", "-c", "hostname left; exec \"$@\"", "sh", "mpirun", "--allow-run-as-root", "-np", "2", "--host", $"{HostPair.LeftAddress},{HostPair.RightAddress}", "--bind-to", "none",
            "--mca", "plm_rsh_agent", shell, "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "10.99.0.0/24", "--mca", "oob_tcp_if_include", "10.99.0.0/24",
            Python, Source("discovered_mpi.py"), "1000000", "0.4");
    }

    private Process StartController()
    {
        var topology = Path.Combine(directory, "topology.json");
        File.WriteAllText(topology, JsonSerializer.Serialize(ControllerBinary.Topology, ContractsJson.Default.Topology));
        return Start(
            hosts!.Left, [], Path.Combine(AppContext.BaseDirectory, "mlnet-controller"),
            $"--urls=http://{HostPair.LeftAddress}:{ControllerPort}", $"--Controller:Topology={topology}", "--Controller:AllowUnauthenticatedAgents=true");
    }

    // As the units do: no user has more than these rights.
    private void StartAgents()
    {
        foreach (var (space, host, card, address) in new[] { (hosts!.Left, "h0-0-0", HostPair.LeftInterface, HostPair.LeftAddress), (hosts.Right, "h0-0-1", HostPair.RightInterface, HostPair.RightAddress) })
        {
            foreach (var (verb, rights) in new[] { ("run", "+net_admin,+net_raw"), ("discover", "+sys_ptrace,+dac_read_search") })
            {
                Start(
                    space, [], "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", $"--inh-caps=-all,{rights}", $"--ambient-caps=-all,{rights}", $"--bounding-set=-all,{rights}", "--no-new-privs",
                    Path.Combine(AppContext.BaseDirectory, "mlnet-agent"), verb, $"--Agent:Host={host}", $"--Agent:Controllers:0=http://{HostPair.LeftAddress}:{ControllerPort}", $"--Agent:Interface={card}",
                    $"--Agent:DataAddress={address}", $"--Agent:StateDirectory={directory}", $"--Agent:WorkerSocket={directory}/{host}.sock", "--Agent:Discover=true", "--Agent:DiscoveryInterval=00:00:02");
            }
        }
    }

    private Process Start(string space, Dictionary<string, string> environment, string program, params string[] arguments)
    {
        var start = new ProcessStartInfo("ip", ["netns", "exec", space, program, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        var process = Process.Start(start)!;
        var lines = output[process.Id] = new();
        void Keep(object sender, DataReceivedEventArgs line) => lines.Enqueue(line.Data ?? "");
        process.OutputDataReceived += Keep;
        process.ErrorDataReceived += Keep;
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        processes.Add(process);
        return process;
    }

    /// <summary>What the job itself measured while it was watched: the mean of its rounds without the quarters at both ends.</summary>
    private double RoundSeconds(Process job, double from, double to)
    {
        var starts = Said(job).Select(l => double.TryParse(l, NumberStyles.Float, CultureInfo.InvariantCulture, out var start) ? start : double.NaN).Where(s => s >= from && s <= to).ToList();
        var rounds = starts.Zip(starts.Skip(1), (a, b) => b - a).Order().ToArray();
        return rounds[(rounds.Length / 4)..(3 * rounds.Length / 4)].Average();
    }

    private List<string> Said(Process process) => [.. output[process.Id].Where(l => l.Length > 0)];

    /// <summary>Packets of the job that pass within a second, from the left host to the right and back: those with its mark, and all.</summary>
    private (long[] Marked, long[] All) CountMarked(JobView job)
    {
        var rules = job.Spec.Selectors!.SelectMany(s => new[] { (s.Source, s.SourcePortFrom, s.Destination, s.DestinationPortFrom), (s.Destination, s.DestinationPortFrom, s.Source, s.SourcePortFrom) })
            .Select(m => $"ip saddr {m.Item1} tcp sport {m.Item2} ip daddr {m.Item3} tcp dport {m.Item4}").ToList();
        var text = string.Join('\n', rules.SelectMany(r => new[] { $"{r} ip dscp {job.Plan!.Dscp.Value} counter", $"{r} counter" }));
        var table = $"table inet arrived {{\n}}\ndelete table inet arrived\ntable inet arrived {{\nchain c {{\ntype filter hook prerouting priority raw; policy accept;\n{text}\n}}\n}}\n";
        foreach (var host in new[] { hosts!.Left, hosts.Right })
        {
            HostPair.LoadRules(host, table);
        }

        Thread.Sleep(1000);
        var counts = new[] { hosts.Right, hosts.Left }.Select(h => Packets.Matches(HostPair.RunIn(h, "nft", "list", "table", "inet", "arrived")).Select(m => long.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture)).Chunk(2).ToList()).ToList();
        return ([.. counts.Select(c => c.Sum(p => p[0]))], [.. counts.Select(c => c.Sum(p => p[1]))]);
    }

    /// <summary>Lets a stranger use the ports of a job that has just ended until its packets carry no mark any more.</summary>
    private async Task<TimeSpan> UnmarkedAfterAsync(JobView ended)
    {
        var clock = Stopwatch.StartNew();
        var taken = ended.Spec.Selectors![0];
        var (near, far) = (End(taken.Source!, taken.SourcePortFrom!.Value), End(taken.Destination!, taken.DestinationPortFrom!.Value));
        var left = near.Address.ToString() == HostPair.LeftAddress;
        using var listener = HostPair.In(left ? hosts!.Right : hosts!.Left, () => Bound(far));
        listener.Listen();
        using var client = HostPair.In(left ? hosts.Left : hosts.Right, () => Bound(near));
        client.Connect(far);
        using var server = listener.Accept();
        var wasMarked = false;
        while (true)
        {
            using var stop = new CancellationTokenSource();
            var talking = Task.Run(() =>
            {
                while (!stop.IsCancellationRequested)
                {
                    client.Send(new byte[100]);
                    server.Receive(new byte[1000]);
                    Thread.Sleep(10);
                }
            });
            var (marked, all) = CountMarked(ended with { Spec = ended.Spec with { Selectors = [taken] } });
            await stop.CancelAsync();
            await talking;
            Assert.True(all.Min() > 5, "the stranger's packets do not pass");
            wasMarked |= marked.Sum() > 0;
            if (marked.Sum() == 0)
            {
                // Had it never been marked, this would show nothing.
                Assert.True(wasMarked, "the job's marks were gone before it ended");
                return clock.Elapsed;
            }

            Assert.True(clock.Elapsed < UnmarkedWithin, "the stranger is still marked");
        }

        static IPEndPoint End(string prefix, int port) => new(IPAddress.Parse(prefix[..prefix.IndexOf('/', StringComparison.Ordinal)]), port);
        static Socket Bound(IPEndPoint at)
        {
            // The last words of the job's connections may still be under way.
            for (var attempt = 0; ; attempt++)
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                try
                {
                    socket.Bind(at);
                    return socket;
                }
                catch (SocketException exception) when (exception.SocketErrorCode == SocketError.AddressAlreadyInUse && attempt < 200)
                {
                    socket.Dispose();
                    Thread.Sleep(10);
                }
            }
        }
    }

    private async Task<T> GetAsync<T>(string path) => (await http!.GetFromJsonAsync<T>($"/api/v1/{path}", ContractsJson.Default.Options, TestContext.Current.CancellationToken))!;

    private async Task<T?> TryGetAsync<T>(string path)
        where T : class
    {
        try
        {
            return await GetAsync<T>(path);
        }
        catch (Exception exception) when (exception is HttpRequestException or AggregateException)
        {
            return null;
        }
    }

    private Task UntilAsync(Func<bool> holds, string what) => UntilAsync(() => Task.FromResult(holds()), what);

    private async Task UntilAsync(Func<Task<bool>> holds, string what)
    {
        var clock = Stopwatch.StartNew();
        while (!await holds())
        {
            if (clock.Elapsed > Patience)
            {
                Assert.Fail($"never happened: {what}\n{string.Join('\n', output.Select(o => string.Join('\n', o.Value.TakeLast(40))))}");
            }

            await Task.Delay(200, TestContext.Current.CancellationToken);
        }
    }
}
