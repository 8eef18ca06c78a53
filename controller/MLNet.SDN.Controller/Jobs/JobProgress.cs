using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Controller.Jobs;

/// <summary>What agents say of the workers and sockets of each job, put together. Safe to call from any thread.</summary>
/// <remarks>Reports hold the whole state of a host, so a lost or repeated one does no harm.</remarks>
internal sealed class JobProgress(TimeProvider time)
{
    // A job that restarts its agents more often than this has other troubles; the bound keeps a wild agent from filling memory.
    private const int MaxBootsPerHost = 64;

    // Last reports of a job come after its end: the sockets' totals of the last round.
    private const int EndedJobsKept = 256;

    private readonly Lock _lock = new();
    private readonly Dictionary<long, Entry> _jobs = [];
    private readonly Queue<long> _ended = new();
    private readonly Dictionary<string, IReadOnlyList<string>> _troubles = new(StringComparer.Ordinal);
    private readonly HashSet<long> _dirtyJobs = [];

    // Jobs of whose rounds a host told in its last report.
    private readonly Dictionary<string, List<long>> _reducing = new(StringComparer.Ordinal);
    private readonly Dictionary<(long Job, string Host, Guid Boot), JobTransport> _dirtyTransports = [];

    /// <summary>Begins to follow a job from its last known figures.</summary>
    public void Track(JobRecord job, IEnumerable<HostTransport> transports)
    {
        lock (_lock)
        {
            var entry = new Entry(job, time);
            foreach (var known in transports.Where(t => t.Transport.JobId == job.Id))
            {
                entry.Transports[(known.Host, known.Boot)] = known.Transport;
            }

            _jobs[job.Id] = entry;
        }
    }

    /// <summary>A job has ended: it is followed on for late reports, until enough others have ended after it.</summary>
    public void End(long jobId)
    {
        lock (_lock)
        {
            _ended.Enqueue(jobId);
            if (_ended.Count > EndedJobsKept)
            {
                _jobs.Remove(_ended.Dequeue());
            }
        }
    }

    /// <summary>Takes a report over. What does not fit the job (a rank of another host, negative counts) is passed over.</summary>
    /// <returns>Number of entries passed over.</returns>
    public int Report(ProgressReport report)
    {
        var ignored = 0;
        lock (_lock)
        {
            _troubles[report.Host] = report.Troubles;
            foreach (var worker in report.Workers)
            {
                if (!_jobs.TryGetValue(worker.JobId, out var entry) || !(entry.Fits(worker, report.Host) || entry.IsServer(worker, report.Host)))
                {
                    ignored++;
                    continue;
                }

                _dirtyJobs.Add(worker.JobId);
                if (entry.IsServer(worker, report.Host))
                {
                    // Progress is that of the workers; the job ends when the server has left too, which may have more to apply.
                    entry.TakeServer(worker);
                    continue;
                }

                entry.Take(worker);
            }

            foreach (var transport in report.Transports)
            {
                if (!_jobs.TryGetValue(transport.JobId, out var entry) || !entry.Take(transport, report.Host, report.Boot))
                {
                    ignored++;
                    continue;
                }

                _dirtyJobs.Add(transport.JobId);
                _dirtyTransports[(transport.JobId, report.Host, report.Boot)] = transport;
            }

            Forget(report.Host);
            foreach (var reduction in report.Reductions)
            {
                if (!_jobs.TryGetValue(reduction.JobId, out var entry) || !entry.Take(reduction, report.Host))
                {
                    ignored++;
                    continue;
                }

                if (!_reducing.TryGetValue(report.Host, out var jobs))
                {
                    _reducing[report.Host] = jobs = [];
                }

                jobs.Add(reduction.JobId);
            }
        }

        return ignored;
    }

    private void Forget(string host)
    {
        if (_reducing.Remove(host, out var jobs))
        {
            foreach (var id in jobs)
            {
                _jobs.GetValueOrDefault(id)?.Reductions.Remove(host);
            }
        }
    }

    /// <summary>How the rounds of a job go; null when no agent has told.</summary>
    /// <param name="jobId">The job.</param>
    /// <param name="isConnected">Whether a host's agent is there: what one that is away said last is not so any more.</param>
    public RoundSight? Sight(long jobId, Predicate<string> isConnected)
    {
        lock (_lock)
        {
            return _jobs.TryGetValue(jobId, out var entry)
                ? JobSight.Of(new SortedDictionary<string, JobReduction>(entry.Reductions.Where(r => isConnected(r.Key)).ToDictionary(), StringComparer.Ordinal))
                : null;
        }
    }

