using MLNet.SDN.Agent.Profiling;

namespace MLNet.SDN.Tests.Agent.Profiling;

/// <summary>Byte counters of made-up jobs, sampled as an agent would: irregularly, and sometimes not at all.</summary>
internal sealed class SyntheticTraffic(int seed)
{
    private readonly Random random = new(seed);
    private readonly List<(double Start, double End, double Bytes)> bursts = [];

    public double Now { get; private set; } = 0.05;

    /// <summary>Bytes that flow evenly over some time.</summary>
    public SyntheticTraffic Burst(double seconds, double bytes)
    {
        bursts.Add((Now, Now + seconds, bytes));
        Now += seconds;
        return this;
    }

    public SyntheticTraffic Silence(double seconds)
    {
        Now += Math.Max(0, seconds);
        return this;
    }

    /// <summary>A round: computation whose time varies, then one burst.</summary>
    public SyntheticTraffic Rounds(int count, double period, double duty, double bytes, double jitter)
    {
        for (var i = 0; i < count; i++)
        {
            Silence(period * (1 - duty) * (1 + Normal(jitter))).Burst(period * duty, bytes);
        }

        return this;
    }

    public SyntheticTraffic RandomBursts(int count, double meanGap, double bytes)
    {
        for (var i = 0; i < count; i++)
        {
            Silence(-Math.Log(1 - random.NextDouble()) * meanGap).Burst(0.02 + (0.05 * random.NextDouble()), bytes * (0.5 + random.NextDouble()));
        }

        return this;
    }

    public double Normal(double deviation) => deviation * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    /// <summary>The counter as sampled.</summary>
    /// <param name="interval">Seconds between samples.</param>
    /// <param name="missed">Part of the samples that do not come.</param>
    /// <param name="background">Bytes a second beside the bursts.</param>
    public List<CounterSample> Sample(double interval = 0.01, double missed = 0, double background = 0)
    {
        var samples = new List<CounterSample>();
        var done = 0.0;
        var next = 0;
        for (var t = 0.0; t < Now; t += interval * (0.8 + (0.4 * random.NextDouble())))
        {
            for (; next < bursts.Count && bursts[next].End <= t; next++)
            {
                done += bursts[next].Bytes;
            }

            var part = next < bursts.Count && bursts[next].Start < t ? (t - bursts[next].Start) / (bursts[next].End - bursts[next].Start) * bursts[next].Bytes : 0;
            if (random.NextDouble() >= missed)
            {
                samples.Add(new(t, (long)(done + part + (background * t))));
            }
        }

        return samples;
    }
}
