using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

// A host's side of the signalling: what it tells the anchor, and what it does with the anchor's word.
internal sealed partial class JobEngine
{
    /// <summary>Questions that got no answer are asked again.</summary>
    private static readonly TimeSpan Repeat = TimeSpan.FromSeconds(1);

    private readonly HashSet<string> _up = new(StringComparer.Ordinal);
    private readonly List<RoundState> _unparked = [];
    private IReadOnlyList<RosterEntry> _roster = [];
    private IReadOnlyList<LostHost> _lost = [];
    private IReadOnlyList<LostHost> _away = [];
    private IReadOnlyList<string>? _missing;
    private TreesRevision _inForce;
    private IReadOnlyList<TreesRevision> _stillUsed = [];
    private long? _anchorDownSince;
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
            if (_ledger is not null)
            {
                Welcome(host);
            }
            else
            {
                _anchorDownSince = null;
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
                _ledger?.Disconnected(host, Elapsed);
                _anchorDownSince = host == AnchorHost ? _time.GetTimestamp() : _anchorDownSince;
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

    private bool AtMember(SignalMessage message)
    {
        switch (message.Type)
        {
            case SignalMessage.Types.Opened:
                OnOpened(message.Rank!.Value, message.Stream!.Value, (ulong)message.Round!.Value, message.Epoch!.Value);
                return true;
            case SignalMessage.Types.Epoch when message.Epoch is { } epoch:
                Announce(StreamOf(message.Stream!.Value), (ulong)message.Round!.Value, epoch);
                Unpark(message.Stream.Value);
                return true;
            case SignalMessage.Types.Failed:
                OnFailed(message);
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

    private void ReportState() => ToAnchor(new SignalMessage
    {
        Type = SignalMessage.Types.State,
        Boot = _boot,
        Revisions = [.. _trees.Select(t => t.Revision)],
        Workers = [.. _workers.Values.Select(w => new WorkerReport
        {
            Rank = w.Rank, Session = w.Session, Joined = w.Joined, Restored = w.Restored, Ended = w.Ended, Reason = w.EndReason, Last = w.Last,
        })],
        Streams = [.. _streams.Values.Select(s => new StreamReport(s.Id, s.FailedThrough, s.Epochs()))],
    });

    private void AskOpen(int rank, uint stream)
    {
        _openAskedAt = _time.GetTimestamp();
        ToAnchor(new SignalMessage { Type = SignalMessage.Types.Open, Rank = rank, Stream = stream });
    }

    private void AskEpoch(uint stream, ulong round)
    {
        _openAskedAt = _time.GetTimestamp();
        ToAnchor(new SignalMessage { Type = SignalMessage.Types.Epoch, Stream = stream, Round = (long)round });
    }

    private void AskPendingOpens(long now)
    {
        if (_openAskedAt != 0 && _time.GetElapsedTime(_openAskedAt, now) < Repeat)
        {
            return;
        }

        _openAskedAt = now;
        foreach (var worker in _workers.Values.ToList())
        {
            foreach (var (id, local) in worker.Streams.ToList())
            {
                if (local.Parked is not null)
                {
                    AskEpoch(id, local.Next!.Value - 1);
                    if (StreamOf(id).EpochOf(local.Next.Value - 1) is { IsNone: false } known && FindTrees(known.Trees) is null)
                    {
                        TellStuck(id, local.Next.Value - 1, known, UnheldText(known));
                    }
                }
                else if (local.Opening && local.Next is null)
                {
                    AskOpen(worker.Rank, id);
                }
            }
        }
    }

    private void OnOpened(int rank, uint id, ulong round, Epoch epoch)
    {
        Announce(StreamOf(id), round, epoch);
        if (_workers.TryGetValue(rank, out var worker) && worker.Streams.TryGetValue(id, out var local) && local.Opening)
        {
            local.Next ??= round;
            Opened(worker, id, local, local.Next.Value);
        }

        Unpark(id);
    }

    private void OnFailed(SignalMessage failed)
    {
        var (id, code, text) = (failed.Stream!.Value, failed.Code!, failed.Text!);
        var stream = StreamOf(id);
        stream.Fail(failed.First!.Value, failed.Round!.Value, code, text, failed.Spared);
        foreach (var round in stream.Rounds)
        {
            if (stream.IsFailed(round.Number))
            {
                Abort(round, code, text);
            }
        }

        FailRestored(stream);
        Announce(stream, (ulong)stream.FailedThrough + 1, failed.Epoch!.Value);
        Unpark(id);
    }

    private void OnRoster(SignalMessage message)
    {
        var absentBefore = Absent(workersToo: true) is not null;
        _roster = message.Roster!;
        _lost = message.Lost!;
        _away = message.Away!;
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

    /// <summary>Takes up submissions that waited for their round's epoch or for the news of its failure.</summary>
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
}
