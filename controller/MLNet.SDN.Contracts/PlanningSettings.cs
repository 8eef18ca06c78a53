namespace MLNet.SDN.Contracts;

/// <summary>How jobs are planned; an operator may change it while jobs run (<c>PUT /api/v1/planning</c>).</summary>
public sealed record PlanningSettings
{
    /// <summary>How trees are made: <c>direct-single</c>, <c>direct-sharded</c> or <c>rack</c>.</summary>
    public string Strategy { get; init; } = "rack";

    /// <summary>How levels are given: <c>fair</c> (nothing is marked) or <c>srpt</c>.</summary>
    public string Policy { get; init; } = "srpt";
}
