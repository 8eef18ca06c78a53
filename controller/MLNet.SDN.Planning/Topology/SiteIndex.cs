using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Topology;

/// <summary>Links that leave a site and always carry the same.</summary>
/// <param name="Link">The one that stands for them in loads.</param>
/// <param name="RateBitsPerSecond">Sum of the rates of those that leave this site.</param>
internal readonly record struct SiteUplink(int Link, double RateBitsPerSecond);

/// <summary>Racks and pods: where hosts stand, and how fast the links are by which a rack or a pod is left.</summary>
internal sealed class SiteIndex
{
    private readonly int[] rackOf;
    private readonly int[] podOf;
    private readonly SiteUplink[][] rackUplinks;
    private readonly SiteUplink[][] podUplinks;

    private SiteIndex(int[] rackOf, int[] podOf, string[] racks, string[] pods, LinkGraph graph, LinkClasses classes)
    {
        this.rackOf = rackOf;
        this.podOf = podOf;
        Racks = racks;
        Pods = pods;
        (rackUplinks, RackUplinkBitsPerSecond) = Uplinks(graph, classes, rackOf, racks.Length);
        (podUplinks, PodUplinkBitsPerSecond) = Uplinks(graph, classes, podOf, pods.Length);
    }

    /// <summary>Names of the racks, in ordinal order.</summary>
    public string[] Racks { get; }

    /// <summary>Names of the pods, in ordinal order.</summary>
    public string[] Pods { get; }

    /// <summary>Sum of the rates of the links that leave the rack; 0 when none does.</summary>
    public long[] RackUplinkBitsPerSecond { get; }

    /// <summary>Sum of the rates of the links that leave the pod; 0 when none does.</summary>
    public long[] PodUplinkBitsPerSecond { get; }

    /// <summary>Rack of a host.</summary>
    public int RackOf(int hostNode) => rackOf[hostNode];

    /// <summary>Links that leave a rack, of each group that carries the same the first.</summary>
    public SiteUplink[] RackUplinks(int rack) => rackUplinks[rack];

    /// <summary>Links that leave a pod, of each group that carries the same the first.</summary>
    public SiteUplink[] PodUplinks(int pod) => podUplinks[pod];

    /// <summary>Pod of a host; -1 when the topology names none.</summary>
    public int PodOf(int hostNode) => podOf[hostNode];

    public static SiteIndex Build(TopologyNode[] nodes, LinkGraph graph, LinkClasses classes)
    {
        // A host without a rack label belongs to the rack of the switch it hangs on; one with several switches and no label is a rack of its own.
        var rackName = new string?[nodes.Length];
        for (var node = 0; node < nodes.Length; node++)
        {
            if (nodes[node].Kind == NodeKind.Host)
            {
                var links = graph.LinksFrom(node);
                var neighbour = nodes[graph.Links[links.Start].Target];
                rackName[node] = nodes[node].Rack ?? (links.Count == 1 && neighbour.Kind == NodeKind.Switch ? neighbour.Rack ?? neighbour.Id : nodes[node].Id);
            }
            else
            {
                rackName[node] = nodes[node].Rack;
            }
        }

        // A switch without a label whose hosts all stand in one rack is that rack's.
        for (var node = 0; node < nodes.Length; node++)
        {
            if (nodes[node].Kind == NodeKind.Switch && rackName[node] is null)
            {
                var hostRacks = new HashSet<string>(StringComparer.Ordinal);
                foreach (var link in graph.LinksFrom(node))
                {
                    if (nodes[graph.Links[link].Target].Kind == NodeKind.Host)
                    {
                        hostRacks.Add(rackName[graph.Links[link].Target]!);
                    }
                }

                rackName[node] = hostRacks.Count == 1 ? hostRacks.First() : null;
            }
        }

        var (racks, rackNumber) = Number(nodes, rackName);
        var (pods, podNumber) = Number(nodes, [.. nodes.Select(n => n.Pod)]);
        return new SiteIndex(rackNumber, podNumber, racks, pods, graph, classes);
    }

    private static (string[] Names, int[] NumberOf) Number(TopologyNode[] nodes, string?[] name)
    {
        string[] names = [.. nodes.Index().Where(n => n.Item.Kind == NodeKind.Host && name[n.Index] is not null).Select(n => name[n.Index]!)
            .Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        var numbers = names.Index().ToDictionary(n => n.Item, n => n.Index, StringComparer.Ordinal);
        return (names, [.. name.Select(n => n is not null && numbers.TryGetValue(n, out var number) ? number : -1)]);
    }

    private static (SiteUplink[][] Links, long[] Rates) Uplinks(LinkGraph graph, LinkClasses classes, int[] siteOf, int sites)
    {
        var rates = new long[sites];
        SiteUplink[][] links = [.. Enumerable.Range(0, sites).Select(_ => Array.Empty<SiteUplink>())];
        foreach (var group in graph.Links.Index().Where(l => siteOf[l.Item.Source] >= 0 && siteOf[l.Item.Target] != siteOf[l.Item.Source]).GroupBy(l => siteOf[l.Item.Source]))
        {
            rates[group.Key] = group.Sum(l => l.Item.RateBitsPerSecond);
            links[group.Key] = [.. group.GroupBy(l => classes.Representative[l.Index]).Select(g => new SiteUplink(g.Key, g.Sum(l => (double)l.Item.RateBitsPerSecond)))];
        }

        return (links, rates);
    }
}
