using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

// What becomes of results: where they come from, whom they go to, and when a round is over here.
internal sealed unsafe partial class JobEngine
{
    /// <summary>Takes over a result of an earlier epoch. Nothing is added to it, and it is not finished again.</summary>
    private void Adopt(RoundState round, int serial, int shard, int chunk, NativeBuffer result)
    {
        lock (_gate)
        {
            if (IsIdle(round, serial, shard, chunk))
            {
                result.Release();
            }
            else
            {
                round.Shards[shard].Adopted(chunk) = result;
            }
        }

        FinishAdopted(round, serial, shard, chunk);
    }

    /// <summary>Makes a result of an earlier epoch the one of this epoch, once everybody has answered: until then those who wait count on their window.</summary>
    private void FinishAdopted(RoundState round, int serial, int shard, int chunk)
    {
        NativeBuffer result;
        lock (_gate)
        {
            if (IsOver(round, serial) || round.Shards[shard].IsDone(chunk))
            {
                return;
            }

            var progress = round.Shards[shard];
            if (progress.Adopted(chunk) is not { } adopted || !progress.Seen(chunk).SequenceEqual(progress.Place.Expected))
            {
                return;
            }

            result = adopted;
            progress.Adopted(chunk) = null;
            progress.Order?.Drop(chunk);
            MarkDone(round, progress, chunk);
            round.Users++;
        }

        Deliver(round, shard, chunk, result);
    }

    /// <summary>Notes that a chunk's result is here, and lets its partial sum go.</summary>
    private static void MarkDone(RoundState round, ShardProgress progress, int chunk)
    {
        ref var sum = ref progress.Sum(chunk);
        sum?.Release();
        sum = null;
        progress.MarkDone(chunk);
        round.Outstanding--;
    }

    /// <summary>
    /// Passes a result on to the children and to the workers of this host. The caller has marked the chunk as done and itself as one of the round's
    /// <see cref="RoundState.Users"/> in one step, so that the epoch does not change before the result is where it belongs.
    /// </summary>
    private void Deliver(RoundState round, int shard, int chunk, NativeBuffer result)
    {
        var progress = round.Shards[shard];
        var bytes = round.ChunkBytes(shard, chunk);
        var held = progress.IsResultHeld(chunk);
        lock (_gate)
        {
            if (round.Aborted || _closed)
            {
                result.Release();
                EndUse(round);
                return;
            }

            var payload = Elements.HasPayload(FrameType.Result, round.Shape.Operation) ? result : null;
            if (payload is not null)
            {
                progress.Keep(chunk, payload);
            }

            foreach (var child in progress.Place.Children)
            {
                Enqueue(child, round, FrameType.Result, shard, chunk, payload);
            }
        }

        if (!held)
        {
            var offset = round.ChunkOffset(shard, chunk);
            for (var i = 0; i < round.Trees.LocalRanks.Length; i++)
            {
                if (round.GetsResult(i) && round.Area(i) is { } area && round.Shape.Bytes <= area.Capacity)
                {
                    result.Span(bytes).CopyTo(new Span<byte>(area.Result(round.Number) + offset, bytes));
                }
            }
        }

        lock (_gate)
        {
            progress.MarkDelivered(chunk, result, inSharedMemory: round.Trees.LocalRanks.Length > 0);
            result.Release();
            round.Undelivered -= held ? 0 : 1;
            if (round.Undelivered == 0 && round.Live)
            {
                Finish(round);
            }

            if (round.Outstanding == 0 && round.EndedAt == 0)
            {
                round.EndedAt = _time.GetTimestamp();
            }

            EndUse(round);
        }
    }

    private void Finish(RoundState round)
    {
        round.Complete = true;
        var stream = round.Stream;
        round.EndedAt = _time.GetTimestamp();
        Sight.Finished(round);
        stream.CompletedThrough = Math.Max(stream.CompletedThrough, (long)round.Number);
        Announce(stream, round.Number + 1, round.Next);
        var now = round.EndedAt;
        var ranks = round.Trees.LocalRanks;
        for (var i = 0; i < ranks.Length; i++)
        {
            if (round.Area(i) is { } area)
            {
                area.WriteDone(round.Number, round.Epoch);
                if (stream.Id == 0)
                {
                    _workers[ranks[i]].NoteDone(now, _time);
                }

                _ports.RoundDone(ranks[i], stream.Id, round.Number);
            }
        }
    }
}
