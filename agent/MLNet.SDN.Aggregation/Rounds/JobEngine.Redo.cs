using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

// Later epochs of a round: entering them, and taking up rounds of an earlier life. docs/adr/0010 says why it is done so.
internal sealed unsafe partial class JobEngine
{
    /// <summary>Notes an epoch of a round, said by the anchor or seen in a frame, and enters it. Members answer only the highest epoch seen.</summary>
    private void Announce(StreamState stream, ulong number, Epoch epoch)
    {
        if (stream.Announce(number, epoch) && FindTrees(epoch) is { } trees)
        {
            Reenter(stream, number, trees);
        }
    }

    private void Reenter(StreamState stream, ulong number, TreeSet trees)
    {
        if (_closed || stream.IsFailed(number))
        {
            return;
        }

        if (stream.Find(number) is not { } round)
        {
            Resume(stream, number, trees);
            return;
        }

        if (round.Aborted || trees.Epoch <= round.Epoch || trees.Epoch.Attempt == 0)
        {
            return;
        }

        if (round.Users > 0)
        {
            // A result of the old epoch is being written. What was let in counts as held, so it has to be whole first.
            round.Awaited = Epoch.Max(round.Awaited, trees.Epoch);
            return;
        }

        Enter(round, trees);
    }

    /// <summary>Takes up a round of an earlier life, in an epoch that this life has not answered.</summary>
    private void Resume(StreamState stream, ulong number, TreeSet trees)
    {
        foreach (var worker in _workers.Values)
        {
            if (!worker.Joined)
            {
                // Its memory may hold more than that of the others: this host answers when it knows all of it.
                return;
            }
        }

        foreach (var worker in _workers.Values)
        {
            if (worker.Streams.TryGetValue(stream.Id, out var local) && local.Restored.Find(r => r.Round == number) is { } restored)
            {
                if (trees.Epoch.Attempt == 0 || !RoundState.Fits(trees, restored.Shape) || stream.Begin(number, trees, restored.Shape, _time.GetTimestamp()) is not { } round)
                {
                    return;
                }

                _ports.RoundBegins();
                Enter(round, trees);
                return;
            }
        }
    }

    private void Enter(RoundState round, TreeSet trees)
    {
        if (Has(ProtocolFault.MergeAcrossEpochs) && round.Trees.Revision == trees.Revision && round.Trees != trees)
        {
            EnterWithoutReset(round, trees);
            return;
        }

        // The promise stands in memory that outlives this agent before anything is answered.
        for (var i = 0; i < round.Trees.LocalRanks.Length; i++)
        {
            round.Area(i)?.WritePromise(round.Number, trees.Epoch);
        }

        var whole = JoinRestored(round, trees.Epoch);
        if (round.Live && round.SubmittedAt != 0)
        {
            Counters.Redone();
            AggregationLog.TriedAgain(_logger, _job.Name, (long)round.Number, round.Stream.Id, trees.Epoch.Attempt, trees.Revision);
        }

        round.Enter(trees, whole is not null, _time.GetTimestamp());
        DropStale(round);
        if (whole is not null && !round.Complete)
        {
            ShareWhole(round, whole);
        }

        round.Pins++;
        _unparked.Add(round);
    }

    private void EnterWithoutReset(RoundState round, TreeSet trees)
    {
        round.EnterWithoutReset(trees);
        for (var shard = 0; shard < round.Shards.Length; shard++)
        {
            if (round.Shards[shard].Place.Parent is { } parent)
            {
                SendAgain(round, parent);
            }
        }

        round.Pins++;
        _unparked.Add(round);
    }

    /// <summary>Enters what workers of this host contributed to the round in an earlier life. Returns memory that holds the whole result, if there is any.</summary>
    private SharedArea? JoinRestored(RoundState round, Epoch epoch)
    {
        SharedArea? whole = null;
        for (var i = 0; i < round.Trees.LocalRanks.Length; i++)
        {
            if (!_workers[round.Trees.LocalRanks[i]].Streams.TryGetValue(round.Stream.Id, out var local)
                || local.Restored.Find(r => r.Round == round.Number) is not { } restored)
            {
                continue;
            }

            local.Restored.Remove(restored);
            if (round.Area(i) is null && restored.Shape == round.Shape)
            {
                restored.Area.WritePromise(round.Number, epoch);
                round.Submit(i, restored.Area);
                round.SubmittedAt = round.SubmittedAt == 0 ? _time.GetTimestamp() : round.SubmittedAt;
                whole = restored.Status == SlotStatus.Done ? restored.Area : whole;
            }

            restored.Area.Release();
        }

        // Done is written once all results are where they belong: those of a push with the server, whoever of this host was told first.
        return whole is not null && round.Shape.Operation == ReduceOperation.Push && round.Trees.ServerIndex >= 0 ? round.Area(round.Trees.ServerIndex) : whole;
    }

    /// <summary>The earlier life ended between telling one worker of this host and telling the next.</summary>
    private void ShareWhole(RoundState round, SharedArea whole)
    {
        for (var i = 0; i < round.Trees.LocalRanks.Length; i++)
        {
            if (round.GetsResult(i) && round.Area(i) is { } area && !ReferenceEquals(area, whole))
            {
                for (long at = 0, bytes; at < round.Shape.Bytes; at += bytes)
                {
                    bytes = Math.Min(round.Shape.Bytes - at, 1 << 20);
                    new ReadOnlySpan<byte>(round.ResultIn(whole) + at, (int)bytes).CopyTo(new Span<byte>(area.Result(round.Number) + at, (int)bytes));
                }
            }
        }

        round.Undelivered = 0;
        Finish(round);
        round.EndedAt = 0;
    }

    /// <summary>Whether a round waits here for the epoch in which what an earlier life contributed can be answered again.</summary>
    private bool IsLeftToRestore(uint stream, ulong number)
    {
        foreach (var worker in _workers.Values)
        {
            if (worker.Streams.TryGetValue(stream, out var local))
            {
                foreach (var restored in local.Restored)
                {
                    if (restored.Round == number)
                    {
                        return true;
                    }
                }
            }
        }

        return false;
    }

    private void EndUse(RoundState round)
    {
        round.Users--;
        if (round.Users > 0)
        {
            return;
        }

        if (round.Aborted)
        {
            TellFailed(round);
        }
        else if (round.Awaited > round.Epoch && FindTrees(round.Awaited) is { } trees)
        {
            Reenter(round.Stream, round.Number, trees);
        }
    }

    private bool Has(ProtocolFault fault) => (Fault & fault) != 0;
}
