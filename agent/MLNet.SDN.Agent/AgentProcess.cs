using System.Net;
using System.Reflection;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Configuration;
using MLNet.SDN.Agent.Control;
using MLNet.SDN.Agent.Discovery;
using MLNet.SDN.Agent.Flows;
using MLNet.SDN.Agent.Marking;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Agent.Queues;
using MLNet.SDN.Agent.Session;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent;

/// <summary>The agent of one host, put together: starts its parts in order, runs until told to stop, stops them in the order in which nothing counted is lost.</summary>
internal sealed class AgentProcess : IAsyncDisposable
{
    // A controller that is there takes the last reports in milliseconds; one that is not must not hold up the host's shutdown.
    private static readonly TimeSpan DrainPatience = TimeSpan.FromSeconds(3);

    // Two looks in vain withdraw a job's marks: within 60 s of its last socket.
    private static readonly TimeSpan PresenceInterval = TimeSpan.FromSeconds(20);

    // A controller refuses a hello with longer texts; what tc says of many interfaces may be one.
    private const int MaxLimitLength = 1000;

    private static readonly TimeSpan FollowInterval = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan LeastRepairInterval = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan MostRepairInterval = TimeSpan.FromSeconds(90);

    private readonly AgentOptions options;
    private readonly TimeProvider time;
    private readonly ILogger logger;
    private readonly Guid boot = Guid.NewGuid();
    private readonly Marker marker;
    private readonly PolicyStore store;
    private readonly FlowMeter meter;
    private readonly ReportQueue queue;
    private readonly IpfixExporter? ipfix;
    private readonly QueueKeeper? queues;
    private readonly AggregationHost? aggregation;
    private readonly List<CaptureLoop> captures = [];
    private readonly ControlServer control;
    private readonly DiscoveryListener? discovery;
    private readonly DiscoverySource? discovered;
    private readonly DateTimeOffset started;
    private PolicyInstaller? installer;
    private SocketOwners? sockets;
    private string? noCgroups;
    private ControllerSession? session;

    /// <summary>Puts the agent together; nothing runs yet.</summary>
    public AgentProcess(AgentOptions options, TimeProvider time, ILoggerFactory loggers)
    {
        (this.options, this.time) = (options, time);
        logger = loggers.CreateLogger("MLNet.SDN.Agent");
        marker = new Marker(new SystemProgram("nft"), loggers.CreateLogger<Marker>());
        queues = options.Queues ? new QueueKeeper(new SystemProgram("tc"), options.Interfaces, loggers.CreateLogger<QueueKeeper>()) : null;
        store = new PolicyStore(options.StateDirectory, options.Host);
#if USE_SHARPPCAP
        meter = new FlowMeter(options.FlowTableEntries, options.FlowIdleTimeout, options.Interfaces.SelectMany(SharpPcapFrameSource.AddressesOf));
#else
        meter = new FlowMeter(options.FlowTableEntries, options.FlowIdleTimeout);
#endif
        queue = new ReportQueue(options.PendingRecords);
        ipfix = options.IpfixCollector is { } collector ? new IpfixExporter(collector, time, logger) : null;
        if (options.Aggregate)
        {
            aggregation = new AggregationHost(
                new AggregationOptions
                {
                    Host = options.Host,
                    Listen = new IPEndPoint(options.DataAddress!, options.DataPort),
                    WorkerSocket = options.WorkerSocket,
                    SignallingDscp = PriorityLadder.Standard.SignallingDscp().Value,
                    ProbePaths = options.ProbePaths,
                },
                time,
                loggers.CreateLogger<AggregationHost>());
        }

        foreach (var name in options.Capture ? options.Interfaces : [])
        {
#if USE_SHARPPCAP
            captures.Add(new CaptureLoop(name, () => SharpPcapFrameSource.Open(name, options.CaptureRingBytes), meter, loggers.CreateLogger<CaptureLoop>()));
#else
            captures.Add(new CaptureLoop(name, () => PacketRing.Open(name, options.CaptureRingBytes), meter, loggers.CreateLogger<CaptureLoop>()));
#endif
        }

        if (options.Discover)
        {
            var log = loggers.CreateLogger("MLNet.SDN.Agent.Discovery");
            discovery = new DiscoveryListener(options.DiscoverySocket, time, log);
            discovered = new DiscoverySource(options.Host, boot, () => discovery.Jobs, time, log);
        }

        started = time.GetUtcNow();
        control = new ControlServer(options.ControlSocket, Answer, time, logger);
    }

    /// <summary>Product version.</summary>
    public static string Version { get; } =
        typeof(AgentProcess).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    /// <summary>Runs until told to stop.</summary>
    /// <exception cref="IOException">The data plane's port or the workers' socket cannot be had.</exception>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        SessionLog.Starting(logger, options.Host, Version, boot);

