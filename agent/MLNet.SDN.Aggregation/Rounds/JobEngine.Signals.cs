using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

internal sealed partial class JobEngine
{
    /// <summary>A host of the job is given up this long after its signalling connection was lost.</summary>
    internal static readonly TimeSpan LostAfter = TimeSpan.FromSeconds(3);

    /// <summary>A round that began before a worker or a host went may still be finished; after this it is given up.</summary>
    internal static readonly TimeSpan Grace = TimeSpan.FromSeconds(2);

    /// <summary>A helper keeps the last results of a round so long after its end; by then a broken connection has long been noticed.</summary>
    private static readonly TimeSpan ResultsKept = TimeSpan.FromSeconds(10);

    /// <summary>Two hosts that exchange gradients may be without connection for so long; then what waits for it is given up.</summary>
    internal static readonly TimeSpan LinkLostAfter = TimeSpan.FromSeconds(8);

    /// <summary>Questions that got no answer are asked again.</summary>
    private static readonly TimeSpan Repeat = TimeSpan.FromSeconds(1);

    private readonly Dictionary<string, long> _downSince = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> _linkDownSince = new(StringComparer.Ordinal);
    private readonly HashSet<string> _up = new(StringComparer.Ordinal);
    private readonly HashSet<(string Host, SignalMessage Question)> _openings = [];
    private IReadOnlyList<RosterEntry> _roster = [];
    private IReadOnlyList<LostHost> _lost = [];
    private IReadOnlyList<string>? _missing;
    private TreesRevision _inForce;
    private IReadOnlyList<TreesRevision> _stillUsed = [];
    private long _absentSince;
    private long _openAskedAt;

    /// <summary>Whether the anchor can be reached.</summary>
    public bool IsSignalled
    {
        get
        {
            lock (_gate)
            {
                return IsAnchor || _up.Contains(AnchorHost);
            }
        }
    }

    /// <summary>Why no round can begin yet, as the anchor told; null when one can.</summary>
    public string? NotReady()
    {
        lock (_gate)
        {
            return _missing switch
            {
                null => $"no word yet from the agent on {AnchorHost}, the host of rank 0",
                [] => _lost.Count > 0 ? _lost[0].Reason : null,
                _ => $"the agent on {_missing[0]} has not confirmed the job's trees yet{(_missing.Count > 1 ? $", nor have {_missing.Count - 1} more" : "")}",
            };
        }
    }

    /// <summary>The signalling connection with a host stands.</summary>
    public void OnSignalUp(string host)
    {
        lock (_gate)
        {
            _up.Add(host);
            _downSince.Remove(host);
            if (_ledger is not null)
            {
                _ports.Signal(host, _ledger.Roster());
                foreach (var failure in _ledger.Failures().ToList())
                {
                    _ports.Signal(host, failure);
                }
            }
            else
            {
                ReportState();
                AskPendingOpens(_time.GetTimestamp());
            }
        }

        PumpUnparked();
    }

    /// <summary>The signalling connection with a host broke.</summary>
    public void OnSignalDown(string host)
    {
        lock (_gate)
        {
            if (_up.Remove(host))
            {
                _downSince[host] = _time.GetTimestamp();
            }
        }
    }

    /// <summary>The last data connection with a peer broke, or the first stands.</summary>
    public void OnLink(string peer, bool up)
    {
        lock (_gate)
        {
            if (up)
            {
                _linkDownSince.Remove(peer);
            }
            else
            {
                _linkDownSince.TryAdd(peer, _time.GetTimestamp());
            }
        }
    }

    /// <summary>Takes over a message of a signalling connection. False when no honest peer sends it.</summary>
    public bool OnSignal(string host, SignalMessage message)
    {
        bool welcome;
        lock (_gate)
        {
            if (_closed || message.Type == SignalMessage.Types.Ping)
            {
                return true;
            }

            welcome = _ledger is not null ? AtAnchor(host, message) : host == AnchorHost && AtMember(message);
        }

        PumpUnparked();
        return welcome;
    }

