using System.Text.Json;
using System.Text.Json.Serialization;

namespace MLNet.SDN.Aggregation.Wire;

/// <summary>A message between a worker and its agent: one JSON object on one line. Unset fields are left out. docs/protocol.md §5 is the authority.</summary>
internal sealed record WorkerMessage
{
    /// <summary>Bytes of a line at most.</summary>
    public const int MaxBytes = 64 * 1024;

    /// <summary>Version of the worker protocol.</summary>
    public const int CurrentProtocol = 2;

    public required string Type { get; init; }

    public int? Protocol { get; init; }

    public string? Job { get; init; }

    public long? JobId { get; init; }

    public int? Rank { get; init; }

    public int? WorldSize { get; init; }

    /// <summary>What the sender joins a job with a parameter server as: <c>server</c> or <c>worker</c>; null for a job without one.</summary>
    public string? Role { get; init; }

    /// <summary>Of a join: workers that the launcher started.</summary>
    public int? Workers { get; init; }

    /// <summary>Rank of the job's server.</summary>
    public int? Server { get; init; }

    public uint? Stream { get; init; }

    public ulong? Round { get; init; }

    public long? Bytes { get; init; }

    public long? Capacity { get; init; }

    /// <summary>How many <c>restore</c> messages follow a join.</summary>
    public int? Restore { get; init; }

    public string? Dtype { get; init; }

    public string? Op { get; init; }

    public bool? Deterministic { get; init; }

    public string? Code { get; init; }

    public string? Message { get; init; }

    /// <summary>The line, with its end.</summary>
    public byte[] Serialize() => [.. JsonSerializer.SerializeToUtf8Bytes(this, WorkerJson.Default.WorkerMessage), (byte)'\n'];

    /// <summary>Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> line, out WorkerMessage? message)
    {
        message = null;
        try
        {
            message = JsonSerializer.Deserialize(line, WorkerJson.Default.WorkerMessage);
        }
        catch (Exception e) when (e is JsonException or NotSupportedException or ArgumentException)
        {
            return false;
        }

        return message is not null;
    }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(WorkerMessage))]
internal sealed partial class WorkerJson : JsonSerializerContext;
