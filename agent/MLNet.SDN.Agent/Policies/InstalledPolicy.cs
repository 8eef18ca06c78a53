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

    /// <summary>
    /// All selectors of all jobs, in the order in which they are asked: those that name a process before the others, of each kind as written first, then reversed; the first that
    /// matches decides.
    /// </summary>
    public required IReadOnlyList<SelectorMatch> Selectors { get; init; }

    /// <summary>What the data plane is to do.</summary>
    public required IReadOnlyList<AggregationJob> AggregationJobs { get; init; }

    /// <summary>Control groups that selectors name.</summary>
    public IReadOnlySet<string> Cgroups => Selectors.Select(s => s.Cgroup).OfType<string>().ToHashSet(StringComparer.Ordinal);

    /// <summary>Whether it has to be known whose a socket is.</summary>
    public bool NamesProcesses => Selectors.Any(s => s.NamesProcess);

    /// <summary>The same without the selectors of some jobs, but for those that name a control group: into that no stranger comes.</summary>
    public InstalledPolicy Without(IReadOnlySet<long> jobs) =>
        jobs.Count == 0 ? this : this with { Selectors = [.. Selectors.Where(s => s.Cgroup is not null || !jobs.Contains(s.JobId))] };
}
