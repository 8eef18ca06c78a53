using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

// The way of a chunk through this host: from local workers and children into a sum, and up to the parent.
internal sealed unsafe partial class JobEngine
{
    /// <summary>Adds a buffer to the sum of its chunk. Whoever completes the sum passes it on.</summary>
    /// <param name="round">The round.</param>
    /// <param name="serial">Of the round when the buffer was let in: under another it is dropped.</param>
    /// <param name="shard">The shard.</param>
    /// <param name="chunk">The chunk.</param>
    /// <param name="mine">A contribution or partial sum.</param>
    /// <param name="contributors">Its ranks; overwritten.</param>
    /// <param name="input">Its place when contributions are taken in order: local workers first, then children.</param>
    private void Merge(RoundState round, int serial, int shard, int chunk, NativeBuffer mine, Span<ulong> contributors, int input)
    {
        var combining = false;
        while (true)
        {
            NativeBuffer? other;
            ReadOnlySpan<byte> local = default;
            SumForm mineForm, otherForm;
            ShardProgress progress;
            lock (_gate)
            {
                if (combining)
                {
                    EndUse(round);
                    combining = false;
                }

                if (IsIdle(round, serial, shard, chunk))
                {
                    mine.Release();
                    break;
                }

                progress = round.Shards[shard];
                if (progress.Order is null)
                {
                    ref var sum = ref progress.Sum(chunk);
                    if (progress.TryTakeWaiting(chunk, out var waiting))
                    {
                        other = null;
                        mineForm = otherForm = round.FormOf(contributors);
                        ContributorSet.Add(contributors, round.Trees.LocalRanks[waiting]);
                        local = new ReadOnlySpan<byte>(round.Area(waiting)!.Contribution(round.Number) + round.ChunkOffset(shard, chunk), round.ChunkBytes(shard, chunk));

                        // The epoch stays meanwhile, and with it the memory.
                        round.Users++;
                        combining = true;
                    }
                    else if (sum is null)
                    {
                        if (!contributors.SequenceEqual(progress.Place.Expected))
                        {
                            sum = mine;
                            contributors.CopyTo(progress.Held(chunk));
                            return;
                        }

                        other = null;
                        mineForm = otherForm = SumForm.Narrow;
                    }
                    else
                    {
                        // Somebody else left a sum: take it out, so that nobody waits while we add.
                        other = sum;
                        sum = null;
                        mineForm = round.FormOf(contributors);
                        otherForm = round.FormOf(progress.Held(chunk));
                        ContributorSet.Unite(contributors, progress.Held(chunk));

                        // The epoch stays meanwhile, and with it the sizes.
                        round.Users++;
                        combining = true;
                    }
                }
                else
                {
                    if (!progress.Order.Add(chunk, input, mine))
                    {
                        return;
                    }

                    other = null;
                    mineForm = otherForm = SumForm.Narrow;
                }
            }

            if (progress.Order is not null)
            {
                SumInOrder(round, serial, progress, shard, chunk, contributors);
                return;
            }

            if (!local.IsEmpty)
            {
                mine = Add(round, shard, chunk, mine, mineForm, local);
                continue;
            }

            if (other is null)
            {
                Complete(round, serial, shard, chunk, mine);
                return;
            }

            mine = Combine(round, shard, chunk, mine, mineForm, other, otherForm);
        }

        FinishAdopted(round, serial, shard, chunk);
    }

