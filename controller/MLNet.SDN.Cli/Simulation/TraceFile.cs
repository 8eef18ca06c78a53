using System.Text;
using MLNet.SDN.Planning.Simulation;
using MLNet.SDN.Planning.Simulation.Traces;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Cli.Simulation;

/// <summary>Reads a cluster's trace and puts its jobs on a fabric.</summary>
internal static class TraceFile
{
    // A trace with a wrong column is wrong in every line; the first few say all.
    private const int MostErrors = 10;

    /// <summary>Reads the file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="fabric">Where the jobs run.</param>
    /// <param name="mostJobs">Only so many jobs, from the first; null for all.</param>
    /// <param name="mostRounds">As in <see cref="TraceCase.Of"/>.</param>
    /// <param name="note">What was made of the trace, in words.</param>
    /// <param name="errors">What is wrong, one line each, with file and line; empty when the result is not null.</param>
    public static SimulationCase? Read(string path, Fabric fabric, int? mostJobs, long mostRounds, out string note, out IReadOnlyList<string> errors)
    {
        note = "";
        if (InputFile.Read(path, out var why) is not { } bytes)
        {
            errors = [why];
            return null;
        }

        var text = Encoding.UTF8.GetString(bytes);

        SimulationCase? @case = null;
        if (TraceCsv.TryRead(text, out var faults) is { } trace)
        {
            @case = TraceCase.Of(Path.GetFileNameWithoutExtension(path), [.. trace.Take(mostJobs ?? trace.Count)], fabric, mostRounds, out var factor, out faults);
            note = FormattableString.Invariant($"{path}: rounds and times divided by {factor:0.#}, so that jobs of several workers have {mostRounds} rounds together");
        }

        errors = [.. faults.Take(MostErrors).Select(f => $"{path}:{f.Field[5..]}: {(f.Value.Length > 0 ? $"{InputFile.Shown(f.Value)}: " : "")}{f.Message}")];
        if (faults.Count > MostErrors)
        {
            errors = [.. errors, $"{path}: and {faults.Count - MostErrors} more"];
        }

        return @case;
    }
}
