using System.Text.Json.Serialization;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Policies;

/// <summary>What was seen of a job's processes on this host; kept beside the policy.</summary>
internal sealed record SeenJob
{
    /// <summary>The job.</summary>
    public required long JobId { get; init; }

    /// <summary>As <see cref="HostJob.TreesRevision"/>: with other trees it begins anew.</summary>
    public required Revision Trees { get; init; }

    /// <summary>Users whose sockets its selectors fitted, ascending; none where it never had one here.</summary>
    public required IReadOnlyList<uint> Users { get; init; }

    /// <summary>Its marks are withdrawn.</summary>
    public required bool IsGone { get; init; }

    /// <summary>Whether the other says the same.</summary>
    public bool Equals(SeenJob? other) => other is not null && (JobId, Trees, IsGone) == (other.JobId, other.Trees, other.IsGone) && Users.SequenceEqual(other.Users);

    /// <inheritdoc />
    public override int GetHashCode() => HashCode.Combine(JobId, Trees, IsGone, Users.Count);
}

/// <summary>How it becomes JSON.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(IReadOnlyList<SeenJob>), TypeInfoPropertyName = "SeenJobs")]
internal sealed partial class SeenJobJson : JsonSerializerContext;
