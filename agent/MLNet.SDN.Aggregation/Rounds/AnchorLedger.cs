using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>
/// What the agent of rank 0, the anchor of a job, decides for everyone: which epoch a round begins with and goes on with, which rounds are over without result,
/// and who is there. Pure: time comes in as an argument, messages go out as return values. Guarded by the engine's lock.
/// </summary>
internal sealed partial class AnchorLedger
{
    /// <summary>A host without signalling connection for so long is away: rounds that can do without it are tried without it.</summary>
    internal static readonly TimeSpan AwayAfter = TimeSpan.FromSeconds(1);

    private readonly string _self;
    private readonly TimeSpan _patience;
    private readonly Dictionary<string, HostRecord> _hosts = new(StringComparer.Ordinal);
    private readonly Dictionary<uint, StreamRecord> _streams = [];
    private readonly RankRecord[] _ranks;
    private readonly SortedList<TreesRevision, AggregationJob> _held = [];

    /// <summary>Newest revision that every host of it has confirmed; every round decided from now on uses it. Default before the first.</summary>
    private TreesRevision _inForce;

    public AnchorLedger(string self, AggregationJob job, TimeSpan patience)
    {
        _self = self;
        _patience = patience;
        _ranks = [.. job.Members.OrderBy(m => m.Rank).Select(m => new RankRecord(m.Rank, m.Host) { Name = m.Rank == job.ServerRank ? $"the server (rank {m.Rank})" : $"rank {m.Rank}" })];
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

        var self = HostOf(_self);
        self.Revisions = [.. _held.Keys];
        self.Present = true;
        Confirm();
    }

    /// <summary>Takes over what a host says of itself. Returns what everyone is to hear.</summary>
    public List<SignalMessage> Report(string host, SignalMessage state, TimeSpan now)
    {
        var record = HostOf(host);
        var news = new List<SignalMessage>();
        record.Revisions = [.. state.Revisions!];
        record.Present = true;
        record.DownSince = null;
        if (_inForce == default)
        {
            // Somebody less to wait for.
            RosterVersion++;
        }

        if (record.Away is not null || record.Lost is not null)
        {
            record.Away = record.Lost = null;
            RosterVersion++;
        }

        Confirm();
        var restarted = record.Boot is not null && record.Boot != state.Boot;
        record.Boot = state.Boot;
        foreach (var report in state.Streams!)
        {
            Learn(host, report, news);
        }

        foreach (var worker in state.Workers!)
        {
            if (worker.Rank >= 0 && worker.Rank < _ranks.Length && _ranks[worker.Rank].Host == host)
            {
                Report(_ranks[worker.Rank], worker, restarted, now, news);
            }
        }

        Recover(now, news);
        news.AddRange(Advance(now));
        return news;
    }

    /// <summary>A signalling connection with a host stands; how things are there is heard next.</summary>
    public void Connected(string host) => HostOf(host).Present = false;

    /// <summary>The signalling connection with a host broke.</summary>
    public void Disconnected(string host, TimeSpan now)
    {
        var record = HostOf(host);
        record.Present = false;
        record.DownSince ??= now;
    }

    /// <summary>Does what time asks for. Returns what everyone is to hear.</summary>
    public List<SignalMessage> Tick(TimeSpan now)
    {
        var news = new List<SignalMessage>();
        foreach (var (host, record) in _hosts)
        {
            if (record.DownSince is not { } since)
            {
                continue;
            }

            if (record.Away is null && now - since > AwayAfter)
            {
                record.Away = $"host {host} cannot be reached from {_self}, the host of rank 0";
                RosterVersion++;
            }

            if (record.Lost is null && now - since > _patience && _ranks.Any(r => r.Host == host))
            {
                record.Lost = record.Away;
                RosterVersion++;
            }
        }

        foreach (var rank in _ranks)
        {
            if (rank.AwaySince is { } since && now - since > _patience)
            {
                GiveUp(rank, news);
            }
        }

        Recover(now, news);
        news.AddRange(Advance(now));
        return news;
    }

