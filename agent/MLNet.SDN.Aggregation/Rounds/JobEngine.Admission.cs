using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>What became of a received frame.</summary>
internal enum FrameVerdict
{
    /// <summary>Taken; the buffer belongs to the engine now.</summary>
    Taken,

    /// <summary>Late or repeated, dropped without harm; the buffer stays with the caller.</summary>
    Dropped,

    /// <summary>Not yet: a thread still writes what is left of an earlier epoch. To be offered again in a moment; the buffer stays with the caller.</summary>
    Early,

    /// <summary>No honest peer sends this; the connection is to be closed. The buffer stays with the caller.</summary>
    Violation,
}

// What is let in: frames of the epoch that the round is in here, from those that the epoch's trees say.
internal sealed partial class JobEngine
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
        RoundState? round;
        FrameVerdict verdict;
        bool entered;
        var (serial, input) = (0, 0);
        Span<ulong> contributors = stackalloc ulong[FrameHeader.MaxContributorBytes / sizeof(ulong)];
        lock (_gate)
        {
            verdict = Admit(peer, header, contributorBytes, ref contributors, out round);
            entered = _unparked.Count > 0;
            if (verdict == FrameVerdict.Taken)
            {
                serial = round!.Serial;
                input = round.Trees.LocalRanks.Length + Array.IndexOf(round.Shards[header.Shard].Place.Children, peer);
                round.Pins++;
                if (header.Type == FrameType.Partial)
                {
                    var progress = round.Shards[header.Shard];
                    round.NoteArrival(peer, progress.Seen((int)header.Chunk).SequenceEqual(progress.Place.Expected), _time.GetTimestamp());
                }
            }
        }

        if (verdict == FrameVerdict.Taken)
        {
            int shard = header.Shard;
            var chunk = (int)header.Chunk;
            if (header.Type == FrameType.Result)
            {
                Deliver(round!, shard, chunk, payload);
            }
            else if (header.Type == FrameType.Held)
            {
                Adopt(round!, serial, shard, chunk, payload);
            }
            else
            {
                Merge(round!, serial, shard, chunk, payload, contributors, input);
            }

            while (PumpOne(round!, shard))
            {
            }

            lock (_gate)
            {
                Unpin(round!);
                entered |= _unparked.Count > 0;
            }
        }

        if (entered)
        {
            PumpUnparked();
        }

        return verdict;
    }

    /// <summary>Checks a frame against what this host knows, and notes its contributors.</summary>
    private FrameVerdict Admit(string peer, in FrameHeader header, ReadOnlySpan<byte> contributorBytes, ref Span<ulong> contributors, out RoundState? round)
    {
        round = null;
        if (_closed)
        {
            return FrameVerdict.Dropped;
        }

        if (header.JobId != _job.JobId || (!_streams.ContainsKey(header.Stream) && _streams.Count >= MaxStreams))
        {
            return Violation();
        }

        var planned = FindTrees(header.Epoch.Trees);
        if (planned is null && header.Epoch.Trees.CompareTo(_trees[^1].Revision) < 0)
        {
            // A straggler of trees that no round uses any more; or an earlier life of this agent had them, and the round needs others.
            NoteUnheld(header.Stream, header.Round, header.Epoch);
            return Late();
        }

        // Trees that this host does not know yet: closing the connection makes the peer come again when it has heard of them.
        if (planned is null || header.Shard >= planned.Places.Length || !ContributorSet.TryRead(contributorBytes, planned.World, contributors = contributors[..planned.Words]))
        {
            return Violation();
        }

        var stream = StreamOf(header.Stream);
        if (stream.IsFailed(header.Round) || stream.IsLongOver(header.Round) || (stream.IsOver(header.Round, header.Epoch) && !Has(ProtocolFault.MergeAcrossEpochs)))
        {
            return Late();
        }

        round = stream.Find(header.Round);
        if (round is not null && header.Epoch > round.Epoch && header.Epoch.Attempt == 0)
        {
            // Only trees that were announced before the round began are used in it; another try at it is never by trees.
            return Violation();
        }

        if (header.Epoch.Attempt > 0)
        {
            Announce(stream, header.Round, header.Epoch);
            round = stream.Find(header.Round);
        }

        if (round?.Awaited > round?.Epoch)
        {
            return FrameVerdict.Early;
        }

        return AdmitToRound(peer, header, contributors, stream, ref round);
    }

    private FrameVerdict AdmitToRound(string peer, in FrameHeader header, ReadOnlySpan<ulong> contributors, StreamState stream, ref RoundState? round)
    {
        var shape = new MessageShape(header.MessageBytes, header.ElementType, header.Operation, header.FixedOrder);
        if (round is null)
        {
            if (header.Type == FrameType.Result || (long)header.Round <= stream.CompletedThrough || IsLeftToRestore(stream.Id, header.Round))
            {
                // A result that nobody here contributed to, or a contribution to a round whose end everyone has seen.
                return Late();
            }

            if (FindTrees(header.Epoch) is not { } trees || !IsPlausible(trees, peer, header, contributors))
            {
                return Violation();
            }

            round = RoundState.Fits(trees, shape) ? stream.Begin(header.Round, trees, shape, _time.GetTimestamp()) : null;
            if (round is null)
            {
                return Violation();
            }

            _ports.RoundBegins();
        }
        else if (round.Aborted)
        {
            return Late();
        }
        else if (round.Epoch != header.Epoch && !Has(ProtocolFault.MergeAcrossEpochs))
        {
            return header.Epoch < round.Epoch ? Late() : Violation();
        }
        else if (!IsPlausible(round.Trees, peer, header, contributors))
        {
            return Has(ProtocolFault.MergeAcrossEpochs) ? Late() : Violation();
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

        if (header.PayloadBytes != PayloadBytes(round, header.Type, header.Shard, chunk, contributors, out var type) || header.PayloadType != type)
        {
            return Violation();
        }

        if (!round.Exchanging || progress.IsDone(chunk))
        {
            Counters.Duplicate();
            if (header.Type != FrameType.Result)
            {
                ServeAgain(peer, round, header.Shard, chunk);
            }

            return FrameVerdict.Dropped;
        }

        if (header.Type == FrameType.Result && progress.Phase(chunk) != ChunkPhase.Sent)
        {
            // An earlier life of this agent asked for it. Those below it have noticed that it ended, and wait for another epoch.
            return Late();
        }

        if (header.Type == FrameType.Result)
        {
            MarkDone(round, progress, chunk);
            round.Users++;
        }
        else
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

        if (header.Next > round.Next)
        {
            round.Next = header.Next;
        }

        return FrameVerdict.Taken;
    }

    /// <summary>Bytes that a frame of a round carries.</summary>
    private static int PayloadBytes(RoundState round, FrameType frame, int shard, int chunk, ReadOnlySpan<ulong> contributors, out ElementType type)
    {
        type = frame == FrameType.Partial && round.FormOf(contributors) == SumForm.Wide ? ElementType.Float32 : round.Shape.Type;
        return !Elements.HasPayload(frame, round.Shape.Operation) ? 0
            : frame == FrameType.Partial ? round.SumBytes(shard, chunk, contributors)
            : round.ChunkBytes(shard, chunk);
    }

    /// <summary>Whether the trees of the epoch have such a frame come from the peer.</summary>
    private static bool IsPlausible(TreeSet trees, string peer, in FrameHeader header, ReadOnlySpan<ulong> contributors)
    {
        var place = trees.Places[header.Shard];
        return header.Type switch
        {
            FrameType.Result => place.Parent == peer && contributors.SequenceEqual(trees.All),
            FrameType.Held => trees.Epoch.Attempt > 0 && IsFromChild(place, peer, contributors),
            _ => IsFromChild(place, peer, contributors),
        };
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

    private FrameVerdict Late()
    {
        Counters.Late();
        return FrameVerdict.Dropped;
    }

    private FrameVerdict Violation()
    {
        Counters.Violation();
        return FrameVerdict.Violation;
    }
}
