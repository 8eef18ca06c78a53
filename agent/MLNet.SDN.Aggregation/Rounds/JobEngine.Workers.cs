using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

internal sealed partial class JobEngine
{
    /// <summary>Lets a worker in.</summary>
    /// <param name="rank">The rank asked for; null takes the lowest free one of this host.</param>
    /// <param name="joined">The rank given.</param>
    /// <returns>Why not; null when it joined.</returns>
    public string? TryJoin(int? rank, out int joined)
    {
        joined = -1;
        lock (_gate)
        {
            if (_closed)
            {
                return $"job {_job.Name} has ended";
            }

            LocalWorker? worker;
            if (rank is { } asked)
            {
                if (!_workers.TryGetValue(asked, out worker))
                {
                    var home = _job.Members.FirstOrDefault(m => m.Rank == asked && m.Rank >= 0);
                    return home.Host is null
                        ? $"job {_job.Name} has no rank {asked}: its ranks are 0 to {_job.Members.Count - 1}"
                        : $"rank {asked} of job {_job.Name} belongs on host {home.Host}, this is {_host}";
                }
            }
            else
            {
                worker = _workers.Values.FirstOrDefault(w => !w.Joined && w.Rank != _job.ServerRank);
            }

            if (worker is null || worker.Joined)
            {
                return !_workers.Keys.Any(r => r != _job.ServerRank)
                    ? $"job {_job.Name} has no worker on host {_host}"
                    : $"{(rank is null ? "every rank" : $"rank {rank}")} of job {_job.Name} on host {_host} has joined already; let that process leave first";
            }

            worker.Joined = true;
            worker.Restored = false;
            worker.Left = false;
            worker.Session++;
            joined = worker.Rank;
            ReportState();
        }

        PumpUnparked();
        return null;
    }

    /// <summary>Ends a worker's session. The rounds it has contributed to go on.</summary>
    /// <param name="rank">The worker.</param>
    /// <param name="left">It said goodbye; otherwise it died.</param>
    public void Leave(int rank, bool left)
    {
        lock (_gate)
        {
            if (_workers.TryGetValue(rank, out var worker) && worker.Joined)
            {
                worker.End(left, left ? "left the job" : "is gone: its process ended without leaving");
                ReportState();
            }
        }

        PumpUnparked();
    }

    /// <summary>Gives a worker shared memory for messages up to a size; the answer comes as <see cref="IJobPorts.StreamOpened"/>.</summary>
    /// <returns>Why not; null when it will come.</returns>
    public string? Open(int rank, uint stream, long bytes)
    {
        lock (_gate)
        {
            if (_closed || !_workers.TryGetValue(rank, out var worker) || !worker.Joined)
            {
                return $"rank {rank} has not joined";
            }

            if (!worker.Streams.TryGetValue(stream, out var local))
            {
                if (worker.Streams.Count >= MaxStreams || (_streams.Count >= MaxStreams && !_streams.ContainsKey(stream)))
                {
                    return $"job {_job.Name} uses {MaxStreams} streams already; use fewer";
                }

                worker.Streams[stream] = local = new LocalStream();
            }

            if (local.Area is null || local.Area.Capacity < bytes)
            {
                if (worker.MappedBytes - (local.Area?.FileBytes ?? 0) + SharedAreaLayout.FileBytes(SharedAreaLayout.CapacityFor(bytes)) > AddressSpace.MostOfWorker)
                {
                    return $"no shared memory for a message of {bytes} bytes: rank {rank} has mapped {worker.MappedBytes} bytes, and {AddressSpace.MostOfWorker} are the most; use fewer or smaller streams";
                }

                SharedArea area;
                try
                {
                    area = SharedArea.Create(_job.JobId, rank, stream, bytes);
                }
                catch (IOException e)
                {
                    return $"no shared memory for a message of {bytes} bytes: {e.Message}";
                }

                local.Area?.Release();
                local.Area = area;
            }

            local.Opening = true;
            if (local.Next is { } next)
            {
                Opened(worker, stream, local, next);
            }
            else
            {
                AskOpen(rank, stream);
            }
        }

        PumpUnparked();
        return null;
    }

