using System.Text.Json;
using System.Text.Json.Serialization;

namespace MLNet.SDN.Aggregation.Wire;

/// <summary>A stream and a round of it.</summary>
internal sealed record StreamRound(uint Stream, long Round);

/// <summary>The highest epoch of a round that a host has heard of or promised to answer.</summary>
internal sealed record RoundEpoch(long Round, Epoch Epoch);

/// <summary>What an agent knows of a stream: rounds up to <paramref name="Failed"/> will not be finished any more; the epochs of the last rounds, the next included.</summary>
internal sealed record StreamReport(uint Stream, long Failed, IReadOnlyList<RoundEpoch> Rounds);

/// <summary>A local worker as its agent reports it. Sessions count the joins of the rank, 0 before the first.</summary>
internal sealed record WorkerReport
{
    public required int Rank { get; init; }

    public required int Session { get; init; }

    public required bool Joined { get; init; }

    /// <summary>The session began under an earlier life of the agent, and its memory was handed back.</summary>
    public bool Restored { get; init; }

    /// <summary>Number of the last session that ended.</summary>
    public int Ended { get; init; }

    /// <summary>Why it ended.</summary>
    public string? Reason { get; init; }

    /// <summary>Highest round that the ended session contributed to, by stream.</summary>
    public IReadOnlyList<StreamRound> Last { get; init; } = [];
}

/// <summary>A worker as the anchor tells everyone.</summary>
internal sealed record RosterEntry(int Rank, bool Joined, string? Gone = null);

/// <summary>A host that the anchor cannot reach: for the time being, or given up.</summary>
internal sealed record LostHost(string Host, string Reason);

/// <summary>What a worker reduces in a round, as frames write it.</summary>
internal sealed record WorkerShape(int Rank, long Bytes, byte Type, byte Operation, bool FixedOrder = false);

/// <summary>
/// A message of a signalling connection: a JSON object behind its length (u32, little endian). Unset fields are left out. docs/protocol.md §4 is the authority.
/// Everything is level-triggered: each kind may be lost, repeated or late without harm.
/// </summary>
internal sealed record SignalMessage
{
    public const int MaxBytes = 4 << 20;

    /// <summary>One of <see cref="Types"/>.</summary>
    public required string Type { get; init; }

    public int? Rank { get; init; }

    public uint? Stream { get; init; }

    public long? Round { get; init; }

    /// <summary>First of the rounds that failed; the one before it may still be finished.</summary>
    public long? First { get; init; }

    /// <summary>First of the rounds before <see cref="First"/> that may still be finished; the one before alone when unset.</summary>
    public long? Spared { get; init; }

    public TreesRevision? Revision { get; init; }

    public Epoch? Epoch { get; init; }

    /// <summary>Drawn anew at each start of the agent.</summary>
    public string? Boot { get; init; }

    public string? Code { get; init; }

    public string? Text { get; init; }

    public IReadOnlyList<TreesRevision>? Revisions { get; init; }

    public IReadOnlyList<WorkerReport>? Workers { get; init; }

    public IReadOnlyList<StreamReport>? Streams { get; init; }

    public IReadOnlyList<RosterEntry>? Roster { get; init; }

    public IReadOnlyList<LostHost>? Lost { get; init; }

    /// <summary>Hosts without signalling connection that are still waited for.</summary>
    public IReadOnlyList<LostHost>? Away { get; init; }

    /// <summary>Hosts that have not confirmed the trees yet; no round begins before they have.</summary>
    public IReadOnlyList<string>? Missing { get; init; }

    public IReadOnlyList<WorkerShape>? Shapes { get; init; }

    /// <summary>Kinds of message.</summary>
    internal static class Types
    {
        /// <summary>Agent to anchor: its whole state.</summary>
        public const string State = "state";

        /// <summary>Agent to anchor: at which round and epoch does the stream begin?</summary>
        public const string Open = "open";

        /// <summary>Anchor to agent: the answer.</summary>
        public const string Opened = "opened";

        /// <summary>Agent to anchor: which epoch does this round begin with? Anchor to agent: this one, and nothing lower any more.</summary>
        public const string Epoch = "epoch";

        /// <summary>Agent to anchor: this epoch of the round cannot be finished.</summary>
        public const string Stuck = "stuck";

        /// <summary>Agent to anchor: this round cannot be finished.</summary>
        public const string Fail = "fail";

        /// <summary>Anchor to all: rounds of the stream up to this one are over.</summary>
        public const string Failed = "failed";

        /// <summary>Anchor to all: what do your workers reduce in this round?</summary>
        public const string Describe = "describe";

        /// <summary>Agent to anchor: the answer, with those workers that have submitted the round.</summary>
        public const string Shapes = "shapes";

        /// <summary>Anchor to all: who is there.</summary>
        public const string Roster = "roster";

        /// <summary>Either way: I am alive.</summary>
        public const string Ping = "ping";
    }

    public byte[] Serialize() => JsonSerializer.SerializeToUtf8Bytes(this, SignalJson.Default.SignalMessage);

    /// <summary>False for anything but a well-formed message of a known kind; never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> utf8, out SignalMessage? message)
    {
        message = null;
        try
        {
            message = JsonSerializer.Deserialize(utf8, SignalJson.Default.SignalMessage);
        }
        catch (Exception e) when (e is JsonException or NotSupportedException or ArgumentException)
        {
            return false;
        }

        return message is not null && IsWhole(message);
    }

    private static bool IsWhole(SignalMessage m) => m.Epoch is null or { IsWellFormed: true } && m.Type switch
    {
        Types.State => m.Boot is not null && m.Revisions is not null && m.Workers is { } workers && workers.All(w => w is { Last: not null })
            && m.Streams is { } streams && streams.All(s => s is { Rounds: not null } && s.Rounds.All(r => r is { Round: >= 0, Epoch.IsWellFormed: true })),
        Types.Open => m is { Rank: not null, Stream: not null },
        Types.Epoch => m is { Stream: not null, Round: >= 0 },
        Types.Stuck => m is { Stream: not null, Round: >= 0, Epoch: not null, Text: not null },
        Types.Opened => m is { Rank: not null, Stream: not null, Round: >= 0, Epoch: not null },
        Types.Fail => m is { Stream: not null, Round: >= 0, Code: not null, Text: not null },
        Types.Failed => m is { Stream: not null, Round: >= 0, First: >= 0, Code: not null, Text: not null, Epoch: not null },
        Types.Roster => m.Roster is { } roster && roster.All(r => r is not null) && m.Lost is { } lost && lost.All(l => l is { Host: not null })
            && m.Away is { } away && away.All(l => l is { Host: not null }) && m.Missing is not null && m.Revision is not null && m.Revisions is not null,
        Types.Describe => m is { Stream: not null, Round: >= 0 },
        Types.Shapes => m is { Stream: not null, Round: >= 0, Shapes: { } shapes } && shapes.All(s => s is not null),
        Types.Ping => true,
        _ => false,
    };
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(SignalMessage))]
internal sealed partial class SignalJson : JsonSerializerContext;
