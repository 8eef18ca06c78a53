using MLNet.SDN.Planning.Topology;
using MLNet.SDN.Planning.Trees;
using static MLNet.SDN.Tests.Planning.Fabrics;

namespace MLNet.SDN.Tests.Planning.Trees;

/// <summary>Bytes per link of every strategy for one job of eight workers in two racks, as worked out by hand.</summary>
public class StrategyLoadTests
{
    // 2 racks of 5 hosts, all links 10 Gbit/s; workers h0-0..h0-3 and h1-0..h1-3, the fifth of each rack idle.
    private static readonly Fabric TwoRacks = Of(LeafSpine.Build(2, 1, 5, 10_000, oversubscription: 5));

    private static readonly string[] Aligned = ["h0-0", "h0-1", "h0-2", "h0-3", "h1-0", "h1-1", "h1-2", "h1-3"];

    public static TheoryData<string, string> Cases => new()
    {
        { "direct-sharded", "sharded_ps_all_workers" },
        { "ring", "ring_rack_aligned_h0h1h2h3_then_rack1" },
        { "ring alternating", "ring_alternating_racks" },
        { "rack-star", "rotated_rack_trees" },
        { "rack", "rotated_rack_trees" },
        { "optimized", "rotated_rack_trees_plus_helpers_r0h4_r1h4" },
        { "one server", "one_ps_on_r0h4" },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Load_EightWorkersInTwoRacks_IsWhatTheSumsSay(string strategy, string golden)
    {
        int[] workers = [.. Aligned.Select(TwoRacks.HostNumber)];
        int[] helpers = [.. new[] { "h0-4", "h1-4" }.Select(TwoRacks.HostNumber)];
        var load = strategy switch
        {
            "ring alternating" => Ring.Load([.. workers.Zip(workers[4..]).Take(4).SelectMany(p => new[] { p.First, p.Second })], TwoRacks),
            "optimized" => JointTrees.Best(new() { Workers = [.. workers.Order()], Helpers = helpers, GradientBytes = 8e8, ComputeSeconds = 0.5, Rounds = 3 }, TwoRacks).Load,
            "one server" => Forest.TryRead(
                [new() { Weight = 1, Roots = ["h0-4"], Edges = [.. Aligned.Select(w => new Contracts.TreeEdge(w, "h0-4"))] }], [.. workers.Order()], helpers, TwoRacks)!.Load(TwoRacks),
            _ => TrafficStrategies.Load(strategy, workers, TwoRacks),
        };

        var expected = Golden.Read("F1_one_job_all_strategies.json").GetProperty("strategies").GetProperty(golden);
        var bytes = load.Links.Zip(load.Bytes).ToDictionary(l => TwoRacks.LinkName(l.First), l => l.Second * 8e8);
        foreach (var link in expected.GetProperty("bytes_per_link_per_iteration").EnumerateObject())
        {
            // r0h3 is our h0-3 on leaf l0, r0up the leaf's link to the spine; both directions carry the same.
            var (up, down) = link.Name.EndsWith("up", StringComparison.Ordinal)
                ? ($"l{link.Name[1]}->s0", $"s0->l{link.Name[1]}")
                : ($"h{link.Name[1]}-{link.Name[3]}->l{link.Name[1]}", $"l{link.Name[1]}->h{link.Name[1]}-{link.Name[3]}");
            Assert.Equal(Golden.Number(link.Value), bytes[up], Golden.Number(link.Value) * 1e-6);
            Assert.Equal(Golden.Number(link.Value), bytes[down], Golden.Number(link.Value) * 1e-6);
        }

        Assert.Equal(Golden.Number(expected.GetProperty("isolated_comm_s")), load.BottleneckSecondsPerByte * 8e8, 1e-6);
    }
}