    /// <summary>Takes a worker's contribution, which lies complete in its shared memory. The outcome comes over the ports.</summary>
    /// <returns>Why it was refused, which leaves everything as it was; null when taken.</returns>
    public string? Submit(int rank, uint stream, ulong round, MessageShape shape)
    {
        RoundState? state;
        lock (_gate)
        {
            if (_closed || !_workers.TryGetValue(rank, out var worker) || !worker.Joined)
            {
                return $"rank {rank} has not joined";
            }

            if (!worker.Streams.TryGetValue(stream, out var local) || local.Area is null || local.Next is not { } next)
            {
                return $"stream {stream} is not open";
            }

            if (TryAnswerAgain(worker, stream, local, round))
            {
                return null;
            }

            if (round != next || local.Parked is not null)
            {
                return $"round {round} of stream {stream} is not the next one, {next}";
            }

            if (shape.Bytes <= 0 || shape.Bytes > local.Area.Capacity)
            {
                return $"a message of {shape.Bytes} bytes does not fit into the {local.Area.Capacity} bytes of stream {stream}";
            }

            if (shape.Bytes % Elements.Bytes(shape.Type) != 0)
            {
                return $"a message of {shape.Bytes} bytes is no whole number of {Elements.Name(shape.Type)} elements";
            }

            if (Elements.NeedsServer(shape.Operation) && _job.ServerRank is null)
            {
                return $"op {Elements.Name(shape.Operation)} needs a parameter server, and job {_job.Name} was submitted without one";
            }

            if (round > 0 && _streams.TryGetValue(stream, out var known) && known.Find(round - 1) is { Live: true } before && IsSubmitted(before, rank))
            {
                return $"round {round - 1} of stream {stream} has not ended";
            }

            local.Next = next + 1;
            local.Resumed = false;
            ForgetRestored(local, round);
            local.Submitted = shape;
            state = Begin(worker, stream, local, round, local.Submitted);
            if (local.Parked is not null)
            {
                AskEpoch(stream, round);
            }
        }

        if (state is not null)
        {
            Pump(state);
        }

        PumpUnparked();
        return null;
    }

    /// <summary>Sends what waited for the answer of the anchor.</summary>
    private void PumpUnparked()
    {
        while (true)
        {
            RoundState round;
            lock (_gate)
            {
                if (_unparked.Count == 0)
                {
                    return;
                }

                round = _unparked[^1];
                _unparked.RemoveAt(_unparked.Count - 1);
            }

            Pump(round);
        }
    }

    /// <summary>Sends as much of the local contributions as the windows allow, one chunk of each shard in turn.</summary>
    private void Pump(RoundState round)
    {
        var shards = round.Shards.Length;
        bool any;
        do
        {
            any = false;
            for (var i = 0; i < shards; i++)
            {
                any |= PumpOne(round, (round.Trees.FirstShard + i) % shards);
            }
        }
        while (any);

        lock (_gate)
        {
            Unpin(round);
        }
    }

