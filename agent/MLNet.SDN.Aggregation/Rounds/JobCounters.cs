namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>Events of one job that are counted, not logged one by one. Thread-safe.</summary>
internal sealed class JobCounters
{
    private long _late;
    private long _duplicates;
    private long _violations;
    private long _served;
    private long _redone;

    public long LateFrames => Interlocked.Read(ref _late);

    public long DuplicateFrames => Interlocked.Read(ref _duplicates);

    public long Violations => Interlocked.Read(ref _violations);

    public long ResultsServedAgain => Interlocked.Read(ref _served);

    /// <summary>Rounds that local workers waited for and that entered a later epoch.</summary>
    public long RoundsRedone => Interlocked.Read(ref _redone);

    public void Redone() => Interlocked.Increment(ref _redone);

    public void Late() => Interlocked.Increment(ref _late);

    public void Duplicate() => Interlocked.Increment(ref _duplicates);

    public void Violation() => Interlocked.Increment(ref _violations);

    public void ServedAgain() => Interlocked.Increment(ref _served);
}
