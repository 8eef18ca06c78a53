using System.Globalization;
using System.Text;
using System.Text.Json;
using MLNet.SDN.Cli.Simulation;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;
using MLNet.SDN.Planning.Topology.Import;

namespace MLNet.SDN.Cli.Topology;

/// <summary>Reads a topology file of any kind known: node-link JSON, Slurm's topology.conf, or a CSV of host, core group, pod and rack.</summary>
internal static class TopologyFile
{
    // By reflection, so that fields left out keep their defaults.
    private static readonly JsonSerializerOptions Json = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase, RespectNullableAnnotations = true };

    /// <summary>Reads the file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="rates">Rates where the file holds none.</param>
    /// <param name="errors">What is wrong, one line each, with file and line or field; empty when the result is not null.</param>
    public static Fabric? Read(string path, ImportRates rates, out IReadOnlyList<string> errors)
    {
        if (InputFile.Read(path, out var why) is not { } bytes)
        {
            errors = [why];
            return null;
        }

        var text = Encoding.UTF8.GetString(bytes);
        var lineOf = new Dictionary<string, int>(StringComparer.Ordinal);
        IReadOnlyList<FieldFault> faults;
        Contracts.Topology? topology;
        var json = text.AsSpan().TrimStart().StartsWith("{", StringComparison.Ordinal);
        if (json)
        {
            try
            {
                (topology, faults) = (JsonSerializer.Deserialize<Contracts.Topology>(text, Json), []);
            }
            catch (JsonException fault)
            {
                errors = [$"{path}:{(fault.LineNumber ?? 0) + 1}: {fault.Message.Split(" Path: ")[0].Split(" LineNumber: ")[0]}"];
                return null;
            }
        }
        else if (text.Contains("SwitchName=", StringComparison.OrdinalIgnoreCase))
        {
            topology = SlurmTopology.TryRead(text, rates, out faults, lineOf);
        }
        else
        {
            topology = LayeredCsvTopology.TryRead(text, rates, out faults, lineOf);
        }

        Fabric? fabric = null;
        if (topology is not null)
        {
            Fabric.TryCreate(topology, out fabric, out faults);
        }

        errors = [.. faults.Select(f => $"{path}{Place(f.Field)}: {(f.Value.Length > 0 ? $"{InputFile.Shown(f.Value)}: " : "")}{f.Message}")];
        return fabric;

        string Place(string field) =>
            field.StartsWith("line ", StringComparison.Ordinal) ? $":{field[5..]}"
            : json ? $":{JsonLines.Of(bytes, field)}: {field}"
            : NodeOf(field) is { } node && lineOf.TryGetValue(node, out var line) ? $":{line}"
            : $": {field}";

        // Whoever wrote the file knows its lines, not the entries of the topology that was made of it.
        string? NodeOf(string field) =>
            field.Split('[', ']') is [var list, var number, ..] && int.TryParse(number, CultureInfo.InvariantCulture, out var index)
                ? list == "nodes" ? topology?.Nodes[index].Id : topology?.Links[index].Source
                : null;
    }
}
