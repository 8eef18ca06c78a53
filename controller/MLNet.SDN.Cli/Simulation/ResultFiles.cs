using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using MLNet.SDN.Planning.Simulation;

namespace MLNet.SDN.Cli.Simulation;

/// <summary>Results of a simulation as files for other programs.</summary>
internal static class ResultFiles
{
    /// <summary>Writes one JSON document: per scheme the figures, the jobs, the links and what moved at each level; an array of such documents when there are several cases.</summary>
    public static async Task WriteJsonAsync(string path, IReadOnlyList<SimulationCase> cases, IReadOnlyList<SchemeRun> runs, CancellationToken cancellationToken)
    {
        CaseDocument[] documents = [.. cases.Select((@case, c) => new CaseDocument(@case.Name, @case.Fabric.Hosts.Count, [.. runs.Select(run => run.Results[c]).Select(r => new SchemeDocument(
            r.Scheme, r.MeanSeconds, r.QuantileSeconds(0.5), r.QuantileSeconds(0.95), r.QuantileSeconds(0.99), r.MakespanSeconds,
            [.. r.Jobs.Zip(@case.Jobs, (finish, job) => new JobDocument(job.Name, job.ArrivalSeconds, finish.FinishSeconds, finish.CompletionSeconds, finish.AloneSeconds, finish.Slowdown))],
            r.Links, r.LevelShares))]))];
        var json = documents is [var one] ? JsonSerializer.SerializeToUtf8Bytes(one, ResultJson.Default.CaseDocument) : JsonSerializer.SerializeToUtf8Bytes(documents, ResultJson.Default.CaseDocumentArray);
        await File.WriteAllBytesAsync(path, json, cancellationToken);
    }

    /// <summary>Writes three tables: a line per job to the path, and beside it, <c>.links</c> and <c>.levels</c> put before the extension, a line per link that carried something and per level.</summary>
    public static async Task WriteCsvAsync(string path, IReadOnlyList<SimulationCase> cases, IReadOnlyList<SchemeRun> runs, CancellationToken cancellationToken)
    {
        var jobs = new StringBuilder("case,strategy,policy,job,arrivalSeconds,finishSeconds,completionSeconds,aloneSeconds,slowdown\n");
        var links = new StringBuilder("case,strategy,policy,link,bytes,utilisation\n");
        var levels = new StringBuilder("case,strategy,policy,level,share\n");
        foreach (var (c, @case) in cases.Index())
        {
            foreach (var result in runs.Select(r => r.Results[c]))
            {
                var scheme = $"{Field(@case.Name)},{result.Scheme.Strategy},{result.Scheme.Policy}";
                foreach (var (job, finish) in @case.Jobs.Zip(result.Jobs))
                {
                    jobs.Append(CultureInfo.InvariantCulture, $"{scheme},{Field(job.Name)},{job.ArrivalSeconds:R},{finish.FinishSeconds:R},{finish.CompletionSeconds:R},{finish.AloneSeconds:R},{finish.Slowdown:R}\n");
                }

                foreach (var link in result.Links)
                {
                    links.Append(CultureInfo.InvariantCulture, $"{scheme},{Field(link.Link)},{link.Bytes:R},{link.Utilisation:R}\n");
                }

                foreach (var (level, share) in result.LevelShares.Index())
                {
                    levels.Append(CultureInfo.InvariantCulture, $"{scheme},{level + 1},{share:R}\n");
                }
            }
        }

        await File.WriteAllTextAsync(path, jobs.ToString(), cancellationToken);
        await File.WriteAllTextAsync(Beside(path, "links"), links.ToString(), cancellationToken);
        await File.WriteAllTextAsync(Beside(path, "levels"), levels.ToString(), cancellationToken);
    }

    /// <summary>Path of a further table beside the first.</summary>
    public static string Beside(string path, string table) => Path.ChangeExtension(path, table + Path.GetExtension(path));

    // RFC 4180 §2: a field with a comma, a quote or a line break stands in quotes.
    private static string Field(string text) => text.AsSpan().IndexOfAny(",\"\r\n") < 0 ? text : $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";
}

/// <summary>All results on a case.</summary>
internal sealed record CaseDocument(string Name, int Hosts, IReadOnlyList<SchemeDocument> Schemes);

/// <summary>One scheme's results; times in seconds.</summary>
internal sealed record SchemeDocument(
    Scheme Scheme, double MeanSeconds, double MedianSeconds, double P95Seconds, double P99Seconds, double MakespanSeconds,
    IReadOnlyList<JobDocument> Jobs, IReadOnlyList<LinkUse> Links, IReadOnlyList<double> LevelShares);

/// <summary>One job under one scheme.</summary>
internal sealed record JobDocument(string Name, double ArrivalSeconds, double FinishSeconds, double CompletionSeconds, double AloneSeconds, double Slowdown);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(CaseDocument))]
[JsonSerializable(typeof(CaseDocument[]))]
internal sealed partial class ResultJson : JsonSerializerContext;