    /// <summary>Gives up a round, or all rounds up to it. Null when that was done before.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="round">The last round given up.</param>
    /// <param name="code">One of <see cref="FailureCode"/>.</param>
    /// <param name="text">Why, in words.</param>
    /// <param name="all">Also the rounds before it. Otherwise up to two before may still be finished: everybody has contributed to the last of them.</param>
    public SignalMessage? Fail(uint stream, long round, string code, string text, bool all = false)
    {
        var record = StreamOf(stream);
        var first = all ? 0 : round;
        if (round < 0 || (round <= record.FailedThrough && first >= record.FailedFirst))
        {
            return null;
        }

        // Neighbouring failures are told as one, so that a host which missed the first learns of both.
        record.SparedFrom = first <= record.FailedThrough + 1 ? Math.Min(record.SparedFrom, first) : Math.Max(first - 2, record.FailedThrough + 1);
        record.FailedFirst = first <= record.FailedThrough + 1 ? Math.Min(first, record.FailedFirst) : first;
        record.FailedThrough = Math.Max(round, record.FailedThrough);

        // Those that are through call and fail, call and fail. Nobody remembers epochs that far back: who is still in such a round would wait for ever.
        record.SparedFrom = Math.Min(Math.Max(record.SparedFrom, record.FailedThrough + 2 - StreamRecord.Kept), record.FailedFirst);
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
        Roster = [.. _ranks.Select(r => new RosterEntry(r.Rank, r.Joined, r.Gone))],
        Lost = [.. Troubled(h => h.Lost)],
        Away = [.. Troubled(h => h.Away)],

        // Before an earlier life is understood nobody may forget the trees that its rounds use.
        Revision = IsUnderstood ? _inForce : default,
        Revisions = StillUsed(),
    };

    private IEnumerable<LostHost> Troubled(Func<HostRecord, string?> reason) =>
        _hosts.Where(h => reason(h.Value) is not null).Select(h => new LostHost(h.Key, reason(h.Value)!)).OrderBy(h => h.Host, StringComparer.Ordinal);

    /// <summary>Older revisions that a round may still use. All others below the one in force can be forgotten: none is chosen any more.</summary>
    private List<TreesRevision> StillUsed() =>
        [.. _streams.Values.SelectMany(s => s.Recent).Select(r => r.Epoch.Trees).Where(r => r != default && r.CompareTo(_inForce) < 0).Distinct().Order()];

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

