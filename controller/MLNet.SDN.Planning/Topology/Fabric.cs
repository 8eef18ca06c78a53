using System.Collections.Frozen;
using System.Diagnostics.CodeAnalysis;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Topology;

/// <summary>A validated topology, indexed for planning.</summary>
/// <remarks>
/// Immutable and safe to use from any thread (paths are found once and remembered). Nodes, racks and pods are numbered in ordinal order of
/// their names, so that nothing planned on it depends on the order of the file. Parallel links between two nodes are one link here,
/// whose members share its load evenly, as ECMP does.
/// </remarks>
public sealed class Fabric
{
    private readonly FrozenDictionary<string, int> nodeIndex;
    private readonly FrozenDictionary<string, int> hostByAddress;
    private readonly FrozenDictionary<string, int> switchByAddress;
    private readonly EqualCostPaths paths;

    private Fabric(Contracts.Topology source)
    {
        Source = source;
        Nodes = [.. source.Nodes.OrderBy(n => n.Id, StringComparer.Ordinal)];
        nodeIndex = Nodes.Select((n, i) => (n.Id, i)).ToFrozenDictionary(n => n.Id, n => n.i, StringComparer.Ordinal);
        Hosts = Nodes.Where(n => n.Kind == NodeKind.Host).ToFrozenDictionary(n => n.Id, StringComparer.Ordinal);
        hostByAddress = Hosts.Values.ToFrozenDictionary(h => FabricRules.CanonicalAddress(h.Address)!, h => nodeIndex[h.Id], StringComparer.Ordinal);
        switchByAddress = Nodes.SelectMany((n, i) => (n.Addresses ?? []).Select(a => (Address: FabricRules.CanonicalAddress(a)!, Node: i)))
            .ToFrozenDictionary(a => a.Address, a => a.Node, StringComparer.Ordinal);
        Graph = LinkGraph.Build(Nodes, source.Links, nodeIndex);
        Classes = LinkClasses.Build(Nodes, Graph);
        paths = new EqualCostPaths(Nodes, Graph, Classes);
        Sites = SiteIndex.Build(Nodes, Graph, Classes);
    }

    private Fabric(Fabric whole, LinkGraph left)
    {
        (Source, Nodes, nodeIndex, Hosts, hostByAddress, switchByAddress) = (whole.Source, whole.Nodes, whole.nodeIndex, whole.Hosts, whole.hostByAddress, whole.switchByAddress);
        Graph = left;
        Classes = LinkClasses.Build(Nodes, left);
        paths = new EqualCostPaths(Nodes, left, Classes);
        Sites = SiteIndex.Build(Nodes, left, Classes);
    }

    /// <summary>What it was made from, undirected.</summary>
    public Contracts.Topology Source { get; }

    /// <summary>Hosts by name.</summary>
    public IReadOnlyDictionary<string, TopologyNode> Hosts { get; }

    /// <summary>All nodes in ordinal order of their names; the index is a node's number.</summary>
    internal TopologyNode[] Nodes { get; }

    internal LinkGraph Graph { get; }

    /// <summary>Links that always carry the same; loads name only the first of each group.</summary>
    internal LinkClasses Classes { get; }

    internal EqualCostPaths Paths => paths;

    internal SiteIndex Sites { get; }

    /// <summary>Validates a topology and indexes it.</summary>
    /// <param name="topology">Any content that its JSON form can have; nothing is trusted.</param>
    /// <param name="fabric">The fabric, when the result is <see langword="true"/>.</param>
    /// <param name="faults">Everything wrong with it; empty when the result is <see langword="true"/>.</param>
    public static bool TryCreate(Contracts.Topology topology, [NotNullWhen(true)] out Fabric? fabric, out IReadOnlyList<FieldFault> faults)
    {
        var found = FabricRules.Check(topology);
        faults = found;
        fabric = found.Count == 0 ? new Fabric(FabricRules.Undirected(topology)) : null;
        return fabric is not null;
    }

