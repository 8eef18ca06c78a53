using System.Security.Cryptography;
using System.Text.Json;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Controller.Hosting;

/// <summary>A topology as loaded from a file.</summary>
/// <param name="Fabric">Validated.</param>
/// <param name="Sha256">Hash of the file's bytes, hex: tells whether the operator changed it.</param>
internal sealed record TopologyFile(Fabric Fabric, string Sha256)
{
    /// <summary>Largest file read: a fabric of 100,000 links has about 10 MB.</summary>
    public const long MaxBytes = 64L << 20;

    /// <summary>Loads and validates; says every fault.</summary>
    /// <returns>False when <paramref name="faults"/> has entries.</returns>
    public static bool TryLoad(string path, out TopologyFile? topology, out IReadOnlyList<string> faults)
    {
        topology = null;
        byte[] bytes;
        try
        {
            var length = new FileInfo(path).Length;
            if (length > MaxBytes)
            {
                faults = [$"{path}: {length} bytes, more than {MaxBytes}."];
                return false;
            }

            bytes = File.ReadAllBytes(path);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            faults = [$"{path}: {fault.Message}"];
            return false;
        }

        if (!TryParse(bytes, out var fabric, out var fields))
        {
            faults = [.. fields.Select(f => $"{path}: {Describe(f)}")];
            return false;
        }

        topology = new(fabric!, Convert.ToHexStringLower(SHA256.HashData(bytes)));
        faults = [];
        return true;
    }

    /// <summary>Reads node-link JSON. Members that we do not know are passed over: other programs keep their own attributes in such files.</summary>
    public static bool TryParse(ReadOnlySpan<byte> json, out Fabric? fabric, out IReadOnlyList<FieldFault> faults)
    {
        fabric = null;
        Topology? topology;
        try
        {
            topology = JsonSerializer.Deserialize(json, ContractsJson.Default.Topology);
        }
        catch (JsonException fault)
        {
            faults = [Rest.StrictJson.Explain(fault)];
            return false;
        }

        if (topology is null)
        {
            faults = [new("$", "null", "The topology must be a node-link object with 'nodes' and 'links'.")];
            return false;
        }

        return Fabric.TryCreate(topology, out fabric, out faults);
    }

    /// <summary>One line for the operator.</summary>
    public static string Describe(FieldFault fault) => fault.Value.Length == 0 ? $"{fault.Field}: {fault.Message}" : $"{fault.Field} '{fault.Value}': {fault.Message}";
}