    /// <summary>Does what time asks for. To be called every 100 ms or so.</summary>
    public void Tick()
    {
        lock (_gate)
        {
            if (_closed)
            {
                return;
            }

            var now = _time.GetTimestamp();
            if (_ledger is not null)
            {
                GiveUpLostHosts(now);
                ConcludeInquiries(now);
            }

            RefuseOpens(now);
            AskPendingOpens(now);
            foreach (var stream in _streams.Values)
            {
                stream.Retire();
                LetGoOfKept(stream, now);
                for (var i = 0; i < stream.Rounds.Count; i++)
                {
                    if (stream.Rounds[i].Live || (stream.Rounds[i].Doubt is not null && !stream.IsFailed(stream.Rounds[i].Number)))
                    {
                        Examine(stream, stream.Rounds[i], now);
                    }
                }
            }
        }

        PumpUnparked();
    }

    private bool AtAnchor(string host, SignalMessage message)
    {
        var before = _ledger!.RosterVersion;
        switch (message.Type)
        {
            case SignalMessage.Types.State:
                foreach (var failure in _ledger.Report(host, message))
                {
                    Broadcast(failure);
                }

                AnswerOpenings();
                break;
            case SignalMessage.Types.Open or SignalMessage.Types.Revision:
                if (_openings.Count < MaxStreams * 4)
                {
                    _openings.Add((host, message));
                }

                AnswerOpenings();
                break;
            case SignalMessage.Types.Fail when message.Code == FailureCode.ShapeMismatch:
                BeginInquiry(message);
                break;
            case SignalMessage.Types.Shapes:
                OnShapes(host, message);
                break;
            case SignalMessage.Types.Fail:
                if (_ledger.Fail(message.Stream!.Value, message.Round!.Value, message.Code!, message.Text!) is { } failed)
                {
                    Broadcast(failed);
                }

                break;
            default:
                return false;
        }

        BroadcastRosterSince(before);
        return true;
    }

    private bool AtMember(SignalMessage message)
    {
        switch (message.Type)
        {
            case SignalMessage.Types.Opened:
                OnOpened(message.Rank!.Value, message.Stream!.Value, (ulong)message.Round!.Value, message.Revision!.Value);
                return true;
            case SignalMessage.Types.Revision when message.Revision is { } revision:
                StreamOf(message.Stream!.Value).Announce((ulong)message.Round!.Value, revision);
                Unpark(message.Stream.Value);
                return true;
            case SignalMessage.Types.Failed:
                OnFailed(message.Stream!.Value, message.First!.Value, message.Round!.Value, message.Code!, message.Text!, message.Revision!.Value);
                return true;
            case SignalMessage.Types.Roster:
                OnRoster(message);
                return true;
            case SignalMessage.Types.Describe:
                Describe(message.Stream!.Value, message.Round!.Value);
                return true;
            default:
                return false;
        }
    }

    private void ToAnchor(SignalMessage message)
    {
        if (_ledger is not null)
        {
            AtAnchor(_host, message);
        }
        else if (_up.Contains(AnchorHost))
        {
            _ports.Signal(AnchorHost, message);
        }
    }

    private void Broadcast(SignalMessage message)
    {
        foreach (var host in _up)
        {
            _ports.Signal(host, message);
        }

        AtMember(message);
    }

    private void BroadcastRosterSince(int version)
    {
        if (_ledger!.RosterVersion != version)
        {
            Broadcast(_ledger.Roster());
        }
    }

    private void ReportState() => ToAnchor(new SignalMessage
    {
        Type = SignalMessage.Types.State,
        Boot = _boot,
        Revisions = [.. _trees.Select(t => t.Revision)],
        Workers = [.. _workers.Values.Select(w => new WorkerReport
        {
            Rank = w.Rank, Session = w.Session, Joined = w.Joined, Ended = w.Ended, Reason = w.EndReason, Last = w.Last,
        })],
        Streams = [.. _streams.Values.Select(s => new StreamReport(s.Id, s.FailedThrough, s.NextRound, s.NextRevision))],
    });

