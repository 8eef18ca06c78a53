using System.Collections.Immutable;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Agents;
using MLNet.SDN.Controller.Hosting;
using MLNet.SDN.Controller.Jobs;
using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Controller.Flows;

/// <summary>Everything that the live view shows, at one moment. Immutable; what did not change since the snapshot before is the same object.</summary>
internal sealed record LiveSnapshot
{
    /// <summary>Nothing.</summary>
    public static LiveSnapshot Empty { get; } = new();

    /// <summary>UTC.</summary>
    public DateTimeOffset Time { get; init; }

    /// <summary>Changes with the fabric: hosts and links may then be gone, so clients begin anew.</summary>
    public Revision FabricSince { get; init; }

    /// <summary>By key.</summary>
    public IReadOnlyDictionary<string, LiveFlow> Flows { get; init; } = ImmutableDictionary<string, LiveFlow>.Empty;

    /// <summary>By number.</summary>
    public IReadOnlyDictionary<long, JobView> Jobs { get; init; } = ImmutableDictionary<long, JobView>.Empty;

    /// <summary>By host.</summary>
    public IReadOnlyDictionary<string, AgentView> Agents { get; init; } = ImmutableDictionary<string, AgentView>.Empty;

    /// <summary>By sending and receiving end.</summary>
    public IReadOnlyDictionary<(string Source, string Target), LinkLoad> Links { get; init; } = ImmutableDictionary<(string, string), LinkLoad>.Empty;

    /// <inheritdoc cref="PathVerification.Faults"/>
    public IReadOnlyList<MarkingFault> MarkingFaults { get; init; } = [];

    /// <inheritdoc cref="RemarkingSwitches.Suspects"/>
    public IReadOnlyList<MarkingSuspect> MarkingSuspects { get; init; } = [];

    /// <inheritdoc cref="OperatorWarnings.Current"/>
    public IReadOnlyList<string> Warnings { get; init; } = [];
}

/// <summary>Takes snapshots. One caller at a time.</summary>
internal sealed class LiveSnapshots(
    ControlPlane control, AgentRegistry registry, JobViews jobs, LiveFlows flows, PathVerification paths, RemarkingSwitches suspects, OperatorWarnings warnings, TimeProvider time)
{
    // Every message moves an agent's last contact; clients hear of it this often.
    private static readonly TimeSpan LastSeenGrain = TimeSpan.FromSeconds(5);

    private LiveSnapshot _last = LiveSnapshot.Empty;
    private FlowRates? _rates;
    private (IReadOnlyList<string> Plan, IReadOnlyList<string> Operator, IReadOnlyList<string> Joined) _warnings = ([], [], []);

    /// <summary>Everything as of now.</summary>
    public LiveSnapshot Take()
    {
        var state = control.Current;
        var seen = flows.Snapshot();
        if (state is null)
        {
            return _last = LiveSnapshot.Empty with { Time = time.GetUtcNow(), Flows = seen.Flows, Warnings = warnings.Current };
        }

        var views = new Dictionary<long, JobView>(state.Jobs.Count + state.RecentlyEnded.Count);
        foreach (var view in state.RecentlyEnded.Select(jobs.Of).Concat(state.Jobs.Values.Select(jobs.Of)))
        {
            views[view.Id] = _last.Jobs.TryGetValue(view.Id, out var former) && JobViews.Same(former, view) ? former : view;
        }

        var agents = new Dictionary<string, AgentView>(state.Policies.Count, StringComparer.Ordinal);
        foreach (var (host, desired) in state.Policies)
        {
            var view = registry.Status(host).View(desired.Policy.Revision);
            agents[host] = _last.Agents.TryGetValue(host, out var former) && Same(former, view) ? former : view;
        }

        var links = _last.Links;
        if (seen.Rates != _rates || state.FabricSince != _last.FabricSince)
        {
            _rates = seen.Rates;
            var loads = LinkLoads.Compute(state.Fabric, seen.Rates);
            links = loads.ToDictionary(l => l.Key, l => _last.Links.TryGetValue(l.Key, out var former) && former == l.Value ? former : l.Value);
        }

        if (_warnings.Plan != state.PlanWarnings || _warnings.Operator != warnings.Current)
        {
            _warnings = (state.PlanWarnings, warnings.Current, [.. warnings.Current, .. state.PlanWarnings]);
        }

        return _last = new()
        {
            Time = time.GetUtcNow(),
            FabricSince = state.FabricSince,
            Flows = seen.Flows,
            Jobs = views,
            Agents = agents,
            Links = links,
            MarkingFaults = paths.Faults,
            MarkingSuspects = suspects.Suspects,
            Warnings = _warnings.Joined,
        };
    }

    // Lists of one status are the same objects from view to view, so comparing records is comparing what they show.
    private static bool Same(AgentView a, AgentView b) =>
        a with { LastSeen = b.LastSeen } == b && (a.LastSeen == b.LastSeen || (a.LastSeen is { } was && b.LastSeen is { } now && now - was < LastSeenGrain));
}
