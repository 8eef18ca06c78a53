using System.Globalization;
using System.Net;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Topology;

/// <summary>Checks a topology before it becomes a <see cref="Fabric"/>; reports every fault, not just the first.</summary>
internal static class FabricRules
{
    public static List<FieldFault> Check(Contracts.Topology topology)
    {
        var faults = new List<FieldFault>();
        if (topology is { Edges: not null, Links.Count: > 0 })
        {
            faults.Add(new("edges", string.Create(CultureInfo.InvariantCulture, $"{topology.Edges.Count} entries"), "There are links and edges; give all of them under one of the two names."));
        }

        var nodes = CheckNodes(topology, faults);
        CheckLinks(topology, nodes, faults);
        if (faults.Count == 0)
        {
            CheckReachability(Undirected(topology), faults);
        }

        return faults;
    }

    /// <summary>A sound topology with each link once, under the name of links.</summary>
    public static Contracts.Topology Undirected(Contracts.Topology topology)
    {
        var links = topology.Edges ?? topology.Links;
        if (!topology.Directed)
        {
            return topology.Edges is null ? topology : topology with { Links = links, Edges = null };
        }

        return topology with { Directed = false, Edges = null, Links = [.. links.Where(l => string.CompareOrdinal(l.Source, l.Target) < 0)] };
    }

    /// <summary>The one spelling of an IP address that equal addresses share, or null where the text is none.</summary>
    /// <remarks>Short forms such as <c>10.1</c> (which the platform reads as 10.0.0.1) are refused: they are typing errors far more often than intent.</remarks>
    public static string? CanonicalAddress(string? text)
    {
        if (string.IsNullOrEmpty(text) || !IPAddress.TryParse(text, out var address) || text.Contains('%', StringComparison.Ordinal) || text.Contains('[', StringComparison.Ordinal))
        {
            return null;
        }

        if (address.AddressFamily == System.Net.Sockets.AddressFamily.InterNetwork)
        {
            return address.ToString() == text ? text : null;
        }

        return (address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address).ToString();
    }

    private static Dictionary<string, TopologyNode> CheckNodes(Contracts.Topology topology, List<FieldFault> faults)
    {
        var nodes = new Dictionary<string, TopologyNode>(StringComparer.Ordinal);
        var addresses = new Dictionary<string, string>(StringComparer.Ordinal);
        for (var i = 0; i < topology.Nodes.Count; i++)
        {
            if (topology.Nodes[i] is not { } node)
            {
                faults.Add(new($"nodes[{i}]", "null", "A node is an object with id and kind; remove the null."));
                continue;
            }

            if (string.IsNullOrWhiteSpace(node.Id))
            {
                faults.Add(new($"nodes[{i}].id", node.Id ?? "", "A node needs a name; give it a unique, non-blank id."));
                continue;
            }

            if (!nodes.TryAdd(node.Id, node))
            {
                faults.Add(new($"nodes[{i}].id", node.Id, "Another node has the same id; every node needs its own."));
            }

            CheckSwitchAddresses(node, i, addresses, faults);
            if (node.Kind != NodeKind.Host)
            {
                continue;
            }

            if (string.IsNullOrEmpty(node.Address))
            {
                faults.Add(new($"nodes[{i}].address", "", $"Host {node.Id} has no address; give the IPv4 or IPv6 address of its data-plane interface."));
            }
            else if (CanonicalAddress(node.Address) is not { } address)
            {
                faults.Add(new($"nodes[{i}].address", node.Address, $"Host {node.Id} needs a plain IPv4 or IPv6 address without prefix length, such as 10.0.0.2."));
            }
            else if (!addresses.TryAdd(address, node.Id))
            {
                faults.Add(new($"nodes[{i}].address", node.Address, $"{addresses[address]} has the same address; every node needs its own."));
            }
        }

        if (!nodes.Values.Any(n => n.Kind == NodeKind.Host))
        {
            faults.Add(new("nodes", "", "The topology has no host; add at least one node of kind host."));
        }

        return nodes;
    }

