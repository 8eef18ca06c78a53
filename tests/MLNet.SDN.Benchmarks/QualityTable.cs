using System.Globalization;
using MLNet.SDN.Planning.Simulation;

namespace MLNet.SDN.Benchmarks;

/// <summary>How a scheme did on an instance, seconds from arrival to finish.</summary>
/// <param name="WorstSlowdown">Most of completion time over the same job's alone under the ring.</param>
internal sealed record Figures(double Mean, double Median, double P95, double P99, double WorstSlowdown)
{
    /// <param name="result">What was run.</param>
    /// <param name="alone">Each job's completion time with the network to itself, under the ring.</param>
    public static Figures Of(SchemeResult result, double[] alone) => new(
        result.MeanSeconds,
        result.QuantileSeconds(0.5),
        result.QuantileSeconds(0.95),
        result.QuantileSeconds(0.99),
        result.Jobs.Zip(alone, (job, a) => a > 0 ? job.CompletionSeconds / a : 1).Max());
}

/// <summary>Figures of all schemes on all instances, and what they come to for each kind.</summary>
internal sealed class QualityTable(string[] kinds, string[] schemes, IEnumerable<int> seeds, IReadOnlyDictionary<(string Kind, int Seed, string Scheme), Figures> figures)
{
    public int[] Seeds { get; } = [.. seeds];

    public Figures this[string kind, int seed, string scheme] => figures[(kind, seed, scheme)];

    /// <summary>One row for each kind and scheme that was run on it.</summary>
    public IReadOnlyList<Row> Rows() =>
        [.. from kind in kinds from scheme in schemes where figures.ContainsKey((kind, Seeds[0], scheme)) select new Row(
            kind,
            scheme,
            Over(kind, scheme, f => f.Mean),
            Over(kind, scheme, f => f.Median),
            Over(kind, scheme, f => f.P95),
            Over(kind, scheme, f => f.P99),
            Cut(kind, scheme, "sharded"),
            Cut(kind, scheme, "ring"),
            Over(kind, scheme, f => f.WorstSlowdown),
            Seeds.Max(s => this[kind, s, scheme].WorstSlowdown))];

    /// <summary>One row for each instance and scheme.</summary>
    public IReadOnlyList<object> Instances() =>
        [.. from kind in kinds from seed in Seeds from scheme in schemes where figures.ContainsKey((kind, seed, scheme)) select (object)new { kind, seed, scheme, figures = this[kind, seed, scheme] }];

    public void Print(TextWriter to)
    {
        foreach (var group in Rows().GroupBy(r => r.Kind))
        {
            to.WriteLine();
            to.WriteLine($"{group.Key}: seconds from arrival to finish, mean ± half of the 95 % interval over {Seeds.Length} instances; cuts of the mean; worst slowdown over the job alone under the ring, mean (most)");
            to.WriteLine($"{"",-24}{"mean",18}{"median",18}{"p95",18}{"p99",18}{"below sharded",18}{"below ring",18}{"worst slowdown",18}");
            foreach (var row in group)
            {
                to.WriteLine($"{row.Scheme,-24}{Seconds(row.Mean),18}{Seconds(row.Median),18}{Seconds(row.P95),18}{Seconds(row.P99),18}{Percent(row.BelowSharded),18}{Percent(row.BelowRing),18}{Text($"{row.WorstSlowdown.Mean:0.00} ({row.MostSlowdown:0.00})"),18}");
            }
        }

        static string Seconds(ConfidenceInterval s) => Text($"{s.Mean:0.0} ± {s.HalfWidth:0.0}");

        static string Percent(ConfidenceInterval s) => Text($"{s.Mean * 100:0.0} ± {s.HalfWidth * 100:0.0} %");

        static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
    }

    private ConfidenceInterval Over(string kind, string scheme, Func<Figures, double> figure) => ConfidenceInterval.Of([.. Seeds.Select(s => figure(this[kind, s, scheme]))]);

    private ConfidenceInterval Cut(string kind, string scheme, string than) => ConfidenceInterval.Of([.. Seeds.Select(s => 1 - (this[kind, s, scheme].Mean / this[kind, s, than].Mean))]);

    /// <summary>A scheme on a kind, over all its instances.</summary>
    internal sealed record Row(
        string Kind, string Scheme, ConfidenceInterval Mean, ConfidenceInterval Median, ConfidenceInterval P95, ConfidenceInterval P99, ConfidenceInterval BelowSharded, ConfidenceInterval BelowRing, ConfidenceInterval WorstSlowdown, double MostSlowdown);
}
