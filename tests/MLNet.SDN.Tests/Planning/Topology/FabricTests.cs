using System.Text.Json;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;
using static MLNet.SDN.Tests.Planning.Fabrics;

namespace MLNet.SDN.Tests.Planning.Topology;

public class FabricTests
{
    private static Contracts.Topology Pair => new()
    {
        Nodes = [Host("a", "10.0.0.1"), Host("b", "10.0.0.2"), Switch("s")],
        Links = [Link("a", "s"), Link("b", "s")],
    };

    [Fact]
    public void TryCreate_SoundTopology_FindsHostsByNameAndAddress()
    {
        var fabric = Of(Pair with { Nodes = [Host("a", "10.0.0.1"), Host("b", "2001:db8::0002"), Switch("s")] });

        Assert.Equal(["a", "b"], fabric.Hosts.Keys.Order());
        Assert.Equal(10_000_000, fabric.HostRateBitsPerSecond("a"));
        Assert.True(fabric.TryFindHost("2001:DB8::2", out var host));
        Assert.Equal("b", host.Id);
        Assert.True(fabric.TryFindHost("::ffff:10.0.0.1", out host));
        Assert.Equal("a", host.Id);
        Assert.False(fabric.TryFindHost("10.0.0.9", out _));
        Assert.False(fabric.TryFindHost("no address", out _));
        Assert.Throws<KeyNotFoundException>(() => fabric.HostRateBitsPerSecond("s"));
    }

    [Fact]
    public void TryCreate_NodeFaults_NamesEachFieldAndValue()
    {
        var faults = FaultsOf(new()
        {
            Nodes = [Host("a", "10.0.0.1"), Host("a", "10.0.0.2"), Host("b", "10.0.0.1"), Host("c", "10.1"), new() { Id = "d", Kind = NodeKind.Host }, new() { Id = " ", Kind = NodeKind.Host }, null!, Host("e", "::ffff:10.0.0.1"), Switch("s")],
            Links = [Link("a", "s"), Link("b", "s"), Link("c", "s"), Link("d", "s"), Link("e", "s")],
        });

        Assert.Equal(
            [("nodes[1].id", "a"), ("nodes[2].address", "10.0.0.1"), ("nodes[3].address", "10.1"), ("nodes[4].address", ""), ("nodes[5].id", " "), ("nodes[6]", "null"), ("nodes[7].address", "::ffff:10.0.0.1")],
            faults.Select(f => (f.Field, f.Value)));
    }

    [Fact]
    public void TryCreate_LinkFaults_NamesEachFieldAndValue()
    {
        var faults = FaultsOf(Pair with
        {
            Nodes = [.. Pair.Nodes, Host("lonely", "10.0.0.3")],
            Links = [Link("a", "s"), Link("b", "x"), Link("b", "s", 0), new() { Source = "b", Target = "s", RateBitsPerSecond = -5 }, Link("s", "s"), Link("s", "a"), null!],
        });

        Assert.Equal(
            [("links[1].target", "x"), ("links[2].rateBitsPerSecond", "0"), ("links[3].rateBitsPerSecond", "-5"), ("links[3]", "b-s"), ("links[4].target", "s"), ("links[5]", "s-a"), ("links[6]", "null"), ("nodes[3]", "lonely")],
            faults.Select(f => (f.Field, f.Value)));
    }

    [Fact]
    public void TryCreate_DirectedGraph_IsTheSameFabricAsTheUndirectedOne()
    {
        var links = Pair.Links.Reverse().Select(l => l with { Source = l.Target, Target = l.Source });

        var fabric = Of(Pair with { Directed = true, Links = [.. links.Concat(Pair.Links)] });

        Assert.False(fabric.Source.Directed);
        Assert.Equal(Of(Pair).Source.Links.Count, fabric.Source.Links.Count);
        Assert.Equal(10_000_000, fabric.HostRateBitsPerSecond("a"));
    }

