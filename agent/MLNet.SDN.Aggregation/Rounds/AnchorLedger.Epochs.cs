using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

// Epochs: the one that a round begins with, later ones, and what is left of an earlier life of the anchor.
internal sealed partial class AnchorLedger
{
    /// <summary>An epoch that got stuck sooner than this was no better than the one before: the patience with the round runs on.</summary>
    private static readonly TimeSpan Worked = TimeSpan.FromSeconds(10);

    /// <summary>Since when something shows that the anchor had an earlier life, whose word must not be contradicted; null without.</summary>
    private TimeSpan? _earlierSince;

    private bool _recovered;

    /// <summary>No earlier life, or all of it is known that somebody could still act on.</summary>
    private bool IsUnderstood => _earlierSince is null || _recovered;

    /// <summary>Where a worker that opens the stream begins. Null until a revision is confirmed by all.</summary>
    public SignalMessage? Open(uint stream, int rank)
    {
        var record = StreamOf(stream);

        // A worker that is here for the first time makes its first call for round 0 like everyone else, and hears how it ended.
        // One that has come back begins where the others are.
        var firstTime = !record.EarlierLife && rank >= 0 && rank < _ranks.Length && _ranks[rank].IsNew;
        var first = firstTime ? 0 : (ulong)(record.FailedThrough + 1);
        return Decide(record, first) is { } epoch
            ? new SignalMessage { Type = SignalMessage.Types.Opened, Rank = rank, Stream = stream, Round = (long)first, Epoch = epoch }
            : null;
    }

    /// <summary>Which epoch a round is in, or that it has failed. Null until a revision is confirmed by all.</summary>
    public SignalMessage? EpochOf(uint stream, long round)
    {
        if (IsFailed(stream, round))
        {
            return FailedMessage(stream, StreamOf(stream));
        }

        return Decide(stream, (ulong)round) is { } epoch ? EpochMessage(stream, round, epoch) : null;
    }

    /// <summary>Decides with which epoch a round begins, once: whoever asks again hears the same or a later one.</summary>
    public Epoch? Decide(uint stream, ulong round) => Decide(StreamOf(stream), round);

    /// <summary>Epochs by direct ways, which a host that was away may have missed.</summary>
    public IEnumerable<SignalMessage> LaterEpochs()
    {
        foreach (var (stream, record) in _streams)
        {
            foreach (var decided in record.Recent)
            {
                if (decided.Epoch.Attempt > 0)
                {
                    yield return EpochMessage(stream, (long)decided.Round, decided.Epoch);
                }
            }
        }
    }

    /// <summary>A host says that an epoch cannot be finished. Returns what it does not know yet; null when it is right, and <see cref="Advance"/> will find another.</summary>
    public SignalMessage? Stuck(uint stream, long round, Epoch seen, string text, TimeSpan now)
    {
        if (IsFailed(stream, round))
        {
            return FailedMessage(stream, StreamOf(stream));
        }

        if (StreamOf(stream).Learn((ulong)round, default) is not { } decided)
        {
            return null;
        }

        if (decided.Epoch > seen)
        {
            return EpochMessage(stream, round, decided.Epoch);
        }

        if (decided.StuckSince is null || (decided.Stuck is null && now - decided.EpochSince > Worked))
        {
            decided.StuckSince = now;
        }

        decided.Epoch = Epoch.Max(decided.Epoch, seen);
        decided.Stuck = text;
        return null;
    }

