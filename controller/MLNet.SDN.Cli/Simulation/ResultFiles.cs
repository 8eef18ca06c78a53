using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using MLNet.SDN.Cli.Simulation.Figures;
using MLNet.SDN.Planning.Simulation;

namespace MLNet.SDN.Cli.Simulation;

/// <summary>Results of a simulation as files for other programs: checked before it, written after it.</summary>
internal sealed class ResultFiles
{
    private readonly OutputFile? json;
    private readonly (OutputFile Jobs, OutputFile? Links, OutputFile? Levels)? tables;
    private readonly (OutputFile Distribution, OutputFile Means)? figures;

    private ResultFiles(OutputFile? json, (OutputFile, OutputFile?, OutputFile?)? tables, (OutputFile, OutputFile)? figures) => (this.json, this.tables, this.figures) = (json, tables, figures);

    /// <summary>Checks that all can be written, that no two are the same file, and that none is one that is read. Makes the directory of the figures.</summary>
    /// <param name="json">One JSON document: per scheme the figures, the jobs, the links and what moved at each level; an array of such documents when there are several cases.</param>
    /// <param name="csv">A line per job; and beside it, <c>.links</c> and <c>.levels</c> put before the extension, a line per link that carried something and per level. A device has none beside it.</param>
    /// <param name="figures">Directory for the figures.</param>
    /// <param name="inputs">Files that are read.</param>
    /// <param name="errors">What is wrong, one line each; empty when the result is not null.</param>
    public static ResultFiles? Prepare(string? json, string? csv, string? figures, IReadOnlyList<string> inputs, out IReadOnlyList<string> errors)
    {
        var found = new List<string>();
        var files = new List<(string Option, OutputFile File)>();
        errors = found;
        var document = json is null ? null : One("--json", json);
        var jobs = csv is null ? null : One("--csv", csv);
        var (links, levels) = jobs is { IsInPlace: false } ? (One("--csv", Beside(csv!, "links")), One("--csv", Beside(csv!, "levels"))) : default;
        var (distribution, means) = figures is not null && IsDirectory(figures)
            ? (One("--figures", Path.Combine(figures, "cdf.svg")), One("--figures", Path.Combine(figures, "means.svg")))
            : default;
        for (var i = 0; i < files.Count; i++)
        {
            var (option, file) = files[i];
            found.AddRange(files.Take(i).Where(f => f.File.Is(file)).Select(f => $"{f.Option} and {option} name the same file, {file.Path}; give each its own."));
            found.AddRange(inputs.Where(file.Is).Select(input => $"{option}: {file.Path} would write over {input}, which is read; name another file."));
        }

        return found.Count > 0 ? null : new(document, jobs is null ? null : (jobs, links, levels), distribution is null ? null : (distribution, means!));

        OutputFile? One(string option, string path)
        {
            if (OutputFile.Prepare(option, path, out var error) is not { } file)
            {
                found.Add(error);
                return null;
            }

            files.Add((option, file));
            return file;
        }

        bool IsDirectory(string path)
        {
            try
            {
                Directory.CreateDirectory(path);
                return true;
            }
            catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or ArgumentException)
            {
                found.Add($"--figures: the directory {path} cannot be made: {fault.Message}");
                return false;
            }
        }
    }

    /// <summary>Writes all that was asked for.</summary>
    /// <exception cref="IOException">One could not be written.</exception>
    public async Task WriteAsync(IReadOnlyList<SimulationCase> cases, IReadOnlyList<SchemeRun> runs, CancellationToken cancellationToken)
    {
        if (json is not null)
        {
            await json.WriteAsync(Document(cases, runs), cancellationToken);
        }

        if (tables is var (toJobs, toLinks, toLevels))
        {
            var (jobs, links, levels) = Tables(cases, runs);
            foreach (var (file, table) in new[] { (toJobs, jobs), (toLinks, links), (toLevels, levels) })
            {
                await (file?.WriteAsync(Encoding.UTF8.GetBytes(table), cancellationToken) ?? Task.CompletedTask);
            }
        }

        if (figures is var (distribution, means))
        {
            await distribution.WriteAsync(Encoding.UTF8.GetBytes(CompletionFigures.Distribution(runs)), cancellationToken);
            await means.WriteAsync(Encoding.UTF8.GetBytes(CompletionFigures.Means(runs)), cancellationToken);
        }
    }

    private static byte[] Document(IReadOnlyList<SimulationCase> cases, IReadOnlyList<SchemeRun> runs)
    {
        CaseDocument[] documents = [.. cases.Select((@case, c) => new CaseDocument(@case.Name, @case.Fabric.Hosts.Count, [.. runs.Select(run => run.Results[c]).Select(r => new SchemeDocument(
            r.Scheme, r.MeanSeconds, r.QuantileSeconds(0.5), r.QuantileSeconds(0.95), r.QuantileSeconds(0.99), r.MakespanSeconds,
            [.. r.Jobs.Zip(@case.Jobs, (finish, job) => new JobDocument(job.Name, job.ArrivalSeconds, finish.FinishSeconds, finish.CompletionSeconds, finish.AloneSeconds, finish.Slowdown))],
            r.Links, r.LevelShares))]))];
        return documents is [var one] ? JsonSerializer.SerializeToUtf8Bytes(one, ResultJson.Default.CaseDocument) : JsonSerializer.SerializeToUtf8Bytes(documents, ResultJson.Default.CaseDocumentArray);
    }

    private static (string Jobs, string Links, string Levels) Tables(IReadOnlyList<SimulationCase> cases, IReadOnlyList<SchemeRun> runs)
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

        return (jobs.ToString(), links.ToString(), levels.ToString());
    }

    private static string Beside(string path, string table) => Path.ChangeExtension(path, table + Path.GetExtension(path));

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
