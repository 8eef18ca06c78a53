using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning;

/// <summary>A job to be planned.</summary>
public sealed record PlanningJob
{
    public required long JobId { get; init; }

    public required JobSpec Spec { get; init; }

    /// <summary>Rounds still to train; 0 when unknown.</summary>
    public long RoundsLeft { get; init; }

    /// <summary>Plan in force; null for a new job. Kept where nothing better is found, so that trees and their revision stay.</summary>
    public JobPlan? Previous { get; init; }
}

/// <summary>Plans of all jobs.</summary>
public sealed record PlanSet(IReadOnlyList<JobPlan> Jobs, IReadOnlyList<string> Warnings);

public static class Planner
{
    public static PlanSet Plan(Topology.Fabric fabric, IReadOnlyList<PlanningJob> jobs, PlanningSettings settings, PriorityLadder ladder, Revision next) =>
        throw new NotImplementedException();
}
