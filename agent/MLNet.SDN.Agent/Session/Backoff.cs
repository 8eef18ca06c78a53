namespace MLNet.SDN.Agent.Session;

/// <summary>How long to wait before dialling again: doubling up to a limit, each time a random part of it, so that a thousand agents do not return in step.</summary>
internal sealed class Backoff
{
    private static readonly TimeSpan First = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    private readonly Random random;
    private int failures;

    /// <summary>Creates a backoff that has seen no failure.</summary>
    public Backoff(Random random) => this.random = random;

    /// <summary>Tells of a success: the next failure counts as the first.</summary>
    public void Reset() => failures = 0;

    /// <summary>The wait after one more failure: between half and all of 250 ms, 500 ms, 1 s ... 30 s.</summary>
    public TimeSpan Next()
    {
        var ceiling = Math.Min(Limit.TotalMilliseconds, First.TotalMilliseconds * Math.Pow(2, Math.Min(failures++, 20)));
        return TimeSpan.FromMilliseconds(ceiling * (0.5 + (random.NextDouble() / 2)));
    }
}