    /// <summary>Finds later epochs for rounds that are stuck, once everybody whose answer they need is there, and gives up those that wait too long. Returns what everyone is to hear.</summary>
    public List<SignalMessage> Advance(TimeSpan now)
    {
        var news = new List<SignalMessage>();
        foreach (var (stream, record) in _streams)
        {
            foreach (var decided in record.Recent.Where(r => r.Stuck is not null).ToList())
            {
                if (now - decided.StuckSince > _patience)
                {
                    Add(news, Fail(stream, (long)decided.Round, FailureCode.HostLost, decided.Stuck!));
                    decided.Stuck = null;
                }
                else if (IsUnderstood && CanAnswer(stream, (long)decided.Round) && Later(decided.Epoch) is { } later)
                {
                    decided.Epoch = later;
                    decided.EpochSince = now;
                    decided.Stuck = null;
                    news.Add(EpochMessage(stream, (long)decided.Round, later));
                }
            }
        }

        return news;
    }

    /// <summary>
    /// Whether every contribution of a round is where it can be sent again. Before that another epoch could not be finished either, and the epochs that the absent
    /// have promised might be higher than all that is known here.
    /// </summary>
    private bool CanAnswer(uint stream, long round) => _ranks.All(r =>
        HostOf(r.Host).Present && r.AwaySince is null && (r.Joined || (r.Last.TryGetValue(stream, out var last) && last >= round)));

    /// <summary>The next epoch that can be finished as things are; null when there is none.</summary>
    private Epoch? Later(Epoch than)
    {
        var (revision, attempt) = (than.Trees, than.Attempt + 1);
        var everybody = _held.TryGetValue(revision, out var job) ? RootsAndMembers(job) : [];
        if (job is null || !everybody.All(h => _hosts.TryGetValue(h, out var host) && host.Revisions.Contains(revision)))
        {
            if (_inForce.CompareTo(revision) <= 0 || !_held.TryGetValue(_inForce, out job))
            {
                return null;
            }

            (revision, attempt) = (_inForce, 1);
        }

        return TryAttempt(job, attempt) is { } possible ? new Epoch(revision, possible) : null;
    }

    /// <summary>The next attempt whose roots are all there; null when there is none.</summary>
    private uint? TryAttempt(AggregationJob job, uint from)
    {
        var tries = job.Shards.Max(s => s.Roots.Count) * 4;
        for (var attempt = from; attempt < from + tries; attempt++)
        {
            if (job.Shards.All(s => HostOf(TreeSet.RootOf(s, attempt)).Present))
            {
                return attempt;
            }
        }

        return null;
    }

    private static IEnumerable<string> RootsAndMembers(AggregationJob job) => job.Members.Select(m => m.Host).Concat(job.Shards.SelectMany(s => s.Roots)).Distinct();

    /// <summary>With which attempt rounds begin now: by the trees, unless a helper of theirs is away.</summary>
    private uint FirstAttempt()
    {
        var job = _held.GetValueOrDefault(_inForce);
        var helperAway = job is not null && job.Shards
            .SelectMany(s => s.Edges.Select(e => e.Parent).Append(s.Roots[0]))
            .Any(h => HostOf(h).Away is not null && _ranks.All(r => r.Host != h));
        return helperAway ? TryAttempt(job!, 1) ?? 0 : 0;
    }

    private Epoch? Decide(StreamRecord record, ulong round)
    {
        if (record.Find(round) is { IsNone: false } decided)
        {
            return decided;
        }

        if (_inForce == default || !IsUnderstood || record.Learn(round, new Epoch(_inForce, FirstAttempt())) is not { } made)
        {
            return null;
        }

        // The last round of older trees going out of memory is news: helpers that only they needed can go.
        if (record.TakeForgotten())
        {
            RosterVersion++;
        }

        return made.Epoch;
    }

