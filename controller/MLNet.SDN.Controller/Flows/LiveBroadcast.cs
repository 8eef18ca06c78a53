using System.Collections.Concurrent;
using Microsoft.AspNetCore.SignalR;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Agents;
using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Controller.Flows;

/// <summary>Four times a second, while somebody watches, offers a snapshot to every watcher; each second, verifies paths. Agents hear when the first watcher comes and the last one goes.</summary>
internal sealed class LiveBroadcast(LiveSnapshots snapshots, PathVerification paths, RemarkingSwitches suspects, ControlPlane control, LiveFlows flows, AgentRegistry registry, TimeProvider time, ILogger<LiveBroadcast> logger) : BackgroundService
{
    /// <summary>Watchers at once.</summary>
    public const int MaxClients = 256;

    private const int TurnsPerSecond = 4;

    private readonly ConcurrentDictionary<string, LiveClient> _clients = new(StringComparer.Ordinal);
    private readonly Lock _lock = new();

    /// <summary>Begins to serve a watcher, or changes its filter.</summary>
    /// <returns>False when there are too many.</returns>
    public bool Subscribe(string connectionId, IClientProxy client, LiveFilter filter, CancellationToken aborted)
    {
        if (_clients.TryGetValue(connectionId, out var known))
        {
            known.Filter = filter;
            return true;
        }

        if (_clients.Count >= MaxClients || aborted.IsCancellationRequested)
        {
            return false;
        }

        var added = new LiveClient(client, filter);
        _clients[connectionId] = added;
        UpdateWatched();
        _ = RunAsync(connectionId, added, aborted);
        return true;
    }

    /// <summary>A watcher has gone.</summary>
    public void Unsubscribe(string connectionId)
    {
        if (_clients.TryRemove(connectionId, out _))
        {
            UpdateWatched();
        }
    }

    /// <summary>One turn; the tests call it without waiting.</summary>
    /// <param name="verify">Whether paths are verified in this turn.</param>
    public void Turn(bool verify)
    {
        if (verify)
        {
            paths.Advance(host => registry.ConnectedFor(host, MarkLedger.Patience));
            suspects.Advance(control.Current?.Fabric);
        }

        if (!_clients.IsEmpty)
        {
            var snapshot = snapshots.Take();
            foreach (var client in _clients.Values)
            {
                client.Offer(snapshot);
            }
        }
        else if (verify)
        {
            // Nobody asks, but flows that are gone must not pile up.
            flows.Snapshot();
        }
    }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1.0 / TurnsPerSecond), time);
        try
        {
            for (var turn = 0; await timer.WaitForNextTickAsync(stoppingToken); turn++)
            {
                try
                {
                    Turn(verify: turn % TurnsPerSecond == 0);
                }
                catch (Exception fault)
                {
                    FlowLog.LiveFailed(logger, fault);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Stopping.
        }
    }

    private async Task RunAsync(string connectionId, LiveClient client, CancellationToken aborted)
    {
        try
        {
            await client.RunAsync(aborted);
        }
        catch (Exception fault)
        {
            FlowLog.LiveFailed(logger, fault);
        }
        finally
        {
            Unsubscribe(connectionId);
        }
    }

    private void UpdateWatched()
    {
        lock (_lock)
        {
            var watched = !_clients.IsEmpty;
            if (registry.Watched != watched)
            {
                registry.Watched = watched;
                FlowLog.Watchers(logger, _clients.Count);
            }
        }
    }
}
