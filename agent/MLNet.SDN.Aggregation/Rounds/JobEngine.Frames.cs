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

internal sealed unsafe partial class JobEngine
{
    /// <summary>
    /// Takes over a frame whose checksum is right.
    /// </summary>
    /// <param name="peer">The host at the other end.</param>
    /// <param name="header">As read.</param>
    /// <param name="contributorBytes">The contributors as on the wire.</param>
    /// <param name="payload">Holds the payload from its first byte on.</param>
    public FrameVerdict OnFrame(string peer, in FrameHeader header, ReadOnlySpan<byte> contributorBytes, NativeBuffer payload)
    {
        RoundState round;
        Span<ulong> contributors = stackalloc ulong[FrameHeader.MaxContributorBytes / sizeof(ulong)];
        lock (_gate)
        {
            var verdict = Admit(peer, header, contributorBytes, ref contributors, out var admitted);
            if (verdict != FrameVerdict.Taken)
            {
                return verdict;
            }

            round = admitted!;
            round.Pins++;
        }

        int shard = header.Shard;
        var chunk = (int)header.Chunk;
        if (header.Type == FrameType.Result)
        {
            Deliver(round, shard, chunk, payload);
        }
        else
        {
            Merge(round, shard, chunk, payload, contributors);
        }

        while (PumpOne(round, shard))
        {
        }

        lock (_gate)
        {
            Unpin(round);
        }

        return FrameVerdict.Taken;
    }

