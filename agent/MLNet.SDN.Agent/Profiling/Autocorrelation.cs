using System.Numerics.Tensors;

namespace MLNet.SDN.Agent.Profiling;

/// <summary>At which lag a series looks most like itself.</summary>
/// <param name="Lag">In bins, between two of them where the peak lies there.</param>
/// <param name="Likeness">-1..1; 1 for an exact repetition.</param>
internal readonly record struct LagPeak(double Lag, double Likeness);

/// <summary>Finds the period of a series by its normalised square difference function. Pure.</summary>
/// <remarks>P. McLeod and G. Wyvill, <i>A Smarter Way to Find Pitch</i>, ICMC 2005: the function (§4), key maxima (§5) and the choice among them (§5, their k).</remarks>
internal static class Autocorrelation
{
    // Of several lags at which the series repeats almost as well as at the best, the least is the period, the others its multiples.
    private const double AlmostBest = 0.85;

    /// <summary>Finds the period.</summary>
    /// <param name="series">Any series; its mean does not matter.</param>
    /// <param name="mostLag">Longest lag tried.</param>
    /// <returns>Null when the series never comes back to itself.</returns>
    public static LagPeak? Period(ReadOnlySpan<double> series, int mostLag)
    {
        var likeness = Likeness(series, mostLag);
        var peaks = new List<LagPeak>();
        var best = -1;

        // One peak, the highest, between each rise above zero and the fall below it; what comes before the first fall is lag 0 itself.
        var lag = Array.FindIndex(likeness, v => v < 0);
        for (; lag >= 0 && lag < likeness.Length; lag++)
        {
            if (likeness[lag] > 0 && (best < 0 || likeness[lag] > likeness[best]))
            {
                best = lag;
            }
            else if (likeness[lag] <= 0 && best >= 0)
            {
                peaks.Add(Refine(likeness, best));
                best = -1;
            }
        }

        // A peak that is still rising at the longest lag is none.
        if (best >= 0 && best < likeness.Length - 1)
        {
            peaks.Add(Refine(likeness, best));
        }

        if (peaks.Count == 0)
        {
            return null;
        }

        var enough = AlmostBest * peaks.Max(p => p.Likeness);
        return peaks.Find(p => p.Likeness >= enough);
    }

    private static double[] Likeness(ReadOnlySpan<double> series, int mostLag)
    {
        var centred = new double[series.Length];
        TensorPrimitives.Subtract(series, TensorPrimitives.Sum(series) / series.Length, centred);
        var squares = new double[series.Length + 1];
        for (var i = 0; i < centred.Length; i++)
        {
            squares[i + 1] = squares[i] + (centred[i] * centred[i]);
        }

        var result = new double[Math.Min(mostLag, series.Length - 1) + 1];
        for (var lag = 0; lag < result.Length; lag++)
        {
            // Those of the values that have a partner, and those of the partners.
            var both = squares[series.Length - lag] + squares[series.Length] - squares[lag];
            result[lag] = both > 0 ? 2 * TensorPrimitives.Dot(centred.AsSpan(0, centred.Length - lag), centred.AsSpan(lag)) / both : 0;
        }

        return result;
    }

    // The peak of the parabola through three points.
    private static LagPeak Refine(double[] likeness, int peak)
    {
        if (peak == 0 || peak == likeness.Length - 1)
        {
            return new(peak, likeness[peak]);
        }

        var (left, top, right) = (likeness[peak - 1], likeness[peak], likeness[peak + 1]);
        var bend = left - (2 * top) + right;
        var shift = bend < 0 ? Math.Clamp(0.5 * (left - right) / bend, -0.5, 0.5) : 0;
        return new(peak + shift, Math.Min(1, top - (0.25 * (left - right) * shift)));
    }
}
