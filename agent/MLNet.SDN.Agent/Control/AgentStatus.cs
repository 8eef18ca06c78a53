using System.Text.Json.Serialization;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Control;

/// <summary>Capture on one interface.</summary>
/// <param name="Interface">Its kernel name.</param>
/// <param name="Trouble">Why nothing is captured there now; null while it is.</param>
/// <param name="AllocatedBytes">What the reading thread has allocated on the managed heap: constant once the flow table has its size.</param>
internal sealed record CaptureStatus(string Interface, string? Trouble, long AllocatedBytes);

/// <summary>What <c>mlnet-agent status</c> prints. Counters are since the start of the process.</summary>
internal sealed record AgentStatus
{
    /// <summary>The host.</summary>
    public required string Host { get; init; }

    /// <summary>Product version.</summary>
    public required string Version { get; init; }

    /// <summary>This start of the process.</summary>
    public required Guid Boot { get; init; }

    /// <summary>When it started, UTC.</summary>
    public required DateTimeOffset Started { get; init; }

    /// <summary>The controller that it is attached to; null when none.</summary>
    public Uri? Controller { get; init; }

    /// <summary>The policy in force.</summary>
    public required Revision Policy { get; init; }

    /// <summary>Jobs of that policy.</summary>
    public required int Jobs { get; init; }

    /// <summary>Selectors of that policy.</summary>
    public required int Selectors { get; init; }

    /// <summary>SHA-256 of what the kernel holds of ours; see <see cref="PolicyAck.Hash"/>.</summary>
    public required string Hash { get; init; }

    /// <summary>What it can do here.</summary>
    public required IReadOnlyList<string> Capabilities { get; init; }

    /// <summary>What it cannot do, and why.</summary>
    public required IReadOnlyList<string> Limits { get; init; }

    /// <summary>What is wrong now.</summary>
    public required IReadOnlyList<string> Troubles { get; init; }

    /// <summary>Control groups that the policy names and that are not on this host now: what they select is marked once they are.</summary>
    public required IReadOnlyList<string> AbsentCgroups { get; init; }

    /// <summary>Queueing disciplines that the kernel has, of those by which a ladder could be served; null where it does not tell, or queues are not asked for.</summary>
    public IReadOnlyList<string>? QueueDisciplines { get; init; }

    /// <summary>By interface, the discipline that serves the ladder, or why none of ours does; null where queues are not asked for.</summary>
    public IReadOnlyDictionary<string, string>? Queues { get; init; }

    /// <summary>Capture by interface.</summary>
    public required IReadOnlyList<CaptureStatus> Captures { get; init; }

    /// <summary>Frames seen.</summary>
    public required long Frames { get; init; }

    /// <summary>Of these, frames that are no TCP or UDP of this host.</summary>
    public required long IgnoredFrames { get; init; }

    /// <summary>Frames that the kernel dropped before they were seen.</summary>
    public required long KernelDrops { get; init; }

    /// <summary>Flows in the table.</summary>
    public required int Flows { get; init; }

    /// <summary>Flows that had to make room.</summary>
    public required long EvictedFlows { get; init; }

    /// <summary>Flow records that nobody took in time.</summary>
    public required long LostRecords { get; init; }

    /// <summary>Reports that wait for a controller.</summary>
    public required int PendingReports { get; init; }
}

/// <summary>How the control socket's answers become JSON.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, WriteIndented = true)]
[JsonSerializable(typeof(AgentStatus))]
internal sealed partial class ControlJson : JsonSerializerContext;
