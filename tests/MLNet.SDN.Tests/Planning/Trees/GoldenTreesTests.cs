using System.Text.Json;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;
using MLNet.SDN.Planning.Trees;
using static MLNet.SDN.Tests.Planning.Fabrics;

namespace MLNet.SDN.Tests.Planning.Trees;

/// <summary>Small instances whose least bottleneck time over all forests is known from linear programmes with dual certificates.</summary>
public class GoldenTreesTests
{
    public static TheoryData<string> Instances => [.. Golden.Read("trees.json").GetProperty("instances").EnumerateObject().Select(i => i.Name)];

    [Theory]
    [MemberData(nameof(Instances))]
    public void Best_OneJobAlone_ReachesTheOptimum(string name)
    {
        var instance = Golden.Read("trees.json").GetProperty("instances").GetProperty(name);
        var input = instance.GetProperty("input");
        var optimum = Golden.Number(instance.GetProperty("expected").GetProperty("T_opt_units_D_over_B"));
        var fabric = FabricOf(input);

        var choice = JointTrees.Best(
            new() { Workers = Hosts("workers"), Helpers = Hosts("helpers"), GradientBytes = input.GetProperty("D_bytes").GetDouble(), ComputeSeconds = 0, Rounds = 1 },
            fabric);

        Assert.Equal(optimum, choice.Load.BottleneckSecondsPerByte * 1.25e9, optimum * 1e-6);

        int[] Hosts(string property) => [.. input.GetProperty(property).EnumerateArray().Select(h => fabric.HostNumber(h.GetString()!)).Order()];
    }

    private static Fabric FabricOf(JsonElement input)
    {
        var nodes = new List<TopologyNode> { Switch("core") };
        var links = new List<TopologyLink>();
        foreach (var rack in input.GetProperty("racks").EnumerateObject())
        {
            nodes.Add(Switch(rack.Name, rack: rack.Name));
            if (rack.Value.ValueKind != JsonValueKind.Null)
            {
                links.Add(Link(rack.Name, "core", rack.Value.GetDouble() * 8 / 1e6));
            }
        }

        foreach (var (i, host) in input.GetProperty("hosts").EnumerateObject().Index())
        {
            nodes.Add(Host(host.Name, $"10.0.0.{i + 1}", host.Value.GetProperty("rack").GetString()));
            links.Add(Link(host.Name, host.Value.GetProperty("rack").GetString()!, host.Value.GetProperty("nic_bytes_per_s").GetDouble() * 8 / 1e6));
        }

        return Of(new() { Nodes = nodes, Links = links });
    }
}
