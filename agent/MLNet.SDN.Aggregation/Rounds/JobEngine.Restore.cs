using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>Memory of a stream that a worker hands back to an agent that was started anew.</summary>
/// <param name="Stream">The stream.</param>
/// <param name="Round">The first round whose outcome the worker does not know.</param>
/// <param name="Area">The memory, held by the message.</param>
internal sealed record RestoredStream(uint Stream, ulong Round, SharedArea Area);

// A worker whose session began under an earlier life of the agent.
internal sealed partial class JobEngine
{
    /// <summary>
    /// Lets a worker go on with its session. Its rounds in progress are answered again once the anchor names an epoch that no earlier life has answered.
    /// </summary>
    /// <param name="rank">The worker.</param>
    /// <param name="streams">Its memory; of several for one stream the last is the one in use. Taken over, also when refused.</param>
    /// <returns>Why not; null when it goes on.</returns>
    public string? TryRejoin(int rank, IReadOnlyList<RestoredStream> streams)
    {
        lock (_gate)
        {
            var refusal = _closed ? $"job {_job.Name} has ended"
                : !_workers.TryGetValue(rank, out var worker) ? $"job {_job.Name} has no rank {rank} on host {_host}"
                : worker.Session > 0 ? $"rank {rank} of job {_job.Name} was let in by this agent before: its session has ended, join anew"
                : null;
            if (refusal is not null)
            {
                foreach (var stream in streams)
                {
                    stream.Area.Release();
                }

                return refusal;
            }

            worker = _workers[rank];
            worker.Joined = true;
            worker.Restored = true;
            worker.Left = false;
            worker.Session++;
            foreach (var stream in streams)
            {
                Restore(worker, stream);
            }

            _restoredAskedAt = 0;
            ReportState();
            AskForRestored(_time.GetTimestamp());
        }

        PumpUnparked();
        return null;
    }

    private void Restore(LocalWorker worker, RestoredStream restored)
    {
        var stream = StreamOf(restored.Stream);
        if (!worker.Streams.TryGetValue(restored.Stream, out var local))
        {
            worker.Streams[restored.Stream] = local = new LocalStream();
        }

        local.Area?.Release();
        local.Area = restored.Area;
        local.Next ??= restored.Round;
        for (var round = restored.Round > 0 ? restored.Round - 1 : 0; round <= restored.Round; round++)
        {
            if (!restored.Area.TryReadSlot(restored.Stream, round, out var shape, out var status, out var promised))
            {
                continue;
            }

            if (round == restored.Round)
            {
                local.Next = round + 1;
                local.Submitted = shape;
                local.Resumed = true;
            }

            if (status == SlotStatus.Failed)
            {
                stream.Fail((long)round, (long)round, FailureCode.HostLost, $"the round was given up before the agent on {_host} was started anew");
                continue;
            }

            if (local.Restored.RemoveAll(r => r.Round == round) > 0)
            {
                // Named by two areas: the newer one counts. Only a worker that does not follow the protocol gets here.
                continue;
            }

            restored.Area.AddHolder();
            local.Restored.Add(new RestoredRound(round, shape, status, promised, restored.Area));
            if (status == SlotStatus.Done)
            {
                stream.CompletedThrough = Math.Max(stream.CompletedThrough, (long)round);
            }

            if (!Has(ProtocolFault.ForgetPromise))
            {
                stream.Promise(round, promised);
            }
            else if (status == SlotStatus.Submitted)
            {
                Announce(stream, round, new Epoch(_trees[^1].Revision, 0));
                ResumeForgetful(stream, round);
            }
        }
    }

    /// <summary>Answers a worker that asks again for the outcome of the round it submitted last, under an earlier life of the agent. False when that is not the question.</summary>
    private bool TryAnswerAgain(LocalWorker worker, uint id, LocalStream local, ulong round)
    {
        if (!local.Resumed || local.Next != round + 1)
        {
            return false;
        }

        var stream = StreamOf(id);
        if (stream.IsFailed(round))
        {
            _ports.RoundFailed(worker.Rank, id, round, stream.Failure.Code, stream.Failure.Text);
        }
        else if (local.Restored.Exists(r => r.Round == round && r.Status == SlotStatus.Done) || stream.Find(round) is { Complete: true })
        {
            _ports.RoundDone(worker.Rank, id, round);
        }

        return true;
    }

    /// <summary>Ends what an earlier life contributed to rounds that have failed.</summary>
    private void FailRestored(StreamState stream)
    {
        foreach (var worker in _workers.Values)
        {
            if (!worker.Streams.TryGetValue(stream.Id, out var local))
            {
                continue;
            }

            for (var i = local.Restored.Count - 1; i >= 0; i--)
            {
                var restored = local.Restored[i];
                if (restored.Status == SlotStatus.Submitted && stream.IsFailed(restored.Round))
                {
                    local.Restored.RemoveAt(i);
                    restored.Area.WriteFailed(restored.Round);
                    restored.Area.Release();
                    _ports.RoundFailed(worker.Rank, stream.Id, restored.Round, stream.Failure.Code, stream.Failure.Text);
                }
            }
        }
    }

    private void FailLeftToRestore(StreamState stream, string text)
    {
        foreach (var worker in _workers.Values)
        {
            if (worker.Streams.TryGetValue(stream.Id, out var local) && local.Restored.Find(r => r.Status == SlotStatus.Submitted) is { } restored)
            {
                stream.Fail((long)restored.Round, (long)restored.Round, FailureCode.HostLost, text);
            }
        }

        FailRestored(stream);
    }

    /// <summary>Breaks the rule on purpose: see <see cref="ProtocolFault.ForgetPromise"/>.</summary>
    private void ResumeForgetful(StreamState stream, ulong number)
    {
        if (stream.Find(number) is null && FindTrees(stream.EpochOf(number)) is { } trees)
        {
            foreach (var worker in _workers.Values)
            {
                if (worker.Streams.TryGetValue(stream.Id, out var local) && local.Restored.Find(r => r.Round == number) is { } restored
                    && stream.Begin(number, trees, restored.Shape, _time.GetTimestamp()) is { } round)
                {
                    Enter(round, trees);
                    return;
                }
            }
        }
    }
}