            if (_held.GetValueAtIndex(i).Endpoints.All(e => Confirms(e.Host, revision)))
            {
                _inForce = revision;
                RosterVersion++;
                return;
            }
        }
    }

    private bool Confirms(string host, TreesRevision revision) => _hosts.TryGetValue(host, out var record) && record.Away is null && record.Lost is null && record.Revisions.Contains(revision);

    /// <summary>Hosts without which no round can begin: those that have not confirmed the newest trees held here. Empty as soon as any trees are confirmed by all.</summary>
    private List<string> Missing()
    {
        if (_inForce != default || _held.Count == 0)
        {
            return [];
        }

        var newest = _held.GetKeyAtIndex(_held.Count - 1);
        return [.. _held.GetValueAtIndex(_held.Count - 1).Endpoints.Select(e => e.Host).Where(h => !Confirms(h, newest))];
    }

    private void Report(RankRecord rank, WorkerReport worker, bool restarted, TimeSpan now, List<SignalMessage> news)
    {
        if (restarted)
        {
            // What an ended session had contributed was with its agent's earlier life: rounds that still need it cannot be finished.
            foreach (var (stream, last) in rank.Last)
            {
                Add(news, Fail(stream, last, FailureCode.WorkerGone, $"{rank.Gone ?? $"{rank.Name} on {rank.Host} is gone"}, and its agent was started anew", all: true));
            }

            rank.Forgotten |= rank.Ended > 0;
            rank.Ended = 0;
            rank.Last = new Dictionary<uint, long>();
            rank.AwaySince = rank.Joined ? rank.AwaySince ?? now : null;
        }

        if (rank.AwaySince is not null && worker is { Joined: true, Restored: true })
        {
            // The session goes on: its agent has got its memory back.
            rank.AwaySince = null;
            rank.Ended = worker.Ended;
        }
        else if (rank.AwaySince is not null && (worker.Joined || worker.Ended > 0))
        {
            // A new process: the old one did not outlive its agent.
            GiveUp(rank, news);
        }

        if (worker.Ended > rank.Ended)
        {
            // The rounds that the worker contributed to go on without it; the one after is the first that cannot be finished.
            rank.Ended = worker.Ended;
            rank.Last = worker.Last.GroupBy(l => l.Stream).ToDictionary(l => l.Key, l => l.Max(r => r.Round));
            rank.Gone = $"{rank.Name} on {rank.Host} {worker.Reason ?? "is gone"}";
            foreach (var stream in rank.Last.Keys.Union(_streams.Keys).ToList())
            {
                var round = rank.Last.TryGetValue(stream, out var done) ? done + 1 : StreamOf(stream).FailedThrough + 1;
                Add(news, Fail(stream, round, FailureCode.WorkerGone, rank.Gone));
            }

            RosterVersion++;
        }

        if (rank.AwaySince is null && rank.Joined != worker.Joined)
        {
            rank.Joined = worker.Joined;
            rank.Restored = worker is { Joined: true, Restored: true };
            rank.Gone = worker.Joined ? null : rank.Gone;
            RosterVersion++;
        }
    }

    /// <summary>The agent forgot its worker, and the worker did not come back to it.</summary>
    private void GiveUp(RankRecord rank, List<SignalMessage> news)
    {
        rank.AwaySince = null;
        rank.Forgotten = true;
        rank.Joined = false;
        rank.Gone = $"{rank.Name} on {rank.Host} is gone: it did not outlive its agent";
        RosterVersion++;
        foreach (var (stream, record) in _streams.ToList())
        {
            Add(news, Fail(stream, (long)record.Round, FailureCode.WorkerGone, rank.Gone, all: true));
        }
    }

    private static void Add(List<SignalMessage> news, SignalMessage? message)
    {
        if (message is not null)
        {
            news.Add(message);
        }
    }

    private SignalMessage FailedMessage(uint stream, StreamRecord record) => new()
    {
        Type = SignalMessage.Types.Failed,
        Stream = stream,
        Round = record.FailedThrough,
        First = record.FailedFirst,
        Spared = record.SparedFrom,
        Code = record.Failure.Code,
        Text = record.Failure.Text,
        Epoch = Decide(record, (ulong)(record.FailedThrough + 1)) ?? default,
    };

    private HostRecord HostOf(string host) => _hosts.TryGetValue(host, out var record) ? record : _hosts[host] = new HostRecord();

    private StreamRecord StreamOf(uint stream) => _streams.TryGetValue(stream, out var record) ? record : _streams[stream] = new StreamRecord();

    private sealed class HostRecord
    {
        public IReadOnlyList<TreesRevision> Revisions { get; set; } = [];

        /// <summary>Its signalling connection stands and it has said how things are there.</summary>
        public bool Present { get; set; }

        /// <summary>When its signalling connection broke; null while it stands, and before the first.</summary>
        public TimeSpan? DownSince { get; set; }

        /// <summary>Why it is waited for; null while it is not.</summary>
        public string? Away { get; set; }

        /// <summary>Why it was given up; null when it was not.</summary>
        public string? Lost { get; set; }

        /// <summary>Drawn anew at each start of the agent.</summary>
        public string? Boot { get; set; }
    }

    private sealed class RankRecord(int rank, string host)
    {
        public int Rank { get; } = rank;

        /// <summary>What people call it.</summary>
        public required string Name { get; init; }

        public string Host { get; } = host;

        public bool Joined { get; set; }

        /// <summary>Its session began under an earlier life of its agent.</summary>
        public bool Restored { get; set; }

        /// <summary>Since when its agent has a new life that it has not come back to; null while it is there, or gone.</summary>
        public TimeSpan? AwaySince { get; set; }

        /// <summary>Sessions of the rank that have ended.</summary>
        public int Ended { get; set; }

        /// <summary>Highest round by stream that the last ended session contributed to: its agent still has the contributions.</summary>
        public IReadOnlyDictionary<uint, long> Last { get; set; } = new Dictionary<uint, long>();

        /// <summary>Its agent was started anew and does not know any more what it contributed to.</summary>
        public bool Forgotten { get; set; }

        /// <summary>No session of it has ended.</summary>
        public bool IsNew => Ended == 0 && !Forgotten;

        /// <summary>Why it is gone; null before it joined and while it is there.</summary>
        public string? Gone { get; set; }
    }
}
