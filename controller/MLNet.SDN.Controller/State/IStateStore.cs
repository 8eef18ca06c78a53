using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.State;

/// <summary>One line of the audit: who changed what, and why. Never altered.</summary>
/// <param name="Actor">Who: <c>rest ADDRESS</c>, <c>agent HOST</c> or <c>controller INSTANCE</c>.</param>
/// <param name="Action">What was done, e.g. <c>job.submit</c>.</param>
/// <param name="Subject">To what, e.g. a job's name.</param>
/// <param name="Reason">Why, in words.</param>
internal sealed record PolicyEvent(string Actor, string Action, string Subject, string Reason);

/// <summary>A change of desired state that is to be stored in one transaction, or not at all.</summary>
internal sealed record PolicyChange
{
    /// <summary>The leader's revision before. The store refuses the change when it holds another one.</summary>
    public required Revision Before { get; init; }

    /// <summary>Revision after; a higher term moves the lease's term with it.</summary>
    public required Revision After { get; init; }

    /// <summary>At least one.</summary>
    public required IReadOnlyList<PolicyEvent> Events { get; init; }

    /// <summary>New jobs and jobs that ended.</summary>
    public IReadOnlyList<JobRecord> Jobs { get; init; } = [];

    /// <summary>New and changed plans.</summary>
    public IReadOnlyList<JobPlan> Plans { get; init; } = [];

    /// <summary>Set when it changed.</summary>
    public PlanningSettings? Settings { get; init; }

    /// <summary>Set when it changed.</summary>
    public StoredTopology? Topology { get; init; }

    /// <summary>Data-plane ports that changed.</summary>
    public IReadOnlyDictionary<string, int> Ports { get; init; } = new Dictionary<string, int>();
}

/// <summary>A topology with where it came from.</summary>
/// <param name="Topology">Node-link form.</param>
/// <param name="FileSha256">Hash of the file it was first loaded from, hex; null when it never came from a file. A file with another hash replaces it at start-up.</param>
internal sealed record StoredTopology(Topology Topology, string? FileSha256);

/// <summary>What a leader finds when it begins.</summary>
internal sealed record StoredState
{
    /// <summary>Term of this leadership; greater than every former one in this store.</summary>
    public required long Term { get; init; }

    /// <summary>Last topology; null at the first start.</summary>
    public StoredTopology? Topology { get; init; }

    /// <summary>Last settings that an operator put; null when none did.</summary>
    public PlanningSettings? Settings { get; init; }

    /// <summary>Unfinished jobs with their plans.</summary>
    public IReadOnlyList<JobRecord> Jobs { get; init; } = [];

    /// <summary>Data-plane ports by host.</summary>
    public IReadOnlyDictionary<string, int> Ports { get; init; } = new Dictionary<string, int>();

    /// <summary>The jobs that ended last, newest last.</summary>
    public IReadOnlyList<JobRecord> RecentlyEnded { get; init; } = [];

    /// <summary>Discovered jobs that were withdrawn and not seen to end since, whenever that was; see <see cref="DesiredState.Withdrawn"/>.</summary>
    public IReadOnlyList<JobRecord> Withdrawn { get; init; } = [];

    /// <summary>Agents that were here before.</summary>
    public IReadOnlyList<KnownAgent> Agents { get; init; } = [];

    /// <summary>Socket totals of the unfinished jobs.</summary>
    public IReadOnlyList<HostTransport> Transports { get; init; } = [];
}

/// <summary>An agent that has been here.</summary>
internal sealed record KnownAgent(string Host, Guid Boot, string Version, DateTimeOffset LastSeen);

/// <summary>Socket totals of one job on one host during one boot of its agent.</summary>
internal sealed record HostTransport(string Host, Guid Boot, JobTransport Transport);

/// <summary>Answer to a request to lead.</summary>
/// <param name="State">Set when this process leads now.</param>
/// <param name="Holder">Instance that leads instead.</param>
/// <param name="FreeIn">When its lease ends, unless it renews.</param>
internal sealed record LeaseAnswer(StoredState? State, string Holder, TimeSpan FreeIn);