    [Fact]
    public void TryCreate_DirectedGraphWithOneWayLinks_NamesThem()
    {
        var faults = FaultsOf(Pair with { Directed = true, Links = [Link("a", "s"), Link("s", "a", 5), Link("s", "b"), Link("s", "b")] });

        Assert.Equal(
            [("links[3]", "s-b"), ("links[0].rateBitsPerSecond", "10000000"), ("links[2]", "s-b")],
            faults.Select(f => (f.Field, f.Value)));
        Assert.StartsWith("The link leads one way only; add b-s", faults[2].Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TryCreate_LinksUnderTheNameOfEdges_AreRead()
    {
        var fabric = Of(Pair with { Links = [], Edges = Pair.Links });

        Assert.Null(fabric.Source.Edges);
        Assert.Equal(2, fabric.Source.Links.Count);
        Assert.Equal("edges", Assert.Single(FaultsOf(Pair with { Edges = Pair.Links })).Field);
        Assert.Equal("edges[1].target", Assert.Single(FaultsOf(Pair with { Links = [], Edges = [Link("a", "s"), Link("b", "x"), Link("b", "s")] })).Field);
    }

    [Fact]
    public void TryCreate_NoHost_IsRefused() =>
        Assert.Equal("nodes", Assert.Single(FaultsOf(new() { Nodes = [Switch("s")], Links = [] })).Field);

    [Fact]
    public void TryCreate_CutInTwo_IsOneFaultForTheSmallerPart()
    {
        // a, b, c ── s    t ── d, e, and no link between s and t
        var fault = FaultsOf(new()
        {
            Nodes = [Host("d", "10.0.0.4"), Host("a", "10.0.0.1"), Host("b", "10.0.0.2"), Host("c", "10.0.0.3"), Host("e", "10.0.0.5"), Switch("s"), Switch("t")],
            Links = [Link("a", "s"), Link("b", "s"), Link("c", "s"), Link("d", "t"), Link("e", "t")],
        });

        Assert.Equal(("nodes[0]", "d"), (Assert.Single(fault).Field, fault[0].Value));
        Assert.StartsWith("Host d and 1 more beside it cannot be reached from host a", fault[0].Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TryCreate_HostBetweenTwoSwitches_DoesNotForward()
    {
        // a ── s ── m ── t ── b     with m a host
        var faults = FaultsOf(new()
        {
            Nodes = [Host("a", "10.0.0.1"), Host("b", "10.0.0.2"), Host("m", "10.0.0.3"), Switch("s"), Switch("t")],
            Links = [Link("a", "s"), Link("s", "m"), Link("m", "t"), Link("t", "b")],
        });

        Assert.Equal("b", Assert.Single(faults).Value);
    }

    [Fact]
    public void TryCreate_TwoHostsBackToBack_IsSound()
    {
        var fabric = Of(new() { Nodes = [Host("a", "10.0.0.1"), Host("b", "10.0.0.2")], Links = [Link("a", "b")] });
        var load = new Dictionary<(string, string), double>();

        fabric.AddLoad("a", "b", 5, load);

        Assert.Equal(5, Assert.Single(load, l => l.Key == ("a", "b")).Value);
    }

    [Fact]
    public void AddLoad_BetweenPods_SplitsEvenlyAtEachHop()
    {
        var load = new Dictionary<(string, string), double>();

        Demo.AddLoad("h0-0-0", "h1-1-3", 8, load);

        Assert.Equal(8, load[("h0-0-0", "e0-0")]);
        Assert.Equal(4, load[("e0-0", "a0-0")]);
        Assert.Equal(4, load[("e0-0", "a0-1")]);
        Assert.Equal(2, load[("a0-0", "c0")]);
        Assert.Equal(2, load[("a0-1", "c3")]);
        Assert.Equal(2, load[("c3", "a1-1")]);
        Assert.Equal(4, load[("a1-1", "e1-1")]);
        Assert.Equal(8, load[("e1-1", "h1-1-3")]);
        Assert.Equal(14, load.Count);
        Demo.AddLoad("h0-0-0", "h0-0-0", 8, load);
        Assert.Equal(14, load.Count);
        Demo.AddLoad("h0-0-0", "h0-0-1", 8, load);
        Assert.Equal(16, load[("h0-0-0", "e0-0")]);
        Assert.Equal(15, load.Count);
    }

    [Fact]
    public void AddLoad_ParallelLinks_CountAsSoManyWays()
    {
        // a ── s ══ t ── b (two links)   and   s ── u ── ... no: u is longer and not used;   s ── v ── w, w ── b would be longer too
        var fabric = Of(new()
        {
            Multigraph = true,
            Nodes = [Host("a", "10.0.0.1"), Host("b", "10.0.0.2"), Switch("s"), Switch("t"), Switch("u"), Switch("v")],
            Links = [Link("a", "s"), Link("s", "t"), Link("t", "s"), Link("s", "u"), Link("t", "v"), Link("u", "v"), Link("v", "b")],
        });
        var load = new Dictionary<(string, string), double>();

        fabric.AddLoad("a", "b", 3, load);

        Assert.Equal(2, load[("s", "t")], 12);
        Assert.Equal(1, load[("s", "u")], 12);
        Assert.Equal(2, load[("t", "v")], 12);
        Assert.Equal(3, load[("v", "b")], 12);
    }

    [Fact]
    public void AddLoad_EveryPair_ConservesTheFlowAtEveryNode()
    {
        var hosts = HostNames(Demo);
        foreach (var source in hosts)
        {
            foreach (var destination in hosts.Where(h => h != source))
            {
                var load = new Dictionary<(string Source, string Target), double>();
                Demo.AddLoad(source, destination, 1, load);
                foreach (var node in Demo.Source.Nodes)
                {
                    var net = load.Where(l => l.Key.Source == node.Id).Sum(l => l.Value) - load.Where(l => l.Key.Target == node.Id).Sum(l => l.Value);
                    Assert.Equal(node.Id == source ? 1 : node.Id == destination ? -1 : 0, net, 12);
                }
            }
        }
    }

    [Fact]
    public void Topology_OfNetworkX_IsReadWithAnyGraphAttributes()
    {
        const string json = """
            {"directed": false, "multigraph": false, "graph": {"name": "pair", "k": 4, "made": {"by": ["hand"]}},
             "nodes": [{"kind": "host", "address": "10.0.0.1", "id": "a"}, {"kind": "host", "address": "10.0.0.2", "id": "b"}],
             "links": [{"rateBitsPerSecond": 1000000, "source": "a", "target": "b", "key": 0}]}
            """;

        var topology = JsonSerializer.Deserialize(json, ContractsJson.Default.Topology)!;

        Assert.Equal(2, Of(topology).Hosts.Count);
        Assert.Equal(4, topology.Graph!["k"].GetInt32());
    }
}
