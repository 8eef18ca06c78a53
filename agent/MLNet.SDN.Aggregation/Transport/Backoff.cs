namespace MLNet.SDN.Aggregation.Transport;

/// <summary>Waits between attempts to dial: doubled each time up to a limit, and scattered so that hosts which lost the same peer do not come back at once.</summary>
internal sealed class Backoff
{
    private static readonly TimeSpan First = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(1);

    private TimeSpan _next = First;

    public void Reset() => _next = First;

    /// <summary>Half to all of the current wait.</summary>
    public TimeSpan Next()
    {
        var wait = _next * (0.5 + (Random.Shared.NextDouble() / 2));
        _next = _next * 2 < Longest ? _next * 2 : Longest;
        return wait;
    }
}