    private void AnswerOpenings()
    {
        foreach (var opening in _openings.ToList())
        {
            var (stream, question) = (opening.Question.Stream!.Value, opening.Question);
            if ((question.Type == SignalMessage.Types.Open ? _ledger!.Open(stream, question.Rank!.Value) : _ledger!.RevisionOf(stream, question.Round!.Value)) is { } opened)
            {
                _openings.Remove(opening);
                if (opening.Host == _host)
                {
                    AtMember(opened);
                }
                else if (_up.Contains(opening.Host))
                {
                    _ports.Signal(opening.Host, opened);
                }
            }
        }
    }

    private void AskOpen(int rank, uint stream)
    {
        _openAskedAt = _time.GetTimestamp();
        ToAnchor(new SignalMessage { Type = SignalMessage.Types.Open, Rank = rank, Stream = stream });
    }

    private void AskRevision(uint stream, ulong round)
    {
        _openAskedAt = _time.GetTimestamp();
        ToAnchor(new SignalMessage { Type = SignalMessage.Types.Revision, Stream = stream, Round = (long)round });
    }

    private void AskPendingOpens(long now)
    {
        if (_openAskedAt != 0 && _time.GetElapsedTime(_openAskedAt, now) < Repeat)
        {
            return;
        }

        foreach (var worker in _workers.Values)
        {
            foreach (var (id, local) in worker.Streams)
            {
                if (local.Parked is not null)
                {
                    AskRevision(id, local.Next!.Value - 1);
                }
                else if (local.Opening && local.Next is null)
                {
                    AskOpen(worker.Rank, id);
                }
            }
        }
    }

    /// <summary>Tells workers that wait for the anchor's word when it cannot come.</summary>
    private void RefuseOpens(long now)
    {
        var anchorLost = !IsAnchor && _downSince.TryGetValue(AnchorHost, out var since) && _time.GetElapsedTime(since, now) > LostAfter;
        if (!anchorLost && _lost.Count == 0)
        {
            return;
        }

        var text = anchorLost ? AnchorLostText : _lost[0].Reason;
        foreach (var worker in _workers.Values)
        {
            foreach (var (id, local) in worker.Streams)
            {
                if (local.Opening)
                {
                    local.Opening = false;
                    _ports.StreamRefused(worker.Rank, id, FailureCode.HostLost, text);
                }
                else if (local.Parked is not null && anchorLost)
                {
                    local.Parked = null;
                    var round = local.Next!.Value - 1;
                    StreamOf(id).Fail((long)round, (long)round, FailureCode.HostLost, text);
                    _ports.RoundFailed(worker.Rank, id, round, FailureCode.HostLost, text);
                }
            }
        }
    }

    private string AnchorLostText => $"host {AnchorHost}, the host of rank 0, cannot be reached from {_host}";

    private void OnOpened(int rank, uint id, ulong round, TreesRevision revision)
    {
        var stream = StreamOf(id);
        stream.Announce(round, revision);
        if (_workers.TryGetValue(rank, out var worker) && worker.Streams.TryGetValue(id, out var local) && local.Opening)
        {
            local.Next ??= round;
            Opened(worker, id, local, local.Next.Value);
        }

        Unpark(id);
    }

    private void OnFailed(uint id, long first, long through, string code, string text, TreesRevision revision)
    {
        var stream = StreamOf(id);
        stream.Fail(first, through, code, text);
        foreach (var round in stream.Rounds)
        {
            if (stream.IsFailed(round.Number))
            {
                Abort(round, code, text);
            }
        }

        stream.Announce((ulong)stream.FailedThrough + 1, revision);
        Unpark(id);
    }

    private void OnRoster(SignalMessage message)
    {
        var absentBefore = Absent(workersToo: true) is not null;
        _roster = message.Roster!;
        _lost = message.Lost!;
        _missing = message.Missing!;
        if (Absent(workersToo: true) is not null && !absentBefore)
        {
            _absentSince = _time.GetTimestamp();
        }

        _inForce = message.Revision!.Value;
        _stillUsed = message.Revisions!;
        if (_trees.RemoveAll(t => t != _trees[^1] && !MayBeUsed(t.Revision)) > 0)
        {
            _ledger?.Hold(_trees.Select(t => t.Job));
        }
    }

