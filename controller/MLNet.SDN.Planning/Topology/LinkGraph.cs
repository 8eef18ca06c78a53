using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Topology;

/// <summary>One direction between two nodes, parallel links taken together.</summary>
/// <param name="Source">Number of the node it leaves.</param>
/// <param name="Target">Number of the node it enters.</param>
/// <param name="Parallel">How many links it stands for, ≥ 1; 0 while it is away, and then its rates are 0 too.</param>
/// <param name="RateBitsPerSecond">Sum of their rates.</param>
/// <param name="EvenRateBitsPerSecond">What they carry when the load is spread evenly: the slowest of them times their number.</param>
internal readonly record struct DirectedLink(int Source, int Target, int Parallel, long RateBitsPerSecond, long EvenRateBitsPerSecond);

/// <summary>All directed links, those of a node next to each other and in order of the neighbour's number.</summary>
internal sealed class LinkGraph
{
    private readonly int[] firstLink;

    private LinkGraph(DirectedLink[] links, int[] firstLink)
    {
        Links = links;
        this.firstLink = firstLink;
    }

    public DirectedLink[] Links { get; }

    public static LinkGraph Build(TopologyNode[] nodes, IReadOnlyList<TopologyLink> links, IReadOnlyDictionary<string, int> nodeIndex)
    {
        var merged = new SortedDictionary<(int, int), (int Count, long Sum, long Slowest)>();
        foreach (var link in links)
        {
            var (a, b) = (nodeIndex[link.Source], nodeIndex[link.Target]);
            foreach (var key in new[] { (a, b), (b, a) })
            {
                var (count, sum, slowest) = merged.TryGetValue(key, out var before) ? before : (0, 0, long.MaxValue);
                merged[key] = (count + 1, sum + link.RateBitsPerSecond, Math.Min(slowest, link.RateBitsPerSecond));
            }
        }

        var directed = new DirectedLink[merged.Count];
        var first = new int[nodes.Length + 1];
        var next = 0;
        foreach (var ((source, target), (count, sum, slowest)) in merged)
        {
            directed[next++] = new(source, target, count, sum, slowest * count);
            first[source + 1]++;
        }

        for (var node = 0; node < nodes.Length; node++)
        {
            first[node + 1] += first[node];
        }

        return new LinkGraph(directed, first);
    }

    /// <summary>The same graph, with the same numbers, while some of its links are away.</summary>
    public LinkGraph Without(IEnumerable<int> links)
    {
        var left = (DirectedLink[])Links.Clone();
        foreach (var link in links)
        {
            left[link] = left[link] with { Parallel = 0, RateBitsPerSecond = 0, EvenRateBitsPerSecond = 0 };
        }

        return new(left, firstLink);
    }

    /// <summary>Numbers of the links that leave a node.</summary>
    public LinkRange LinksFrom(int node) => new(firstLink[node], firstLink[node + 1]);

    /// <summary>Number of the link from one node to a neighbour.</summary>
    public int LinkBetween(int source, int target)
    {
        foreach (var link in LinksFrom(source))
        {
            if (Links[link].Target == target)
            {
                return link;
            }
        }

        throw new ArgumentException("The nodes are no neighbours.", nameof(target));
    }
}

/// <summary>Consecutive link numbers.</summary>
internal readonly record struct LinkRange(int Start, int End)
{
    public int Count => End - Start;

    public Enumerator GetEnumerator() => new(Start, End);

    internal struct Enumerator(int start, int end)
    {
        public int Current { get; private set; } = start - 1;

        public bool MoveNext() => ++Current < end;
    }
}
