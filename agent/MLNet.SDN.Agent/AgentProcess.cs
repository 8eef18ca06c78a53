using System.Net;
using System.Reflection;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Configuration;
using MLNet.SDN.Agent.Flows;
using MLNet.SDN.Agent.Marking;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Agent.Session;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent;

/// <summary>The agent of one host, put together: starts its parts in order, runs until told to stop, stops them in the order in which nothing counted is lost.</summary>
internal sealed class AgentProcess : IAsyncDisposable
{
    // A controller that is there takes the last reports in milliseconds; one that is not must not hold up the host's shutdown.
    private static readonly TimeSpan DrainPatience = TimeSpan.FromSeconds(3);

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
    private readonly AggregationHost? aggregation;
    private readonly CaptureLoop? capture;
    private PolicyInstaller? installer;

    /// <summary>Puts the agent together; nothing runs yet.</summary>
    public AgentProcess(AgentOptions options, TimeProvider time, ILoggerFactory loggers)
    {
        (this.options, this.time) = (options, time);
        logger = loggers.CreateLogger("MLNet.SDN.Agent");
        marker = new Marker(new NftProcess(), loggers.CreateLogger<Marker>());
        store = new PolicyStore(options.StateDirectory, options.Host);
        meter = new FlowMeter(options.FlowTableEntries, options.FlowIdleTimeout);
        queue = new ReportQueue(options.PendingRecords);
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

        if (options is { Capture: true, Interface: { } name })
        {
            capture = new CaptureLoop(name, () => PacketRing.Open(name, options.CaptureRingBytes), meter, loggers.CreateLogger<CaptureLoop>());
        }
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
            options.Host, boot, marker, aggregation is null ? null : aggregation.Apply, aggregation?.DataPort, store, logger);
        await installer.RestoreAsync(cancellationToken);

        // 3. Sight. 4. The controller.
        capture?.Start();
        var reporter = new FlowReporter(
            options.Host, boot, options.Interface ?? "", options.ReportInterval, meter,
            new FlowAttribution(aggregation is null ? null : aggregation.TryFindOwner), () => installer.Current, queue, time, logger);
        var session = new ControllerSession(
            options.Controllers, Token, Hello, installer, queue, new ProgressSource(options.Host, boot, aggregation is null ? null : aggregation.Status, Troubles, time),
            watched => reporter.Watched = watched, time, logger, Random.Shared);
        using var stopSession = new CancellationTokenSource();
        using var drained = new CancellationTokenSource();
        var sessionTask = session.RunAsync(stopSession.Token, drained.Token);
        var reporting = reporter.RunAsync(cancellationToken);
        var repairing = RepairAsync(cancellationToken);

        // Any of them ending by itself is a bug that must not pass in silence.
        var ended = await Task.WhenAny(sessionTask, reporting, repairing);
        if (!cancellationToken.IsCancellationRequested)
        {
            await ended;
            throw new InvalidOperationException("A part of the agent ended by itself.");
        }

        // 5. Stop counting, report the rest, tell the controller, leave.
        SessionLog.Stopping(logger);
        await Task.WhenAll(reporting, repairing);
        capture?.Stop();
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
        capture?.Dispose();
        if (aggregation is not null)
        {
            await aggregation.DisposeAsync();
        }

        installer?.Dispose();
        queue.Dispose();
    }

    // Read anew each time: a token that was changed on all sides needs no restart here.
    private string? Token() =>
        options.TokenFile is not { } file ? options.Token
        : BearerToken.Read(file, out var token) is { } fault ? throw new IOException($"Agent:TokenFile '{file}' {fault}")
        : token;

    private AgentHello Hello()
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

        Tell("capture", capture is null ? "switched off by Agent:Capture=false" : capture.Trouble);
        Tell("mark", marker.Unavailable);
        Tell("aggregate", aggregation is null ? "switched off by Agent:Aggregate=false" : null);
        return new AgentHello
        {
            Host = options.Host,
            Boot = boot,
            Version = Version,
            Capabilities = capabilities,
            Limits = limits,
            DataPort = aggregation?.DataPort ?? (options.DataPort > 0 ? options.DataPort : AgentOptions.DefaultDataPort),
            Installed = installer!.Current.Revision,
            InstalledHash = installer.Hash,
            JobFaults = installer.JobFaults,
        };
    }

    private IEnumerable<string> Troubles()
    {
        if (capture?.Trouble is { } blind)
        {
            yield return $"Not capturing on {options.Interface}: {blind}";
        }

        if (marker.Trouble is { } unmarked)
        {
            yield return $"Marks are not as the policy wants them: {unmarked}";
        }

        if (installer?.Trouble is { } unsaved)
        {
            yield return unsaved;
        }
    }

    private async Task RepairAsync(CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested)
        {
            var wait = LeastRepairInterval + ((MostRepairInterval - LeastRepairInterval) * Random.Shared.NextDouble());
            await Task.Delay(wait, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            try
            {
                await installer!.RepairAsync(cancellationToken);
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
