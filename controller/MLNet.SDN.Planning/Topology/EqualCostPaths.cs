using System.Collections.Concurrent;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Topology;

/// <summary>Part of a flow that crosses a link.</summary>
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

    /// <summary>Adds an amount to every link of the path.</summary>
    public void AddTo(double[] load, double amount)
    {
        if (FirstLink >= 0)
        {
            load[FirstLink] += amount;
        }

        foreach (var share in Middle)
        {
            load[share.Link] += amount * share.Fraction;
        }

        if (LastLink >= 0)
        {
            load[LastLink] += amount;
        }
    }
}

/// <summary>Shortest paths by hops, a flow split at each hop evenly over the links that lead on.</summary>
/// <remarks>Remembered per pair of attachment points (racks), not per pair of hosts. Thread-safe.</remarks>
internal sealed class EqualCostPaths
{
    private readonly TopologyNode[] nodes;
    private readonly LinkGraph graph;
    private readonly int[] attachment;
    private readonly ConcurrentDictionary<(int, int), PathShare[]> known = new();

    public EqualCostPaths(TopologyNode[] nodes, LinkGraph graph)
    {
        this.nodes = nodes;
        this.graph = graph;
        attachment = new int[nodes.Length];
        for (var node = 0; node < nodes.Length; node++)
        {
            var links = graph.LinksFrom(node);
            var onlyNeighbour = links.Count == 1 ? graph.Links[links.Start].Target : -1;
            attachment[node] = nodes[node].Kind == NodeKind.Host && onlyNeighbour >= 0 && nodes[onlyNeighbour].Kind == NodeKind.Switch ? onlyNeighbour : node;
        }
    }

    public HostPath Between(int source, int destination)
    {
        if (source == destination)
        {
            return new(-1, -1, []);
        }

        var (from, to) = (attachment[source], attachment[destination]);
        var first = from == source ? -1 : graph.LinksFrom(source).Start;
        var last = to == destination ? -1 : graph.LinkBetween(to, destination);
        return new(first, last, from == to ? [] : known.GetOrAdd((from, to), pair => Shares(pair.Item1, pair.Item2)));
    }

    private PathShare[] Shares(int from, int to)
    {
        // 1. Hops to the destination. Hosts do not forward, so only the two ends may be hosts.
        var hops = new int[nodes.Length];
        Array.Fill(hops, -1);
        hops[to] = 0;
        var order = new List<int> { to };
        for (var i = 0; i < order.Count && hops[from] < 0; i++)
        {
            foreach (var link in graph.LinksFrom(order[i]))
            {
                var next = graph.Links[link].Target;
                if (hops[next] < 0 && (next == from || nodes[next].Kind == NodeKind.Switch))
                {
                    hops[next] = hops[order[i]] + 1;
                    order.Add(next);
                }
            }
        }

        if (hops[from] < 0)
        {
            throw new ArgumentException($"{nodes[to].Id} cannot be reached from {nodes[from].Id}.", nameof(to));
        }

        // 2. The flow runs down the hops; a node's inflow is complete before it is passed on, because all of it comes from one hop further out.
        var inflow = new SortedDictionary<int, double> { [from] = 1 };
        var shares = new List<PathShare>();
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
                        shares.Add(new(link, part));
                        onward[graph.Links[link].Target] = onward.GetValueOrDefault(graph.Links[link].Target) + part;
                    }
                }
            }

            inflow = onward;
        }

        shares.Sort((a, b) => a.Link.CompareTo(b.Link));
        return [.. shares];

        bool Leads(int link, int node) => hops[graph.Links[link].Target] == hops[node] - 1;
    }
}
