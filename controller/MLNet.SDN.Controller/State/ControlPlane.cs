using System.Collections.Immutable;
using System.Security.Cryptography;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Jobs;
using MLNet.SDN.Planning;
using MLNet.SDN.Planning.Jobs;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Controller.State;

/// <summary>The one place where desired state changes: each change is decided on the current snapshot, stored, and only then swapped in.</summary>
/// <remarks>
/// Changes run one after the other. A change that cannot be stored changes nothing. Readers take <see cref="Current"/> without waiting.
/// Order of a change: (1) decide, (2) plan all unfinished jobs, (3) compose what each host is told, (4) store under the lease, (5) swap, (6) tell who waits.
/// </remarks>
internal sealed class ControlPlane(IStateStore store, PolicyComposer composer, JobProgress progress, TimeProvider time, ILogger<ControlPlane> logger) : IDisposable
{
    // A database that does not answer for this long is treated as away: a waiting user is told so, and nothing is changed.
    private static readonly TimeSpan StoreTimeout = TimeSpan.FromSeconds(15);

    // Ended jobs that the live view still shows.
    private const int RecentJobs = 50;

    // Twelve days, as terms that are times; a million changes of leader, as terms that are counted.
    private const long TermsAhead = 1 << 20;

    private readonly SemaphoreSlim _gate = new(1, 1);
    private volatile DesiredState? _state;

    // Used under the gate.
    private readonly Drafts _drafts = new(composer, progress, logger);

    /// <summary>Raised after each swap, outside of any lock a reader could hold. Handlers must be quick.</summary>
    public event Action? Changed;

    /// <summary>Raised when the store says that another process leads or knows more than this one.</summary>
    public event Action? Superseded;

    /// <summary>What is desired now; null while this process does not lead.</summary>
    public DesiredState? Current => _state;

    /// <inheritdoc />
    public void Dispose() => _gate.Dispose();

    /// <summary>Begins to lead with what is stored. Plans stay as they are, so running jobs keep trees and level; only the term is new.</summary>
    /// <param name="fabric">Fabric to begin with.</param>
    /// <param name="standard">Settings to use where none are stored.</param>
    /// <exception cref="StartUpException">An unfinished job needs a host that the fabric lacks.</exception>
    public async Task BeginAsync(StoredState stored, Fabric fabric, PlanningSettings standard)
    {
        // A change under way either was stored before this was read, and is part of it, or will not be stored; its swap must come first.
        await _gate.WaitAsync(CancellationToken.None);
        try
        {
            Begin(stored, fabric, standard);
        }
        finally
        {
            _gate.Release();
        }

        Changed?.Invoke();
    }

    /// <summary>Leads no more.</summary>
    public async Task EndAsync()
    {
        await _gate.WaitAsync(CancellationToken.None);
        _state = null;
        _gate.Release();
        Changed?.Invoke();
    }