/// <summary>Whose the lease is.</summary>
internal enum LeaseStatus
{
    /// <summary>Ours.</summary>
    Held,

    /// <summary>Another instance's.</summary>
    TakenByOther,

    /// <summary>Another process's under our own instance name.</summary>
    TakenBySameInstance,
}

/// <summary>Where desired state outlives the process, or does not. All methods are safe to call from any thread.</summary>
internal interface IStateStore
{
    /// <summary>Whether state survives the process.</summary>
    bool Durable { get; }

    /// <summary>Tries once to become leader, and reads what is stored.</summary>
    /// <exception cref="StoreUnavailableException">The store cannot be reached.</exception>
    Task<LeaseAnswer> TryLeadAsync(CancellationToken cancellationToken);

    /// <summary>Prolongs the lease.</summary>
    /// <exception cref="StoreUnavailableException">The store cannot be reached; the lease may still be ours.</exception>
    Task<LeaseStatus> RenewAsync(CancellationToken cancellationToken);

    /// <summary>Gives the lease back, so that another can lead at once.</summary>
    Task ReleaseAsync(CancellationToken cancellationToken);

    /// <summary>A number for a new job, never given twice.</summary>
    /// <exception cref="StoreUnavailableException">The store cannot be reached.</exception>
    Task<long> NextJobIdAsync(CancellationToken cancellationToken);

    /// <summary>Stores a change in one transaction that locks the lease.</summary>
    /// <exception cref="StoreUnavailableException">The store cannot be reached; whether the change was stored may be unknown.</exception>
    /// <exception cref="LeaseLostException">Another process leads, or the store is ahead of this process.</exception>
    Task CommitAsync(PolicyChange change, CancellationToken cancellationToken);

    /// <summary>A job by number.</summary>
    Task<JobRecord?> FindJobAsync(long id, CancellationToken cancellationToken);

    /// <summary>The newest job of a name.</summary>
    Task<JobRecord?> FindJobAsync(string name, CancellationToken cancellationToken);

    /// <summary>The job that was submitted with this key.</summary>
    Task<JobRecord?> FindJobByKeyAsync(string idempotencyKey, CancellationToken cancellationToken);

    /// <summary>Jobs, newest first.</summary>
    /// <param name="before">Only numbers below this one.</param>
    Task<IReadOnlyList<JobRecord>> ListJobsAsync(long before, int limit, CancellationToken cancellationToken);

    /// <summary>Keeps figures of jobs. No policy: needs no lease, and the last writer wins.</summary>
    Task SaveFiguresAsync(IReadOnlyList<(long JobId, JobFigures Figures)> figures, IReadOnlyList<HostTransport> transports, CancellationToken cancellationToken);

    /// <summary>Keeps when agents were last seen. No policy.</summary>
    Task SaveAgentsAsync(IReadOnlyList<KnownAgent> agents, CancellationToken cancellationToken);

    /// <summary>Events, newest first.</summary>
    Task<IReadOnlyList<StoredEvent>> ListEventsAsync(long before, int limit, CancellationToken cancellationToken);
}

/// <summary>A <see cref="PolicyEvent"/> with its place in the audit.</summary>
/// <param name="Id">Ascending.</param>
/// <param name="Time">UTC.</param>
/// <param name="Revision">Revision that the change made.</param>
/// <param name="Event">Who, what, why.</param>
internal sealed record StoredEvent(long Id, DateTimeOffset Time, Revision Revision, PolicyEvent Event);

/// <summary>The store cannot be reached.</summary>
internal sealed class StoreUnavailableException(string message, Exception? inner, bool maybeStored = false) : Exception(message, inner)
{
    /// <summary>True when a commit was under way, so that nobody knows whether it was stored.</summary>
    public bool MaybeStored { get; } = maybeStored;
}

/// <summary>This process leads no more.</summary>
internal sealed class LeaseLostException(string message) : Exception(message);