    private static void CheckSwitchAddresses(TopologyNode node, int i, Dictionary<string, string> addresses, List<FieldFault> faults)
    {
        for (var a = 0; a < (node.Addresses?.Count ?? 0); a++)
        {
            var text = node.Addresses![a];
            if (node.Kind == NodeKind.Host)
            {
                faults.Add(new($"nodes[{i}].addresses", text ?? "null", $"{node.Id} is a host and has one address; give it as address."));
                return;
            }

            if (CanonicalAddress(text) is not { } address)
            {
                faults.Add(new($"nodes[{i}].addresses[{a}]", text ?? "null", $"Switch {node.Id} needs plain IPv4 or IPv6 addresses without prefix length, such as 10.128.0.1."));
            }
            else if (!addresses.TryAdd(address, node.Id) && addresses[address] is var other)
            {
                faults.Add(new($"nodes[{i}].addresses[{a}]", text, other == node.Id ? $"Switch {node.Id} has the address twice; name it once." : $"{other} has the same address; every node needs its own."));
            }
        }
    }

    private static void CheckLinks(Contracts.Topology topology, Dictionary<string, TopologyNode> nodes, List<FieldFault> faults)
    {
        var (links, name) = topology.Edges is null ? (topology.Links, "links") : (topology.Edges, "edges");
        var pairs = new Dictionary<(string, string), int>();
        var linked = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < links.Count; i++)
        {
            if (links[i] is not { } link)
            {
                faults.Add(new($"{name}[{i}]", "null", "A link is an object with source, target and rateBitsPerSecond; remove the null."));
                continue;
            }

            var known = CheckEnd(link.Source, $"{name}[{i}].source", nodes, faults) & CheckEnd(link.Target, $"{name}[{i}].target", nodes, faults);
            if (link.RateBitsPerSecond <= 0)
            {
                faults.Add(new(
                    $"{name}[{i}].rateBitsPerSecond",
                    link.RateBitsPerSecond.ToString(CultureInfo.InvariantCulture),
                    $"The rate of link {link.Source}-{link.Target} must be above zero, in bit/s; a link that is down is left out."));
            }

            if (!known)
            {
                continue;
            }

            if (link.Source == link.Target)
            {
                faults.Add(new($"{name}[{i}].target", link.Target, "The link leads back to the node it starts from; name two different nodes."));
                continue;
            }

            linked.Add(link.Source);
            linked.Add(link.Target);
            var pair = topology.Directed || string.CompareOrdinal(link.Source, link.Target) < 0 ? (link.Source, link.Target) : (link.Target, link.Source);
            if (!pairs.TryAdd(pair, i) && !topology.Multigraph)
            {
                faults.Add(new(
                    $"{name}[{i}]",
                    $"{link.Source}-{link.Target}",
                    $"{name}[{pairs[pair]}] joins the same two nodes; remove one{(topology.Directed ? "" : " (a full-duplex link is listed once)")} or set multigraph to true for parallel links."));
            }
        }

        if (topology.Directed)
        {
            CheckOneWay(links, name, faults);
        }

