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
            Merge(round, shard, chunk, payload, contributors, round.Trees.LocalRanks.Length + Array.IndexOf(round.Shards[shard].Place.Children, peer));
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

            var trees = round.Trees;
            var contributors = item.Type == FrameType.Result ? trees.All : progress.Place.Expected;
            var wide = item.Type == FrameType.Partial && round.IsWide(contributors);
            var payloadBytes = wide ? round.SumBytes(item.Shard, item.Chunk, contributors) : round.ChunkBytes(item.Shard, item.Chunk);
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
                Epoch = new Epoch(trees.Revision, 0),
                PayloadType = wide ? ElementType.Float32 : round.Shape.Type,
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

        var shape = new MessageShape(header.MessageBytes, header.ElementType, header.Operation, header.FixedOrder);
        round = stream.Find(header.Round);
        if (round is null)
        {
            if (header.Type == FrameType.Result || (long)header.Round <= stream.CompletedThrough)
            {
                // A result that nobody here contributed to, or a contribution to a round whose end everyone has seen.
                Counters.Late();
                return FrameVerdict.Dropped;
            }

            round = RoundState.Fits(trees, shape) ? stream.Begin(header.Round, trees, shape, _time.GetTimestamp()) : null;
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
        if (chunk >= progress.Chunks || chunk >= progress.High)
        {
            return Violation();
        }

        var wide = header.Type == FrameType.Partial && round.IsWide(contributors);
        if (header.PayloadBytes != (wide ? round.SumBytes(header.Shard, chunk, contributors) : round.ChunkBytes(header.Shard, chunk))
            || header.PayloadType != (wide ? ElementType.Float32 : round.Shape.Type))
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
            // In a fixed order each child has one place, so it sends all of its part at once.
            if (progress.Order is not null && !contributors.SequenceEqual(progress.Place.ChildRanks[Array.IndexOf(progress.Place.Children, peer)]))
            {
                return Violation();
            }

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
    /// <param name="round">The round.</param>
    /// <param name="shard">The shard.</param>
    /// <param name="chunk">The chunk.</param>
    /// <param name="mine">A contribution or partial sum.</param>
    /// <param name="contributors">Its ranks; overwritten.</param>
    /// <param name="input">Its place when contributions are taken in order: local workers first, then children.</param>
    private void Merge(RoundState round, int shard, int chunk, NativeBuffer mine, Span<ulong> contributors, int input)
    {
        var progress = round.Shards[shard];
        if (progress.Order is not null)
        {
            MergeInOrder(round, shard, chunk, mine, contributors, input);
            return;
        }

        while (true)
        {
            NativeBuffer? other;
            bool mineWide, otherWide;
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

                    break;
                }

                // Somebody else left a sum: take it out, so that nobody waits while we add.
                other = sum;
                sum = null;
                mineWide = round.IsWide(contributors);
                otherWide = round.IsWide(progress.Held(chunk));
                ContributorSet.Unite(contributors, progress.Held(chunk));
            }

            mine = Combine(round, shard, chunk, mine, mineWide, other, otherWide);
        }

        Complete(round, shard, chunk, mine);
    }

    /// <summary>As <see cref="Merge"/>, but what comes before its turn waits for it. One thread at a time sums a chunk.</summary>
    private void MergeInOrder(RoundState round, int shard, int chunk, NativeBuffer mine, Span<ulong> ranks, int input)
    {
        var progress = round.Shards[shard];
        var order = progress.Order!;
        lock (_gate)
        {
            if (round.Aborted)
            {
                mine.Release();
                return;
            }

            if (!order.Add(chunk, input, mine))
            {
                return;
            }
        }

        NativeBuffer? sum = null;
        while (true)
        {
            NativeBuffer? next;
            bool sumWide, nextWide;
            lock (_gate)
            {
                if (round.Aborted)
                {
                    sum?.Release();
                    return;
                }

                ref var held = ref progress.Sum(chunk);
                sum ??= held;
                held = null;
                if (!order.TryTake(chunk, out var turn, out next))
                {
                    if (order.IsThrough(chunk))
                    {
                        break;
                    }

                    held = sum;
                    return;
                }

                RanksOf(round, progress.Place, turn, ranks);
                sumWide = round.IsWide(progress.Held(chunk));
                nextWide = round.IsWide(ranks);
                ContributorSet.Unite(progress.Held(chunk), ranks);
            }

            sum = sum is null ? next! : Combine(round, shard, chunk, sum, sumWide, next!, nextWide);
        }

        Complete(round, shard, chunk, sum!);
    }

    /// <summary>Ranks of an input of the sum: of a local worker or of what a child sends.</summary>
    private static void RanksOf(RoundState round, ShardPlace place, int input, Span<ulong> ranks)
    {
        ranks.Clear();
        var locals = round.Trees.LocalRanks;
        if (input < locals.Length)
        {
            ContributorSet.Add(ranks, locals[input]);
        }
        else
        {
            place.ChildRanks[input - locals.Length].CopyTo(ranks);
        }
    }

    /// <summary>Passes a complete sum on: to the parent, or as the result.</summary>
    private void Complete(RoundState round, int shard, int chunk, NativeBuffer sum)
    {
        var progress = round.Shards[shard];
        var parent = progress.Place.Parent;
        if (parent is null)
        {
            Reduction.Finish(sum.Span(round.SumBytes(shard, chunk, round.Trees.All)), round.Shape.Type, round.Shape.Operation, round.Trees.World);
        }

        lock (_gate)
        {
            if (round.Aborted)
            {
                sum.Release();
                return;
            }

            if (parent is not null)
            {
                progress.Sum(chunk) = sum;
                progress.SetPhase(chunk, ChunkPhase.Sent);
                Enqueue(parent, round, FrameType.Partial, shard, chunk, sum);
                return;
            }

            MarkDone(round, progress, chunk);
        }

        Deliver(round, shard, chunk, sum);
    }

    /// <summary>Makes one partial sum of two. The buffer that is not returned has been let go.</summary>
    private NativeBuffer Combine(RoundState round, int shard, int chunk, NativeBuffer a, bool aIsWide, NativeBuffer b, bool bIsWide)
    {
        if (bIsWide && !aIsWide)
        {
            (a, b) = (b, a);
            (aIsWide, bIsWide) = (bIsWide, aIsWide);
        }

        var bytes = round.ChunkBytes(shard, chunk);
        if (bIsWide)
        {
            var wideBytes = round.SumBytes(shard, chunk, round.Trees.All);
            Reduction.Accumulate(a.Span(wideBytes), b.Span(wideBytes), ElementType.Float32, round.Shape.Operation);
        }
        else
        {
            a = Add(round, shard, chunk, a, aIsWide, b.Span(bytes));
        }

        b.Release();
        return a;
    }

    /// <summary>Adds a contribution to a partial sum. Returns the buffer that holds the outcome, which is another one when the first was too small.</summary>
    private NativeBuffer Add(RoundState round, int shard, int chunk, NativeBuffer sum, bool isWide, ReadOnlySpan<byte> contribution)
    {
        var shape = round.Shape;
        if (!shape.SumsWide)
        {
            Reduction.Accumulate(sum.Span(contribution.Length), contribution, shape.Type, shape.Operation);
            return sum;
        }

        var wideBytes = round.SumBytes(shard, chunk, round.Trees.All);
        if (sum.Capacity < wideBytes)
        {
            // Received while smaller chunks were all that was known.
            var larger = _pool.Rent(round.Trees.ChunkBytes);
            sum.Span(contribution.Length).CopyTo(larger.Span(contribution.Length));
            sum.Release();
            sum = larger;
        }

        if (!isWide)
        {
            Reduction.Widen(sum.Span(wideBytes), shape.Type);
        }

        Reduction.AccumulateNarrow(sum.Span(wideBytes), contribution, shape.Type);
        return sum;
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
        NativeBuffer? sum = null;
        var sumIsWide = false;
        int input;
        Span<ulong> contributors = stackalloc ulong[FrameHeader.MaxContributorBytes / sizeof(ulong)];
        contributors = contributors[..round.Trees.Words];
        contributors.Clear();
        lock (_gate)
        {
            if (!round.Live || _closed || NextLocal(round, shard) is not { } local)
            {
                return false;
            }

            input = local;
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
            if (progress.Order is null)
            {
                sum = progress.Sum(chunk);
                progress.Sum(chunk) = null;
            }

            if (sum is not null)
            {
                sumIsWide = round.IsWide(progress.Held(chunk));
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
            sum = Add(round, shard, chunk, sum, sumIsWide, mine);
        }

        lock (_gate)
        {
            EndUse(round);
        }

        Merge(round, shard, chunk, sum, contributors, input);
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
