namespace MLNet.SDN.Agent.Profiling;

/// <summary>A value of a byte counter.</summary>
/// <param name="Seconds">When, on a clock that only goes forward.</param>
/// <param name="Bytes">The counter; it never falls.</param>
internal readonly record struct CounterSample(double Seconds, long Bytes);

/// <summary>Bytes per bin of equal length, from samples at irregular times. Between two samples bytes are taken to have flowed evenly. Immutable.</summary>
internal sealed class RateSeries
{
    // Bins of a long series get wider instead of more: the work grows with their square.
    private const int MostBins = 2048;

    private readonly CounterSample[] samples;

    private RateSeries(CounterSample[] samples, double binSeconds, double[] bins) => (this.samples, BinSeconds, Bins) = (samples, binSeconds, bins);

    /// <summary>Length of a bin.</summary>
    public double BinSeconds { get; }

    /// <summary>Bytes of each bin.</summary>
    public double[] Bins { get; }

    /// <summary>Makes a series.</summary>
    /// <param name="samples">In order of time; those that go back in time are passed over, and a counter that falls counts as standing still.</param>
    /// <returns>Null when there are too few samples to speak of rates.</returns>
    public static RateSeries? Of(IReadOnlyList<CounterSample> samples)
    {
        var kept = new List<CounterSample>(samples.Count);
        foreach (var sample in samples)
        {
            if (kept.Count == 0 || sample.Seconds > kept[^1].Seconds)
            {
                kept.Add(kept.Count > 0 && sample.Bytes < kept[^1].Bytes ? sample with { Bytes = kept[^1].Bytes } : sample);
            }
        }

        if (kept.Count < 16)
        {
            return null;
        }

        double[] intervals = [.. kept.Skip(1).Select((s, i) => s.Seconds - kept[i].Seconds).Order()];
        var span = kept[^1].Seconds - kept[0].Seconds;
        var bin = Math.Max(intervals[intervals.Length / 2], span / MostBins);
        var series = new RateSeries([.. kept], bin, new double[(int)Math.Floor((span / bin) + 1e-9)]);
        var at = 0;
        var before = (double)kept[0].Bytes;
        for (var i = 0; i < series.Bins.Length; i++)
        {
            var after = series.CounterAt(kept[0].Seconds + ((i + 1) * bin), ref at);
            series.Bins[i] = after - before;
            before = after;
        }

        return series;
    }

    private double CounterAt(double seconds, ref int at)
    {
        while (at + 2 < samples.Length && samples[at + 1].Seconds < seconds)
        {
            at++;
        }

        var (from, to) = (samples[at], samples[at + 1]);
        var part = Math.Clamp((seconds - from.Seconds) / (to.Seconds - from.Seconds), 0, 1);
        return from.Bytes + (part * (to.Bytes - from.Bytes));
    }
}
