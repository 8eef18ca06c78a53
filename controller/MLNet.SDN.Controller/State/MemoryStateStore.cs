using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.State;

/// <summary>State that ends with the process. Terms and job numbers start from the clock, so that agents and records of a former run are not mistaken for this one's.</summary>
internal sealed class MemoryStateStore(TimeProvider time) : IStateStore
{
    private const int MaxEnded = 10_000;
    private const int MaxEvents = 10_000;

    private readonly Lock _lock = new();
    private readonly SortedDictionary<long, JobRecord> _jobs = [];
    private readonly LinkedList<StoredEvent> _events = [];
    private long _term;
    private long _lastJobId = time.GetUtcNow().ToUnixTimeMilliseconds();
    private long _lastEventId;

    /// <inheritdoc />
    public bool Durable => false;

    /// <inheritdoc />
    public Task<LeaseAnswer> TryLeadAsync(CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            _term = Math.Max(_term + 1, time.GetUtcNow().ToUnixTimeSeconds());
            return Task.FromResult(new LeaseAnswer(new() { Term = _term, Jobs = [.. _jobs.Values.Where(j => j.Unfinished)], Withdrawn = [.. _jobs.Values.Where(j => j.IsWithdrawn)] }, "", TimeSpan.Zero));
        }
    }

    /// <inheritdoc />
    public Task<LeaseStatus> RenewAsync(CancellationToken cancellationToken) => Task.FromResult(LeaseStatus.Held);

    /// <inheritdoc />
    public Task ReleaseAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc />
    public Task<long> NextJobIdAsync(CancellationToken cancellationToken) => Task.FromResult(Interlocked.Increment(ref _lastJobId));

    /// <inheritdoc />
    public Task CommitAsync(PolicyChange change, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            _term = Math.Max(_term, change.After.Term);
            foreach (var job in change.Jobs)
            {
                _jobs[job.Id] = job;
            }

            foreach (var plan in change.Plans)
            {
                _jobs[plan.JobId] = _jobs[plan.JobId] with { Plan = plan };
            }

            foreach (var ended in _jobs.Values.Where(j => !j.Unfinished).Select(j => j.Id).SkipLast(MaxEnded).ToList())
            {
                _jobs.Remove(ended);
            }

            foreach (var entry in change.Events)
            {
                _events.AddFirst(new StoredEvent(++_lastEventId, time.GetUtcNow(), change.After, entry));
            }

            while (_events.Count > MaxEvents)
            {
                _events.RemoveLast();
            }
        }

        return Task.CompletedTask;
    }

    /// <inheritdoc />
    public Task<JobRecord?> FindJobAsync(long id, CancellationToken cancellationToken) => Find(j => j.Id == id);

    /// <inheritdoc />
    public Task<JobRecord?> FindJobAsync(string name, CancellationToken cancellationToken) => Find(j => j.Spec.Name == name);

    /// <inheritdoc />
    public Task<JobRecord?> FindJobByKeyAsync(string idempotencyKey, CancellationToken cancellationToken) => Find(j => j.IdempotencyKey == idempotencyKey);

    /// <inheritdoc />
    public Task<IReadOnlyList<JobRecord>> ListJobsAsync(long before, int limit, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            return Task.FromResult<IReadOnlyList<JobRecord>>([.. _jobs.Values.Reverse().Where(j => j.Id < before).Take(limit)]);
        }
    }

    /// <inheritdoc />
    public Task SaveFiguresAsync(IReadOnlyList<(long JobId, JobFigures Figures)> figures, IReadOnlyList<HostTransport> transports, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            foreach (var (id, saved) in figures)
            {
                if (_jobs.TryGetValue(id, out var job))
                {
                    _jobs[id] = job with { Figures = saved };
                }
            }
        }

        return Task.CompletedTask;
    }

    /// <inheritdoc />
    public Task SaveAgentsAsync(IReadOnlyList<KnownAgent> agents, CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc />
    public Task<IReadOnlyList<StoredEvent>> ListEventsAsync(long before, int limit, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            return Task.FromResult<IReadOnlyList<StoredEvent>>([.. _events.Where(e => e.Id < before).Take(limit)]);
        }
    }

    private Task<JobRecord?> Find(Func<JobRecord, bool> match)
    {
        lock (_lock)
        {
            return Task.FromResult(_jobs.Values.LastOrDefault(match));
        }
    }
}