    /// <summary>Submits a job.</summary>
    /// <param name="key">Idempotency-Key; null when none was sent.</param>
    /// <param name="bodySha256">Hash of the request's body.</param>
    public Task<SubmitOutcome> SubmitAsync(JobSpec spec, string actor, string? key, string bodySha256, CancellationToken cancellationToken) =>
        ChangeAsync(async state =>
        {
            if (key is not null && await store.FindJobByKeyAsync(key, cancellationToken) is { } earlier)
            {
                return (null, earlier.BodySha256 == bodySha256 ? SubmitOutcome.Replayed(earlier) : SubmitOutcome.KeyReused(earlier));
            }

            // What somebody submits goes before what was only discovered.
            var faults = JobRules.Check(spec, state.Fabric, [.. state.Jobs.Values.Select(j => j.Record.Spec).Where(s => spec.DiscoveryKey is not null || s.DiscoveryKey is null)]);
            if (faults.Count > 0)
            {
                return (null, SubmitOutcome.Invalid(faults));
            }

            if (state.FindJob(spec.Name) is { } holder)
            {
                return (null, SubmitOutcome.NameTaken(holder.Record));
            }

            var record = new JobRecord
            {
                Id = await store.NextJobIdAsync(cancellationToken),
                Spec = spec,
                State = JobState.Pending,
                SubmittedAt = time.GetUtcNow(),
                Secret = Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)),
                IdempotencyKey = key,
                BodySha256 = bodySha256,
            };
            var draft = _drafts.Replan(state, [.. state.Jobs.Values.Select(j => j.Record), record], state.Fabric, state.Settings);
            var placed = draft.State.Jobs[record.Id];
            draft.Change = draft.Change with
            {
                Jobs = [placed.Record],
                Events = [new(actor, "job.submit", spec.Name, $"{spec.Workers.Count} workers; {placed.Plan.LevelReason}")],
            };
            draft.Stored = () => progress.Track(placed.Record, []);
            return (draft, SubmitOutcome.Created(placed.Record));
        });

    /// <summary>Replaces what is known of an unfinished job: selectors and sizes, not its name or workers.</summary>
    /// <returns>Faults when it cannot be planned so; then it stays as it is. Null when there is no such job any more.</returns>
    public Task<IReadOnlyList<FieldFault>?> ReviseAsync(long jobId, JobSpec spec, string actor, string reason) =>
        ChangeAsync(state =>
        {
            if (!state.Jobs.TryGetValue(jobId, out var job))
            {
                return NoChange<IReadOnlyList<FieldFault>?>(null);
            }

            var faults = JobRules.Check(spec, state.Fabric, [.. state.Jobs.Values.Where(j => j.Id != jobId).Select(j => j.Record.Spec)]);
            if (faults.Count > 0)
            {
                return NoChange<IReadOnlyList<FieldFault>?>(faults);
            }

            var draft = _drafts.Replan(state, [.. state.Jobs.Values.Select(j => j.Id == jobId ? j.Record with { Spec = spec } : j.Record)], state.Fabric, state.Settings);
            draft.Change = draft.Change with { Jobs = [draft.State.Jobs[jobId].Record], Events = [new(actor, "job.revise", spec.Name, reason)] };
            return Task.FromResult<(Draft?, IReadOnlyList<FieldFault>?)>((draft, []));
        });

    /// <summary>Ends jobs: withdrawn by a user, or because all their workers left. The others are planned anew.</summary>
    /// <param name="ifVersion">Called with the job's version; false refuses the change.</param>
    public Task<EndOutcome> EndAsync(long jobId, JobState end, string actor, string reason, Func<PlacedJob, bool>? ifVersion = null) =>
        ChangeAsync(state =>
        {
            if (!state.Jobs.TryGetValue(jobId, out var job))
            {
                return NoChange(EndOutcome.NotRunning);
            }

            if (ifVersion is not null && !ifVersion(job))
            {
                return NoChange(EndOutcome.VersionDiffers);
            }

            var draft = _drafts.ReplanOrKeep(state with { Jobs = state.Jobs.Remove(jobId) });
            var ended = job.Record with { State = end, EndedAt = time.GetUtcNow(), Figures = progress.Figures(jobId) ?? job.Record.Figures };
            draft.Change = draft.Change with
            {
                Jobs = [ended],
                Events = [new(actor, end == JobState.Finished ? "job.finish" : "job.cancel", job.Name, reason)],
            };
            draft.State = draft.State with
            {
                RecentlyEnded = [.. state.RecentlyEnded.TakeLast(RecentJobs - 1), ended],
                Withdrawn = ended.IsWithdrawn ? state.Withdrawn.SetItem(jobId, ended) : state.Withdrawn,
            };
            draft.Stored = () => progress.End(jobId);
            return Task.FromResult<(Draft?, EndOutcome)>((draft, EndOutcome.Ended));
        });

    /// <summary>Notes that the processes of a withdrawn job have ended: what is discovered under its key from now on is another run. Plans stay.</summary>
    public Task ForgetWithdrawnAsync(long jobId, string actor, string reason) =>
        ChangeAsync(state =>
        {
            if (!state.Withdrawn.TryGetValue(jobId, out var job))
            {
                return NoChange(0);
            }

            var draft = _drafts.Recompose(state with { Withdrawn = state.Withdrawn.Remove(jobId) }, Drafts.Next(state.Revision), afresh: false);
            draft.Change = draft.Change with
            {
                Jobs = [job with { Spec = job.Spec with { DiscoveryKey = null } }],
                Events = [new(actor, "job.forget", job.Spec.Name, reason)],
            };
            return Task.FromResult<(Draft?, int)>((draft, 0));
        });

    /// <summary>Changes how jobs are planned, and plans all of them anew.</summary>
    /// <returns>False when <paramref name="ifVersion"/> refused.</returns>
    public Task<bool> SetPlanningAsync(PlanningSettings settings, string actor, Func<DesiredState, bool> ifVersion) =>
        ChangeAsync(state =>
        {
            if (!ifVersion(state))
            {
                return NoChange(false);
            }

            if (settings == state.Settings)
            {
                return NoChange(true);
            }

            var draft = _drafts.Replan(state, [.. state.Jobs.Values.Select(j => j.Record)], state.Fabric, settings);
            draft.State = draft.State with { SettingsSince = draft.State.Revision };
            draft.Change = draft.Change with
            {
                Settings = settings,
                Events = [new(actor, "planning.set", $"{settings.Strategy}/{settings.Policy}", $"was {state.Settings.Strategy}/{state.Settings.Policy}")],
            };
            return Task.FromResult<(Draft?, bool)>((draft, true));
        });

    /// <summary>Replaces the fabric, and plans all jobs anew.</summary>
    /// <returns>Faults when an unfinished job needs a host that the new fabric lacks; null when <paramref name="ifVersion"/> refused.</returns>
    public Task<IReadOnlyList<FieldFault>?> SetTopologyAsync(Fabric fabric, string? fileSha256, string actor, Func<DesiredState, bool> ifVersion) =>
        ChangeAsync(state =>
        {
            if (!ifVersion(state))
            {
                return NoChange<IReadOnlyList<FieldFault>?>(null);
            }

            var missing = FindMissingHosts(fabric, state.Jobs.Values.Select(j => j.Record));
            if (missing.Count > 0)
            {
                return NoChange<IReadOnlyList<FieldFault>?>(missing);
            }

            var ports = state.Ports.Where(p => fabric.Hosts.ContainsKey(p.Key)).ToImmutableSortedDictionary(StringComparer.Ordinal);
            var draft = _drafts.Replan(state with { Ports = ports }, [.. state.Jobs.Values.Select(j => j.Record)], fabric, state.Settings);
            draft.State = draft.State with { FabricSince = draft.State.Revision };
            draft.Change = draft.Change with
            {
                Topology = new(fabric.Source, fileSha256),
                Events = [new(actor, "topology.set", $"{fabric.Hosts.Count} hosts", fileSha256 is null ? "put by an operator" : "the file changed")],
            };
            return Task.FromResult<(Draft?, IReadOnlyList<FieldFault>?)>((draft, []));
        });

    /// <summary>Notes where an agent takes data-plane connections. Trees and levels stay.</summary>
    public Task SetPortAsync(string host, int port) =>
        ChangeAsync(state =>
        {
            var known = state.Ports.GetValueOrDefault(host, PolicyComposer.StandardDataPort);
            if (known == port)
            {
                return NoChange(0);
            }

            var draft = _drafts.Recompose(state with { Ports = state.Ports.SetItem(host, port) }, Drafts.Next(state.Revision), afresh: false);
            draft.Change = draft.Change with
            {
                Ports = new Dictionary<string, int> { [host] = port },
                Events = [new($"agent {host}", "agent.port", host, $"data plane moved from port {known} to {port}")],
            };
            return Task.FromResult<(Draft?, int)>((draft, 0));
        });

    /// <summary>Whether a revision that an agent holds can have been given by any controller.</summary>
    /// <remarks>
    /// A term is the former one plus one, or the Unix time in seconds at which a controller without database began, whichever is higher: none is far in the future, and each
    /// number given away is gone for ever. So what a faulty or forged Hello can raise the term to is bounded by the clock, with room for clocks that are days apart; it
    /// does not matter how often it is said.
    /// </remarks>
    public bool IsCredible(Revision installed) =>
        _state is not { } state || installed.Term <= Math.Max(state.Revision.Term, time.GetUtcNow().ToUnixTimeSeconds() + TermsAhead);

    /// <summary>Raises the term above one that an agent holds from elsewhere, so that it does not refuse us. Trees and levels stay.</summary>
    public Task RaiseTermAsync(string host, Revision installed) =>
        ChangeAsync(state =>
        {
            if (installed.Term < state.Revision.Term)
            {
                return NoChange(0);
            }

            var draft = _drafts.Recompose(state, new(installed.Term + 1, 1), afresh: true);
            draft.Change = draft.Change with
            {
                Events = [new($"agent {host}", "term.raise", host, $"holds revision {installed}, which this controller never gave; the term was {state.Revision.Term}")],
            };
            return Task.FromResult<(Draft?, int)>((draft, 0));
        });

    /// <summary>Plans all unfinished jobs with what is left of them now. Stores nothing when no plan changes.</summary>
    public Task ReplanAsync(string reason) =>
        ChangeAsync(state =>
        {
            var draft = _drafts.Replan(state, [.. state.Jobs.Values.Select(j => j.Record)], state.Fabric, state.Settings);
            if (draft.Change.Plans.Count == 0)
            {
                // Only what drift is measured against is new.
                _state = state with { Jobs = state.Jobs.ToImmutableSortedDictionary(j => j.Key, j => j.Value with { PlannedRoundsLeft = draft.State.Jobs[j.Key].PlannedRoundsLeft }) };
                return NoChange(0);
            }

            draft.Change = draft.Change with { Events = [new("controller", "replan", string.Join(", ", draft.Change.Plans.Select(p => state.Jobs[p.JobId].Name)), reason)] };
            return Task.FromResult<(Draft?, int)>((draft, 0));
        });

    private static Task<(Draft?, T)> NoChange<T>(T result) => Task.FromResult<(Draft?, T)>((null, result));

    private static List<FieldFault> FindMissingHosts(Fabric fabric, IEnumerable<JobRecord> jobs) =>
        [.. jobs.SelectMany(j => j.Spec.MemberHosts().Concat(j.Spec.Helpers ?? []).Distinct().Where(h => !fabric.Hosts.ContainsKey(h))
            .Select(h => new FieldFault("nodes", h, $"The topology lacks host '{h}', which the unfinished job '{j.Spec.Name}' (id {j.Id}) uses; put the host back, or cancel the job first.")))];

    private void Begin(StoredState stored, Fabric fabric, PlanningSettings standard)
    {
        var faults = FindMissingHosts(fabric, stored.Jobs);
        if (faults.Count > 0)
        {
            throw new StartUpException([.. faults.Select(f => $"{f.Field}: {f.Message}")]);
        }

        var revision = new Revision(stored.Term, 1);
        var ports = stored.Ports.Where(p => fabric.Hosts.ContainsKey(p.Key)).ToImmutableSortedDictionary(StringComparer.Ordinal);
        foreach (var job in stored.Jobs)
        {
            progress.Track(job, stored.Transports);
        }

        var jobs = stored.Jobs.ToImmutableSortedDictionary(
            j => j.Id,
            j => composer.Place(
                j, composer.Size(j.Plan ?? throw new InvalidOperationException($"{j} is stored without a plan."), j.Plan, j.Spec, fabric), progress.RoundsLeft(j), null, fabric, ports, revision));
        _state = new()
        {
            Revision = revision,
            Fabric = fabric,
            FabricSince = revision,
            Settings = stored.Settings ?? standard,
            SettingsSince = revision,
            Jobs = jobs,
            Ports = ports,
            Policies = composer.Compose(fabric, jobs.Values, ImmutableDictionary<string, DesiredPolicy>.Empty, revision),
            RecentlyEnded = [.. stored.RecentlyEnded],
            Withdrawn = stored.Withdrawn.ToImmutableDictionary(j => j.Id),
        };
        StateLog.Leading(logger, stored.Term, jobs.Count, fabric.Hosts.Count);
    }

    private async Task<T> ChangeAsync<T>(Func<DesiredState, Task<(Draft? Draft, T Result)>> decide)
    {
        T result;
        await _gate.WaitAsync(CancellationToken.None);
        try
        {
            var state = _state ?? throw new NotLeadingException();
            (var draft, result) = await decide(state);
            if (draft is null)
            {
                return result;
            }

            // A request that is given up must not leave the change half known, so the commit has its own patience.
            using var patience = new CancellationTokenSource(StoreTimeout);
            await store.CommitAsync(draft.Change, patience.Token);
            draft.Stored?.Invoke();
            _state = draft.State;
            foreach (var entry in draft.Change.Events)
            {
                StateLog.Changed(logger, draft.State.Revision, entry.Actor, entry.Action, entry.Subject, entry.Reason);
            }
        }
        catch (Exception fault) when (fault is LeaseLostException or StoreUnavailableException { MaybeStored: true })
        {
            // Either another leads, or the commit may have been stored without our knowing: what is stored is read anew before anything else is changed.
            StateLog.CommitFailed(logger, fault);
            Superseded?.Invoke();
            throw;
        }
        finally
        {
            _gate.Release();
        }

        Changed?.Invoke();
        return result;
    }
}