    /// <summary>
    /// Makes a queued frame ready to be written, or drops it because it is not needed any more.
    /// </summary>
    /// <param name="item">Taken from a queue of this engine; belongs to the engine again afterwards.</param>
    /// <param name="head">Room for header and contributors.</param>
    /// <param name="frame">The frame; to be given back with <see cref="GiveBack"/>.</param>
    public bool TryPrepare(in Outgoing item, Span<byte> head, out PreparedFrame frame)
    {
        frame = default;
        lock (_gate)
        {
            var round = item.Round;
            var progress = round.Shards[item.Shard];
            if (_closed || round.Aborted || (item.Type == FrameType.Partial && progress.IsDone(item.Chunk)))
            {
                Drop(item);
                return false;
            }

            byte* payload;
            if (item.Buffer is not null)
            {
                payload = item.Buffer.Address;
            }
            else if (item.Type == FrameType.Partial)
            {
                // Only a host with exactly one rank below it sends straight from shared memory, and only after that rank submitted.
                var area = LocalArea(round, round.Shards[item.Shard].Place.Expected);
                payload = area.Contribution(round.Number) + round.ChunkOffset(item.Shard, item.Chunk);
            }
            else
            {
                payload = AnyLocalArea(round)!.Result(round.Number) + round.ChunkOffset(item.Shard, item.Chunk);
            }

            var trees = round.Trees;
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
                PayloadBytes = round.ChunkBytes(item.Shard, item.Chunk),
                Epoch = new Epoch(trees.Revision, 0),
                Next = round.Next,
            }.Write(head);
            ContributorSet.Write(item.Type == FrameType.Result ? trees.All : progress.Place.Expected, head.Slice(FrameHeader.Bytes, wireBytes));
            frame.Item = item;
            frame.HeadBytes = FrameHeader.Bytes + wireBytes;
            frame.Payload = payload;
            frame.PayloadBytes = round.ChunkBytes(item.Shard, item.Chunk);
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
                    if (round.Live)
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
                    Enqueue(peer, round, FrameType.Partial, shard, chunk, progress.Sum(chunk));
                }
            }
        }
    }

    /// <summary>Checks a frame against what this host knows, and notes its contributors.</summary>
    private FrameVerdict Admit(string peer, in FrameHeader header, ReadOnlySpan<byte> contributorBytes, ref Span<ulong> contributors, out RoundState? round)
    {
        round = null;
        if (_closed)
        {
            return FrameVerdict.Dropped;
        }

        if (header.JobId != _job.JobId
            || header.Epoch.Attempt != 0
            || (!_streams.ContainsKey(header.Stream) && _streams.Count >= MaxStreams))
        {
            return Violation();
        }

        var trees = FindTrees(header.Epoch.Trees);
        if (trees is null && header.Epoch.Trees.CompareTo(_trees[^1].Revision) < 0)
        {
            // A straggler of trees that no round uses any more.
            Counters.Late();
            return FrameVerdict.Dropped;
        }

        // Trees that this host does not know yet: closing the connection makes the peer come again when it has heard of them.
        if (trees is null
            || header.Shard >= trees.Places.Length
            || !ContributorSet.TryRead(contributorBytes, trees.World, contributors = contributors[..trees.Words]))
        {
            return Violation();
        }

        var place = trees.Places[header.Shard];
        if (header.Type == FrameType.Partial ? !IsFromChild(place, peer, contributors) : place.Parent != peer || !contributors.SequenceEqual(trees.All))
        {
            return Violation();
        }

        var stream = StreamOf(header.Stream);
        if (stream.IsFailed(header.Round))
        {
            Counters.Late();
            return FrameVerdict.Dropped;
        }

        var shape = new MessageShape(header.MessageBytes, header.ElementType, header.Operation);
        round = stream.Find(header.Round);
        if (round is null)
        {
            if (header.Type == FrameType.Result || (long)header.Round <= stream.CompletedThrough)
            {
                // A result that nobody here contributed to, or a contribution to a round whose end everyone has seen.
                Counters.Late();
                return FrameVerdict.Dropped;
            }

            round = RoundState.Fits(trees, shape.Bytes) ? stream.Begin(header.Round, trees, shape, _time.GetTimestamp()) : null;
            if (round is null)
            {
                return Violation();
            }

            _ports.RoundBegins();
        }

        if (round.Aborted)
        {
            Counters.Late();
            return FrameVerdict.Dropped;
        }

        if (!ReferenceEquals(round.Trees, trees))
        {
            return Violation();
        }

        if (round.Shape != shape)
        {
            Mismatch(round, shape, contributors.ToArray());
            return FrameVerdict.Dropped;
        }

        return AdmitChunk(peer, header, contributors, round);
    }

    private FrameVerdict AdmitChunk(string peer, in FrameHeader header, ReadOnlySpan<ulong> contributors, RoundState round)
    {
        var progress = round.Shards[header.Shard];
        var chunk = (int)header.Chunk;
        if (chunk >= progress.Chunks || header.PayloadBytes != round.ChunkBytes(header.Shard, chunk))
        {
            return Violation();
        }

        if (chunk >= progress.High)
        {
            return Violation();
        }

        if (progress.IsDone(chunk))
        {
            Counters.Duplicate();
            if (header.Type == FrameType.Partial)
            {
                ServeAgain(peer, round, header.Shard, chunk);
            }

            return FrameVerdict.Dropped;
        }

        if (header.Type == FrameType.Result && progress.Phase(chunk) != ChunkPhase.Sent)
        {
            return Violation();
        }

        if (header.Type == FrameType.Partial)
        {
            var seen = progress.Seen(chunk);
            if (ContributorSet.Intersects(seen, contributors))
            {
                Counters.Duplicate();
                return FrameVerdict.Dropped;
            }

            ContributorSet.Unite(seen, contributors);
        }
        else
        {
            MarkDone(round, progress, chunk);
        }

        if (header.Next != default)
        {
            round.Next = header.Next;
        }

        return FrameVerdict.Taken;
    }

    private static bool IsFromChild(ShardPlace place, string peer, ReadOnlySpan<ulong> contributors)
    {
        for (var i = 0; i < place.Children.Length; i++)
        {
            if (place.Children[i] == peer)
            {
                return !ContributorSet.IsEmpty(contributors) && ContributorSet.IsSubset(contributors, place.ChildRanks[i]);
            }
        }

        return false;
    }

    private FrameVerdict Violation()
    {
        Counters.Violation();
        return FrameVerdict.Violation;
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

        var kept = AnyLocalArea(round) is null ? round.Shards[shard].Kept(chunk) : null;
        if (kept is null && AnyLocalArea(round) is null)
        {
            round.Doubt ??= (FailureCode.ResultLost, $"a connection between {_host} and {peer} broke and took a result with it that {_host}, a helper without worker, does not hold any more");
            return;
        }

        Counters.ServedAgain();
        Enqueue(peer, round, FrameType.Result, shard, chunk, kept);
    }

    /// <summary>Adds a buffer to the sum of its chunk. Whoever completes the sum passes it on.</summary>
    private void Merge(RoundState round, int shard, int chunk, NativeBuffer mine, Span<ulong> contributors)
    {
        var progress = round.Shards[shard];
        var bytes = round.ChunkBytes(shard, chunk);
        while (true)
        {
            NativeBuffer? other;
            lock (_gate)
            {
                if (round.Aborted)
                {
                    mine.Release();
                    return;
                }

                ref var sum = ref progress.Sum(chunk);
                if (sum is null)
                {
                    if (!contributors.SequenceEqual(progress.Place.Expected))
                    {
                        sum = mine;
                        contributors.CopyTo(progress.Held(chunk));
                        return;
                    }

                    if (progress.Place.Parent is { } parent)
                    {
                        sum = mine;
                        contributors.CopyTo(progress.Held(chunk));
                        progress.SetPhase(chunk, ChunkPhase.Sent);
                        Enqueue(parent, round, FrameType.Partial, shard, chunk, mine);
                        return;
                    }

                    break;
                }

                // Somebody else left a sum: take it out, so that nobody waits while we add.
                other = sum;
                sum = null;
                ContributorSet.Unite(contributors, progress.Held(chunk));
            }

            Reduction.Accumulate(mine.Span(bytes), other.Span(bytes), round.Shape.Type);
            other.Release();
        }

        Reduction.Finish(mine.Span(bytes), round.Shape.Type, round.Shape.Operation, round.Trees.World);
        lock (_gate)
        {
            if (round.Aborted)
            {
                mine.Release();
                return;
            }

            MarkDone(round, progress, chunk);
        }

        Deliver(round, shard, chunk, mine);
    }

    /// <summary>Notes that a chunk's result is here, and lets its partial sum go.</summary>
    private static void MarkDone(RoundState round, ShardProgress progress, int chunk)
    {
        ref var sum = ref progress.Sum(chunk);
        sum?.Release();
        sum = null;
        progress.MarkDone(chunk);
    }

    /// <summary>Passes a result on to the children and to the workers of this host.</summary>
    private void Deliver(RoundState round, int shard, int chunk, NativeBuffer result)
    {
        var bytes = round.ChunkBytes(shard, chunk);
        lock (_gate)
        {
            if (!round.Live || _closed)
            {
                result.Release();
                return;
            }

            round.Users++;
            round.Shards[shard].Keep(chunk, result);
            foreach (var child in round.Shards[shard].Place.Children)
            {
                Enqueue(child, round, FrameType.Result, shard, chunk, result);
            }
        }

        var offset = round.ChunkOffset(shard, chunk);
        for (var i = 0; i < round.Trees.LocalRanks.Length; i++)
        {
            if (round.Area(i) is { } area && round.Shape.Bytes <= area.Capacity)
            {
                result.Span(bytes).CopyTo(new Span<byte>(area.Result(round.Number) + offset, bytes));
            }
        }

        lock (_gate)
        {
            round.Shards[shard].MarkDelivered(chunk, result, inSharedMemory: round.Trees.LocalRanks.Length > 0);
            result.Release();
            EndUse(round);
            round.Undelivered--;
            if (round.Undelivered == 0 && round.Live)
            {
                Finish(round);
            }
        }
    }

    private void Finish(RoundState round)
    {
        round.Complete = true;
        var stream = round.Stream;
        round.EndedAt = _time.GetTimestamp();
        stream.CompletedThrough = Math.Max(stream.CompletedThrough, (long)round.Number);
        stream.Announce(round.Number + 1, round.Next);
        var now = round.EndedAt;
        var ranks = round.Trees.LocalRanks;
        for (var i = 0; i < ranks.Length; i++)
        {
            if (round.Area(i) is { } area)
            {
                area.WriteDone(round.Number, round.Trees.Revision);
                if (stream.Id == 0)
                {
                    _workers[ranks[i]].NoteDone(now, _time);
                }

                _ports.RoundDone(ranks[i], stream.Id, round.Number);
            }
        }
    }

    /// <summary>Takes one chunk of one local worker into the round, if the window is open for it. True when it did.</summary>
    private bool PumpOne(RoundState round, int shard)
    {
        var progress = round.Shards[shard];
        int chunk;
        SharedArea area;
        NativeBuffer? sum;
        Span<ulong> contributors = stackalloc ulong[FrameHeader.MaxContributorBytes / sizeof(ulong)];
        contributors = contributors[..round.Trees.Words];
        contributors.Clear();
        lock (_gate)
        {
            if (!round.Live || _closed || NextLocal(round, shard) is not { } local)
            {
                return false;
            }

            chunk = round.NextLocal(shard, local)++;
            area = round.Area(local)!;
            ContributorSet.Add(progress.Seen(chunk), round.Trees.LocalRanks[local]);
            if (progress.Place.SendsUnsummed)
            {
                progress.SetPhase(chunk, ChunkPhase.Sent);
                Enqueue(progress.Place.Parent!, round, FrameType.Partial, shard, chunk, null);
                return true;
            }

            ContributorSet.Add(contributors, round.Trees.LocalRanks[local]);
            sum = progress.Sum(chunk);
            progress.Sum(chunk) = null;
            if (sum is not null)
            {
                ContributorSet.Unite(contributors, progress.Held(chunk));
            }

            round.Pins++;
            round.Users++;
        }

        var bytes = round.ChunkBytes(shard, chunk);
        var mine = new ReadOnlySpan<byte>(area.Contribution(round.Number) + round.ChunkOffset(shard, chunk), bytes);
        if (sum is null)
        {
            sum = _pool.Rent(round.Trees.ChunkBytes);
            mine.CopyTo(sum.Span(bytes));
        }
        else
        {
            Reduction.Accumulate(sum.Span(bytes), mine, round.Shape.Type);
        }

        lock (_gate)
        {
            EndUse(round);
        }

        Merge(round, shard, chunk, sum, contributors);
        lock (_gate)
        {
            Unpin(round);
        }

        return true;
    }

    private static int? NextLocal(RoundState round, int shard)
    {
        var high = round.Shards[shard].High;
        for (var i = 0; i < round.Trees.LocalRanks.Length; i++)
        {
            if (round.Area(i) is not null && round.NextLocal(shard, i) < high)
            {
                return i;
            }
        }

        return null;
    }

    private void Enqueue(string peer, RoundState round, FrameType type, int shard, int chunk, NativeBuffer? buffer)
    {
        var queue = QueueOfLocked(peer);
        buffer?.AddHolder();
        round.Pins++;
        if (!queue.TryAdd(new Outgoing(round, type, shard, chunk, buffer)))
        {
            buffer?.Release();
            round.Pins--;
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

    private static SharedArea? AnyLocalArea(RoundState round) => round.Trees.LocalRanks.Length > 0 ? round.Area(0) : null;
}
