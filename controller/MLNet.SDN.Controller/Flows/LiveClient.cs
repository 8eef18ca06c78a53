using System.Threading.Channels;
using Microsoft.AspNetCore.SignalR;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.Flows;

/// <summary>One watcher: holds at most one snapshot that it has not been sent, the newest. A slow watcher skips snapshots and delays nobody.</summary>
internal sealed class LiveClient
{
    private readonly IClientProxy _client;
    private readonly Channel<LiveSnapshot> _next;
    private volatile LiveFilter _filter;
    private int _skipped;

    /// <param name="client">Where updates go.</param>
    /// <param name="filter">Checked.</param>
    public LiveClient(IClientProxy client, LiveFilter filter)
    {
        (_client, _filter) = (client, filter);
        _next = Channel.CreateBounded<LiveSnapshot>(
            new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true }, _ => Interlocked.Increment(ref _skipped));
    }

    /// <summary>What the watcher wants to see; a new filter makes the next update whole.</summary>
    public LiveFilter Filter
    {
        get => _filter;
        set => _filter = value;
    }

    /// <summary>Offers the newest state.</summary>
    public void Offer(LiveSnapshot snapshot) => _next.Writer.TryWrite(snapshot);

    /// <summary>Sends until the connection ends.</summary>
    public async Task RunAsync(CancellationToken aborted)
    {
        LiveFilter? shown = null;
        var sent = LiveSnapshot.Empty;
        IReadOnlyDictionary<string, LiveFlow> sentFlows = sent.Flows;
        try
        {
            await foreach (var snapshot in _next.Reader.ReadAllAsync(aborted))
            {
                var filter = _filter;
                var whole = !ReferenceEquals(filter, shown) || snapshot.FabricSince != sent.FabricSince;
                if (whole)
                {
                    (shown, sent, sentFlows) = (filter, LiveSnapshot.Empty with { FabricSince = snapshot.FabricSince }, LiveSnapshot.Empty.Flows);
                }

                var (flows, hidden) = Select(snapshot.Flows, filter);
                var update = LiveDelta.Between(sent, sentFlows, snapshot, flows, whole) with { FlowsHidden = hidden };
                (sent, sentFlows) = (snapshot, flows);
                if (!LiveDelta.IsEmpty(update))
                {
                    await _client.SendAsync(LiveHubMethods.Update, update with { Skipped = Interlocked.Exchange(ref _skipped, 0) }, aborted);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The connection ended.
        }
    }

    /// <summary>The flows that a filter lets through; the fastest where they are too many.</summary>
    public static (IReadOnlyDictionary<string, LiveFlow> Flows, int Hidden) Select(IReadOnlyDictionary<string, LiveFlow> all, LiveFilter filter)
    {
        if (filter is { Job: null, Host: null } && all.Count <= filter.MaxFlows)
        {
            return (all, 0);
        }

        var matching = all.Values.Where(f => (filter.Job is null || f.Job == filter.Job) && (filter.Host is null || f.Source == filter.Host || f.Destination == filter.Host)).ToList();
        IEnumerable<LiveFlow> kept = matching;
        if (matching.Count > filter.MaxFlows)
        {
            kept = matching.OrderByDescending(f => f.RateBitsPerSecond).ThenBy(f => f.Key, StringComparer.Ordinal).Take(filter.MaxFlows);
        }

        return (kept.ToDictionary(f => f.Key, StringComparer.Ordinal), Math.Max(0, matching.Count - filter.MaxFlows));
    }
}
