using System.Collections.Immutable;
using System.Text.Json;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Jobs;
using MLNet.SDN.Planning;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Controller.State;

/// <summary>What a change would make of the desired state. Nothing is stored and nobody is told here. Not thread-safe: planning builds on the plan before.</summary>
internal sealed class Drafts(PolicyComposer composer, JobProgress progress, ILogger<ControlPlane> logger)
{
    // Of the last plan: only what is different since is planned anew.
    private PlanState? _planned;

    /// <summary>The revision after one.</summary>
    public static Revision Next(Revision revision) => new(revision.Term, revision.Generation + 1);

    /// <summary>Plans jobs, and composes what each host is told.</summary>
    public Draft Replan(DesiredState state, IReadOnlyList<JobRecord> records, Fabric fabric, PlanningSettings settings)
    {
        var revision = Next(state.Revision);
        var left = records.ToDictionary(r => r.Id, progress.RoundsLeft);
        var plans = Planner.Plan(
            fabric,
            [.. records.OrderBy(r => r.Id).Select(r => new PlanningJob { JobId = r.Id, Spec = r.Spec, RoundsLeft = left[r.Id], Slowdown = progress.Slowdown(r), Previous = Fits(r.Plan, fabric) ? r.Plan : null })],
            settings,
            composer.Ladder,
            revision,
            _planned);
        _planned = plans.State;
        var record = records.ToDictionary(r => r.Id);
        var byId = plans.Jobs.ToDictionary(p => p.JobId, p => composer.Size(p, record[p.JobId].Plan, record[p.JobId].Spec, fabric));
        var jobs = records.ToImmutableSortedDictionary(
            r => r.Id, r => composer.Place(r, byId[r.Id], left[r.Id], state.Jobs.GetValueOrDefault(r.Id), fabric, state.Ports, revision));
        return new()
        {
            State = state with
            {
                Revision = revision,
                Fabric = fabric,
                Settings = settings,
                Jobs = jobs,
                Policies = composer.Compose(fabric, jobs.Values, state.Policies, revision),
                PlanWarnings = plans.Warnings,
            },
            Change = new()
            {
                Before = state.Revision,
                After = revision,
                Events = [],
                Plans = [.. records.Where(r => r.Plan is null || (!ReferenceEquals(r.Plan, byId[r.Id]) && Text(r.Plan) != Text(byId[r.Id]))).Select(r => byId[r.Id])],
            },
        };
    }

    /// <summary>Plans the jobs there are. The end of a job must not fail for want of a plan for the others: they keep theirs then.</summary>
    public Draft ReplanOrKeep(DesiredState state)
    {
        try
        {
            return Replan(state, [.. state.Jobs.Values.Select(j => j.Record)], state.Fabric, state.Settings);
        }
        catch (Exception fault)
        {
            StateLog.PlannerFailed(logger, fault);
            return Recompose(state, Next(state.Revision), afresh: false);
        }
    }

    /// <summary>Composes anew what each host is told; plans stay.</summary>
    /// <param name="afresh">As if nothing had been told before.</param>
    public Draft Recompose(DesiredState state, Revision revision, bool afresh)
    {
        var jobs = state.Jobs.ToImmutableSortedDictionary(
            j => j.Key, j => composer.Place(j.Value.Record, j.Value.Plan, j.Value.PlannedRoundsLeft, afresh ? null : j.Value, state.Fabric, state.Ports, revision));
        return new()
        {
            State = state with
            {
                Revision = revision,
                Jobs = jobs,
                Policies = composer.Compose(state.Fabric, jobs.Values, afresh ? ImmutableDictionary<string, DesiredPolicy>.Empty : state.Policies, revision),
            },
            Change = new() { Before = state.Revision, After = revision, Events = [] },
        };
    }

    private static bool Fits(JobPlan? plan, Fabric fabric) =>
        plan is not null && plan.Shards.All(s => s.Roots.All(fabric.Hosts.ContainsKey) && s.Edges.All(e => fabric.Hosts.ContainsKey(e.Child) && fabric.Hosts.ContainsKey(e.Parent)));

    private static string Text(JobPlan plan) => JsonSerializer.Serialize(plan, ContractsJson.Default.JobPlan);
}

/// <summary>A change that has been decided and not stored yet.</summary>
internal sealed class Draft
{
    public required DesiredState State { get; set; }

    public required PolicyChange Change { get; set; }

    /// <summary>Runs once the change is stored.</summary>
    public Action? Stored { get; set; }
}