    /// <summary>Whether a round in progress or to come may use the trees.</summary>
    private bool MayBeUsed(TreesRevision revision) => revision.CompareTo(_inForce) >= 0 || _stillUsed.Contains(revision);

    /// <summary>Takes up submissions that waited for their round's revision or for the news of its failure.</summary>
    private void Unpark(uint id)
    {
        foreach (var worker in _workers.Values)
        {
            if (worker.Streams.TryGetValue(id, out var local) && local.Parked is { } shape)
            {
                local.Parked = null;
                if (Begin(worker, id, local, local.Next!.Value - 1, shape) is { } round)
                {
                    _unparked.Add(round);
                }
            }
        }
    }

    private readonly List<RoundState> _unparked = [];

    private void GiveUpLostHosts(long now)
    {
        var before = _ledger!.RosterVersion;
        foreach (var (host, since) in _downSince.ToList())
        {
            if (_time.GetElapsedTime(since, now) > LostAfter)
            {
                _ledger.Lose(host, $"host {host} cannot be reached from {_host}, the host of rank 0");
                _downSince.Remove(host);
            }
        }

        BroadcastRosterSince(before);
    }

    private void LetGoOfKept(StreamState stream, long now)
    {
        foreach (var round in stream.Rounds)
        {
            if (round.EndedAt != 0 && _time.GetElapsedTime(round.EndedAt, now) > ResultsKept)
            {
                foreach (var shard in round.Shards)
                {
                    shard.ReleaseKept();
                }
            }
        }
    }

    /// <summary>Asks whether a round can still be finished.</summary>
    private void Examine(StreamState stream, RoundState round, long now)
    {
        if (round.Doubt is null && round.SubmittedAt != 0)
        {
            if (_downSince.TryGetValue(AnchorHost, out var since) && !IsAnchor && _time.GetElapsedTime(since, now) > LostAfter)
            {
                // Nobody is left who could decide for all.
                var text = AnchorLostText;
                stream.Fail((long)round.Number, (long)round.Number, FailureCode.HostLost, text);
                Abort(round, FailureCode.HostLost, text);
                return;
            }

            if (Absent(workersToo: (long)round.Number > stream.FailedThrough) is { } absent && _time.GetElapsedTime(Math.Max(_absentSince, round.SubmittedAt), now) > Grace)
            {
                round.Doubt = absent;
            }
        }

        if (round.Doubt is null && round.Live)
        {
            foreach (var peer in round.Trees.Peers)
            {
                if (_linkDownSince.TryGetValue(peer, out var down) && _time.GetElapsedTime(Math.Max(down, round.BegunAt), now) > LinkLostAfter)
                {
                    round.Doubt = (FailureCode.HostLost, $"there is no data connection between {_host} and {peer}");
                    break;
                }
            }
        }

        if (round.Doubt is not null && (round.AskedAt == 0 || _time.GetElapsedTime(round.AskedAt, now) > Repeat))
        {
            Ask(round, now);
        }
    }

    /// <summary>Asks the anchor to give a round up.</summary>
    private void Ask(RoundState round, long now)
    {
        round.AskedAt = now;
        ToAnchor(new SignalMessage
        {
            Type = SignalMessage.Types.Fail,
            Stream = round.Stream.Id,
            Round = (long)round.Number,
            Code = round.Doubt!.Value.Code,
            Text = round.Doubt.Value.Text,
        });
    }

    /// <summary>Who was there and is not any more; null when nobody.</summary>
    private (string Code, string Text)? Absent(bool workersToo)
    {
        foreach (var entry in _roster)
        {
            if (workersToo && !entry.Joined && entry.Gone is not null)
            {
                return (FailureCode.WorkerGone, entry.Gone);
            }
        }

        return _lost.Count > 0 ? (FailureCode.HostLost, _lost[0].Reason) : null;
    }
}
