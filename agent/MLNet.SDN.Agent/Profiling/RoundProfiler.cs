using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Profiling;

/// <summary>Infers period, bytes per round and duty cycle of a training job from a byte counter alone. Pure; thread-safe.</summary>
/// <remarks>
/// (1) The counter becomes rates. (2) Autocorrelation of the rates, smoothed ever more widely so that jitter does not hide the period, names periods that may be.
/// (3) For each the bursts that begin rounds are picked, and the one whose rounds are most regular is taken. (4) The figures are means over its rounds
/// without the quarters at both ends, so that a checkpoint or a slow round does not count.
/// </remarks>
internal static class RoundProfiler
{
    // Chance gives less to random bursts (see the tests): they must not be told as rounds.
    private const double LeastConfidence = 0.4;

    private const int LeastRounds = 4;

    // A period of fewer bins is as likely the sampling's own.
    private const double LeastPeriodBins = 4;

    /// <summary>Infers the profile.</summary>
    /// <param name="samples">Values of a counter in order of time.</param>
    public static TrafficProfile Profile(IReadOnlyList<CounterSample> samples)
    {
        if (RateSeries.Of(samples) is not { } series || series.Bins.Length < 16)
        {
            return None(0, $"{samples.Count} samples are too few.");
        }

        if (!series.Bins.Any(b => b > 0))
        {
            return None(0, "No bytes flowed.");
        }

        var sums = new double[series.Bins.Length + 1];
        for (var i = 0; i < series.Bins.Length; i++)
        {
            sums[i + 1] = sums[i] + series.Bins[i];
        }

        // What a start-up sends at once would outweigh all rounds: far above what bursts have, it is left out.
        var bursts = new Bursts(series.Bins);
        double[] bins = [.. series.Bins.Select(b => b > 3 * bursts.Level ? 0 : b)];
        var mostLag = bins.Length / 3;
        var best = (Confidence: 0.0, Rounds: Array.Empty<(int From, int To)>());
        for (var width = 1; width * 16 <= bins.Length; width *= 2)
        {
            if (Autocorrelation.Period(Smooth(bins, width), mostLag) is not { } peak || peak.Lag < LeastPeriodBins || peak.Lag < 4 * width)
            {
                continue;
            }

            // Rounds of one job carry about the same bytes; stretches of random bursts do not.
            var runs = bursts.Rounds(peak.Lag);
            (int From, int To)[] found = [.. runs.Starts.SelectMany(run => run.Zip(run.Skip(1), (a, b) => (a, b)))];
            var confidence = Math.Max(0, peak.Likeness) * runs.Regularity * Evenness(found.Select(r => sums[r.To] - sums[r.From]));
            if (confidence > best.Confidence)
            {
                best = (confidence, found);
            }
        }

        if (best.Confidence < LeastConfidence)
        {
            return None(best.Confidence, bursts.Count == 0 ? "Bytes flow without a pause." : $"No {LeastRounds} rounds of one kind were seen.");
        }

        var rounds = best.Rounds;
        return new TrafficProfile
        {
            PeriodSeconds = MiddleMean(rounds.Select(r => (double)(r.To - r.From))) * series.BinSeconds,
            BytesPerRound = (long)Math.Round(MiddleMean(rounds.Select(r => sums[r.To] - sums[r.From]))),
            DutyCycle = MiddleMean(rounds.Select(r => bursts.BusyShare(r.From, r.To))),
            Confidence = best.Confidence,
            Rounds = rounds.Length,
        };
    }

    private static TrafficProfile None(double confidence, string reason) =>
        new() { PeriodSeconds = 0, BytesPerRound = 0, DutyCycle = 0, Confidence = confidence, Rounds = 0, Reason = reason };

    // 1 when the middle half of the values are equal, 0 when they differ by as much as their median.
    private static double Evenness(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        if (sorted.Length < LeastRounds || sorted[sorted.Length / 2] <= 0)
        {
            return 0;
        }

        return Math.Clamp(1 - ((sorted[3 * sorted.Length / 4] - sorted[sorted.Length / 4]) / sorted[sorted.Length / 2]), 0, 1);
    }

    private static double MiddleMean(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        var cut = sorted.Length / 4;
        return sorted[cut..^cut].Average();
    }

    // A running mean, twice: its own shape must not look like a repetition.
    private static double[] Smooth(double[] bins, int width)
    {
        for (var pass = 0; width > 1 && pass < 2; pass++)
        {
            var smooth = new double[bins.Length];
            var sum = 0.0;
            for (var i = 0; i < bins.Length + (width / 2); i++)
            {
                sum += i < bins.Length ? bins[i] : 0;
                sum -= i >= width ? bins[i - width] : 0;
                if (i >= width / 2)
                {
                    smooth[i - (width / 2)] = sum / width;
                }
            }

            bins = smooth;
        }

        return bins;
    }
}