    /// <summary>Takes over what a host knows of a stream.</summary>
    private void Learn(string host, StreamReport report, List<SignalMessage> news)
    {
        var record = StreamOf(report.Stream);
        if (host == _self && report.Rounds.Count > 0 && !_recovered)
        {
            record.AnchorsLast = (ulong)report.Rounds.Max(r => r.Round);
        }

        if (report.Failed > record.FailedThrough)
        {
            Add(news, Fail(report.Stream, report.Failed, FailureCode.HostLost, "the round was given up by a host that could not reach the host of rank 0", all: true));
        }

        foreach (var round in report.Rounds)
        {
            if (round.Epoch.IsNone || record.IsOver((ulong)round.Round) || record.Find((ulong)round.Round) is { IsNone: false } known && known >= round.Epoch)
            {
                continue;
            }

            // Decided, but not in this life.
            if (!_recovered)
            {
                _earlierSince ??= TimeSpan.MinValue;
            }

            record.Learn((ulong)round.Round, round.Epoch);
        }
    }

    /// <summary>
    /// Goes on where an earlier life of the anchor ended, once everybody is there who could still act on its word. Rounds that may have been begun go on in later
    /// epochs; if rank 0 itself is a new process, they are over.
    /// </summary>
    private void Recover(TimeSpan now, List<SignalMessage> news)
    {
        if (_earlierSince is null && _ranks.Any(r => r.Restored) && !_recovered)
        {
            _earlierSince = TimeSpan.MinValue;
        }

        if (_earlierSince is null && _ranks[0].Joined)
        {
            // The first life: whatever is restored or unknown from now on was decided here.
            _recovered = true;
        }

        if (IsUnderstood)
        {
            return;
        }

        if (_earlierSince == TimeSpan.MinValue)
        {
            _earlierSince = now;
        }

        var tooLate = now - _earlierSince > _patience;
        var isNew = _ranks[0] is { Joined: true, Restored: false };
        if (isNew && _streams.Values.All(s => s.Round == 0))
        {
            // It never took part: nothing was finished without it, so nothing of it is missed.
            _recovered = true;
            RosterVersion++;
        }
        else if (isNew || tooLate)
        {
            _recovered = true;
            RosterVersion++;
            GiveUpEarlier(tooLate, news);
        }
        else if (_inForce != default && _ranks.All(r => HostOf(r.Host).Present && r.Joined && r.AwaySince is null))
        {
            _recovered = true;
            RosterVersion++;
            foreach (var (stream, record) in _streams)
            {
                GoOn(stream, record, now, news);
            }
        }
    }

    private void GiveUpEarlier(bool tooLate, List<SignalMessage> news)
    {
        var text = $"the agent of rank 0 on {_self} was started anew";
        if (tooLate)
        {
            foreach (var rank in _ranks.Where(r => !r.Joined && r.Gone is null))
            {
                rank.Forgotten = true;
                rank.Gone = $"{rank.Name} on {rank.Host} is gone: it did not come back after {text}";
                text = rank.Gone;
            }
        }

        foreach (var (stream, record) in _streams)
        {
            record.EarlierLife = true;
            if (record.Recent.Any())
            {
                Add(news, Fail(stream, (long)record.Round, tooLate ? FailureCode.WorkerGone : FailureCode.HostLost, text, all: true));
            }
        }
    }

    /// <summary>
    /// The epoch of the round after the last one that rank 0 submitted was decided in the earlier life, and somebody may still hear of it from a third. It begins
    /// in an epoch above any that can have been named for it, and everyone is told. All rounds before are known from those who are in them.
    /// </summary>
    private void GoOn(uint stream, StreamRecord record, TimeSpan now, List<SignalMessage> news)
    {
        if (record.AnchorsLast is not { } last || IsFailed(stream, (long)last + 1) || record.Learn(last + 1, default) is not { } decided)
        {
            return;
        }

        var than = Epoch.Max(decided.Epoch, new Epoch(_inForce, 0));
        decided.Epoch = Later(than) ?? than with { Attempt = than.Attempt + 1 };
        decided.EpochSince = now;
        news.Add(EpochMessage(stream, (long)last + 1, decided.Epoch));
    }

    private static SignalMessage EpochMessage(uint stream, long round, Epoch epoch) => new() { Type = SignalMessage.Types.Epoch, Stream = stream, Round = round, Epoch = epoch };
}
