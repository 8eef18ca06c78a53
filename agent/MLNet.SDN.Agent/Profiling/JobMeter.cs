using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Profiling;

/// <summary>Follows the bytes of one job's connections until its rounds are known, rests, and looks again, since a job's rounds may change. Not thread-safe; keeps no clock of its own.</summary>
internal sealed class JobMeter
{
    // Enough to leave out the quarters at both ends and still know the mean of jittered rounds within 5 %.
    private const int EnoughRounds = 16;

    private const double FirstAttempt = 2;
    private const double LastAttempt = 64;
    private const double RestWhenKnown = 60;
    private const double RestWhenUnknown = 180;

    private readonly List<CounterSample> samples = [];
    private readonly Dictionary<ulong, long> last = [];
    private long total;
    private double attempt = FirstAttempt;
    private double restsUntil = double.NegativeInfinity;

    /// <summary>What was inferred last; null before the first inference.</summary>
    public TrafficProfile? Profile { get; private set; }

    /// <summary>Whether it wants a sample at this time, seconds.</summary>
    public bool IsMeasuring(double now) => now >= restsUntil;

    /// <summary>How long to the next sample, seconds: what is short shows early, so the longer it takes the fewer samples are needed.</summary>
    public double Interval => attempt <= 8 ? 0.01 : attempt <= 16 ? 0.02 : 0.04;

    /// <summary>Takes a sample.</summary>
    /// <param name="now">Seconds on a clock that only goes forward.</param>
    /// <param name="counters">Bytes sent so far by each open connection, by a number that no other connection has ever had. One that is new counts from now on.</param>
    /// <returns>True when there is a new <see cref="Profile"/>.</returns>
    public bool Take(double now, IEnumerable<(ulong Cookie, long Bytes)> counters)
    {
        foreach (var (cookie, bytes) in counters)
        {
            total += last.TryGetValue(cookie, out var before) ? Math.Max(0, bytes - before) : 0;
            last[cookie] = bytes;
        }

        samples.Add(new(now, total));
        if (now - samples[0].Seconds < attempt)
        {
            return false;
        }

        var profile = RoundProfiler.Profile(samples);
        if (profile.Rounds < EnoughRounds && attempt < LastAttempt)
        {
            attempt *= 2;
            return false;
        }

        Profile = profile;
        restsUntil = now + (profile.HasPeriod ? RestWhenKnown : RestWhenUnknown);
        samples.Clear();
        last.Clear();
        (total, attempt) = (0, FirstAttempt);
        return true;
    }
}
