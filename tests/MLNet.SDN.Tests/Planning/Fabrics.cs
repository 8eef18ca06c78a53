using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Tests.Planning;

/// <summary>Fabrics that the tests draw on.</summary>
internal static class Fabrics
{
    /// <summary>2 pods of 2 racks of 4 hosts at 20 Mbit/s, 2 x 10 Mbit/s up from each rack.</summary>
    public static Fabric Demo { get; } = Of(FatTree.Build(new FabricShape { K = 4, Pods = 2, HostsPerRack = 4, HostMbps = 20, RackUplinkMbps = 10, CoreMbps = 10 }));

    public static Fabric Of(Contracts.Topology topology)
    {
        Assert.True(Fabric.TryCreate(topology, out var fabric, out var faults), string.Join('\n', faults));
        return fabric;
    }

    public static IReadOnlyList<FieldFault> FaultsOf(Contracts.Topology topology)
    {
        Assert.False(Fabric.TryCreate(topology, out var fabric, out var faults));
        Assert.Null(fabric);
        Assert.All(faults, f => Assert.True(f.Field.Length > 0 && f.Message.Length > 0 && f.Message.EndsWith('.')));
        return faults;
    }

    public static TopologyNode Host(string id, string? address = null, string? rack = null, string? pod = null) =>
        new() { Id = id, Kind = NodeKind.Host, Address = address ?? $"10.9.{id.Sum(c => c) % 256}.{(id[^1] * 7) % 256}", Rack = rack, Pod = pod };

    public static TopologyNode Switch(string id, string? rack = null, string? pod = null) => new() { Id = id, Kind = NodeKind.Switch, Rack = rack, Pod = pod };

    public static TopologyLink Link(string a, string b, double mbps = 10) => new() { Source = a, Target = b, RateBitsPerSecond = (long)(mbps * 1e6) };

    /// <summary>All hosts of a fabric in order of their names.</summary>
    public static string[] HostNames(Fabric fabric) => [.. fabric.Hosts.Keys.Order(StringComparer.Ordinal)];
}
