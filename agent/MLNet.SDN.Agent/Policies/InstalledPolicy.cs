using MLNet.SDN.Aggregation;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Policies;

/// <summary>A policy in the form in which the agent works with it. Immutable; one reference to it is swapped when another comes into force.</summary>
internal sealed record InstalledPolicy
{
    /// <summary>Before any policy.</summary>
    public static InstalledPolicy None { get; } = new()
    {
        Policy = null,
        Revision = Revision.None,
        SignallingDscp = PriorityLadder.Standard.SignallingDscp(),
        DscpByJob = new Dictionary<long, Dscp>(),
        Selectors = [],
        AggregationJobs = [],
    };

    /// <summary>As it came; null before the first.</summary>
    public required HostPolicy? Policy { get; init; }

    /// <summary>Its place in the order of policies.</summary>
    public required Revision Revision { get; init; }

    /// <summary>What signalling connections carry.</summary>
    public required Dscp SignallingDscp { get; init; }

    /// <summary>What each job's data should carry.</summary>
    public required IReadOnlyDictionary<long, Dscp> DscpByJob { get; init; }

    /// <summary>All selectors of all jobs, in the order in which they are asked: as written first, then reversed; the first that matches decides.</summary>
    public required IReadOnlyList<SelectorMatch> Selectors { get; init; }

    /// <summary>What the data plane is to do.</summary>
    public required IReadOnlyList<AggregationJob> AggregationJobs { get; init; }

    /// <summary>The same without the selectors of some jobs.</summary>
    public InstalledPolicy Without(IReadOnlySet<long> jobs) => jobs.Count == 0 ? this : this with { Selectors = [.. Selectors.Where(s => !jobs.Contains(s.JobId))] };
}