    /// <summary>Host by data-plane address.</summary>
    /// <param name="address">IPv4 or IPv6 address in any spelling; IPv4 mapped into IPv6 is known as IPv4.</param>
    /// <param name="host">The host, when the result is <see langword="true"/>.</param>
    public bool TryFindHost(string address, [NotNullWhen(true)] out TopologyNode? host)
    {
        host = FabricRules.CanonicalAddress(address) is { } canonical && hostByAddress.TryGetValue(canonical, out var index) ? Nodes[index] : null;
        return host is not null;
    }

    /// <summary>Switch by one of the addresses that the topology gives it.</summary>
    /// <param name="address">As for <see cref="TryFindHost"/>.</param>
    /// <param name="found">The switch, when the result is <see langword="true"/>.</param>
    public bool TryFindSwitch(string address, [NotNullWhen(true)] out TopologyNode? found)
    {
        found = FabricRules.CanonicalAddress(address) is { } canonical && switchByAddress.TryGetValue(canonical, out var index) ? Nodes[index] : null;
        return found is not null;
    }

    /// <summary>Rate at which the host can send (and, at the same time, receive), bit/s: the sum over its links.</summary>
    /// <exception cref="KeyNotFoundException">The fabric has no such host.</exception>
    public long HostRateBitsPerSecond(string host) => HostRate(HostNumber(host));

    /// <summary>Adds a flow's rate to every link it may cross, spread over equal-cost shortest paths as ECMP does: at each hop evenly over the next links.</summary>
    /// <param name="sourceHost">Where the flow starts.</param>
    /// <param name="destinationHost">Where it ends; the same host loads nothing.</param>
    /// <param name="bitsPerSecond">Rate of the flow; any unit serves that the caller keeps to.</param>
    /// <param name="load">Load by directed link, as (source, target); added to. Parallel links are one entry.</param>
    /// <exception cref="KeyNotFoundException">The fabric has no such host.</exception>
    public void AddLoad(string sourceHost, string destinationHost, double bitsPerSecond, IDictionary<(string Source, string Target), double> load)
    {
        var (source, destination) = (HostNumber(sourceHost), HostNumber(destinationHost));
        foreach (var share in paths.Between(source, destination).Enumerate())
        {
            foreach (var member in Classes.Members(share.Link))
            {
                var link = Graph.Links[member];
                var key = (Nodes[link.Source].Id, Nodes[link.Target].Id);
                load[key] = (load.TryGetValue(key, out var before) ? before : 0) + (bitsPerSecond * share.Fraction);
            }
        }
    }

    /// <summary>Number of a host's node.</summary>
    internal int HostNumber(string host) =>
        nodeIndex.TryGetValue(host, out var node) && Nodes[node].Kind == NodeKind.Host
            ? node
            : throw new KeyNotFoundException($"The fabric has no host {host}.");

    internal long HostRate(int node)
    {
        var rate = 0L;
        foreach (var link in Graph.LinksFrom(node))
        {
            rate += Graph.Links[link].RateBitsPerSecond;
        }

        return rate;
    }

    /// <summary>The same fabric, with the same numbers, while some of its links are away: paths lead over those that are left.</summary>
    internal Fabric Without(IEnumerable<int> links) => new(this, Graph.Without(links));

    /// <summary>The host itself and every host that can be reached from it.</summary>
    internal HashSet<int> ReachedFrom(int host)
    {
        var seen = new HashSet<int> { host };
        var open = new Queue<int>([host]);
        while (open.TryDequeue(out var node))
        {
            foreach (var link in Graph.LinksFrom(node))
            {
                if (Graph.Links[link].Parallel > 0 && seen.Add(Graph.Links[link].Target) && Nodes[Graph.Links[link].Target].Kind == NodeKind.Switch)
                {
                    open.Enqueue(Graph.Links[link].Target);
                }
            }
        }

        seen.RemoveWhere(node => Nodes[node].Kind != NodeKind.Host);
        return seen;
    }

    /// <summary>Number of a node of any kind; false when there is none of that name.</summary>
    internal bool TryFindNode(string name, out int node) => nodeIndex.TryGetValue(name, out node);

    internal HostPath PathBetween(int sourceNode, int destinationNode) => paths.Between(sourceNode, destinationNode);

    /// <summary>A directed link as operators read it: <c>a->b</c>.</summary>
    internal string LinkName(int link) => $"{Nodes[Graph.Links[link].Source].Id}->{Nodes[Graph.Links[link].Target].Id}";
}
