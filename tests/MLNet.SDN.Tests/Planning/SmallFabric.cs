using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Tests.Planning;

/// <summary>A random fabric of at most nine hosts in racks and pods, with its own account of which links a message crosses: the one path that a tree has.</summary>
internal sealed class SmallFabric
{
    private readonly Dictionary<string, string> above = new(StringComparer.Ordinal);
    private readonly Dictionary<(string, string), double> rate = [];

    public SmallFabric(Random random)
    {
        // core - pods - racks - hosts, rates from 1 to 16 Mbit/s, uplinks from narrow to wide.
        var nodes = new List<TopologyNode> { Fabrics.Switch("core") };
        var links = new List<TopologyLink>();
        var pods = random.Next(1, 4);
        var racks = random.Next(1, 5);
        var withPods = random.Next(2) == 0;
        for (var p = 0; withPods && p < pods; p++)
        {
            nodes.Add(Fabrics.Switch($"p{p}", pod: $"p{p}"));
            Join($"p{p}", "core", random.Next(1, 33));
        }

        for (var r = 0; r < racks; r++)
        {
            var pod = withPods ? $"p{random.Next(pods)}" : null;
            nodes.Add(Fabrics.Switch($"r{r}", rack: $"r{r}", pod: pod));
            Join($"r{r}", pod ?? "core", random.Next(1, 33));
        }

        var hosts = random.Next(2, 10);
        var even = random.Next(2) == 0;
        for (var h = 0; h < hosts; h++)
        {
            var rack = $"r{random.Next(racks)}";
            nodes.Add(Fabrics.Host($"h{h}", $"10.0.0.{h + 1}", rack, nodes.Single(n => n.Id == rack).Pod));
            Join($"h{h}", rack, even ? 8 : random.Next(1, 17));
        }

        // Switches without a host below them are no fault; racks without hosts just stand there.
        Fabric = Fabrics.Of(new() { Nodes = nodes, Links = links });
        Hosts = Fabrics.HostNames(Fabric);

        void Join(string below, string to, int mbps)
        {
            above[below] = to;
            rate[(below, to)] = rate[(to, below)] = mbps * 1e6;
            links.Add(Fabrics.Link(below, to, mbps));
        }
    }

    public Fabric Fabric { get; }

    public string[] Hosts { get; }

    public IReadOnlyDictionary<(string Source, string Target), double> Rates => rate;

    /// <summary>Directed links from one node to another.</summary>
    public List<(string Source, string Target)> Path(string from, string to)
    {
        string[] up = [.. Line(from)];
        string[] down = [.. Line(to)];
        var meet = up.First(down.Contains);
        var path = up.TakeWhile(n => n != meet).Select(n => (n, above[n])).ToList();
        path.AddRange(down.TakeWhile(n => n != meet).Reverse().Select(n => (above[n], n)));
        return path;

        IEnumerable<string> Line(string node)
        {
            for (var at = node; ; at = above[at])
            {
                yield return at;
                if (!above.ContainsKey(at))
                {
                    yield break;
                }
            }
        }
    }

    /// <summary>Bytes on each directed link for each byte of gradient, by walking every edge of every shard both ways.</summary>
    public Dictionary<(string Source, string Target), double> Load(IReadOnlyList<ShardTree> shards)
    {
        var load = new Dictionary<(string, string), double>();
        var total = shards.Sum(s => (double)s.Weight);
        foreach (var shard in shards)
        {
            foreach (var edge in shard.Edges)
            {
                foreach (var link in Path(edge.Child, edge.Parent).Concat(Path(edge.Parent, edge.Child)))
                {
                    load[link] = load.GetValueOrDefault(link) + (shard.Weight / total);
                }
            }
        }

        return load;
    }

    /// <summary>Seconds that the slowest link needs for a byte of gradient.</summary>
    public double Seconds(IReadOnlyList<ShardTree> shards) => Load(shards).Select(l => l.Value * 8 / rate[l.Key]).DefaultIfEmpty(0).Max();
}
