using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>Ways to exchange gradients, as loads on links.</summary>
internal static class TrafficStrategies
{
    /// <summary>Those that can be compared in a simulation.</summary>
    public static IReadOnlyList<string> Names { get; } = ["direct-single", "direct-sharded", "ring", "rack-star", "rack", "binary", "optimized"];

    /// <summary>What a job puts on links under a strategy that does not look at other jobs.</summary>
    /// <param name="strategy">One of <see cref="Names"/>, but for <c>optimized</c>: that is for <see cref="JointTrees"/>.</param>
    /// <param name="hosts">Node numbers of the hosts with workers, each once; the first serves alone, and a ring runs in this order.</param>
    /// <param name="fabric">The fabric.</param>
    public static LinkLoad Load(string strategy, int[] hosts, Fabric fabric) => strategy switch
    {
        "direct-single" => DirectTrees.Single(hosts, 0).Load(fabric),
        "direct-sharded" => DirectTrees.Sharded(hosts).Load(fabric),
        "binary" => BinaryTrees.Build(MemberSites.Of(hosts, fabric)).Load(fabric),
        "ring" => Ring.Load(hosts, fabric),
        "rack-star" => RackTrees.Build(MemberSites.Of(hosts, fabric), RootSpread.EvenOverRacks, podAggregators: false).Load(fabric),
        "rack" => TreePlanner.BestRackTrees([.. hosts.Order()], fabric).Forest.Load(fabric),
        _ => throw new ArgumentException($"Unknown strategy {strategy}.", nameof(strategy)),
    };
}
