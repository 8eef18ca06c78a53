using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>
/// What the agent of rank 0, the anchor of a job, decides for everyone: which revision a round uses, which rounds are over without result, and who is there.
/// Pure: time comes in as an argument, messages go out as return values. Guarded by the engine's lock.
/// </summary>
internal sealed class AnchorLedger
{
    private readonly string _self;
    private readonly Dictionary<string, HostRecord> _hosts = new(StringComparer.Ordinal);
    private readonly Dictionary<uint, StreamRecord> _streams = [];
    private readonly RankRecord[] _ranks;
    private readonly SortedList<TreesRevision, AggregationJob> _held = [];

    /// <summary>Newest revision that every host of it has confirmed; every round decided from now on uses it. Default before the first.</summary>
    private TreesRevision _inForce;


    public AnchorLedger(string self, AggregationJob job)
    {
        _self = self;
        _ranks = [.. job.Members.OrderBy(m => m.Rank).Select(m => new RankRecord(m.Host))];
    }

    /// <summary>Grows with every change that everyone must hear of.</summary>
    public int RosterVersion { get; private set; }

    /// <summary>Says which revisions the anchor itself holds.</summary>
    public void Hold(IEnumerable<AggregationJob> jobs)
    {
        _held.Clear();
        foreach (var job in jobs)
        {
            _held.Add(job.TreesRevision, job);
        }

        HostOf(_self).Revisions = [.. _held.Keys];
        Confirm();
    }

    /// <summary>Takes over what a host says of itself. Returns failures that follow from it.</summary>
    public List<SignalMessage> Report(string host, SignalMessage state)
    {
        var record = HostOf(host);
        var failures = new List<SignalMessage>();
        record.Revisions = [.. state.Revisions!];
        if (_inForce == default)
        {
            // Somebody less to wait for.
            RosterVersion++;
        }

        Confirm();

        if (record.Lost is not null)
        {
            record.Lost = null;
            RosterVersion++;
        }

        foreach (var report in state.Streams!)
        {
            // A round that was never decided here was decided by this anchor before it was started anew, and is beyond finishing.
            var stream = StreamOf(report.Stream);
            var undecided = report.Revision != default && (stream.Revision == default || report.Next > stream.Round);
            stream.EarlierLife |= undecided;
            var over = undecided ? (long)report.Next : report.Failed;
            if (over > stream.FailedThrough
                && Fail(report.Stream, over, FailureCode.HostLost, $"the agent of rank 0 on {_self} was started anew", all: true) is { } message)
            {
                failures.Add(message);
            }
        }

        var restarted = record.Boot is not null && record.Boot != state.Boot;
        record.Boot = state.Boot;
        foreach (var worker in state.Workers!)
        {
            if (worker.Rank >= 0 && worker.Rank < _ranks.Length && _ranks[worker.Rank].Host == host)
            {
                if (restarted)
                {
                    Restart(worker.Rank, failures);
                }

                Report(worker, failures);
            }
        }

        return failures;
    }

    /// <summary>Notes that a host could not be reached for too long.</summary>
    public void Lose(string host, string reason)
    {
        var record = HostOf(host);
        if (record.Lost is null)
        {
            record.Lost = reason;
            RosterVersion++;
        }
    }

    /// <summary>Where a worker that opens the stream begins. Null until a revision is confirmed by all.</summary>
    public SignalMessage? Open(uint stream, int rank)
    {
        var record = StreamOf(stream);

        // A worker that is here for the first time makes its first call for round 0 like everyone else, and hears how it ended.
        // One that has come back begins where the others are.
        var firstTime = !record.EarlierLife && rank >= 0 && rank < _ranks.Length && _ranks[rank].IsNew;
        var first = firstTime ? 0 : (ulong)(record.FailedThrough + 1);
        return Decide(record, first) is { } revision
            ? new SignalMessage { Type = SignalMessage.Types.Opened, Rank = rank, Stream = stream, Round = (long)first, Revision = revision }
            : null;
    }

    /// <summary>Which revision a round uses, or that it has failed. Null until a revision is confirmed by all.</summary>
    public SignalMessage? RevisionOf(uint stream, long round)
    {
        if (IsFailed(stream, round))
        {
            return FailedMessage(stream, StreamOf(stream));
        }

        return Decide(stream, (ulong)round) is { } revision
            ? new SignalMessage { Type = SignalMessage.Types.Revision, Stream = stream, Round = round, Revision = revision }
            : null;
    }

    /// <summary>Decides the revision of a round, once: whoever asks again hears the same.</summary>
    public TreesRevision? Decide(uint stream, ulong round) => Decide(StreamOf(stream), round);

