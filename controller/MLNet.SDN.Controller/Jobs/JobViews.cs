using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Agents;
using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Controller.Jobs;

/// <summary>Jobs as REST and the live hub show them: what is desired, joined with what agents acknowledge and report.</summary>
internal sealed class JobViews(AgentRegistry registry, JobProgress progress)
{
    /// <summary>An unfinished job.</summary>
    public JobView Of(PlacedJob job)
    {
        // A host that acknowledged a later revision holds this job's content too: a policy is always whole.
        var hosts = job.Hosts.Select(registry.Status).ToList();
        IReadOnlyList<string> waiting = [.. hosts.Where(h => h.Acknowledged < job.InForceSince || h.JobFaults.Any(f => f.JobId == job.Id)).Select(h => h.Host)];
        return Of(job.Record, waiting.Count == 0 ? JobState.Placed : JobState.Pending) with
        {
            Plan = job.Plan,
            WaitingFor = waiting,
            Troubles =
            [
                .. hosts.Where(h => h.Error is not null).Select(h => $"{h.Host}: the policy could not be applied: {h.Error}"),
                .. hosts.SelectMany(h => h.JobFaults.Where(f => f.JobId == job.Id).Select(f => $"{h.Host}: the plan could not be taken over: {f.Reason}")),
                .. progress.Troubles(job.Name, job.Hosts),
            ],
        };
    }

    /// <summary>An ended job.</summary>
    public JobView Of(JobRecord job) => Of(job, job.State);

    /// <summary>The job of this number or name, unfinished ones first.</summary>
    public async Task<(JobView View, PlacedJob? Placed)?> FindAsync(DesiredState state, IStateStore store, string nameOrId, CancellationToken cancellationToken)
    {
        // A name may consist of digits, so the name is tried first.
        if (state.FindJob(nameOrId) is { } named)
        {
            return (Of(named), named);
        }

        var isId = long.TryParse(nameOrId, out var id) && id > 0;
        if (isId && state.Jobs.TryGetValue(id, out var numbered))
        {
            return (Of(numbered), numbered);
        }

        var record = (nameOrId.Length <= 63 && !nameOrId.Contains('\0', StringComparison.Ordinal) ? await store.FindJobAsync(nameOrId, cancellationToken) : null)
            ?? (isId ? await store.FindJobAsync(id, cancellationToken) : null);
        return record is null ? null : (Of(record), null);
    }

    /// <summary>Whether two views of a job show the same.</summary>
    public static bool Same(JobView a, JobView b) =>
        a with { WaitingFor = b.WaitingFor, Troubles = b.Troubles } == b && a.WaitingFor.SequenceEqual(b.WaitingFor) && a.Troubles.SequenceEqual(b.Troubles);

    private JobView Of(JobRecord job, JobState state)
    {
        var figures = progress.Figures(job.Id) ?? job.Figures;
        return new()
        {
            Id = job.Id,
            Spec = job.Spec,
            State = state,
            SubmittedAt = job.SubmittedAt,
            EndedAt = job.EndedAt,
            RoundsDone = figures.RoundsFinished - 1,
            WorkersJoined = job.Unfinished ? figures.WorkersJoined : 0,
            SecondsPerRound = figures.SecondsPerRound,
            Sight = job.Unfinished ? progress.Sight(job.Id, host => registry.Status(host).Connected) : null,
            SocketBytesSent = figures.SocketBytesSent,
            SocketSegmentsSent = figures.SocketSegmentsSent,
        };
    }
}