        // 1. The data plane first: the policy needs its port. 2. The last policy, before anybody is asked for a newer one.
        if (aggregation is not null)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(options.WorkerSocket)!);
            await aggregation.StartAsync(cancellationToken);
        }

        if (options.Mark)
        {
            await marker.ProbeAsync(cancellationToken);
        }
        else
        {
            marker.Disable("switched off by Agent:Mark=false");
        }

        installer = new PolicyInstaller(
            options.Host, boot, marker, aggregation is null ? null : aggregation.Apply, aggregation?.DataPort, store, logger, options.AllowedDscp, queues,
            (before, after, cancellation) =>
                marker.Unavailable is null ? IdleGap.WaitAsync(before, after, aggregation?.DataPort, installer!.Cgroups, time, cancellation) : Task.CompletedTask)
        { Cgroups = await FindCgroupsAsync(cancellationToken) };
        sockets = new SocketOwners(ListSockets, installer.Cgroups, time);
        await installer.RestoreAsync(cancellationToken);

        // 3. Sight. 4. The controller.
        captures.ForEach(c => c.Start());
        var reporter = new FlowReporter(
            options.Host, boot, string.Join(", ", options.Interfaces), options.ReportInterval, meter,
            new FlowAttribution(aggregation is null ? null : aggregation.TryFindOwner, sockets), () => installer.Current, queue, time, logger, ipfix);
        session = new ControllerSession(
            options.Controllers, Token, Hello, installer, queue, new ProgressSource(options.Host, boot, aggregation is null ? null : aggregation.Status, Troubles, time),
            watched => reporter.Watched = watched, time, logger, Random.Shared, discovered);
        try
        {
            control.Start();
        }
        catch (IOException exception)
        {
            // Nobody can ask it, and it works all the same.
            SessionLog.ControlUnavailable(logger, exception.Message);
        }

        try
        {
            discovery?.Start();
        }
        catch (IOException exception)
        {
            DiscoveryLog.Unavailable(logger, exception.Message);
        }

        using var stopSession = new CancellationTokenSource();
        using var drained = new CancellationTokenSource();
        var sessionTask = session.RunAsync(stopSession.Token, drained.Token);
        var reporting = reporter.RunAsync(cancellationToken);
        var repairing = RepairAsync(cancellationToken);
        var following = FollowAsync(cancellationToken);
        var discovering = discovered?.RunAsync(cancellationToken) ?? Task.Delay(Timeout.Infinite, cancellationToken);

        // Any of them ending by itself is a bug that must not pass in silence.
        var ended = await Task.WhenAny(sessionTask, reporting, repairing, following, discovering);
        if (!cancellationToken.IsCancellationRequested)
        {
            await ended;
            throw new InvalidOperationException("A part of the agent ended by itself.");
        }

        // 5. Stop counting, report the rest, tell the controller, leave.
        SessionLog.Stopping(logger);
        await Task.WhenAll(reporting, repairing, following);
        await discovering.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        captures.ForEach(c => c.Stop());
        reporter.Finish();
        drained.CancelAfter(DrainPatience);
        await stopSession.CancelAsync();
        await sessionTask;
        if (queue.Count > 0)
        {
            SessionLog.ReportsUndelivered(logger, queue.Count);
        }
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await control.DisposeAsync();
        if (discovery is not null)
        {
            await discovery.DisposeAsync();
        }

        captures.ForEach(c => c.Dispose());
        if (aggregation is not null)
        {
            await aggregation.DisposeAsync();
        }

        installer?.Dispose();
        queue.Dispose();
        ipfix?.Dispose();
    }

    // Read anew each time: a token that was changed on all sides needs no restart here.
    private string? Token() =>
        options.TokenFile is not { } file ? options.Token
        : BearerToken.Read(file, out var token) is { } fault ? throw new IOException($"Agent:TokenFile '{file}' {fault}")
        : token;

    private (List<string> Capabilities, List<string> Limits) Abilities()
    {
        var capabilities = new List<string>();
        var limits = new List<string>();
        void Tell(string capability, string? reason)
        {
            if (reason is null)
            {
                capabilities.Add(capability);
            }
            else
            {
                limits.Add($"No {capability}: {reason}.");
            }
        }

        Tell("capture", captures.Count == 0 ? "switched off by Agent:Capture=false" : captures.Find(c => c.Trouble is not null)?.Trouble);
        Tell("mark", marker.Unavailable);
        if (marker.Unavailable is null && noCgroups is not null)
        {
            limits.Add($"No mark by control group: {noCgroups}.");
        }

        if (queues is not null)
        {
            Tell("queue", queues.Limit);
        }

        if (discovery is not null)
        {
            Tell("discover", discovery.Trouble);
        }

        Tell("aggregate", aggregation is null ? "switched off by Agent:Aggregate=false" : null);
        return (capabilities, limits);
    }

    private AgentHello Hello()
    {
        var (capabilities, limits) = Abilities();
        return new AgentHello
        {
            Host = options.Host,
            Boot = boot,
            Version = Version,
            Capabilities = capabilities,
            Limits = [.. limits.Select(l => l.Length <= MaxLimitLength ? l : l[..MaxLimitLength])],
            DataPort = aggregation?.DataPort ?? (options.DataPort > 0 ? options.DataPort : AgentOptions.DefaultDataPort),
            Installed = installer!.Current.Revision,
            InstalledHash = installer.Hash,
            JobFaults = installer.JobFaults,
        };
    }

    private bool Answer(string question, TextWriter text)
    {
        switch (question)
        {
            case "status":
                text.WriteLine(JsonSerializer.Serialize(Status(), ControlJson.Default.AgentStatus));
                return true;
            case "policy" when installer!.Current.Policy is { } policy:
                var open = policy with { Jobs = [.. policy.Jobs.Select(j => j with { Secret = "" })] };
                text.WriteLine(JsonSerializer.Serialize(open, ContractsJson.Default.HostPolicy));
                return true;
            case "policy":
                text.WriteLine("error: no policy is in force yet");
                return true;
            case "flows":
                var flows = new List<FlowDelta>();
                meter.Snapshot(flows);
                var attribution = new FlowAttribution(aggregation is null ? null : aggregation.TryFindOwner, sockets);
                flows.ForEach(flow => text.WriteLine(JsonSerializer.Serialize(attribution.Describe(flow, installer!.Current), ContractsJson.Default.FlowRecord)));
                return true;
            default:
                return false;
        }
    }

    private AgentStatus Status()
    {
        var (capabilities, limits) = Abilities();
        var totals = meter.Totals();
        var current = installer!.Current;
        return new AgentStatus
        {
            Host = options.Host,
            Version = Version,
            Boot = boot,
            Started = started,
            Controller = session?.Controller,
            Policy = current.Revision,
            Jobs = current.Policy?.Jobs.Count ?? 0,
            Selectors = current.Policy?.Jobs.Sum(j => j.Selectors.Count) ?? 0,
            Hash = installer.Hash,
            Capabilities = capabilities,
            Limits = limits,
            Troubles = [.. Troubles()],
            AbsentCgroups = installer.AbsentCgroups,
            QueueDisciplines = queues is null ? null : QueueDisciplines.Detect(),
            Queues = queues?.Served,
            Captures = [.. captures.Select(c => new CaptureStatus(c.Interface, c.Trouble, c.AllocatedBytes))],
            Frames = totals.Frames,
            IgnoredFrames = totals.Ignored,
            KernelDrops = totals.Drops,
            Flows = totals.Flows,
            EvictedFlows = totals.Evictions,
            LostRecords = totals.LostRecords + queue.LostRecords,
            PendingReports = queue.Count,
        };
    }

    private IEnumerable<string> Troubles()
    {
        foreach (var capture in captures)
        {
            if (capture.Trouble is { } blind)
            {
                yield return $"Not capturing on {capture.Interface}: {blind}";
            }
        }

        if (marker.Trouble is { } unmarked)
        {
            yield return $"Marks are not as the policy wants them: {unmarked}";
        }

        if (noCgroups is not null && marker.Unavailable is null && installer?.Current.Cgroups is { Count: > 0 } groups)
        {
            yield return $"Selectors that name a control group mark nothing here ({string.Join(", ", groups.Order(StringComparer.Ordinal).Take(3))}): {noCgroups}";
        }

        if (installer?.Trouble is { } unsaved)
        {
            yield return unsaved;
        }
    }

    private static List<SocketFacts> ListSockets(byte protocol)
    {
        using var diagnosis = new SocketDiagnosis();
        return diagnosis.Sockets(protocol);
    }

    private async Task<CgroupTree?> FindCgroupsAsync(CancellationToken cancellationToken)
    {
        var found = CgroupTree.Find(out noCgroups);
        if (found is not null && marker.Unavailable is null)
        {
            noCgroups = await marker.ProbeCgroupsAsync(found.RootName, cancellationToken);
        }

        return noCgroups is null ? found : null;
    }

    // Processes come and go faster than marks are repaired. Costs nothing while no policy names any.
    private async Task FollowAsync(CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested)
        {
            await Task.Delay(FollowInterval, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            try
            {
                sockets!.Refresh(installer!.Current);
                await installer.FollowCgroupsAsync(cancellationToken);
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                // Told to stop.
            }
            catch (Exception exception)
            {
                SessionLog.TaskFailed(logger, exception.Message, exception);
            }
        }
    }

    private async Task RepairAsync(CancellationToken cancellationToken)
    {
        var nextRepair = TimeSpan.Zero;
        var clock = time.GetTimestamp();
        while (!cancellationToken.IsCancellationRequested)
        {
            await Task.Delay(PresenceInterval, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            try
            {
                await installer!.WithdrawAsync(options.Mark && installer.AsksForSockets ? LocalSockets.Read() : null, (discovery?.Jobs ?? []).Select(j => (j.Key, j.Uid)).ToHashSet(), cancellationToken);
                if (time.GetElapsedTime(clock) >= nextRepair)
                {
                    nextRepair = LeastRepairInterval + ((MostRepairInterval - LeastRepairInterval) * Random.Shared.NextDouble()) - PresenceInterval;
                    clock = time.GetTimestamp();
                    await installer.RepairAsync(cancellationToken);
                }
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                // Told to stop.
            }
            catch (Exception exception)
            {
                // The gradients of running jobs pass through this process: a repair is not worth its end.
                SessionLog.TaskFailed(logger, exception.Message, exception);
            }
        }
    }
}
