namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>How a finished round of stream 0 went on this host.</summary>
/// <param name="Round">Its number.</param>
/// <param name="GatherSeconds">From its start here until the last sum was complete; 0 where nothing is summed.</param>
/// <param name="DeliverSeconds">From then until the last result was here.</param>
/// <param name="SlowestChild">The child that was waited for longest; null when none was.</param>
/// <param name="SlowestShare">Of the time to gather, the part that was spent waiting for it; 0 to 1.</param>
internal sealed record RoundTimes(long Round, double GatherSeconds, double DeliverSeconds, string? SlowestChild, double SlowestShare);

/// <summary>What a job moves through this host, and how its last round went. Safe to call from any thread.</summary>
internal sealed class ReductionSight(TimeProvider time)
{
    private long _received;
    private long _sent;
    private RoundTimes? _last;

    /// <summary>Bytes of the frames that came, headers included.</summary>
    public long BytesReceived => Interlocked.Read(ref _received);

    /// <summary>Bytes of the frames that went, headers included.</summary>
    public long BytesSent => Interlocked.Read(ref _sent);

    /// <summary>The last round of stream 0 that was finished here; null before the first.</summary>
    public RoundTimes? Last => Volatile.Read(ref _last);

    public void Received(int bytes) => Interlocked.Add(ref _received, bytes);

    public void Sent(int bytes) => Interlocked.Add(ref _sent, bytes);

    /// <summary>A round is finished here. Under the engine's lock.</summary>
    public void Finished(RoundState round)
    {
        if (round.Stream.Id != 0)
        {
            return;
        }

        var start = round.StartedAt;
        var gathered = Math.Clamp(round.GatheredAt, start, round.EndedAt);
        var (child, share) = round.SlowestChild();
        Volatile.Write(ref _last, new RoundTimes((long)round.Number, Seconds(start, gathered), Seconds(gathered, round.EndedAt), child, share));
    }

    private double Seconds(long from, long to) => time.GetElapsedTime(from, to).TotalSeconds;
}
