using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using MLNet.SDN.Planning.Simulation;

namespace MLNet.SDN.Cli.Simulation;

/// <summary>Results of a simulation as files for other programs.</summary>
internal static class ResultFiles
{
    /// <summary>Writes one JSON document: per scheme the figures, the jobs, the links and what moved at each level.</summary>
    public static async Task WriteJsonAsync(string path, SimulationCase @case, IReadOnlyList<SchemeResult> results, CancellationToken cancellationToken)
    {
        var document = new ResultDocument(@case.Name, @case.Fabric.Hosts.Count, [.. results.Select(r => new SchemeDocument(
            r.Scheme, r.MeanSeconds, r.QuantileSeconds(0.5), r.QuantileSeconds(0.95), r.QuantileSeconds(0.99), r.MakespanSeconds,
            [.. r.Jobs.Zip(@case.Jobs, (finish, job) => new JobDocument(job.Name, job.ArrivalSeconds, finish.FinishSeconds, finish.CompletionSeconds, finish.AloneSeconds, finish.Slowdown))],
            r.Links, r.LevelShares))]);
        await File.WriteAllBytesAsync(path, JsonSerializer.SerializeToUtf8Bytes(document, ResultJson.Default.ResultDocument), cancellationToken);
    }

    /// <summary>Writes one line per job and scheme.</summary>
    public static async Task WriteCsvAsync(string path, SimulationCase @case, IReadOnlyList<SchemeResult> results, CancellationToken cancellationToken)
    {
        var text = new StringBuilder("strategy,policy,job,arrivalSeconds,finishSeconds,completionSeconds,aloneSeconds,slowdown\n");
        foreach (var result in results)
        {
            foreach (var (job, finish) in @case.Jobs.Zip(result.Jobs))
            {
                text.Append(CultureInfo.InvariantCulture, $"{result.Scheme.Strategy},{result.Scheme.Policy},{Field(job.Name)},")
                    .Append(CultureInfo.InvariantCulture, $"{job.ArrivalSeconds:R},{finish.FinishSeconds:R},{finish.CompletionSeconds:R},{finish.AloneSeconds:R},{finish.Slowdown:R}\n");
            }
        }

        await File.WriteAllTextAsync(path, text.ToString(), cancellationToken);
    }

    // RFC 4180 §2: a field with a comma, a quote or a line break stands in quotes.
    private static string Field(string text) => text.AsSpan().IndexOfAny(",\"\r\n") < 0 ? text : $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";
}

/// <summary>All of a simulation's results.</summary>
internal sealed record ResultDocument(string Name, int Hosts, IReadOnlyList<SchemeDocument> Schemes);

/// <summary>One scheme's results; times in seconds.</summary>
internal sealed record SchemeDocument(
    Scheme Scheme, double MeanSeconds, double MedianSeconds, double P95Seconds, double P99Seconds, double MakespanSeconds,
    IReadOnlyList<JobDocument> Jobs, IReadOnlyList<LinkUse> Links, IReadOnlyList<double> LevelShares);

/// <summary>One job under one scheme.</summary>
internal sealed record JobDocument(string Name, double ArrivalSeconds, double FinishSeconds, double CompletionSeconds, double AloneSeconds, double Slowdown);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(ResultDocument))]
internal sealed partial class ResultJson : JsonSerializerContext;
