using System.Globalization;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Simulation.Traces;

/// <summary>A job of a cluster's trace.</summary>
/// <param name="Line">Line of the file it stands in, 1-based.</param>
/// <param name="Name">Its id in the trace, or its line where it has none.</param>
/// <param name="Model">What it trains.</param>
/// <param name="Bytes">Bytes of gradient per round.</param>
/// <param name="Workers">Workers, each on a host of its own.</param>
/// <param name="SubmitSeconds">When it was submitted.</param>
/// <param name="Rounds">Rounds that it trained.</param>
/// <param name="RoundSeconds">Time of a round in the trace, network included.</param>
/// <param name="NetworkSeconds">The network's part of it, at most <paramref name="RoundSeconds"/>.</param>
public sealed record TraceJob(int Line, string Name, string Model, double Bytes, int Workers, double SubmitSeconds, long Rounds, double RoundSeconds, double NetworkSeconds);

/// <summary>Reads traces as a CSV of the columns <c>num_gpu, submit_time, iterations, model_name, iteration_time, resource_time_2</c> (times in ms), as the traces of Muri (SIGCOMM 2022) have them.</summary>
/// <remarks>Columns may stand in any order and others among them (<c>job_id</c> gives names); RFC 4180 without quotes.</remarks>
public static class TraceCsv
{
    private static readonly string[] Required = ["num_gpu", "submit_time", "iterations", "model_name", "iteration_time", "resource_time_2"];

    /// <summary>Reads the file's text.</summary>
    /// <param name="text">Whole file.</param>
    /// <param name="faults">Everything wrong, the field being <c>line N</c>; empty when the result is not null.</param>
    public static IReadOnlyList<TraceJob>? TryRead(string text, out IReadOnlyList<FieldFault> faults)
    {
        var found = new List<FieldFault>();
        faults = found;
        var lines = text.Split('\n').Select(l => l.TrimEnd('\r')).ToArray();
        var header = lines[0].TrimStart('\uFEFF').Split(',').Select(c => c.Trim()).ToArray();
        string[] missing = [.. Required.Except(header, StringComparer.Ordinal)];
        if (missing.Length > 0)
        {
            found.Add(new("line 1", "", $"The first line must name the columns {string.Join(", ", Required)}; {string.Join(", ", missing)} {(missing.Length == 1 ? "is" : "are")} missing."));
            return null;
        }

        var (gpu, submit, rounds, model, round, network) = (Column("num_gpu"), Column("submit_time"), Column("iterations"), Column("model_name"), Column("iteration_time"), Column("resource_time_2"));
        var id = Column("job_id");
        var jobs = new List<TraceJob>();
        for (var i = 1; i < lines.Length; i++)
        {
            if (lines[i].Length == 0)
            {
                continue;
            }

            var cells = lines[i].Split(',');
            if (cells.Length != header.Length)
            {
                found.Add(new($"line {i + 1}", "", $"The line has {cells.Length} cells and the first line {header.Length}; every column needs a cell."));
                continue;
            }

            var before = found.Count;
            var (workers, count) = ((int)Whole(gpu, 1, 1_000_000), Whole(rounds, 1, long.MaxValue));
            var (submitMs, roundMs, networkMs) = (Number(submit), Number(round), Number(network));
            if (networkMs > roundMs)
            {
                found.Add(new($"line {i + 1}", cells[network], $"resource_time_2, the network's part of a round, is longer than the round, iteration_time {cells[round]}; mend one of them."));
            }

            if (!ModelSizes.TryFind(cells[model], out var bytes))
            {
                found.Add(new($"line {i + 1}", cells[model], $"No size is known of this model; known are {string.Join(", ", ModelSizes.Names)}."));
            }

            if (found.Count == before)
            {
                var name = id < 0 ? string.Create(CultureInfo.InvariantCulture, $"{i + 1}") : cells[id];
                jobs.Add(new(i + 1, $"{name}-{cells[model]}", cells[model], bytes, workers, submitMs / 1000, count, roundMs / 1000, networkMs / 1000));
            }

            long Whole(int column, long least, long most)
            {
                if (long.TryParse(cells[column], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value) && value >= least && value <= most)
                {
                    return value;
                }

                found.Add(new($"line {i + 1}", cells[column], $"{header[column]} must be a whole number of {least} or more."));
                return least;
            }

            double Number(int column)
            {
                if (double.TryParse(cells[column], NumberStyles.Float, CultureInfo.InvariantCulture, out var value) && value >= 0 && value <= 1e15)
                {
                    return value;
                }

                found.Add(new($"line {i + 1}", cells[column], $"{header[column]} must be a time of 0 ms or more."));
                return 0;
            }
        }

        if (found.Count == 0 && jobs.Count == 0)
        {
            found.Add(new("line 2", "", "The trace has no job."));
        }

        return found.Count > 0 ? null : jobs;

        int Column(string name) => Array.IndexOf(header, name);
    }
}
