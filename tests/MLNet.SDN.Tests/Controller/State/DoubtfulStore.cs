using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Tests.Controller.State;

/// <summary>A store in memory whose answers can be lost, and which can be taken over by another controller.</summary>
internal sealed class DoubtfulStore(TimeProvider time) : IStateStore
{
    private readonly MemoryStateStore _store = new(time);

    /// <summary>What the next commits do.</summary>
    public Answer Next { get; set; }

    /// <summary>Another controller leads.</summary>
    public bool Taken { get; set; }

    public int Leaderships { get; private set; }

    public bool Durable => true;

    public async Task<LeaseAnswer> TryLeadAsync(CancellationToken cancellationToken)
    {
        if (Taken)
        {
            return new(null, "other", TimeSpan.FromSeconds(1));
        }

        Leaderships++;
        return await _store.TryLeadAsync(cancellationToken);
    }

    public Task<LeaseStatus> RenewAsync(CancellationToken cancellationToken) => Task.FromResult(Taken ? LeaseStatus.TakenByOther : LeaseStatus.Held);

    public Task ReleaseAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task<long> NextJobIdAsync(CancellationToken cancellationToken) => _store.NextJobIdAsync(cancellationToken);

    public async Task CommitAsync(PolicyChange change, CancellationToken cancellationToken)
    {
        var answer = Next;
        Next = Answer.Stored;
        switch (answer)
        {
            case Answer.Away:
                throw new StoreUnavailableException("away", null);
            case Answer.LostAfterStoring:
                await _store.CommitAsync(change, cancellationToken);
                throw new StoreUnavailableException("connection reset", null, maybeStored: true);
            case Answer.LostBeforeStoring:
                throw new StoreUnavailableException("connection reset", null, maybeStored: true);
            default:
                if (Taken)
                {
                    throw new LeaseLostException("'other' leads.");
                }

                await _store.CommitAsync(change, cancellationToken);
                break;
        }
    }

    public Task<JobRecord?> FindJobAsync(long id, CancellationToken cancellationToken) => _store.FindJobAsync(id, cancellationToken);

    public Task<JobRecord?> FindJobAsync(string name, CancellationToken cancellationToken) => _store.FindJobAsync(name, cancellationToken);

    public Task<JobRecord?> FindJobByKeyAsync(string idempotencyKey, CancellationToken cancellationToken) => _store.FindJobByKeyAsync(idempotencyKey, cancellationToken);

    public Task<IReadOnlyList<JobRecord>> ListJobsAsync(long before, int limit, CancellationToken cancellationToken) => _store.ListJobsAsync(before, limit, cancellationToken);

    public Task SaveFiguresAsync(IReadOnlyList<(long JobId, JobFigures Figures)> figures, IReadOnlyList<HostTransport> transports, CancellationToken cancellationToken) =>
        _store.SaveFiguresAsync(figures, transports, cancellationToken);

    public Task SaveAgentsAsync(IReadOnlyList<KnownAgent> agents, CancellationToken cancellationToken) => _store.SaveAgentsAsync(agents, cancellationToken);

    public Task<IReadOnlyList<StoredEvent>> ListEventsAsync(long before, int limit, CancellationToken cancellationToken) => _store.ListEventsAsync(before, limit, cancellationToken);
}

/// <summary>How a commit ends.</summary>
internal enum Answer
{
    Stored,
    Away,
    LostAfterStoring,
    LostBeforeStoring,
}
