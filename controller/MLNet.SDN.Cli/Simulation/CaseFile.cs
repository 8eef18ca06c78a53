using System.Text.Json;
using System.Text.Json.Serialization;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Simulation;
using MLNet.SDN.Planning.Simulation.Workloads;

namespace MLNet.SDN.Cli.Simulation;

/// <summary>Reads a scenario file: a batch (with <c>topology</c> and <c>jobs</c> listed), a kind of batch to be drawn (with <c>workersPerJob</c>), or an emulation's (with <c>fabric</c>).</summary>
internal static class CaseFile
{
    // By reflection: generated serialisers set init properties that the file leaves out to nothing instead of their defaults (k = 4, for one).
    private static readonly JsonSerializerOptions Json = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        RespectNullableAnnotations = true,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase, allowIntegerValues: false) },
    };

    // The emulation refuses what it does not know too. Batches may bear notes.
    private static readonly JsonSerializerOptions Strict = new(Json) { UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow };

    /// <summary>Reads the file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="computeSeconds">Computation of a round where the file does not say.</param>
    /// <param name="seeds">Seeds with which a kind is drawn; a file that lists its jobs is one case whatever they are.</param>
    /// <param name="errors">What is wrong, one line each, with file and line; empty when the result is not null.</param>
    public static IReadOnlyList<SimulationCase>? Read(string path, double computeSeconds, IReadOnlyList<long> seeds, out IReadOnlyList<string> errors)
    {
        if (InputFile.Read(path, out var why) is not { } bytes)
        {
            errors = [why];
            return null;
        }

        try
        {
            using var document = JsonDocument.Parse(bytes);
            var kind = document.RootElement.ValueKind == JsonValueKind.Object
                ? (document.RootElement.TryGetProperty("topology", out _), document.RootElement.TryGetProperty("fabric", out _), document.RootElement.TryGetProperty("workersPerJob", out _))
                : default;
            IReadOnlyList<FieldFault> faults;
            IReadOnlyList<SimulationCase>? read;
            switch (kind)
            {
                case (true, false, false):
                    read = One(SimulationCase.Of(JsonSerializer.Deserialize<BatchScenario>(bytes, Json)!, out faults));
                    break;
                case (true, false, true):
                    read = Draw(JsonSerializer.Deserialize<WorkloadKind>(bytes, Json)!, seeds, out faults);
                    break;
                case (false, true, false):
                    read = One(SimulationCase.Of(JsonSerializer.Deserialize<Scenario>(bytes, Strict)!, computeSeconds, out faults));
                    break;
                default:
                    errors = [$"{path}:1: A scenario is an object with either 'topology' (a batch of jobs; with 'workersPerJob', a kind of batch) or 'fabric' (an emulation)."];
                    return null;
            }

            errors = [.. faults.Select(f => $"{path}:{JsonLines.Of(bytes, f.Field)}: {f.Field}{(f.Value.Length > 0 ? $" is {InputFile.Shown(f.Value)}" : "")}: {f.Message}")];
            return read;
        }
        catch (JsonException fault)
        {
            // The serialiser counts lines from 0 and repeats path and line in its message.
            var message = fault.Message.Split(" Path: ")[0].Split(" LineNumber: ")[0];
            if (message.Contains("could not be mapped", StringComparison.Ordinal))
            {
                message = "There is no such field; mend its name or remove it.";
            }

            errors = [$"{path}:{(fault.LineNumber ?? 0) + 1}: {(string.IsNullOrEmpty(fault.Path) || fault.Path == "$" ? "" : $"{InputFile.Shown(fault.Path)}: ")}{PrintableText.Of(message)}"];
            return null;
        }

        static IReadOnlyList<SimulationCase>? One(SimulationCase? @case) => @case is null ? null : [@case];
    }

    /// <summary>A case for each seed.</summary>
    /// <returns>Null when there are faults.</returns>
    public static IReadOnlyList<SimulationCase>? Draw(WorkloadKind kind, IReadOnlyList<long> seeds, out IReadOnlyList<FieldFault> faults)
    {
        var cases = new List<SimulationCase>();
        foreach (var seed in seeds)
        {
            if (WorkloadGenerator.Generate(kind, seed, out faults) is not { } drawn || SimulationCase.Of(drawn, out faults) is not { } @case)
            {
                return null;
            }

            cases.Add(@case);
        }

        faults = [];
        return cases;
    }
}
