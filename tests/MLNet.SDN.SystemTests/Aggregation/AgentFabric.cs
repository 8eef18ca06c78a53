using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.SystemTests.Aggregation;

/// <summary>
/// Agents as they run in production, one per network namespace, on one switch without shaping. They have no controller: each finds the policy of a run before on its
/// disk, and that is all the data plane needs.
/// </summary>
internal sealed partial class AgentFabric : IAsyncDisposable
{
    public const string JobName = "train";

    private const int NetworkNamespace = 0x40000000; // CLONE_NEWNET

    private static int made;

    private readonly string _prefix = string.Create(CultureInfo.InvariantCulture, $"agg{Environment.ProcessId}n{Interlocked.Increment(ref made)}");
    private readonly string _folder = Directory.CreateTempSubdirectory("mlnet-agents-").FullName;
    private readonly Dictionary<string, Process> _agents = [];
    private readonly List<Process> _workers = [];
    private readonly List<string> _output = [];

    private AgentFabric(int hosts) => Hosts = [.. Enumerable.Range(0, hosts).Select(i => $"n{i}")];

    public IReadOnlyList<string> Hosts { get; }

    /// <summary>Builds the network and starts the agents of a job with one worker on each of the first hosts.</summary>
    public static Task<AgentFabric> StartAsync(int hosts, int workers, Func<IReadOnlyList<string>, IReadOnlyList<ShardTree>> trees) =>
        StartAsync(hosts, fabric => [fabric.Job(JobName, 1, workers, trees(fabric.Hosts))]);