    /// <summary>Sums what has come of a chunk, each in its turn; what comes before its turn waits for it. One thread at a time sums a chunk.</summary>
    private void SumInOrder(RoundState round, int serial, ShardProgress progress, int shard, int chunk, Span<ulong> ranks)
    {
        NativeBuffer? sum = null;
        var combining = false;
        while (true)
        {
            NativeBuffer? next;
            SumForm sumForm, nextForm;
            lock (_gate)
            {
                if (combining)
                {
                    EndUse(round);
                    combining = false;
                }

                if (IsIdle(round, serial, shard, chunk))
                {
                    sum?.Release();
                    break;
                }

                ref var held = ref progress.Sum(chunk);
                sum ??= held;
                held = null;
                if (!progress.Order!.TryTake(chunk, out var turn, out next))
                {
                    if (!progress.Order.IsThrough(chunk))
                    {
                        held = sum;
                        return;
                    }

                    next = null;
                    sumForm = nextForm = SumForm.Narrow;
                }
                else
                {
                    RanksOf(round, progress.Place, turn, ranks);
                    sumForm = round.FormOf(progress.Held(chunk));
                    nextForm = round.FormOf(ranks);
                    ContributorSet.Unite(progress.Held(chunk), ranks);
                    round.Users++;
                    combining = true;
                }
            }

            if (next is null)
            {
                Complete(round, serial, shard, chunk, sum!);
                return;
            }

            sum = sum is null ? next : Combine(round, shard, chunk, sum, sumForm, next, nextForm);
        }

        FinishAdopted(round, serial, shard, chunk);
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
    private void Complete(RoundState round, int serial, int shard, int chunk, NativeBuffer sum)
    {
        ShardProgress progress;
        lock (_gate)
        {
            if (IsIdle(round, serial, shard, chunk))
            {
                sum.Release();
                return;
            }

            progress = round.Shards[shard];
            round.GatheredAt = _time.GetTimestamp();
            if (progress.Place.Parent is { } parent)
            {
                progress.Sum(chunk) = sum;
                progress.SetPhase(chunk, ChunkPhase.Sent);
                Enqueue(parent, round, FrameType.Partial, shard, chunk, sum);
                return;
            }

            // The epoch stays while the result is finished and brought where it belongs.
            round.Users++;
        }

        Reduction.Finish(sum.Span(round.SumBytes(shard, chunk, round.Trees.All)), round.Shape.Type, round.Shape.Operation, round.Contributions);
        lock (_gate)
        {
            if (round.Aborted)
            {
                sum.Release();
                EndUse(round);
                return;
            }

            MarkDone(round, progress, chunk);
            if (round.Epoch.Attempt > round.SummedIn)
            {
                // Once for each attempt: one in which all chunks were held by somebody only gives results out again.
                round.SummedIn = round.Epoch.Attempt;
                AggregationLog.SummedAgain(_logger, _job.Name, (long)round.Number, round.Stream.Id, round.Epoch.Attempt);
            }
        }

        Deliver(round, shard, chunk, sum);
    }

    /// <summary>Makes one partial sum of two. The buffer that is not returned has been let go.</summary>
    private NativeBuffer Combine(RoundState round, int shard, int chunk, NativeBuffer a, SumForm aForm, NativeBuffer b, SumForm bForm)
    {
        if (aForm == SumForm.Empty || (bForm == SumForm.Wide && aForm == SumForm.Narrow))
        {
            (a, b) = (b, a);
            (aForm, bForm) = (bForm, aForm);
        }

        if (bForm == SumForm.Empty)
        {
            b.Release();
            return a;
        }

        var bytes = round.ChunkBytes(shard, chunk);
        if (bForm == SumForm.Wide)
        {
            var wideBytes = round.SumBytes(shard, chunk, round.Trees.All);
            Reduction.Accumulate(a.Span(wideBytes), b.Span(wideBytes), ElementType.Float32, round.Shape.Operation);
        }
        else
        {
            a = Add(round, shard, chunk, a, aForm, b.Span(bytes));
        }

        b.Release();
        return a;
    }

    /// <summary>Adds a contribution to a partial sum. Returns the buffer that holds the outcome, which is another one when the first was too small.</summary>
    private NativeBuffer Add(RoundState round, int shard, int chunk, NativeBuffer sum, SumForm form, ReadOnlySpan<byte> contribution)
    {
        if (contribution.IsEmpty)
        {
            return sum;
        }

        var shape = round.Shape;
        if (form == SumForm.Empty)
        {
            sum.Release();
            sum = _pool.Rent(round.Trees.ChunkBytes);
            contribution.CopyTo(sum.Span(contribution.Length));
            return sum;
        }

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

        if (form == SumForm.Narrow)
        {
            Reduction.Widen(sum.Span(wideBytes), shape.Type);
        }

        Reduction.AccumulateNarrow(sum.Span(wideBytes), contribution, shape.Type);
        return sum;
    }

    /// <summary>Whether what was begun under a number of the round has become idle.</summary>
    private bool IsOver(RoundState round, int serial) => round.Aborted || (round.Serial != serial && !Has(ProtocolFault.MergeAcrossEpochs));

    /// <summary>Whether nothing is to be added to a chunk any more: its epoch is over, its result is here, or somebody holds it.</summary>
    private bool IsIdle(RoundState round, int serial, int shard, int chunk) =>
        IsOver(round, serial) || round.Shards[shard].IsDone(chunk) || round.Shards[shard].Adopted(chunk) is not null;

    /// <summary>Takes one chunk of one local worker into the round, if the window is open for it. True when it did.</summary>
    private bool PumpOne(RoundState round, int shard)
    {
        int chunk, input, serial, bytes, capacity;
        bool held;
        byte* source;
        NativeBuffer? sum = null;
        var sumForm = SumForm.Narrow;
        Span<ulong> contributors = stackalloc ulong[FrameHeader.MaxContributorBytes / sizeof(ulong)];
        lock (_gate)
        {
            if (!round.Exchanging || _closed || NextLocal(round, shard) is not { } local)
            {
                return false;
            }

            var progress = round.Shards[shard];
            contributors = contributors[..round.Trees.Words];
            contributors.Clear();
            input = local;
            chunk = round.NextLocal(shard, local)++;
            held = progress.IsResultHeld(chunk) && round.OffersResults;
            if (held && local > 0)
            {
                // The host answers once for all its workers.
                return true;
            }

            Contribute(round, local, held, contributors);
            ContributorSet.Unite(progress.Seen(chunk), contributors);
            if (progress.Place.Parent is { } parent && (held || progress.Place.SendsUnsummed))
            {
                progress.SetPhase(chunk, ChunkPhase.Sent);
                Enqueue(parent, round, held ? FrameType.Held : FrameType.Partial, shard, chunk, null);
                return true;
            }

            if (!held && progress.Order is null)
            {
                sum = progress.Sum(chunk);
                progress.Sum(chunk) = null;
            }

            if (!held && sum is null && progress is { Order: null, Place.Children.Length: > 0 } && progress.Adopted(chunk) is null
                && !Elements.NeedsServer(round.Shape.Operation) && progress.TryWait(chunk, local))
            {
                // What a child sends is awaited anyway: this is added to it then, without a copy of its own. A result of an earlier epoch waits only for this answer.
                return true;
            }

            if (sum is not null)
            {
                sumForm = round.FormOf(progress.Held(chunk));
                ContributorSet.Unite(contributors, progress.Held(chunk));
            }

            source = (held ? round.Results : round.Area(local)!.Contribution(round.Number)) + round.ChunkOffset(shard, chunk);
            bytes = held || round.Contributes(local) ? round.ChunkBytes(shard, chunk) : 0;
            capacity = round.Trees.ChunkBytes;
            serial = round.Serial;
            round.Pins++;
            round.Users++;
        }

        var mine = new ReadOnlySpan<byte>(source, bytes);
        if (sum is null)
        {
            sum = _pool.Rent(capacity);
            mine.CopyTo(sum.Span(bytes));
        }
        else
        {
            sum = Add(round, shard, chunk, sum, sumForm, mine);
        }

        lock (_gate)
        {
            EndUse(round);
        }

        if (held)
        {
            Adopt(round, serial, shard, chunk, sum);
        }
        else
        {
            Merge(round, serial, shard, chunk, sum, contributors, input);
        }

        lock (_gate)
        {
            Unpin(round);
        }

        return true;
    }

    private static void Contribute(RoundState round, int local, bool all, Span<ulong> contributors)
    {
        for (var i = 0; i < round.Trees.LocalRanks.Length; i++)
        {
            if (all || i == local)
            {
                ContributorSet.Add(contributors, round.Trees.LocalRanks[i]);
            }
        }
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
}