    /// <summary>Gives up a round, or all rounds up to it. Null when that was done before.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="round">The last round given up.</param>
    /// <param name="code">One of <see cref="FailureCode"/>.</param>
    /// <param name="text">Why, in words.</param>
    /// <param name="all">Also the rounds before it. Otherwise the one before may still be finished: everybody has contributed to it.</param>
    public SignalMessage? Fail(uint stream, long round, string code, string text, bool all = false)
    {
        var record = StreamOf(stream);
        var first = all ? 0 : round;
        if (round < 0 || (round <= record.FailedThrough && first >= record.FailedFirst))
        {
            return null;
        }

        // Neighbouring failures are told as one, so that a host which missed the first learns of both.
        record.FailedFirst = first <= record.FailedThrough + 1 ? Math.Min(first, record.FailedFirst) : first;
        record.FailedThrough = Math.Max(round, record.FailedThrough);
        record.Failure = (code, text);
        return FailedMessage(stream, record);
    }

    public bool IsFailed(uint stream, long round) => StreamOf(stream) is var record && round <= record.FailedThrough && round >= record.FailedFirst;

    /// <summary>All failures that a host which was away may have missed.</summary>
    public IEnumerable<SignalMessage> Failures()
    {
        foreach (var (stream, record) in _streams)
        {
            if (record.FailedThrough >= 0)
            {
                yield return FailedMessage(stream, record);
            }
        }
    }

    public SignalMessage Roster() => new()
    {
        Missing = Missing(),
        Type = SignalMessage.Types.Roster,
        Roster = [.. _ranks.Select((r, rank) => new RosterEntry(rank, r.Joined, r.Gone))],
        Lost = [.. _hosts.Where(h => h.Value.Lost is not null).Select(h => new LostHost(h.Key, h.Value.Lost!)).OrderBy(h => h.Host, StringComparer.Ordinal)],
        Revision = _inForce,
        Revisions = StillUsed(),
    };

    /// <summary>Older revisions that a round may still use. All others below the one in force can be forgotten: none is chosen any more.</summary>
    private List<TreesRevision> StillUsed() =>
        [.. _streams.Values.SelectMany(s => s.Recent).Where(r => r.CompareTo(_inForce) < 0).Distinct().Order()];

    /// <summary>Looks whether newer trees have been confirmed by all their hosts.</summary>
    private void Confirm()
    {
        for (var i = _held.Count - 1; i >= 0; i--)
        {
            var revision = _held.GetKeyAtIndex(i);
            if (revision.CompareTo(_inForce) <= 0)
            {
                return;
            }

            if (_held.GetValueAtIndex(i).Endpoints.All(e => _hosts.TryGetValue(e.Host, out var host) && host.Lost is null && host.Revisions.Contains(revision)))
            {
                _inForce = revision;
                RosterVersion++;
                return;
            }
        }
    }

    /// <summary>Hosts without which no round can begin: those that have not confirmed the newest trees held here. Empty as soon as any trees are confirmed by all.</summary>
    private List<string> Missing()
    {
        if (_inForce != default || _held.Count == 0)
        {
            return [];
        }

        var newest = _held.GetKeyAtIndex(_held.Count - 1);
        return [.. _held.GetValueAtIndex(_held.Count - 1).Endpoints.Select(e => e.Host)
            .Where(h => !_hosts.TryGetValue(h, out var host) || host.Lost is not null || !host.Revisions.Contains(newest))];
    }

    private void Report(WorkerReport worker, List<SignalMessage> failures)
    {
        var rank = _ranks[worker.Rank];
        if (worker.Ended > rank.Ended)
        {
            // The rounds that the worker contributed to go on without it; the one after is the first that cannot be finished.
            rank.Ended = worker.Ended;
            rank.Gone = $"rank {worker.Rank} on {rank.Host} {worker.Reason ?? "is gone"}";
            var last = new Dictionary<uint, long>();
            foreach (var (stream, round) in worker.Last)
            {
                last[stream] = round;
            }

            foreach (var stream in last.Keys.Union(_streams.Keys).ToList())
            {
                var round = last.TryGetValue(stream, out var done) ? done + 1 : StreamOf(stream).FailedThrough + 1;
                AddFailure(stream, round, rank.Gone, failures);
            }

            RosterVersion++;
        }

        if (rank.Joined != worker.Joined)
        {
            rank.Joined = worker.Joined;
            rank.Gone = worker.Joined ? null : rank.Gone;
            RosterVersion++;
        }
    }

