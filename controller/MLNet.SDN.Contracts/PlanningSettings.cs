namespace MLNet.SDN.Contracts;

/// <summary>How jobs are planned; an operator may change it while jobs run (<c>PUT /api/v1/planning</c>).</summary>
public sealed record PlanningSettings
{
    /// <summary>How trees are made: <c>direct-single</c>, <c>direct-sharded</c>, <c>rack</c>, <c>binary</c> or <c>optimized</c> (rack trees laid out for all jobs together, with their helpers).</summary>
    public string Strategy { get; init; } = "rack";

    /// <summary>How levels are given: <c>fair</c> (nothing is marked), <c>srpt</c> (least communication left first), <c>spt</c> (shortest round first), <c>gpu-intensity</c>, <c>bssi</c>, or, where queues have weights, <c>weighted</c> (a part of each link by 1/communication left).</summary>
    public string Policy { get; init; } = "srpt";
}
