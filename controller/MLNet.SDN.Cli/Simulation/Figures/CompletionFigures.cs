using System.Globalization;
using MLNet.SDN.Planning.Simulation;

namespace MLNet.SDN.Cli.Simulation.Figures;

/// <summary>Pictures of completion times.</summary>
internal static class CompletionFigures
{
    private const int Left = 64;
    private const int Top = 44;
    private const int PlotHeight = 340;

    /// <summary>The part of all jobs (of all cases together) that have completed within a time, a line per scheme; time on a logarithmic axis.</summary>
    public static string Distribution(IReadOnlyList<SchemeRun> runs)
    {
        const int PlotWidth = 620;
        double[][] times = [.. runs.Select(r => r.Results.SelectMany(x => x.Jobs).Select(j => Math.Max(j.CompletionSeconds, 1e-6)).Order().ToArray())];
        var (low, high) = (Math.Log10(times.Min(t => t[0])), Math.Log10(times.Max(t => t[^1])));
        high = Math.Max(high, low + 0.1);
        var figure = new SvgFigure(Left + PlotWidth + 24, Top + PlotHeight + 52 + (20 * ((runs.Count + 2) / 3)), "Distribution of completion times");
        figure.Words(Left, 26, "Part of jobs completed within a time");
        for (var part = 0; part <= 4; part++)
        {
            figure.Rule(Left, Y(part / 4.0), Left + PlotWidth, Y(part / 4.0));
            figure.Words(Left - 8, Y(part / 4.0) + 4, Number(part / 4.0), "end");
        }

        foreach (var tick in Ticks(low, high))
        {
            figure.Rule(X(tick), Top, X(tick), Top + PlotHeight);
            figure.Words(X(tick), Top + PlotHeight + 18, Number(tick), "middle");
        }

        figure.Words(Left + PlotWidth, Top + PlotHeight + 36, "seconds from arrival to finish", "end");
        foreach (var (series, sorted) in times.Index())
        {
            // A step at each job: up at its time, then level to the next.
            figure.Line(series, sorted.Index().SelectMany(t => new[] { (X(t.Item), Y((double)t.Index / sorted.Length)), (X(t.Item), Y((t.Index + 1.0) / sorted.Length)) }));
        }

        foreach (var (series, run) in runs.Index())
        {
            var (x, y) = (Left + (series % 3 * 210.0), Top + PlotHeight + 58 + (20.0 * (series / 3)));
            figure.Line(series, [(x, y - 4), (x + 22, y - 4)]);
            figure.Words(x + 28, y, Name(run));
        }

        return figure.ToString();

        double X(double seconds) => Left + (PlotWidth * (Math.Log10(seconds) - low) / (high - low));
        double Y(double part) => Top + (PlotHeight * (1 - part));
    }

    /// <summary>Mean completion time of each scheme, a bar each, with its 95 % interval where there are several cases.</summary>
    public static string Means(IReadOnlyList<SchemeRun> runs)
    {
        const int Row = 30;
        const int Bar = 460;
        ConfidenceInterval[] means = [.. runs.Select(r => ConfidenceInterval.Of([.. r.Results.Select(x => x.MeanSeconds)]))];
        var longest = Math.Max(means.Max(m => m.Mean + m.HalfWidth), 1e-9);
        var left = 24 + (int)(7.5 * runs.Max(r => Name(r).Length));
        var figure = new SvgFigure(left + Bar + 150, Top + (Row * runs.Count) + 16, "Mean completion times");
        figure.Words(16, 26, "Mean seconds from arrival to finish");
        foreach (var (i, mean) in means.Index())
        {
            var y = Top + (Row * i);
            figure.Words(left - 10, y + 15, Name(runs[i]), "end");
            figure.Box(i, left, y, Bar * mean.Mean / longest, Row - 10);
            var end = left + (Bar * (mean.Mean + mean.HalfWidth) / longest);
            if (mean.HalfWidth > 0)
            {
                var start = left + (Bar * Math.Max(0, mean.Mean - mean.HalfWidth) / longest);
                figure.Mark(start, y + ((Row - 10) / 2.0), end, y + ((Row - 10) / 2.0));
                figure.Mark(start, y + 4, start, y + Row - 14);
                figure.Mark(end, y + 4, end, y + Row - 14);
            }

            figure.Words(end + 8, y + 15, Number(mean.Mean) + (mean.HalfWidth > 0 ? $" ± {Number(mean.HalfWidth)}" : ""));
        }

        return figure.ToString();
    }

    // 1, 2 and 5 of each power of ten where the axis is short, else powers of ten alone.
    private static IEnumerable<double> Ticks(double low, double high)
    {
        double[] steps = high - low > 3 ? [1] : [1, 2, 5];
        for (var power = (int)Math.Floor(low); power <= high; power++)
        {
            foreach (var step in steps)
            {
                var at = step * Math.Pow(10, power);
                if (Math.Log10(at) >= low - 1e-9 && Math.Log10(at) <= high + 1e-9)
                {
                    yield return at;
                }
            }
        }
    }

    private static string Name(SchemeRun run) => $"{run.Scheme.Strategy}, {run.Scheme.Policy}";

    private static string Number(double value) => value.ToString(value >= 1000 ? "#,0" : value >= 100 ? "0" : "0.##", CultureInfo.InvariantCulture);
}
