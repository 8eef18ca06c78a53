using Microsoft.Extensions.Logging;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Agent.Session;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Flows;

/// <summary>Turns what was counted into reports: each second while somebody watches, else at an interval, and each second what has ended.</summary>
internal sealed class FlowReporter
{
    // About 200 kB of JSON: small beside any limit of a hub that expects flow reports, large enough not to matter per message.
    private const int MaxRecordsPerReport = 500;

    private static readonly TimeSpan Tick = TimeSpan.FromSeconds(1);

    private readonly string host;
    private readonly Guid boot;
    private readonly TimeSpan interval;
    private readonly FlowMeter meter;
    private readonly FlowAttribution attribution;
    private readonly Func<InstalledPolicy> policy;
    private readonly ReportQueue queue;
    private readonly TimeProvider time;
    private readonly ILogger logger;
    private readonly string interfaceName;
    private readonly IpfixExporter? ipfix;
    private readonly List<FlowDelta> deltas = [];
    private long sequence;
    private long lastFull;
    private MeterTotals told;

    /// <summary>Creates a reporter that does nothing yet.</summary>
    public FlowReporter(
        string host, Guid boot, string interfaceName, TimeSpan interval, FlowMeter meter, FlowAttribution attribution, Func<InstalledPolicy> policy,
        ReportQueue queue, TimeProvider time, ILogger logger, IpfixExporter? ipfix = null)
    {
        this.ipfix = ipfix;
        (this.host, this.boot, this.interfaceName, this.interval) = (host, boot, interfaceName, interval);
        (this.meter, this.attribution, this.policy, this.queue) = (meter, attribution, policy, queue);
        (this.time, this.logger) = (time, logger);
        lastFull = time.GetTimestamp();
    }

    /// <summary>Somebody watches the live view. Safe to set from any thread.</summary>
    public bool Watched { get; set; }

    /// <summary>Reports until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(Tick, time);
        try
        {
            while (await timer.WaitForNextTickAsync(cancellationToken))
            {
                try
                {
                    Report();
                }
                catch (Exception exception)
                {
                    // The gradients of running jobs pass through this process: a report is not worth its end.
                    SessionLog.TaskFailed(logger, exception.Message, exception);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Told to stop.
        }
    }

    /// <summary>Reports the rest: every flow ends here. After <see cref="RunAsync"/> has returned.</summary>
    public void Finish() => Report(CollectScope.Everything);

    /// <summary>What a tick does.</summary>
    internal void Report()
    {
        var isDue = Watched || time.GetElapsedTime(lastFull) >= interval - (Tick / 2);
        if (isDue)
        {
            lastFull = time.GetTimestamp();
        }

        Report(isDue ? CollectScope.Changed : CollectScope.Ended);
    }

    private void Report(CollectScope scope)
    {
        deltas.Clear();
        meter.Collect(scope, time.GetUtcNow().UtcTicks, deltas);
        var totals = meter.Totals();
        TellTroubles(totals);
        var current = policy();
        foreach (var part in deltas.Chunk(MaxRecordsPerReport))
        {
            var records = Array.ConvertAll(part, delta => attribution.Describe(delta, current));
            ipfix?.Export(part, records);
            queue.Enqueue(new FlowReport
            {
                Host = host,
                Boot = boot,
                Sequence = ++sequence,
                Records = records,
                KernelDrops = totals.Drops,
                IgnoredFrames = totals.Ignored,
                LostRecords = totals.LostRecords + queue.LostRecords,
            });
        }
    }

    private void TellTroubles(in MeterTotals totals)
    {
        if (totals.Drops > told.Drops)
        {
            CaptureLog.Dropped(logger, totals.Drops - told.Drops, interfaceName);
        }

        if (totals.Evictions > told.Evictions)
        {
            CaptureLog.Evicted(logger, totals.Evictions - told.Evictions);
        }

        told = totals;
    }
}
