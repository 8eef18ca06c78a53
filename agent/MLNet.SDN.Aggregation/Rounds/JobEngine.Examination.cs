using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

// What time asks for: rounds that do not go on are tried again, and those that cannot be finished are given up.
internal sealed partial class JobEngine
{
    /// <summary>A round that began before a worker went may still be finished; after this it is given up.</summary>
    internal static readonly TimeSpan Grace = TimeSpan.FromSeconds(2);

    /// <summary>A helper keeps the last results of a round so long after its end; by then a broken connection has long been noticed.</summary>
    private static readonly TimeSpan ResultsKept = TimeSpan.FromSeconds(10);

    /// <summary>Two hosts that exchange gradients may be without connection for so long; then the round is tried on other ways.</summary>
    internal static readonly TimeSpan LinkAwayAfter = TimeSpan.FromSeconds(2);

    private readonly Dictionary<string, long> _linkDownSince = new(StringComparer.Ordinal);
    private readonly Dictionary<uint, RoundEpoch> _unheld = [];
    private long _restoredAskedAt;

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
                TickAnchor();
                ConcludeInquiries(now);
            }

            RefuseOpens(now);
            AskPendingOpens(now);
            AskForRestored(now);
            TellUnheld();
            foreach (var stream in _streams.Values)
            {
                LetGoOfMissed(stream, now);
                stream.Retire();
                LetGoOfKept(stream, now);
                for (var i = 0; i < stream.Rounds.Count; i++)
                {
                    if (stream.Rounds[i].Live || stream.Rounds[i].Stuck is not null || (stream.Rounds[i].Doubt is not null && !stream.IsFailed(stream.Rounds[i].Number)))
                    {
                        Examine(stream, stream.Rounds[i], now);
                    }
                }
            }
        }

        PumpUnparked();
    }

    /// <summary>Rounds that the others finished without this host, in an epoch that it did not hear of.</summary>
    private void LetGoOfMissed(StreamState stream, long now)
    {
        foreach (var round in stream.Rounds)
        {
            if (round.SubmittedAt == 0 && (round.Live || round.Exchanging) && stream.IsLongOver(round.Number))
            {
                round.Complete = true;
                round.EndedAt = now;
                round.Stop();
                DropStale(round);
            }
        }
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

    /// <summary>Asks whether a round can still be finished, in this epoch and at all.</summary>
    private void Examine(StreamState stream, RoundState round, long now)
    {
        if (round.Doubt is null && round.SubmittedAt != 0 && round.Live)
        {
            if (IsAnchorGivenUp(now))
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

        if (round.Live)
        {
            round.Stuck ??= ObstacleOf(round, now);
        }

        if ((round.Doubt is null && round.Stuck is null) || (round.AskedAt != 0 && _time.GetElapsedTime(round.AskedAt, now) < Repeat))
        {
            return;
        }

        round.AskedAt = now;
        if (round.Doubt is not null)
        {
            Ask(round);
        }
        else
        {
            TellStuck(stream.Id, round.Number, round.Epoch, round.Stuck!);
        }
    }

    /// <summary>Why the round cannot go on in its epoch, as far as this host can see; null when nothing speaks against it.</summary>
    private string? ObstacleOf(RoundState round, long now)
    {
        foreach (var away in _away)
        {
            if (round.Trees.Participants.Contains(away.Host))
            {
                return away.Reason;
            }
        }

        foreach (var peer in round.Trees.Peers)
        {
            if (_linkDownSince.TryGetValue(peer, out var down) && _time.GetElapsedTime(Math.Max(down, round.BegunAt), now) > LinkAwayAfter)
            {
                return $"there is no data connection between {_host} and {peer}";
            }
        }

        return null;
    }

    private void TellStuck(uint stream, ulong round, Epoch epoch, string text) => ToAnchor(new SignalMessage
    {
        Type = SignalMessage.Types.Stuck,
        Stream = stream,
        Round = (long)round,
        Epoch = epoch,
        Text = text,
    });

    /// <summary>Asks the anchor to give a round up.</summary>
    private void Ask(RoundState round) => ToAnchor(new SignalMessage
    {
        Type = SignalMessage.Types.Fail,
        Stream = round.Stream.Id,
        Round = (long)round.Number,
        Code = round.Doubt!.Value.Code,
        Text = round.Doubt.Value.Text,
    });

    /// <summary>Asks for another epoch of rounds that an earlier life was in.</summary>
    private void AskForRestored(long now)
    {
        if (_restoredAskedAt != 0 && _time.GetElapsedTime(_restoredAskedAt, now) < Repeat)
        {
            return;
        }

        _restoredAskedAt = now;
        foreach (var worker in _workers.Values.ToList())
        {
            foreach (var (id, local) in worker.Streams.ToList())
            {
                foreach (var restored in local.Restored.ToList())
                {
                    if (restored.IsAwaited && !StreamOf(id).IsFailed(restored.Round))
                    {
                        TellStuck(id, restored.Round, StreamOf(id).EpochOf(restored.Round), $"the agent on {_host} was started anew");
                    }
                }
            }
        }
    }

    /// <summary>Frames came of older trees than this agent has had since its start.</summary>
    private void NoteUnheld(uint stream, ulong round, Epoch epoch)
    {
        if (!_streams.TryGetValue(stream, out var known) || ((long)round > known.CompletedThrough && !known.IsOver(round, epoch)))
        {
            _unheld[stream] = new RoundEpoch((long)round, epoch);
        }
    }

    private void TellUnheld()
    {
        foreach (var (stream, seen) in _unheld)
        {
            TellStuck(stream, (ulong)seen.Round, seen.Epoch, UnheldText(seen.Epoch));
        }

        _unheld.Clear();
    }

    private string UnheldText(Epoch epoch) => $"the agent on {_host} was started anew and does not hold trees {epoch.Trees.Term}.{epoch.Trees.Generation} any more";

    private bool IsAnchorGivenUp(long now) => !IsAnchor && _anchorDownSince is { } since && _time.GetElapsedTime(since, now) > _patience;

    private string AnchorLostText => $"host {AnchorHost}, the host of rank 0, cannot be reached from {_host}";

    /// <summary>Tells workers that wait for the anchor's word when it cannot come.</summary>
    private void RefuseOpens(long now)
    {
        var anchorLost = IsAnchorGivenUp(now);
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

        if (anchorLost)
        {
            foreach (var stream in _streams.Values)
            {
                FailLeftToRestore(stream, text);
            }
        }
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