    /// <summary>Enters a submission into its round. The round is pinned for <see cref="Pump"/>; null when there is nothing to pump.</summary>
    private RoundState? Begin(LocalWorker worker, uint id, LocalStream local, ulong number, MessageShape shape)
    {
        var stream = StreamOf(id);
        if (stream.IsFailed(number))
        {
            _ports.RoundFailed(worker.Rank, id, number, stream.Failure.Code, stream.Failure.Text);
            return null;
        }

        var round = stream.Find(number);
        if (round is null)
        {
            // Not in an epoch that an earlier life was in: others of this host may have answered it.
            var trees = stream.IsPromised(number) ? null : FindTrees(stream.EpochOf(number));
            if (Has(ProtocolFault.UnannouncedSwitch))
            {
                trees = _trees[^1];
            }

            if (trees is null)
            {
                local.Parked = shape;
                return null;
            }

            round = RoundState.Fits(trees, shape) ? stream.Begin(number, trees, shape, _time.GetTimestamp()) : null;
            if (round is not null)
            {
                _ports.RoundBegins();
            }
            else
            {
                _ports.RoundFailed(worker.Rank, id, number, FailureCode.ShapeMismatch, $"a message of {shape.Bytes} bytes cannot be cut into chunks of {trees.ChunkBytes} bytes");
                return null;
            }
        }

        var now = _time.GetTimestamp();
        var index = IndexOf(round.Trees, worker.Rank);
        round.Submit(index, local.Area!);
        local.Area!.WriteSubmitted(id, number, round.Epoch, shape);
        round.SubmittedAt = round.SubmittedAt == 0 ? now : round.SubmittedAt;
        if (id == 0)
        {
            worker.NoteStart(now, _time);
        }

        if (worker.Rank == 0 && _ledger is not null)
        {
            var before = _ledger.RosterVersion;
            round.Next = Epoch.Max(round.Next, _ledger.Decide(id, number + 1) ?? default);
            BroadcastRosterSince(before);
        }

        if (round.Aborted)
        {
            _ports.RoundFailed(worker.Rank, id, number, round.Failure.Code, round.Failure.Text);
            return null;
        }

        if (round.Shape != shape)
        {
            // What this worker has is never read: another shape is in force in the round.
            for (var shard = 0; shard < round.Shards.Length; shard++)
            {
                round.NextLocal(shard, index) = int.MaxValue;
            }

            var ranks = new ulong[round.Trees.Words];
            ContributorSet.Add(ranks, worker.Rank);
            Mismatch(round, shape, ranks);
            return null;
        }

        round.Pins++;
        return round;
    }

    /// <summary>A round is submitted: everyone has finished those before the one before it.</summary>
    private static void ForgetRestored(LocalStream local, ulong round)
    {
        for (var i = local.Restored.Count - 1; i >= 0; i--)
        {
            if (local.Restored[i].Round + 2 <= round)
            {
                local.Restored[i].Area.Release();
                local.Restored.RemoveAt(i);
            }
        }
    }

    private void Opened(LocalWorker worker, uint stream, LocalStream local, ulong next)
    {
        local.Opening = false;
        _ports.StreamOpened(worker.Rank, stream, local.Area!, next);
    }

    private static int IndexOf(TreeSet trees, int rank)
    {
        for (var i = 0; i < trees.LocalRanks.Length; i++)
        {
            if (trees.LocalRanks[i] == rank)
            {
                return i;
            }
        }

        throw new InvalidOperationException($"Rank {rank} has no place in the trees of this host.");
    }

    private static bool IsSubmitted(RoundState round, int rank) => round.Area(IndexOf(round.Trees, rank)) is not null;

    private void Mismatch(RoundState round, MessageShape shape, ulong[] ranks)
    {
        if (round.Doubt is not null)
        {
            return;
        }

        var others = new ulong[round.Trees.Words];
        foreach (var shard in round.Shards)
        {
            for (var chunk = shard.Low; chunk < shard.High; chunk++)
            {
                ContributorSet.Unite(others, shard.Seen(chunk));
            }
        }

        for (var i = 0; i < ranks.Length; i++)
        {
            others[i] &= ~ranks[i];
        }

        round.Doubt = (FailureCode.ShapeMismatch, $"{RankText.Of(others)} {(ContributorSet.Count(others) == 1 ? "reduces" : "reduce")} {round.Shape}; {RankText.Of(ranks)} {(ContributorSet.Count(ranks) == 1 ? "reduces" : "reduce")} {shape}; give all workers arrays of one size and type");
        round.AskedAt = _time.GetTimestamp();
        Ask(round);
    }
}
