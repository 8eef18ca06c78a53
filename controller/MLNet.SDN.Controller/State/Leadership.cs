using Microsoft.Extensions.Options;
using MLNet.SDN.Controller.Agents;
using MLNet.SDN.Controller.Hosting;
using MLNet.SDN.Controller.Plans;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Controller.State;

/// <summary>Takes the lease, keeps it, and steps back when another has it. While this process does not lead, it answers 503 and agents try their next controller.</summary>
internal sealed class Leadership : BackgroundService
{
    private static readonly TimeSpan MaxRetry = TimeSpan.FromSeconds(10);

    private readonly IStateStore _store;
    private readonly ControlPlane _control;
    private readonly AgentRegistry _registry;
    private readonly ControllerOptions _options;
    private readonly PlanningOptions _planning;
    private readonly TimeProvider _time;
    private readonly IHostApplicationLifetime _lifetime;
    private readonly OperatorWarnings _warnings;
    private readonly ILogger<Leadership> _logger;
    private readonly SemaphoreSlim _wake = new(0, 1);
    private TopologyFile? _file;
    private volatile string _status = "starting";

    public Leadership(
        IStateStore store, ControlPlane control, AgentRegistry registry, IOptions<ControllerOptions> options, IOptions<PlanningOptions> planning,
        TimeProvider time, IHostApplicationLifetime lifetime, OperatorWarnings warnings, ILogger<Leadership> logger)
    {
        (_store, _control, _registry, _options, _planning, _time, _lifetime, _warnings, _logger) = (store, control, registry, options.Value, planning.Value, time, lifetime, warnings, logger);
    }

    /// <summary>What this process does now, in words: <c>leading</c>, or why not.</summary>
    public string Status => _status;

    /// <inheritdoc />
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        if (!string.IsNullOrWhiteSpace(_options.Topology) && !TopologyFile.TryLoad(_options.Topology, out _file, out var faults))
        {
            throw new StartUpException(faults);
        }

        if (!_store.Durable)
        {
            StateLog.InMemory(_logger);
            _warnings.Set("store", "No database is set (Controller:Postgres): jobs are forgotten when the controller ends, and there is no history.");
        }

        _control.Superseded += Wake;