    /// <summary>Figures of a job; null when it is not followed.</summary>
    public JobFigures? Figures(long jobId)
    {
        lock (_lock)
        {
            return _jobs.TryGetValue(jobId, out var entry) ? entry.Figures() : null;
        }
    }

    /// <summary>Rounds that are left; 0 when the job did not say how many it has.</summary>
    public long RoundsLeft(JobRecord job) =>
        job.Spec.Rounds == 0 ? 0 : Math.Max(1, job.Spec.Rounds - (Figures(job.Id) ?? job.Figures).RoundsFinished);

    /// <summary>
    /// The least slowdown that the job can still end with: the time since its workers came and what it needs alone for the rest, over what it would have
    /// needed alone in all. Null where the job did not say how many rounds it has or how long one computes.
    /// </summary>
    public double? Slowdown(JobRecord job)
    {
        var alone = job.Spec.ComputeSeconds + (job.Plan?.PredictedSeconds ?? 0);
        if (job.Spec.Rounds == 0 || job.Spec.ComputeSeconds <= 0 || job.Plan is not { PredictedSeconds: > 0 })
        {
            return null;
        }

        lock (_lock)
        {
            return _jobs.TryGetValue(job.Id, out var entry) ? (entry.SecondsAtWork + (RoundsLeft(job) * alone)) / (job.Spec.Rounds * alone) : null;
        }
    }

    /// <summary>Whether every worker of the job, and its server if it has one, left in good order.</summary>
    public bool AllLeft(long jobId)
    {
        lock (_lock)
        {
            return _jobs.TryGetValue(jobId, out var entry) && entry.AllLeft;
        }
    }

    /// <summary>Troubles that hosts report now and that name the job.</summary>
    public IReadOnlyList<string> Troubles(string jobName, IEnumerable<string> hosts)
    {
        lock (_lock)
        {
            return [.. hosts.SelectMany(h => _troubles.GetValueOrDefault(h, []).Where(t => Names(t, jobName)).Select(t => $"{h}: {t}"))];
        }
    }

    /// <summary>Troubles that a host reports now.</summary>
    public IReadOnlyList<string> HostTroubles(string host)
    {
        lock (_lock)
        {
            return _troubles.GetValueOrDefault(host, []);
        }
    }

    /// <summary>What changed since it was last taken, to be stored.</summary>
    public (IReadOnlyList<(long JobId, JobFigures Figures)> Figures, IReadOnlyList<HostTransport> Transports) TakeDirty()
    {
        lock (_lock)
        {
            var figures = _dirtyJobs.Where(_jobs.ContainsKey).Select(id => (id, _jobs[id].Figures())).ToList();
            var transports = _dirtyTransports.Select(t => new HostTransport(t.Key.Host, t.Key.Boot, t.Value)).ToList();
            _dirtyJobs.Clear();
            _dirtyTransports.Clear();
            return (figures, transports);
        }
    }

    /// <summary>Gives back what could not be stored; newer figures stay.</summary>
    public void ReturnDirty(IReadOnlyList<(long JobId, JobFigures Figures)> figures, IReadOnlyList<HostTransport> transports)
    {
        lock (_lock)
        {
            _dirtyJobs.UnionWith(figures.Select(f => f.JobId));
            foreach (var transport in transports)
            {
                _dirtyTransports.TryAdd((transport.Transport.JobId, transport.Host, transport.Boot), transport.Transport);
            }
        }
    }

    // A name counts only as a whole word of the characters that names are made of.
    private static bool Names(string text, string job)
    {
        for (var at = text.IndexOf(job, StringComparison.Ordinal); at >= 0; at = text.IndexOf(job, at + 1, StringComparison.Ordinal))
        {
            if ((at == 0 || !IsNamePart(text[at - 1])) && (at + job.Length == text.Length || !IsNamePart(text[at + job.Length])))
            {
                return true;
            }
        }

        return false;

        static bool IsNamePart(char c) => char.IsAsciiLetterOrDigit(c) || c is '-' or '_';
    }

    private sealed class Entry
    {
        private readonly JobRecord _job;
        private readonly TimeProvider _time;
        private readonly HashSet<string> _members;
        private double _lastSecondsPerRound;
        private bool _serverLeft;

