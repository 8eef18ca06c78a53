using Microsoft.Extensions.Options;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Agents;
using MLNet.SDN.Controller.Plans;
using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Controller.Jobs;

/// <summary>Each second: ends jobs whose workers all left, plans anew when what is left has drifted, and stores figures.</summary>
internal sealed class JobUpkeep(
    ControlPlane control, JobProgress progress, AgentRegistry registry, IStateStore store, IOptions<PlanningOptions> options, TimeProvider time, ILogger<JobUpkeep> logger) : BackgroundService
{
    private static readonly TimeSpan Turn = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan SaveInterval = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan AgentSaveInterval = TimeSpan.FromSeconds(30);

    private readonly PlanningOptions _options = options.Value;
    private DateTimeOffset _plannedAt = time.GetUtcNow();
    private DateTimeOffset _agentsSavedUntil = DateTimeOffset.UnixEpoch;
    private DateTimeOffset _savedAt = time.GetUtcNow();

    /// <summary>One turn; the tests call it without waiting.</summary>
    public async Task RunOnceAsync(CancellationToken cancellationToken)
    {
        if (control.Current is not { } state)
        {
            return;
        }

        foreach (var job in state.Jobs.Values.Where(j => progress.AllLeft(j.Id)))
        {
            await control.EndAsync(job.Id, JobState.Finished, "controller", $"all {job.Record.Spec.Workers.Count} workers left");
            _plannedAt = time.GetUtcNow();
        }

        var now = time.GetUtcNow();
        if (now - _plannedAt >= _options.Dwell && control.Current?.Jobs.Values.FirstOrDefault(HasDrifted) is { } drifted)
        {
            _plannedAt = now;
            await control.ReplanAsync($"'{drifted.Name}' has {progress.RoundsLeft(drifted.Record)} rounds left, {drifted.PlannedRoundsLeft} when last planned");
        }

        if (now - _savedAt >= SaveInterval)
        {
            _savedAt = now;
            await SaveAsync(cancellationToken);
        }
    }

    /// <inheritdoc />
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        await SaveAsync(cancellationToken);
    }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Turn, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                try
                {
                    await RunOnceAsync(stoppingToken);
                }
                catch (Exception fault) when (fault is NotLeadingException or StoreUnavailableException or LeaseLostException)
                {
                    // Leadership says it in the log; the next turn tries again.
                }
                catch (Exception fault) when (fault is not OperationCanceledException)
                {
                    StateLog.UpkeepFailed(logger, fault);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Stopping.
        }
    }

    private bool HasDrifted(PlacedJob job) =>
        job.PlannedRoundsLeft > 0 && Math.Abs(progress.RoundsLeft(job.Record) - job.PlannedRoundsLeft) >= _options.Drift * job.PlannedRoundsLeft;

    private async Task SaveAsync(CancellationToken cancellationToken)
    {
        var (figures, transports) = progress.TakeDirty();
        try
        {
            if (figures.Count + transports.Count > 0)
            {
                await store.SaveFiguresAsync(figures, transports, cancellationToken);
            }

            var agents = registry.All().Where(a => a.LastSeen > _agentsSavedUntil).Select(a => new KnownAgent(a.Host, a.Boot, a.Version ?? "", a.LastSeen!.Value)).ToList();
            if (agents.Count > 0 && time.GetUtcNow() - _agentsSavedUntil >= AgentSaveInterval)
            {
                await store.SaveAgentsAsync(agents, cancellationToken);
                _agentsSavedUntil = agents.Max(a => a.LastSeen);
            }
        }
        catch (StoreUnavailableException fault)
        {
            progress.ReturnDirty(figures, transports);
            StateLog.FiguresNotStored(logger, fault.Message);
        }
    }
}