        // The first try is awaited, so that faults end the start-up, and so that a lone controller answers from its first request on.
        await TryLeadAsync(firstTry: true, cancellationToken);
        await base.StartAsync(cancellationToken);
    }

    /// <inheritdoc />
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        _control.Superseded -= Wake;
        await base.StopAsync(cancellationToken);
        if (_control.Current is not null)
        {
            try
            {
                await _store.ReleaseAsync(cancellationToken);
            }
            catch (StoreUnavailableException)
            {
                // The lease then ends by itself.
            }
        }
    }

    /// <inheritdoc />
    public override void Dispose()
    {
        _wake.Dispose();
        base.Dispose();
    }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // (1) Not leading: try again. (2) Leading: renew at a third of the lease time. (3) Superseded: try to lead anew, which reads what is stored.
        var retry = TimeSpan.FromMilliseconds(250);
        while (!stoppingToken.IsCancellationRequested)
        {
            var leading = _control.Current is not null;
            var pause = leading ? _options.LeaseTime / 3 : retry;
            bool superseded;
            try
            {
                superseded = await WaitAsync(pause, stoppingToken);
            }
            catch (OperationCanceledException)
            {
                return;
            }

            try
            {
                if (superseded || !leading || !await KeepAsync(stoppingToken))
                {
                    await TryLeadAsync(firstTry: false, stoppingToken);
                }

                retry = TimeSpan.FromMilliseconds(250);
            }
            catch (StartUpException fault)
            {
                StateLog.CannotLead(_logger, fault.Message);
                _status = fault.Message;
                retry = Min(retry * 2, MaxRetry);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception fault)
            {
                StateLog.CannotLead(_logger, fault.ToString());
                _status = $"failed: {fault.Message}";
                retry = Min(retry * 2, MaxRetry);
            }
        }
    }

    private static TimeSpan Min(TimeSpan a, TimeSpan b) => a < b ? a : b;

    private void Wake()
    {
        try
        {
            _wake.Release();
        }
        catch (SemaphoreFullException)
        {
            // Already woken.
        }
    }

    private async Task<bool> WaitAsync(TimeSpan pause, CancellationToken cancellationToken)
    {
        using var timer = new CancellationTokenSource(pause, _time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, cancellationToken);
        try
        {
            await _wake.WaitAsync(both.Token);
            return true;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return false;
        }
    }

    private async Task<bool> KeepAsync(CancellationToken cancellationToken)
    {
        var term = _control.Current!.Revision.Term;
        try
        {
            var status = await _store.RenewAsync(cancellationToken);
            _warnings.Clear("lease");
            if (status == LeaseStatus.TakenBySameInstance)
            {
                StateLog.SameInstance(_logger, _options.Instance);
                await _control.EndAsync();
                Environment.ExitCode = 1;
                _lifetime.StopApplication();
                return true;
            }

            if (status == LeaseStatus.TakenByOther)
            {
                StateLog.LeaseLost(_logger, term);
            }

            return status == LeaseStatus.Held;
        }
        catch (StoreUnavailableException fault)
        {
            // Nobody else can have taken the lease from a database that is away from everybody; if it is away from us alone, agents refuse our lower term.
            StateLog.StoreAway(_logger, fault.Message, _options.LeaseTime / 3);
            _warnings.Set("lease", "The database cannot be reached: nothing can be changed, and history is not written. Running jobs go on.");
            return true;
        }
    }

    private async Task TryLeadAsync(bool firstTry, CancellationToken cancellationToken)
    {
        LeaseAnswer answer;
        try
        {
            answer = await _store.TryLeadAsync(cancellationToken);
        }
        catch (StoreUnavailableException fault)
        {
            StateLog.StoreAway(_logger, fault.Message, MaxRetry);
            _warnings.Set("lease", "The database cannot be reached: nothing can be changed, and history is not written. Running jobs go on.");
            _status = $"waiting for the database: {fault.Message}";
            if (!firstTry)
            {
                await Task.Delay(TimeSpan.FromSeconds(1), _time, cancellationToken);
            }

            return;
        }

        _warnings.Clear("lease");
        if (answer.State is not { } stored)
        {
            if (_status != $"standing by for {answer.Holder}")
            {
                _status = $"standing by for {answer.Holder}";
                StateLog.StandingBy(_logger, answer.Holder, answer.FreeIn);
            }

            if (_control.Current is not null)
            {
                await _control.EndAsync();
            }

            await Task.Delay(firstTry ? TimeSpan.Zero : Min(answer.FreeIn + TimeSpan.FromMilliseconds(50), _options.LeaseTime / 3), _time, cancellationToken);
            return;
        }

        await BeginAsync(stored);
        _status = "leading";
    }

    private async Task BeginAsync(StoredState stored)
    {
        Fabric? fabric;
        var actor = $"controller {_options.Instance}";
        if (stored.Topology is { } known)
        {
            if (!Fabric.TryCreate(known.Topology, out fabric, out var faults))
            {
                throw new StartUpException([.. faults.Select(f => $"stored topology: {TopologyFile.Describe(f)}")]);
            }
        }
        else
        {
            fabric = _file?.Fabric ?? throw new StartUpException(["Controller:Topology is not set, and the database holds no topology yet; give the path of a node-link JSON file."]);
        }

        _registry.Remember(stored.Agents);
        await _control.BeginAsync(stored, fabric!, new() { Strategy = _planning.Strategy, Policy = _planning.Policy });

        // A file that differs from the one loaded last replaces what is stored; the same file does not undo what an operator put since.
        if (_file is { } file && file.Sha256 != stored.Topology?.FileSha256)
        {
            var missing = await _control.SetTopologyAsync(file.Fabric, file.Sha256, actor, _ => true);
            if (missing is { Count: > 0 })
            {
                await _control.EndAsync();
                throw new StartUpException([.. missing.Select(f => $"{_options.Topology}: {f.Message}")]);
            }
        }
    }
}
