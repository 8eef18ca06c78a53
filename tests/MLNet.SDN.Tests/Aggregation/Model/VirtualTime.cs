namespace MLNet.SDN.Tests.Aggregation.Model;

/// <summary>A clock that stands still until it is moved.</summary>
internal sealed class VirtualTime : TimeProvider
{
    private TimeSpan _elapsed = TimeSpan.FromHours(1);

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => _elapsed.Ticks;

    public override DateTimeOffset GetUtcNow() => DateTimeOffset.UnixEpoch + _elapsed;

    public void Advance(TimeSpan by) => _elapsed += by;
}

/// <summary>The model found that a guarantee does not hold.</summary>
internal sealed class GuaranteeBrokenException(string message) : Exception(message)
{
    public static void Unless(bool holds, string message)
    {
        if (!holds)
        {
            throw new GuaranteeBrokenException(message);
        }
    }
}
