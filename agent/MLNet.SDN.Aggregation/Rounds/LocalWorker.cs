using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>A round as the memory of a worker tells of it, which outlived the agent that wrote it. Holds the memory.</summary>
internal sealed record RestoredRound(ulong Round, MessageShape Shape, SlotStatus Status, Epoch Promised, SharedArea Area)
{
    /// <summary>Somebody waits for what this host would have answered: its own worker, or others in an epoch by direct ways that it promised to answer.</summary>
    public bool IsAwaited => Status == SlotStatus.Submitted || Promised.Attempt > 0;
}

/// <summary>A worker's stream on its own host.</summary>
internal sealed class LocalStream
{
    /// <summary>The round that the worker may submit next; null until the anchor has said where the stream begins.</summary>
    public ulong? Next { get; set; }

    public SharedArea? Area { get; set; }

    /// <summary>The worker waits to hear where its stream lies.</summary>
    public bool Opening { get; set; }

    /// <summary>A submission that waits for the revision of its round.</summary>
    public MessageShape? Parked { get; set; }

    /// <summary>Shape of the round submitted last.</summary>
    public MessageShape Submitted { get; set; }

    /// <summary>Rounds that an earlier life of the agent took part in and that others may still need.</summary>
    public List<RestoredRound> Restored { get; } = [];

    /// <summary>The worker asks once more for the outcome of the round before <see cref="Next"/>, as it may have missed it.</summary>
    public bool Resumed { get; set; }

    /// <summary>The last round whose contribution stays when the worker goes; -1 for none. What an earlier life contributed lies in the worker's memory alone until its round goes on here.</summary>
    public long Contributed
    {
        get
        {
            var submitted = (long)(Next ?? 0) - (Parked is null ? 1 : 2);
            return Restored.Where(r => r.IsAwaited).Select(r => (long)r.Round - 1).Append(submitted).Min();
        }
    }

    /// <summary>Lets go of all memory.</summary>
    public void Release()
    {
        Area?.Release();
        Area = null;
        foreach (var restored in Restored)
        {
            restored.Area.Release();
        }

        Restored.Clear();
    }
}

/// <summary>A worker of this host, there or not. Guarded by the engine's lock.</summary>
internal sealed class LocalWorker(int rank)
{
    /// <summary>Weight of the newest round in the running means.</summary>
    private const double Newest = 0.2;

    private long _lastStart;

    public int Rank { get; } = rank;

    public bool Joined { get; set; }

    public bool Left { get; set; }

    /// <summary>The session began under an earlier life of the agent.</summary>
    public bool Restored { get; set; }

    /// <summary>Joins of the rank on this host since the agent's start.</summary>
    public int Session { get; set; }

    public int Ended { get; set; }

    public string? EndReason { get; set; }

    public IReadOnlyList<StreamRound> Last { get; set; } = [];

    public Dictionary<uint, LocalStream> Streams { get; } = [];

    /// <summary>Rounds finished of stream 0.</summary>
    public long RoundsDone { get; set; }

    /// <summary>Running mean from start to start of rounds of stream 0; 0 while unknown.</summary>
    public double SecondsPerRound { get; private set; }

    /// <summary>Running mean of the wait for a result of stream 0; 0 while unknown.</summary>
    public double CommunicationSeconds { get; private set; }

    /// <summary>Bytes of the files of all areas in use.</summary>
    public long MappedBytes => Streams.Values.Sum(s => (s.Area?.FileBytes ?? 0) + s.Restored.Where(r => r.Area != s.Area).Sum(r => r.Area.FileBytes));

    public void NoteStart(long now, TimeProvider time)
    {
        if (_lastStart != 0)
        {
            SecondsPerRound = Mean(SecondsPerRound, time.GetElapsedTime(_lastStart, now).TotalSeconds);
        }

        _lastStart = now;
    }

    public void NoteDone(long now, TimeProvider time)
    {
        RoundsDone++;
        CommunicationSeconds = Mean(CommunicationSeconds, time.GetElapsedTime(_lastStart, now).TotalSeconds);
    }

    /// <summary>Ends the session. Contributions already submitted stay with their rounds.</summary>
    public void End(bool left, string reason)
    {
        Joined = false;
        Left = left;
        Ended = Session;
        EndReason = reason;
        Last = [.. Streams.Where(s => s.Value.Next is not null).Select(s => new StreamRound(s.Key, s.Value.Contributed))];
        foreach (var stream in Streams.Values)
        {
            stream.Release();
        }

        Streams.Clear();
        _lastStart = 0;
    }

    private static double Mean(double mean, double value) => mean == 0 ? value : (mean * (1 - Newest)) + (value * Newest);
}
