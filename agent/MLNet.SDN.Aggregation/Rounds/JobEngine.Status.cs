using MLNet.SDN.Aggregation.Trees;

namespace MLNet.SDN.Aggregation.Rounds;

internal sealed partial class JobEngine
{
    /// <summary>A wait longer than this is told; below it the picture would flicker.</summary>
    private static readonly TimeSpan NoticeableWait = TimeSpan.FromSeconds(1);

    /// <summary>A wait longer than this is told as a trouble.</summary>
    private static readonly TimeSpan LongWait = TimeSpan.FromSeconds(30);

    /// <summary>Progress of the workers of this host.</summary>
    public IReadOnlyList<WorkerStatus> WorkerStatuses()
    {
        lock (_gate)
        {
            return [.. _workers.Values.Select(w => new WorkerStatus(
                _job.JobId, w.Rank, w.Joined, w.Left, w.RoundsDone, w.SecondsPerRound, w.CommunicationSeconds, WaitsFor(w.Rank)?.Text))];
        }
    }

    /// <summary>What the job moves through this host and what it waits for.</summary>
    public ReductionStatus ReductionStatus()
    {
        lock (_gate)
        {
            var (bytes, waits, now) = (0L, (string?)null, _time.GetTimestamp());
            foreach (var stream in _streams.Values)
            {
                foreach (var round in stream.Rounds)
                {
                    foreach (var shard in round.Shards)
                    {
                        bytes += shard.BufferBytes();
                    }

                    if (round.Live && waits is null && _time.GetElapsedTime(round.StartedAt, now) > NoticeableWait)
                    {
                        waits = Missing(stream, round);
                    }
                }
            }

            var last = Sight.Last ?? new RoundTimes(-1, 0, 0, null, 0);
            return new(_job.JobId, Sight.BytesReceived, Sight.BytesSent, bytes, Counters.RoundsRedone, last.Round, last.GatherSeconds, last.DeliverSeconds, last.SlowestChild, last.SlowestShare, waits);
        }
    }

    /// <summary>What goes wrong now, in words.</summary>
    public IReadOnlyList<string> Troubles()
    {
        var troubles = new List<string>();
        lock (_gate)
        {
            var now = _time.GetTimestamp();
            foreach (var rank in _workers.Keys)
            {
                if (WaitsFor(rank) is { } wait && _time.GetElapsedTime(wait.Since, now) > LongWait)
                {
                    troubles.Add($"job {_job.Name}: rank {rank} waits since {(int)_time.GetElapsedTime(wait.Since, now).TotalSeconds} s, {wait.Text}");
                }
            }
        }

        if (Counters.Violations > 0)
        {
            troubles.Add($"job {_job.Name}: {Counters.Violations} malformed or impossible frames were refused and their connections closed");
        }

        return troubles;
    }

    private (string Text, long Since)? WaitsFor(int rank)
    {
        foreach (var stream in _streams.Values)
        {
            foreach (var round in stream.Rounds)
            {
                if (round.Live && IsSubmitted(round, rank))
                {
                    return (Missing(stream, round), round.SubmittedAt);
                }
            }
        }

        return null;
    }

    /// <summary>What a round needs to go on, as far as this host can see.</summary>
    private string Missing(StreamState stream, RoundState round)
    {
        var where = $"round {round.Number}{(stream.Id == 0 ? "" : $" of stream {stream.Id}")} waits for";
        foreach (var entry in _roster)
        {
            if (!entry.Joined)
            {
                return $"{where} {_job.Members.First(m => m.Rank == entry.Rank).Host} ({entry.Gone ?? $"rank {entry.Rank} has not joined yet"})";
            }
        }

        for (var i = 0; i < round.Shards.Length; i++)
        {
            var shard = round.Shards[i];
            for (var chunk = shard.Low; chunk < shard.High; chunk++)
            {
                var missing = new ulong[round.Trees.Words];
                var seen = shard.Seen(chunk);
                for (var word = 0; word < missing.Length; word++)
                {
                    missing[word] = shard.Place.Expected[word] & ~seen[word];
                }

                if (!ContributorSet.IsEmpty(missing))
                {
                    return $"{where} {HostsOf(missing)} (the contribution of {RankText.Of(missing)})";
                }
            }
        }

        foreach (var shard in round.Shards)
        {
            if (shard.Low < shard.Chunks && shard.Place.Parent is { } parent)
            {
                return $"{where} {parent} (results of {shard.Chunks - shard.Low} of {shard.Chunks} chunks)";
            }
        }

        return $"{where} this host";
    }

    private string HostsOf(ReadOnlySpan<ulong> ranks)
    {
        const int Named = 3;
        var hosts = new List<string>();
        foreach (var member in _job.Members)
        {
            if (ContributorSet.Contains(ranks, member.Rank) && !hosts.Contains(member.Host))
            {
                hosts.Add(member.Host);
            }
        }

        return hosts.Count <= Named ? string.Join(", ", hosts) : $"{string.Join(", ", hosts.Take(Named))} and {hosts.Count - Named} more hosts";
    }
}
