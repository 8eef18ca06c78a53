using System.Text.Json;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Simulation;

namespace MLNet.SDN.Cli.Simulation;

/// <summary>Reads a scenario file of either kind: a batch (with <c>topology</c>) or an emulation's (with <c>fabric</c>).</summary>
internal static class CaseFile
{
    // By reflection: generated serialisers set init properties that the file leaves out to nothing instead of their defaults (k = 4, for one).
    private static readonly JsonSerializerOptions Json = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase, RespectNullableAnnotations = true };

    /// <summary>Reads the file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="computeSeconds">Computation of a round where the file does not say.</param>
    /// <param name="errors">What is wrong, one line each, with file and line or field; empty when the result is not null.</param>
    public static SimulationCase? Read(string path, double computeSeconds, out IReadOnlyList<string> errors)
    {
        byte[] bytes;
        try
        {
            bytes = File.ReadAllBytes(path);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            errors = [$"{path}: {fault.Message}"];
            return null;
        }

        try
        {
            using var document = JsonDocument.Parse(bytes);
            var kind = document.RootElement.ValueKind == JsonValueKind.Object
                ? (document.RootElement.TryGetProperty("topology", out _), document.RootElement.TryGetProperty("fabric", out _))
                : default;
            IReadOnlyList<FieldFault> faults;
            SimulationCase? read;
            switch (kind)
            {
                case (true, false):
                    read = SimulationCase.Of(JsonSerializer.Deserialize<BatchScenario>(bytes, Json)!, out faults);
                    break;
                case (false, true):
                    read = SimulationCase.Of(JsonSerializer.Deserialize<Scenario>(bytes, Json)!, computeSeconds, out faults);
                    break;
                default:
                    errors = [$"{path}: A scenario is an object with either 'topology' (a batch of jobs) or 'fabric' (an emulation)."];
                    return null;
            }

            errors = [.. faults.Select(f => $"{path}: {f.Field}{(f.Value.Length > 0 ? $" is {f.Value}" : "")}: {f.Message}")];
            return read;
        }
        catch (JsonException fault)
        {
            // The serialiser counts lines from 0 and repeats path and line in its message.
            var message = fault.Message.Split(" Path: ")[0].Split(" LineNumber: ")[0];
            errors = [$"{path}:{(fault.LineNumber ?? 0) + 1}: {(string.IsNullOrEmpty(fault.Path) || fault.Path == "$" ? "" : $"{fault.Path}: ")}{message}"];
            return null;
        }
    }
}