        /// <summary>When all workers were first seen here; null before.</summary>
        private long? _begun;

        public Entry(JobRecord job, TimeProvider time)
        {
            _job = job;
            _time = time;
            _lastSecondsPerRound = job.Figures.SecondsPerRound;
            _members = [.. job.Spec.MemberHosts(), .. job.Spec.Helpers ?? []];
            _serverLeft = job.Figures.RanksLeft.Contains(job.Spec.Workers.Count);
            Workers = [.. job.Spec.Workers.Select((_, rank) => new WorkerProgress
            {
                JobId = job.Id,
                Rank = rank,
                Joined = false,
                Left = job.Figures.RanksLeft.Contains(rank),
                RoundsDone = job.Figures.RoundsFinished,
            })];
        }

        public WorkerProgress[] Workers { get; }

        public Dictionary<(string Host, Guid Boot), JobTransport> Transports { get; } = [];

        /// <summary>By host; as last told.</summary>
        public SortedDictionary<string, JobReduction> Reductions { get; } = new(StringComparer.Ordinal);

        /// <summary>Seconds since all workers were here. Before this controller followed the job, as much as its rounds took.</summary>
        public double SecondsAtWork =>
            (_job.Figures.RoundsFinished * _job.Figures.SecondsPerRound) + (_begun is { } begun ? _time.GetElapsedTime(begun).TotalSeconds : 0);

        public bool AllLeft => Workers.All(w => w.Left) && (_job.Spec.Server is null || _serverLeft);

        public void TakeServer(WorkerProgress server) => _serverLeft = server.Left || (_serverLeft && !server.Joined);

        public void Take(WorkerProgress worker)
        {
            // An agent that was started anew knows nothing of a worker that had left before.
            var known = Workers[worker.Rank];
            Workers[worker.Rank] = worker.Joined || !known.Left ? worker : known;
            if (_begun is null && Workers.All(w => w.Joined))
            {
                _begun = _time.GetTimestamp();
            }
        }

        public bool Fits(WorkerProgress worker, string host) =>
            worker.Rank >= 0 && worker.Rank < Workers.Length && _job.Spec.Workers[worker.Rank] == host
            && worker.RoundsDone >= 0 && double.IsFinite(worker.SecondsPerRound) && worker.SecondsPerRound >= 0
            && double.IsFinite(worker.CommunicationSeconds) && worker.CommunicationSeconds >= 0;

        public bool IsServer(WorkerProgress worker, string host) => worker.Rank == Workers.Length && _job.Spec.Server == host;

        public bool Take(JobReduction reduction, string host)
        {
            if (!_members.Contains(host) || !JobSight.IsSound(reduction))
            {
                return false;
            }

            Reductions[host] = reduction;
            return true;
        }

        public bool Take(JobTransport transport, string host, Guid boot)
        {
            if (transport.BytesSent < 0 || transport.BytesRetransmitted < 0 || transport.SegmentsSent < 0 || transport.Connections < 0)
            {
                return false;
            }

            if (Transports.TryGetValue((host, boot), out var known))
            {
                // Totals of a boot only grow: a smaller one is an older report that came late.
                if (transport.BytesSent < known.BytesSent)
                {
                    return true;
                }
            }
            else if (Transports.Keys.Count(k => k.Host == host) >= MaxBootsPerHost)
            {
                return false;
            }

            Transports[(host, boot)] = transport;
            return true;
        }

        public JobFigures Figures()
        {
            double seconds = 0;
            var measured = 0;
            foreach (var worker in Workers)
            {
                if (worker.SecondsPerRound > 0)
                {
                    seconds += worker.SecondsPerRound;
                    measured++;
                }
            }

            _lastSecondsPerRound = measured > 0 ? seconds / measured : _lastSecondsPerRound;
            return new()
            {
                RoundsFinished = Workers.Min(w => w.RoundsDone),
                SecondsPerRound = _lastSecondsPerRound,
                WorkersJoined = Workers.Count(w => w is { Joined: true, Left: false }),
                RanksLeft = [.. Workers.Where(w => w.Left).Select(w => w.Rank), .. _serverLeft ? [Workers.Length] : Array.Empty<int>()],
                SocketBytesSent = Transports.Values.Sum(t => t.BytesSent),
                SocketSegmentsSent = Transports.Values.Sum(t => t.SegmentsSent),
            };
        }
    }
}