        for (var i = 0; i < topology.Nodes.Count; i++)
        {
            if (topology.Nodes[i] is { Kind: NodeKind.Host } host && !string.IsNullOrWhiteSpace(host.Id) && !linked.Contains(host.Id))
            {
                faults.Add(new($"nodes[{i}]", host.Id, $"Host {host.Id} has no link; add the link to its switch or remove the host."));
            }
        }
    }

    // Links are full duplex: a directed graph must say so of each, at one rate. Parallel links are matched by their rates.
    private static void CheckOneWay(IReadOnlyList<TopologyLink> links, string name, List<FieldFault> faults)
    {
        var back = links.Index().Where(l => l.Item is not null).ToLookup(l => (l.Item.Source, l.Item.Target));
        foreach (var group in back)
        {
            var (source, target) = group.Key;
            var opposite = back[(target, source)].Select(l => l.Item.RateBitsPerSecond).Order().ToList();
            if (opposite.Count == 0)
            {
                faults.Add(new(
                    $"{name}[{group.First().Index}]",
                    $"{source}-{target}",
                    $"The link leads one way only; add {target}-{source} with the same rate, or set directed to false: links are full duplex."));
            }
            else if (string.CompareOrdinal(source, target) < 0 && !group.Select(l => l.Item.RateBitsPerSecond).Order().SequenceEqual(opposite))
            {
                faults.Add(new(
                    $"{name}[{group.First().Index}].rateBitsPerSecond",
                    string.Join(", ", group.Select(l => l.Item.RateBitsPerSecond.ToString(CultureInfo.InvariantCulture))),
                    $"The way back, {target}-{source}, has {string.Join(", ", opposite.Select(r => r.ToString(CultureInfo.InvariantCulture)))} bit/s; give both directions of a link the same rate."));
            }
        }
    }

    private static bool CheckEnd(string? end, string field, Dictionary<string, TopologyNode> nodes, List<FieldFault> faults)
    {
        if (end is not null && nodes.ContainsKey(end))
        {
            return true;
        }

        faults.Add(new(field, end ?? "", "No node has this id; name a node of the topology."));
        return false;
    }

    // Hosts do not forward, so two hosts reach each other through switches that hang together, or over a link of their own.
    private static void CheckReachability(Contracts.Topology topology, List<FieldFault> faults)
    {
        var kinds = topology.Nodes.ToDictionary(n => n.Id, n => n.Kind, StringComparer.Ordinal);
        var islandOf = kinds.Where(n => n.Value == NodeKind.Switch).ToDictionary(n => n.Key, n => n.Key, StringComparer.Ordinal);
        foreach (var link in topology.Links)
        {
            if (kinds[link.Source] == NodeKind.Switch && kinds[link.Target] == NodeKind.Switch)
            {
                var (a, b) = (Find(islandOf, link.Source), Find(islandOf, link.Target));
                islandOf[string.CompareOrdinal(a, b) < 0 ? b : a] = string.CompareOrdinal(a, b) < 0 ? a : b;
            }
        }

        var reach = kinds.Where(n => n.Value == NodeKind.Host).ToDictionary(n => n.Key, _ => new SortedSet<string>(StringComparer.Ordinal), StringComparer.Ordinal);
        var peers = new HashSet<(string, string)>();
        foreach (var link in topology.Links)
        {
            foreach (var (host, other) in new[] { (link.Source, link.Target), (link.Target, link.Source) })
            {
                if (kinds[host] != NodeKind.Host)
                {
                    continue;
                }

                if (kinds[other] == NodeKind.Switch)
                {
                    reach[host].Add(Find(islandOf, other));
                }
                else
                {
                    peers.Add((host, other));
                }
            }
        }

        var main = reach.Values.SelectMany(r => r).GroupBy(r => r, StringComparer.Ordinal)
            .OrderByDescending(g => g.Count()).ThenBy(g => g.Key, StringComparer.Ordinal).FirstOrDefault()?.Key;
        var reference = reach.Keys.Where(h => main is null || reach[h].Contains(main)).Min(StringComparer.Ordinal)!;

        // Hosts that hang together are cut off by one missing link, and are one fault.
        var cutOff = topology.Nodes.Index()
            .Where(n => n.Item.Kind == NodeKind.Host && n.Item.Id != reference && !(main is not null && reach[n.Item.Id].Contains(main)) && !(reach.Count == 2 && peers.Contains((n.Item.Id, reference))))
            .GroupBy(n => reach[n.Item.Id].FirstOrDefault(n.Item.Id), StringComparer.Ordinal);
        foreach (var island in cutOff.Select(i => i.ToArray()))
        {
            var (at, host) = island[0];
            var others = island.Length == 1 ? "" : string.Create(CultureInfo.InvariantCulture, $" and {island.Length - 1} more beside it");
            faults.Add(new($"nodes[{at}]", host.Id, $"Host {host.Id}{others} cannot be reached from host {reference}; add the missing link between their switches or remove the host{(others.Length > 0 ? "s" : "")}."));
        }
    }

    private static string Find(Dictionary<string, string> island, string node)
    {
        while (island[node] != node)
        {
            node = island[node] = island[island[node]];
        }

        return node;
    }
}