    /// <summary>The agent forgot its worker and what it contributed to.</summary>
    private void Restart(int number, List<SignalMessage> failures)
    {
        var rank = _ranks[number];
        rank.Ended = 0;
        rank.Forgotten = true;
        if (rank.Joined)
        {
            rank.Joined = false;
            rank.Gone = $"rank {number} on {rank.Host} is gone: its agent was started anew";
            RosterVersion++;
            foreach (var (stream, record) in _streams)
            {
                if (Fail(stream, (long)record.Round, FailureCode.WorkerGone, rank.Gone, all: true) is { } message)
                {
                    failures.Add(message);
                }
            }
        }
    }

    private void AddFailure(uint stream, long round, string text, List<SignalMessage> failures)
    {
        if (Fail(stream, round, FailureCode.WorkerGone, text) is { } message)
        {
            failures.Add(message);
        }
    }

    private SignalMessage FailedMessage(uint stream, StreamRecord record) => new()
    {
        Type = SignalMessage.Types.Failed,
        Stream = stream,
        Round = record.FailedThrough,
        First = record.FailedFirst,
        Code = record.Failure.Code,
        Text = record.Failure.Text,
        Revision = Decide(record, (ulong)(record.FailedThrough + 1)) ?? default,
    };

    private TreesRevision? Decide(StreamRecord record, ulong round)
    {
        if (record.Find(round) is { } decided)
        {
            return decided;
        }

        if (_inForce == default)
        {
            return null;
        }

        // The last round of older trees going out of memory is news: helpers that only they needed can go.
        if (record.Set(round, _inForce))
        {
            RosterVersion++;
        }

        return _inForce;
    }

    private HostRecord HostOf(string host) => _hosts.TryGetValue(host, out var record) ? record : _hosts[host] = new HostRecord();

    private StreamRecord StreamOf(uint stream) => _streams.TryGetValue(stream, out var record) ? record : _streams[stream] = new StreamRecord();

    private sealed class HostRecord
    {
        public IReadOnlyList<TreesRevision> Revisions { get; set; } = [];

        public string? Lost { get; set; }

        /// <summary>Drawn anew at each start of the agent.</summary>
        public string? Boot { get; set; }
    }

    private sealed class RankRecord(string host)
    {
        public string Host { get; } = host;

        public bool Joined { get; set; }

        /// <summary>Sessions of the rank that have ended.</summary>
        public int Ended { get; set; }

        /// <summary>Its agent was started anew and does not know any more what it contributed to.</summary>
        public bool Forgotten { get; set; }

        /// <summary>No session of it has ended.</summary>
        public bool IsNew => Ended == 0 && !Forgotten;

        /// <summary>Why it is gone; null before it joined and while it is there.</summary>
        public string? Gone { get; set; }
    }

    private sealed class StreamRecord
    {
        /// <summary>Decided rounds lately; others may be that far behind.</summary>
        private const int Kept = 4;

        private readonly List<(ulong Round, TreesRevision Revision)> _recent = [];

        /// <summary>Last of the rounds that failed last; -1 when none did.</summary>
        public long FailedThrough { get; set; } = -1;

        /// <summary>First of them.</summary>
        public long FailedFirst { get; set; }

        /// <summary>Rounds of it were decided before this anchor was started anew.</summary>
        public bool EarlierLife { get; set; }

        public (string Code, string Text) Failure { get; set; } = (FailureCode.HostLost, "the round was given up");

        /// <summary>Highest round whose revision is decided.</summary>
        public ulong Round => _recent.Count > 0 ? _recent[^1].Round : 0;

        /// <summary>Its revision; default while none is.</summary>
        public TreesRevision Revision => _recent.Count > 0 ? _recent[^1].Revision : default;

        public IEnumerable<TreesRevision> Recent => _recent.Select(r => r.Revision);

        /// <summary>What was decided for a round; null for one that lies ahead.</summary>
        public TreesRevision? Find(ulong round)
        {
            if (_recent.Count == 0 || round > Round)
            {
                return null;
            }

            var at = _recent.FindLastIndex(r => r.Round <= round);
            return _recent[Math.Max(at, 0)].Revision;
        }

        /// <summary>Notes a decision. True when an older revision is not among those kept any more.</summary>
        public bool Set(ulong round, TreesRevision revision)
        {
            _recent.Add((round, revision));
            if (_recent.Count <= Kept)
            {
                return false;
            }

            var forgotten = _recent[0].Revision;
            _recent.RemoveAt(0);
            return forgotten != _recent[0].Revision;
        }
    }
}