    /// <summary>Builds the network and starts the agents, each of which knows all the jobs.</summary>
    public static async Task<AgentFabric> StartAsync(int hosts, Func<AgentFabric, IReadOnlyList<HostJob>> jobs)
    {
        Require();
        var fabric = new AgentFabric(hosts);
        try
        {
            // Other users reach the sockets, as they do where agents run in production.
            File.SetUnixFileMode(fabric._folder, (UnixFileMode)0b111_001_001);
            await fabric.BuildAsync();
            var known = jobs(fabric);
            foreach (var host in fabric.Hosts)
            {
                fabric.StartAgent(host, known);
            }

            return fabric;
        }
        catch
        {
            await fabric.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts a worker: a Python program that finds job, rank and socket in its environment.</summary>
    public Process StartWorker(int rank, string program, params string[] arguments) => StartWorkerOf(JobName, rank, program, arguments);

    /// <inheritdoc cref="StartWorker"/>
    public Process StartWorkerOf(string job, int rank, string program, params string[] arguments)
    {
        var process = Launch(Hosts[rank], new()
        {
            ["PYTHONPATH"] = Path.Combine(Prerequisites.Root, "agent/python"),
            ["PYTHONDONTWRITEBYTECODE"] = "1",
            ["OPENBLAS_NUM_THREADS"] = "1",
            ["MLNET_AGENT_SOCKET"] = Socket(Hosts[rank]),
            ["MLNET_JOB"] = job,
            ["MLNET_RANK"] = rank.ToString(CultureInfo.InvariantCulture),
        }, ["/usr/bin/python3", "-c", program, .. arguments]);
        _workers.Add(process);
        return process;
    }

    /// <summary>Starts a Python program on a host.</summary>
    public Process StartProgram(string host, string program, params string[] arguments)
    {
        var process = Launch(host, [], ["/usr/bin/python3", "-c", program, .. arguments]);
        _workers.Add(process);
        return process;
    }

    /// <summary>Leaves an agent only so many file descriptors beyond those it has.</summary>
    public void LimitDescriptors(string host, int spare)
    {
        var pid = _agents[host].Id;
        var used = Directory.GetFiles($"/proc/{pid}/fd").Select(f => int.Parse(Path.GetFileName(f), CultureInfo.InvariantCulture)).ToHashSet();
        var limit = 0;
        for (var free = 0; free < spare; limit++)
        {
            free += used.Contains(limit) ? 0 : 1;
        }

        using var prlimit = Process.Start("prlimit", [$"--pid={pid}", $"--nofile={limit}:{limit}"]);
        prlimit.WaitForExit();
        Assert.Equal(0, prlimit.ExitCode);
    }

    /// <summary>Runs something on a thread that is in a host's network namespace: sockets made there stay there, whoever uses them.</summary>
    public T InNamespaceOf<T>(string host, Func<T> call)
    {
        var task = new TaskCompletionSource<T>();
        new Thread(() =>
        {
            try
            {
                using var space = File.OpenHandle($"/run/netns/{_prefix}-{host}");
                Assert.Equal(0, SetNamespace(space, NetworkNamespace));
                task.SetResult(call());
            }
            catch (Exception e)
            {
                task.SetException(e);
            }
        }).Start();
        return task.Task.GetAwaiter().GetResult();
    }

    /// <summary>Whether the agent of a host runs.</summary>
    public bool IsRunning(string host) => !_agents[host].HasExited;

    /// <summary>kill -9.</summary>
    public async Task KillAgentAsync(string host)
    {
        _agents[host].Kill();
        await _agents[host].WaitForExitAsync();
    }

    /// <summary>RssAnon of an agent, bytes.</summary>
    public long ResidentAnonymous(string host)
    {
        foreach (var line in File.ReadLines($"/proc/{_agents[host].Id}/status"))
        {
            if (line.StartsWith("RssAnon:", StringComparison.Ordinal))
            {
                return 1024 * long.Parse(line.AsSpan("RssAnon:".Length).Trim("\t kB"), CultureInfo.InvariantCulture);
            }
        }

        throw new InvalidDataException("/proc/PID/status tells no RssAnon");
    }

    /// <summary>What agents and workers have said, host before each line.</summary>
    public IReadOnlyList<string> Output()
    {
        lock (_output)
        {
            return [.. _output];
        }
    }

    /// <summary>Waits until it holds; two minutes without any new output at most.</summary>
    /// <param name="patience">For output that never ends: how long to wait in all.</param>
    public async Task UntilAsync(Func<bool> holds, string what, TimeSpan? patience = null)
    {
        var began = Stopwatch.StartNew();
        var (silentSince, lines) = (Stopwatch.StartNew(), 0);
        while (!holds())
        {
            var now = Output().Count;
            if (now != lines)
            {
                (silentSince, lines) = (Stopwatch.StartNew(), now);
            }

            Assert.True(silentSince.Elapsed < TimeSpan.FromMinutes(2) && began.Elapsed < (patience ?? TimeSpan.MaxValue), $"never happened: {what}\n{string.Join('\n', Output().TakeLast(40))}");
            await Task.Delay(20, TestContext.Current.CancellationToken);
        }
    }

    /// <summary>Where a host listens.</summary>
    public static string DataAddress(int host) => string.Create(CultureInfo.InvariantCulture, $"10.88.0.{host + 1}");

    /// <summary>Where a host takes workers.</summary>
    public string Socket(string host) => Path.Combine(_folder, $"{host}.sock");

    public async ValueTask DisposeAsync()
    {
        foreach (var process in _workers.Concat(_agents.Values))
        {
            if (!process.HasExited)
            {
                process.Kill(entireProcessTree: true);
            }

            await process.WaitForExitAsync();
            process.Dispose();
        }

        foreach (var space in Hosts.Append("switch"))
        {
            await RunAsync("ip", ignoreFailure: true, "netns", "del", $"{_prefix}-{space}");
        }

        Directory.Delete(_folder, recursive: true);
    }

    private static void Require()
    {
        Prerequisites.RequireNamespaces("ip", "nft");
        Prerequisites.Require(File.Exists("/usr/bin/python3") && Directory.Exists("/usr/lib/python3/dist-packages/numpy"), "numpy is missing for /usr/bin/python3: apt-get install python3-numpy.");
    }

    /// <summary>A job with one worker on each of the first hosts.</summary>
    public HostJob Job(string name, long id, int workers, IReadOnlyList<ShardTree> trees) => new()
    {
        JobId = id,
        Name = name,
        Secret = Convert.ToBase64String(Enumerable.Range(0, 32).Select(i => (byte)(i * id)).ToArray()),
        Level = 1,
        Dscp = PriorityLadder.Standard.JobLevels()[0],
        TreesRevision = new Revision(1, 1),
        Members = [.. Enumerable.Range(0, workers).Select(i => new JobMember(i, Hosts[i]))],
        Endpoints = [.. Hosts.Select((h, i) => new HostEndpoint(h, DataAddress(i), 7471, null))],
        Shards = trees,
        ChunkBytes = 128 * 1024,
        WindowChunks = 8,
        Stripes = 2,
    };

    private void StartAgent(string host, IReadOnlyList<HostJob> jobs)
    {
        var state = Path.Combine(_folder, host);
        Directory.CreateDirectory(state);
        var policy = new HostPolicy { Host = host, Revision = new Revision(1, 1), Ladder = PriorityLadder.Standard, Jobs = jobs };
        File.WriteAllText(Path.Combine(state, $"{host}.policy.json"), JsonSerializer.Serialize(policy, ContractsJson.Default.HostPolicy));
        _agents[host] = Launch(host, [],
        [
            Path.Combine(AppContext.BaseDirectory, "mlnet-agent"), $"--Agent:Host={host}", "--Agent:Controllers:0=http://127.0.0.1:9", "--Agent:Interface=eth0",
            $"--Agent:DataAddress={DataAddress(int.Parse(host.AsSpan(1), CultureInfo.InvariantCulture))}", $"--Agent:StateDirectory={state}", $"--Agent:WorkerSocket={Socket(host)}",
        ]);
    }

    private async Task BuildAsync()
    {
        var fabric = $"{_prefix}-switch";
        await RunAsync("ip", false, "netns", "add", fabric);
        await RunAsync("ip", false, "-n", fabric, "link", "add", "switch", "type", "bridge");
        await RunAsync("ip", false, "-n", fabric, "link", "set", "switch", "up");
        for (var i = 0; i < Hosts.Count; i++)
        {
            var space = $"{_prefix}-{Hosts[i]}";
            await RunAsync("ip", false, "netns", "add", space);
            await RunAsync("ip", false, "-n", space, "link", "set", "lo", "up");
            await RunAsync("ip", false, "link", "add", "eth0", "netns", space, "type", "veth", "peer", "name", Hosts[i], "netns", fabric);
            await RunAsync("ip", false, "-n", fabric, "link", "set", Hosts[i], "master", "switch", "up");
            await RunAsync("ip", false, "-n", space, "addr", "add", $"{DataAddress(i)}/24", "dev", "eth0");
            await RunAsync("ip", false, "-n", space, "link", "set", "eth0", "up");
        }
    }

    private Process Launch(string host, Dictionary<string, string> environment, string[] command)
    {
        var start = new ProcessStartInfo("ip", ["netns", "exec", $"{_prefix}-{host}", .. command])
        {
            RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true, WorkingDirectory = _folder,
        };
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
        return process;
    }

    [LibraryImport("libc", EntryPoint = "setns", SetLastError = true)]
    private static partial int SetNamespace(SafeHandle descriptor, int kind);

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

    private static async Task RunAsync(string program, bool ignoreFailure, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        var error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.True(ignoreFailure || process.ExitCode == 0, $"{program} {string.Join(' ', arguments)}: {error}");
    }
}

/// <summary>Tests with agents in namespaces run one after another: they measure, and the machine is shared.</summary>
[CollectionDefinition(nameof(AgentFabric), DisableParallelization = true)]
public sealed class AgentFabricTests;
