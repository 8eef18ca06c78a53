using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Topology;

/// <summary>Groups links that carry the same whatever flows between hosts there are, so that one of each group stands for all.</summary>
/// <remarks>
/// Colour refinement (H. Gaifman; see M. Grohe et al., "Dimension reduction via colour refinement", ESA 2014): every host has a colour of its own, and
/// switches keep one colour as long as their links lead to equal colours at equal rates. Nodes of one colour are then equally far from every host, and
/// flows split evenly at each hop (<see cref="EqualCostPaths"/>) bring each the same amount. In a fat-tree that leaves of a rack's uplinks one, and of
/// a pod's uplinks one: the logical links that planners draw by hand. Where rates or wiring differ, nothing is grouped that does not behave alike.
/// </remarks>
internal sealed class LinkClasses
{
    private readonly Dictionary<int, int[]> others;

    private LinkClasses(int[] representative, int[] size, int[] nodeOf)
    {
        others = representative.Index().Where(l => l.Item != l.Index).GroupBy(l => l.Item, l => l.Index).ToDictionary(g => g.Key, g => g.ToArray());
        Representative = representative;
        Size = size;
        RepresentativeNode = nodeOf;
    }

    /// <summary>By link, the first of its group.</summary>
    public int[] Representative { get; }

    /// <summary>By link, how many links it stands for; 0 where another one stands for it.</summary>
    public int[] Size { get; }

    /// <summary>By node, the first of its colour.</summary>
    public int[] RepresentativeNode { get; }

    /// <summary>The links that one stands for, itself first.</summary>
    public IEnumerable<int> Members(int representative) => others.TryGetValue(representative, out var more) ? more.Prepend(representative) : [representative];

    public static LinkClasses Build(TopologyNode[] nodes, LinkGraph graph)
    {
        // 1. Colours: a host's is its number, switches start with one.
        var colour = new int[nodes.Length];
        for (var node = 0; node < nodes.Length; node++)
        {
            colour[node] = nodes[node].Kind == NodeKind.Host ? node : -1;
        }

        // 2. A switch's next colour is the first switch that has the same colour and the same neighbours, by colour and rate. Groups only ever split.
        for (var (groups, before) = (1, 0); groups != before;)
        {
            before = groups;
            var first = new Dictionary<long[], int>(new SequenceComparer());
            var next = (int[])colour.Clone();
            for (var node = 0; node < nodes.Length; node++)
            {
                if (nodes[node].Kind == NodeKind.Switch)
                {
                    var signature = Signature(node, colour, graph);
                    next[node] = first.TryGetValue(signature, out var same) ? same : first[signature] = node;
                }
            }

            (colour, groups) = (next, first.Count);
        }

        // 3. Links between equal colours at equal rates are a group.
        var representative = new int[graph.Links.Length];
        var size = new int[graph.Links.Length];
        var leader = new Dictionary<(int, int, int, long, long), int>();
        for (var link = 0; link < graph.Links.Length; link++)
        {
            var (source, target, parallel, rate, even) = graph.Links[link];
            var key = (colour[source], colour[target], parallel, rate, even);
            representative[link] = leader.TryGetValue(key, out var same) ? same : leader[key] = link;
            size[representative[link]]++;
        }

        return new(representative, size, colour);
    }

    private static long[] Signature(int node, int[] colour, LinkGraph graph)
    {
        var around = new List<(int Colour, int Parallel, long Rate, long Even)>();
        foreach (var link in graph.LinksFrom(node))
        {
            var (_, target, parallel, rate, even) = graph.Links[link];
            around.Add((colour[target], parallel, rate, even));
        }

        around.Sort();
        return [colour[node], .. around.SelectMany(a => new[] { a.Colour, a.Parallel, a.Rate, a.Even })];
    }

    private sealed class SequenceComparer : IEqualityComparer<long[]>
    {
        public bool Equals(long[]? x, long[]? y) => x.AsSpan().SequenceEqual(y);

        public int GetHashCode(long[] obj)
        {
            var hash = default(HashCode);
            foreach (var value in obj)
            {
                hash.Add(value);
            }

            return hash.ToHashCode();
        }
    }
}
