using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Workers;

namespace MLNet.SDN.Aggregation.Transport;

// The job's workers on this host: who is let in, and what the engine tells them.
internal sealed partial class JobRuntime
{
    private readonly Dictionary<int, WorkerSession> _sessions = [];
    private int? _ownerUid;

    /// <summary>Why a worker cannot begin yet; null when it can.</summary>
    public string? NotReady(WorkerSession session)
    {
        // A launcher starts a worker anew as soon as it sees that one has died, which may be before this host does.
        lock (_lock)
        {
            foreach (var (rank, former) in _sessions)
            {
                if ((session.WantedRank ?? rank) == rank && former.HasHungUp)
                {
                    return $"the process that was rank {rank} has ended, and its part in the job is about to";
                }
            }
        }

        if (!Engine.IsSignalled)
        {
            return $"no connection yet to the agent on {Engine.AnchorHost}, the host of rank 0";
        }

        var missing = Engine.NewestPeers().FirstOrDefault(peer => ConnectionsTo(peer) == 0);
        return missing is null ? Engine.NotReady() : $"no connection yet to the agent on {missing}";
    }

    /// <summary>Lets a worker in, or lets it go on with a session that began under an earlier life of the agent.</summary>
    public string? TryJoin(WorkerSession session, int? rank, int userId, out int joined)
    {
        joined = -1;
        var server = Engine.Job.ServerRank;
        var workers = Engine.Job.Members.Count(m => m.Rank >= 0 && m.Rank != server);
        if ((session.AsServer || session.AsWorkerOfServer) && server is null)
        {
            return $"job {Name} has no parameter server: join it with mlnet.join(), in C# with WorkerJob.JoinAsync(), or submit it with \"server\", the server's host";
        }

        if (server is not null && !session.AsServer && !session.AsWorkerOfServer)
        {
            return $"job {Name} has a parameter server: join it with mlnet.worker(), in C# with ParameterWorker.JoinAsync(), or submit it without one";
        }

        if (session.LaunchedWorkers is { } launched && launched != workers)
        {
            return $"the launcher started {launched} workers, but job {Name} has {workers}: submit it with as many, or start as many";
        }

        if (rank is not null && rank == server && !session.AsServer)
        {
            return $"rank {rank} of job {Name} is its parameter server; its workers are ranks 0 to {server - 1}";
        }

        if (session.AsServer && (rank ?? server) != server)
        {
            return $"rank {rank} of job {Name} is a worker; its parameter server is rank {server}";
        }

        rank = session.AsServer ? server : rank;
        bool isFirst;
        lock (_lock)
        {
            if (_ownerUid is { } owner && owner != userId)
            {
                return $"job {Name} belongs to user {owner}, not to {userId}";
            }

            isFirst = _ownerUid is null;
            _ownerUid = userId;
        }

        var fault = LetIn(session, rank, out joined);
        if (fault is not null && isFirst)
        {
            lock (_lock)
            {
                // Who is refused owns nothing.
                _ownerUid = _sessions.Count == 0 ? null : _ownerUid;
            }
        }

        return fault;
    }

    private string? LetIn(WorkerSession session, int? rank, out int joined)
    {
        // Never the engine under this lock: it calls back into it under its own.
        if (session.Restores)
        {
            joined = rank!.Value;
            lock (_lock)
            {
                // News may come before the call returns.
                if (!_sessions.TryAdd(joined, session))
                {
                    return $"rank {joined} of job {Name} on host {Host} has joined already";
                }
            }

            var fault = Engine.TryRejoin(joined, session.TakeRestored(Engine.Job.JobId, joined));
            if (fault is not null)
            {
                lock (_lock)
                {
                    _sessions.Remove(joined);
                }
            }

            return fault;
        }

        if (Engine.TryJoin(rank, out joined) is { } refusal)
        {
            return refusal;
        }

        lock (_lock)
        {
            _sessions[joined] = session;
        }

        return null;
    }

    public void Leave(WorkerSession session, int rank, bool left)
    {
        lock (_lock)
        {
            if (!_sessions.TryGetValue(rank, out var current) || !ReferenceEquals(current, session))
            {
                return;
            }
        }

        if (left)
        {
            AggregationLog.WorkerLeft(_resources.Logger, Name, rank);
        }
        else
        {
            AggregationLog.WorkerDied(_resources.Logger, Name, rank);
        }

        Engine.Leave(rank, left);
        lock (_lock)
        {
            // Only now: who waits for the rank is let in when it is free.
            if (_sessions.TryGetValue(rank, out var current) && ReferenceEquals(current, session))
            {
                _sessions.Remove(rank);
            }
        }
    }

    /// <inheritdoc />
    public void StreamOpened(int rank, uint stream, SharedArea area, ulong round) => SessionOf(rank)?.StreamOpened(stream, area, round);

    /// <inheritdoc />
    public void StreamRefused(int rank, uint stream, string code, string message) => SessionOf(rank)?.StreamRefused(stream, code, message);

    /// <inheritdoc />
    public void RoundDone(int rank, uint stream, ulong round) => SessionOf(rank)?.RoundDone(stream, round);

    /// <inheritdoc />
    public void RoundFailed(int rank, uint stream, ulong round, string code, string message)
    {
        AggregationLog.RoundFailed(_resources.Logger, Name, round, stream, rank, message);
        SessionOf(rank)?.RoundFailed(stream, round, code, message);
    }

    private WorkerSession? SessionOf(int rank)
    {
        lock (_lock)
        {
            return _sessions.GetValueOrDefault(rank);
        }
    }
}
