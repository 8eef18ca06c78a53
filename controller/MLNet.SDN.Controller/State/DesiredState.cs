using System.Collections.Immutable;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Controller.State;

/// <summary>An unfinished job with its plan, as its hosts are to hold it.</summary>
internal sealed record PlacedJob
{
    /// <summary>As stored.</summary>
    public required JobRecord Record { get; init; }

    /// <summary>Plan in force.</summary>
    public required JobPlan Plan { get; init; }

    /// <summary>Rounds that were left when the job was last planned; 0 when unknown. Drift is measured against it.</summary>
    public required long PlannedRoundsLeft { get; init; }

    /// <summary>What each of its hosts is told.</summary>
    public required HostJob Content { get; init; }

    /// <summary>Hash of <see cref="Content"/>; two equal contents have the same.</summary>
    public required string ContentHash { get; init; }

    /// <summary>Revision in which the content came into force: the job is placed when each of its hosts acknowledged this one or a later one.</summary>
    public required Revision InForceSince { get; init; }

    /// <summary>Hosts with a part in it, ascending.</summary>
    public required ImmutableArray<string> Hosts { get; init; }

    /// <summary>The job's number.</summary>
    public long Id => Record.Id;

    /// <summary>The job's name.</summary>
    public string Name => Record.Spec.Name;

    /// <inheritdoc />
    public override string ToString() => Record.ToString();
}

/// <summary>A host's policy with a key that is equal for equal content.</summary>
/// <param name="Policy">Its revision is the one in which the content last changed.</param>
/// <param name="Key">Identifies all of the policy but its revision.</param>
internal sealed record DesiredPolicy(HostPolicy Policy, string Key);

/// <summary>All that is desired, at one revision. Immutable; a change swaps the whole behind one reference.</summary>
internal sealed record DesiredState
{
    /// <summary>Revision of the last change.</summary>
    public required Revision Revision { get; init; }

    /// <summary>The fabric.</summary>
    public required Fabric Fabric { get; init; }

    /// <summary>Revision in which the fabric came into force.</summary>
    public required Revision FabricSince { get; init; }

    /// <summary>How jobs are planned.</summary>
    public required PlanningSettings Settings { get; init; }

    /// <summary>Revision in which the settings came into force.</summary>
    public required Revision SettingsSince { get; init; }

    /// <summary>Unfinished jobs by number.</summary>
    public required ImmutableSortedDictionary<long, PlacedJob> Jobs { get; init; }

    /// <summary>Data-plane ports that agents named, where they differ from the standard one.</summary>
    public required ImmutableSortedDictionary<string, int> Ports { get; init; }

    /// <summary>Policy of every host of the fabric.</summary>
    public required ImmutableDictionary<string, DesiredPolicy> Policies { get; init; }

    /// <summary>The jobs that ended last, newest last.</summary>
    public ImmutableList<JobRecord> RecentlyEnded { get; init; } = [];

    /// <summary>Discovered jobs that somebody withdrew while they run: they are left alone until their processes have ended. By number.</summary>
    public ImmutableDictionary<long, JobRecord> Withdrawn { get; init; } = ImmutableDictionary<long, JobRecord>.Empty;

    /// <summary>What the planner warns of.</summary>
    public IReadOnlyList<string> PlanWarnings { get; init; } = [];

    /// <summary>The unfinished job of this name.</summary>
    public PlacedJob? FindJob(string name) => Jobs.Values.FirstOrDefault(j => j.Name == name);
}
