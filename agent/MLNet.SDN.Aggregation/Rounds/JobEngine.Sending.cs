using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>A frame ready to be written: its bytes stay valid until it is given back.</summary>
internal unsafe ref struct PreparedFrame
{
    public Outgoing Item;

    /// <summary>Bytes of header and contributors in the caller's buffer.</summary>
    public int HeadBytes;

    public byte* Payload;
    public int PayloadBytes;
}

// What goes out, and what goes out again.
internal sealed unsafe partial class JobEngine
{
    /// <summary>
    /// Makes a queued frame ready to be written, or drops it because it is not needed any more.
    /// </summary>
    /// <param name="item">Taken from a queue of this engine; belongs to the engine again afterwards.</param>
    /// <param name="life">Of the peer at the other end of the connection that is to carry it.</param>
    /// <param name="head">Room for header and contributors.</param>
    /// <param name="frame">The frame; to be given back with <see cref="GiveBack"/>.</param>
    public bool TryPrepare(in Outgoing item, ulong life, Span<byte> head, out PreparedFrame frame)
    {
        frame = default;
        lock (_gate)
        {
            var round = item.Round;
            if (_closed || round.Aborted || item.Serial != round.Serial)
            {
                Drop(item);
                return false;
            }

            var progress = round.Shards[item.Shard];
            if (item.Type != FrameType.Result && (progress.IsDone(item.Chunk) || !GoesTo(round, progress, life)))
            {
                Drop(item);
                return false;
            }

            var trees = round.Trees;
            var contributors = item.Type == FrameType.Result ? trees.All : progress.Place.Expected;
            var payloadBytes = PayloadBytes(round, item.Type, item.Shard, item.Chunk, contributors, out var payloadType);
            byte* payload;
            if (payloadBytes == 0)
            {
                payload = null;
            }
            else if (item.Buffer is not null)
            {
                payload = item.Buffer.Address;
            }
            else if (item.Type == FrameType.Partial)
            {
                // Only a host with exactly one rank below it sends straight from shared memory, and only after that rank submitted.
                var area = LocalArea(round, progress.Place.Expected);
                payload = area.Contribution(round.Number) + round.ChunkOffset(item.Shard, item.Chunk);
            }
            else
            {
                payload = round.Results + round.ChunkOffset(item.Shard, item.Chunk);
            }

            var wireBytes = ContributorSet.WireBytes(trees.World);
            new FrameHeader
            {
                Type = item.Type,
                ElementType = round.Shape.Type,
                Operation = round.Shape.Operation,
                JobId = _job.JobId,
                Stream = round.Stream.Id,
                Shard = (ushort)item.Shard,
                ContributorBytes = (ushort)wireBytes,
                Round = round.Number,
                MessageBytes = round.Shape.Bytes,
                Chunk = (uint)item.Chunk,
                PayloadBytes = payloadBytes,
                Epoch = round.Epoch,
                PayloadType = payloadType,
                FixedOrder = round.Shape.FixedOrder,
                Next = round.Next,
            }.Write(head);
            ContributorSet.Write(contributors, head.Slice(FrameHeader.Bytes, wireBytes));
            frame.Item = item;
            frame.HeadBytes = FrameHeader.Bytes + wireBytes;
            frame.Payload = payload;
            frame.PayloadBytes = payloadBytes;
            return true;
        }
    }

    /// <summary>Ends the use of a prepared frame, sent or not.</summary>
    public void GiveBack(in PreparedFrame frame)
    {
        lock (_gate)
        {
            Drop(frame.Item);
        }
    }

    /// <summary>
    /// A connection to the peer broke and may have swallowed frames either way: everything without a result goes again.
    /// The parent knows repeated contributions by their contributors, and answers those of finished chunks with the result.
    /// </summary>
    public void OnDisturbed(string peer)
    {
        lock (_gate)
        {
            if (_closed)
            {
                return;
            }

            var queue = QueueOfLocked(peer);
            while (queue.TryTakePartial(out var stale))
            {
                Drop(stale);
            }

            foreach (var stream in _streams.Values)
            {
                foreach (var round in stream.Rounds)
                {
                    if (round.Exchanging)
                    {
                        SendAgain(round, peer);
                    }
                }
            }
        }
    }

    private void SendAgain(RoundState round, string peer)
    {
        for (var shard = 0; shard < round.Shards.Length; shard++)
        {
            var progress = round.Shards[shard];
            if (progress.Place.Parent != peer)
            {
                continue;
            }

            for (var chunk = progress.Low; chunk < progress.High; chunk++)
            {
                if (progress.Phase(chunk) == ChunkPhase.Sent)
                {
                    Enqueue(peer, round, progress.IsResultHeld(chunk) && round.OffersResults ? FrameType.Held : FrameType.Partial, shard, chunk, progress.Sum(chunk));
                }
            }
        }
    }

    /// <summary>
    /// The partial sums of one epoch go to one life of the parent only. A parent that was started anew has forgotten what it made of the others; if it got the
    /// rest, it could make another result of the same epoch.
    /// </summary>
    private static bool GoesTo(RoundState round, ShardProgress progress, ulong life)
    {
        if (progress.ParentLife == 0)
        {
            progress.ParentLife = life;
        }
        else if (progress.ParentLife != life)
        {
            round.Stuck ??= $"the agent on {progress.Place.Parent} was started anew";
            return false;
        }

        return true;
    }

    /// <summary>A child asks for a result it may not have got.</summary>
    private void ServeAgain(string peer, RoundState round, int shard, int chunk)
    {
        if (round.Stream.Find(round.Number + 2) is not null)
        {
            return;
        }

        if (!round.Shards[shard].IsDelivered(chunk))
        {
            // The result is still on its way to every child, this one too: nothing is lost, and shared memory does not hold it yet.
            return;
        }

        var isRead = !Elements.HasPayload(FrameType.Result, round.Shape.Operation) || round.Results is not null;
        var kept = isRead ? null : round.Shards[shard].Kept(chunk);
        if (kept is null && !isRead)
        {
            round.Stuck ??= $"a connection between {_host} and {peer} broke and took a result with it that {_host}, a helper without worker, does not hold any more";
            return;
        }

        Counters.ServedAgain();
        Enqueue(peer, round, FrameType.Result, shard, chunk, kept);
    }

    private void Enqueue(string peer, RoundState round, FrameType type, int shard, int chunk, NativeBuffer? buffer)
    {
        var queue = QueueOfLocked(peer);
        buffer?.AddHolder();
        round.Pins++;
        if (!queue.TryAdd(new Outgoing(round, round.Serial, type, shard, chunk, buffer)))
        {
            buffer?.Release();
            round.Pins--;
        }
    }

    /// <summary>Drops what was queued of earlier epochs of a round, also for peers that will never take it.</summary>
    private void DropStale(RoundState round)
    {
        var stale = new List<Outgoing>();
        foreach (var queue in _queues.Values)
        {
            queue.TakeStale(round, stale);
        }

        foreach (var frame in stale)
        {
            Drop(frame);
        }
    }

    private static SharedArea LocalArea(RoundState round, ReadOnlySpan<ulong> ranks)
    {
        for (var i = 0; i < round.Trees.LocalRanks.Length; i++)
        {
            if (ContributorSet.Contains(ranks, round.Trees.LocalRanks[i]))
            {
                return round.Area(i)!;
            }
        }

        throw new InvalidOperationException("No worker of this host contributes to the chunk.");
    }
}
