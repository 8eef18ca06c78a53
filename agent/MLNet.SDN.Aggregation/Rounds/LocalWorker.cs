using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

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
        Last = [.. Streams.Where(s => s.Value.Next is not null).Select(s => new StreamRound(s.Key, (long)s.Value.Next!.Value - (s.Value.Parked is null ? 1 : 2)))];
        foreach (var stream in Streams.Values)
        {
            stream.Area?.Release();
        }

        Streams.Clear();
        _lastStart = 0;
    }

    private static double Mean(double mean, double value) => mean == 0 ? value : (mean * (1 - Newest)) + (value * Newest);
}
