using System.Collections.Concurrent;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Topology;

/// <summary>Part of a flow that crosses a link, and each link that this one stands for.</summary>
internal readonly record struct PathShare(int Link, double Fraction);

/// <summary>What a flow between two hosts puts on links: the links of the hosts, and the shares of the fabric between their switches.</summary>
/// <param name="FirstLink">Link from the source to its only switch; -1 when it has several, and <paramref name="Middle"/> starts at the host.</param>
/// <param name="LastLink">Link to the destination from its only switch; -1 as above.</param>
/// <param name="Middle">Shares in between, in order of link number.</param>
internal readonly record struct HostPath(int FirstLink, int LastLink, PathShare[] Middle)
{
    public IEnumerable<PathShare> Enumerate()
    {
        if (FirstLink >= 0)
        {
            yield return new(FirstLink, 1);
        }

        foreach (var share in Middle)
        {
            yield return share;
        }

        if (LastLink >= 0)
        {
            yield return new(LastLink, 1);
        }
    }
}

/// <summary>Shortest paths by hops, a flow split at each hop evenly over the links that lead on.</summary>
/// <remarks>
/// Of links that always carry the same (<see cref="LinkClasses"/>) only the first is named. Remembered per pair of attachment points (racks), not per
/// pair of hosts. Thread-safe.
/// </remarks>
internal sealed class EqualCostPaths
{
    private static readonly PathShare[] Nothing = [];

    private readonly TopologyNode[] nodes;
    private readonly LinkGraph graph;
    private readonly LinkClasses classes;
    private readonly int[] attachment;
    private readonly int[] lastLink;
    private readonly int[] nodesOfColour;
    private readonly ConcurrentDictionary<(int, int), PathShare[]> known = new();

    public EqualCostPaths(TopologyNode[] nodes, LinkGraph graph, LinkClasses classes)
    {
        this.nodes = nodes;
        this.graph = graph;
        this.classes = classes;
        attachment = new int[nodes.Length];
        lastLink = new int[nodes.Length];
        nodesOfColour = new int[nodes.Length];
        for (var node = 0; node < nodes.Length; node++)
        {
            var links = graph.LinksFrom(node);
            var onlyNeighbour = links.Count == 1 ? graph.Links[links.Start].Target : -1;
            attachment[node] = nodes[node].Kind == NodeKind.Host && onlyNeighbour >= 0 && nodes[onlyNeighbour].Kind == NodeKind.Switch ? onlyNeighbour : node;
            lastLink[node] = attachment[node] == node ? -1 : graph.LinkBetween(attachment[node], node);
            nodesOfColour[classes.RepresentativeNode[node]]++;
        }
    }

    /// <summary>Where a host enters the fabric: its only switch, or itself when it has several links.</summary>
    public int AttachmentOf(int host) => attachment[host];

    /// <summary>Link from a host to its only switch; -1 when it has several.</summary>
    public int FirstLink(int host) => attachment[host] == host ? -1 : graph.LinksFrom(host).Start;

    /// <summary>Link to a host from its only switch; -1 when it has several.</summary>
    public int LastLink(int host) => lastLink[host];

    /// <summary>Shares of a flow between two attachment points, in order of link number.</summary>
    public PathShare[] Middle(int from, int to) => from == to ? Nothing : known.TryGetValue((from, to), out var shares) ? shares : known.GetOrAdd((from, to), Shares(from, to));

    public HostPath Between(int source, int destination) =>
        source == destination ? new(-1, -1, Nothing) : new(FirstLink(source), LastLink(destination), Middle(attachment[source], attachment[destination]));

    // Nodes of one colour are one node here. Hosts have colours of their own, and so have the two ends: a switch on which a host hangs alone.
    private PathShare[] Shares(int from, int to)
    {
        // 1. Hops to the destination. Hosts do not forward, so only the two ends may be hosts.
        var hops = new Dictionary<int, int> { [to] = 0 };
        var order = new List<int> { to };
        for (var i = 0; i < order.Count && !hops.ContainsKey(from); i++)
        {
            foreach (var link in graph.LinksFrom(order[i]))
            {
                var next = classes.RepresentativeNode[graph.Links[link].Target];
                if (graph.Links[link].Parallel > 0 && (next == from || nodes[next].Kind == NodeKind.Switch) && hops.TryAdd(next, hops[order[i]] + 1))
                {
                    order.Add(next);
                }
            }
        }

        if (!hops.ContainsKey(from))
        {
            throw new ArgumentException($"{nodes[to].Id} cannot be reached from {nodes[from].Id}.", nameof(to));
        }

        // 2. The flow runs down the hops; a colour's inflow is complete before it is passed on, because all of it comes from one hop further out.
        var inflow = new SortedDictionary<int, double> { [from] = 1 };
        var shares = new SortedDictionary<int, double>();
        while (inflow.Count > 0 && !inflow.ContainsKey(to))
        {
            var onward = new SortedDictionary<int, double>();
            foreach (var (node, amount) in inflow)
            {
                var ways = 0;
                foreach (var link in graph.LinksFrom(node))
                {
                    ways += Leads(link, node) ? graph.Links[link].Parallel : 0;
                }

                foreach (var link in graph.LinksFrom(node))
                {
                    if (Leads(link, node))
                    {
                        var part = amount * graph.Links[link].Parallel / ways;
                        var next = classes.RepresentativeNode[graph.Links[link].Target];
                        shares[classes.Representative[link]] = part / nodesOfColour[node];
                        onward[next] = onward.GetValueOrDefault(next) + part;
                    }
                }
            }

            inflow = onward;
        }

        return [.. shares.Select(s => new PathShare(s.Key, s.Value))];

        bool Leads(int link, int node) => graph.Links[link].Parallel > 0
            && hops.TryGetValue(classes.RepresentativeNode[graph.Links[link].Target], out var left) && left == hops[node] - 1;
    }
}
