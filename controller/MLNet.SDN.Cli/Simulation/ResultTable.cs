using System.Globalization;
using MLNet.SDN.Planning.Simulation;
using Spectre.Console;

namespace MLNet.SDN.Cli.Simulation;

/// <summary>Results as a table for people.</summary>
internal static class ResultTable
{
    public static void Print(IReadOnlyList<SimulationCase> cases, IReadOnlyList<SchemeRun> runs, TextWriter output)
    {
        var table = new Table()
            .Title(Markup.Escape(cases is [var one]
                ? $"{one.Name}: {one.Jobs.Count} jobs on {one.Fabric.Hosts.Count} hosts"
                : $"{cases[0].Name} to {cases[^1].Name}: {cases.Count} cases of {cases[0].Jobs.Count} jobs on {cases[0].Fabric.Hosts.Count} hosts"))
            .Caption("seconds from arrival to finish; slowdown: over the same job alone under the same strategy; cut: of the mean, against the first row"
                + (cases.Count > 1 ? "; figures are means over cases, the mean with its 95 % interval" : ""))
            .AddColumn("strategy").AddColumn("policy");
        foreach (var column in new[] { "mean", "cut", "median", "p95", "p99", "last end", "worst slowdown", "busiest link" })
        {
            table.AddColumn(new TableColumn(column).RightAligned());
        }

        foreach (var run in runs)
        {
            var mean = ConfidenceInterval.Of([.. run.Results.Select(r => r.MeanSeconds)]);
            var cut = ConfidenceInterval.Of([.. run.Results.Zip(runs[0].Results, (r, first) => (1 - (r.MeanSeconds / first.MeanSeconds)) * 100)]);
            var busiest = run.Results.SelectMany(r => r.Links).MaxBy(l => l.Utilisation);
            table.AddRow(
                run.Scheme.Strategy,
                run.Scheme.Policy,
                Seconds(mean.Mean) + (cases.Count > 1 ? $" ± {Seconds(mean.HalfWidth)}" : ""),
                Fixed(cut.Mean, "0.0") + " %" + (cases.Count > 1 ? $" ± {Fixed(cut.HalfWidth, "0.0")}" : ""),
                Seconds(run.Results.Average(r => r.QuantileSeconds(0.5))),
                Seconds(run.Results.Average(r => r.QuantileSeconds(0.95))),
                Seconds(run.Results.Average(r => r.QuantileSeconds(0.99))),
                Seconds(run.Results.Average(r => r.MakespanSeconds)),
                Fixed(run.Results.Max(r => r.Jobs.Max(j => j.Slowdown)), "0.00"),
                busiest is null ? "" : Markup.Escape(string.Create(CultureInfo.InvariantCulture, $"{Short(busiest.Link)} {busiest.Utilisation * 100:0} %")));
        }

        TextTable.Console(output).Write(table);
    }

    // Hashed names of hosts fill a line each; the files have them whole.
    private static string Short(string link) => string.Join("->", link.Split("->").Select(node => node.Length <= 16 ? node : $"{node[..12]}..."));

    private static string Seconds(double seconds) => Fixed(seconds, seconds < 100 ? "0.00" : "0.0");

    private static string Fixed(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
