using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Topology.Import;

/// <summary>A switch of an imported tree.</summary>
/// <param name="Name">Unique among switches and hosts.</param>
/// <param name="Parent">Switch above; null for the top.</param>
/// <param name="Hosts">Hosts that hang on it.</param>
internal sealed record ImportedSwitch(string Name, string? Parent, IReadOnlyList<string> Hosts);

/// <summary>Makes a topology of a tree of switches: racks are the switches with hosts, pods those right above racks that have a switch above them.</summary>
internal static class SwitchTree
{
    /// <param name="switches">All switches; parents exist and there is no cycle.</param>
    /// <param name="rates">Rates, without faults.</param>
    public static Contracts.Topology Build(IReadOnlyList<ImportedSwitch> switches, ImportRates rates)
    {
        var byName = switches.ToDictionary(s => s.Name, StringComparer.Ordinal);
        var children = switches.Where(s => s.Parent is not null).ToLookup(s => s.Parent!, StringComparer.Ordinal);
        var fullest = switches.Max(s => s.Hosts.Count);
        var uplinks = Uplinks(switches, children, fullest, rates);
        var nodes = new List<TopologyNode>();
        var links = new List<TopologyLink>();
        var hosts = 0;
        foreach (var @switch in switches)
        {
            var isRack = @switch.Hosts.Count > 0;
            var pod = isRack ? PodAbove(@switch) : children[@switch.Name].Any(c => c.Hosts.Count > 0) && @switch.Parent is not null ? @switch.Name : null;
            nodes.Add(new() { Id = @switch.Name, Kind = NodeKind.Switch, Rack = isRack ? @switch.Name : null, Pod = pod, Tier = isRack ? "edge" : @switch.Parent is null ? "core" : "aggregation" });
            foreach (var host in @switch.Hosts)
            {
                // The files hold no addresses: 10.0.0.0/8 in order, until the operator gives real ones.
                var address = ++hosts;
                nodes.Add(new() { Id = host, Kind = NodeKind.Host, Address = $"10.{(address >> 16) & 255}.{(address >> 8) & 255}.{address & 255}", Rack = @switch.Name, Pod = pod });
                links.Add(FatTree.Link(host, @switch.Name, rates.HostMbps));
            }

            if (@switch.Parent is { } parent)
            {
                links.Add(FatTree.Link(@switch.Name, parent, uplinks[@switch.Name]));
            }
        }

        return new() { Nodes = nodes, Links = links };

        string? PodAbove(ImportedSwitch rack) => rack.Parent is { } parent && byName[parent].Parent is not null && byName[parent].Hosts.Count == 0 ? parent : null;
    }

    // From the lowest switches up: a tree may be deeper than the stack.
    private static Dictionary<string, double> Uplinks(IReadOnlyList<ImportedSwitch> switches, ILookup<string, ImportedSwitch> children, int fullest, ImportRates rates)
    {
        var order = switches.Where(s => s.Parent is null).ToList();
        for (var i = 0; i < order.Count; i++)
        {
            order.AddRange(children[order[i].Name]);
        }

        var uplinks = new Dictionary<string, double>(StringComparer.Ordinal);
        foreach (var @switch in Enumerable.Reverse(order))
        {
            uplinks[@switch.Name] = (@switch.Hosts.Count > 0 ? fullest * rates.HostMbps / rates.RackOversubscription : 0)
                + (children[@switch.Name].Sum(c => uplinks[c.Name]) / rates.PodOversubscription);
        }

        return uplinks;
    }
}
