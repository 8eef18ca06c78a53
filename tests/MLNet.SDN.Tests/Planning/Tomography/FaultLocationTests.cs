using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Tomography;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Tests.Planning.Tomography;

public class FaultLocationTests
{
    // 4 pods of 2 racks of 2 hosts; 2 aggregation switches a pod, 4 cores.
    private static readonly Fabric Tree = Fabrics.Of(FatTree.Build(FatTree.Shape(4, 10)));

    public static TheoryData<string> EverySwitch => [.. Tree.Source.Nodes.Where(n => n.Kind == NodeKind.Switch).Select(n => n.Id)];

    [Theory]
    [MemberData(nameof(EverySwitch))]
    public void Find_OneSwitchAndKnownPaths_NamesItFirst(string faulty)
    {
        var found = FaultLocation.Find(Tree, new Traffic(Tree, 1).Flows(600, knownPaths: true, path => path.Contains(faulty)));

        Assert.Equal((faulty, null, 0), (found[0].Switch, found[0].Neighbour, found[0].Fault));
        Assert.True(found[0].Confidence > 0.9, $"{found[0]}");
        Assert.True(found[0] is { Intact: 0, Changed: > 0, Pairs: > 0 });
        Assert.All(found, s => Assert.Equal(0, s.Fault));
    }

    [Theory]
    [MemberData(nameof(EverySwitch))]
    public void Find_OneSwitchAndUnknownPaths_NamesItOrItsLikes(string faulty)
    {
        var found = FaultLocation.Find(Tree, new Traffic(Tree, 2).Flows(2_000, knownPaths: false, path => path.Contains(faulty)));

        // Equal-cost switches carry the same share of every pair's flows: without paths nothing tells them apart, and each gets its part of the blame.
        string[] likes = faulty[0] switch
        {
            'e' => [faulty],
            'a' => [$"{faulty[..^1]}0", $"{faulty[..^1]}1"],
            _ => ["c0", "c1", "c2", "c3"],
        };
        Assert.Equal(likes, found.Where(f => f.Fault == 0).Take(likes.Length).Select(s => s.Switch).Order(StringComparer.Ordinal));
        Assert.All(found.Where(f => f.Fault == 0).Take(likes.Length), s => Assert.InRange(s.Confidence, 0.9 / likes.Length, 1.0 / likes.Length + 1e-6));
    }

    [Fact]
    public void Find_TwoSwitches_NamesBothAsFaultsOfTheirOwn()
    {
        var random = new Random(7);
        string[] switches = [.. EverySwitch.Select(s => s.Data)];
        for (var run = 0; run < 40; run++)
        {
            random.Shuffle(switches);
            var (one, other) = (switches[0], switches[1]);
            var found = FaultLocation.Find(Tree, new Traffic(Tree, run).Flows(800, knownPaths: true, path => path.Contains(one) || path.Contains(other)));

            Assert.Equal([.. new[] { one, other }.Order(StringComparer.Ordinal)], found.GroupBy(f => f.Fault).Select(f => f.First().Switch).Order(StringComparer.Ordinal));
        }
    }

    [Fact]
    public void Find_OnlyAFewPairsReported_KeepsTheFaultySwitchAmongTheFirst()
    {
        foreach (var faulty in EverySwitch.Select(s => s.Data))
        {
            // Every tenth flow is heard of, and half of these without their path.
            var heard = new Traffic(Tree, 3).Flows(600, knownPaths: true, path => path.Contains(faulty)).Where((_, i) => i % 10 == 0).Select((f, i) => i % 2 == 0 ? f : f with { Path = null });
            var found = FaultLocation.Find(Tree, [.. heard]);

            var first = found.Where(f => f.Fault == 0).ToList();
            Assert.True(first.Find(f => f.Switch == faulty) is { } suspect && suspect.Confidence >= first[0].Confidence / 2, $"{faulty}: {string.Join('\n', found)}");
        }
    }

    [Fact]
    public void Find_OnePort_NamesSwitchAndNeighbour()
    {
        foreach (var (from, to) in new[] { ("a0-0", "e0-1"), ("e1-0", "a1-1"), ("c2", "a3-1"), ("h0-0-0", "e0-0") })
        {
            var found = FaultLocation.Find(Tree, new Traffic(Tree, 4).Flows(1_200, knownPaths: true, path => path.Zip(path.Skip(1)).Any(l => l == (from, to))));

            Assert.Equal((to, from), (found[0].Switch, found[0].Neighbour));
        }
    }

    [Fact]
    public void Find_SomeFlowsSpared_StillNamesTheSwitch()
    {
        // One in twenty was counted before the fault began.
        var random = new Random(5);
        var flows = new Traffic(Tree, 5).Flows(600, knownPaths: true, path => path.Contains("a2-1")).Select(f => f.Changed > 0 && random.Next(20) == 0 ? f with { Changed = 0, Intact = 1 } : f);

        var found = FaultLocation.Find(Tree, [.. flows]);

        Assert.Equal("a2-1", found[0].Switch);
        Assert.Single(found, f => f.Confidence > 0.5);
        Assert.True(found[0].Intact > 0);
    }

    [Fact]
    public void Find_AnyOrderOfTheEvidence_GivesTheSameAnswer()
    {
        var flows = new Traffic(Tree, 6).Flows(300, knownPaths: false, path => path.Contains("c1") || path.Contains("e2-0"));
        var found = FaultLocation.Find(Tree, flows);
        var shuffled = flows.ToArray();
        new Random(1).Shuffle(shuffled);

        Assert.Equal(found, FaultLocation.Find(Tree, shuffled));
    }

    [Fact]
    public void Find_NothingChangedOrNobodyKnown_SuspectsNobody()
    {
        Assert.Empty(FaultLocation.Find(Tree, []));
        Assert.Empty(FaultLocation.Find(Tree, new Traffic(Tree, 8).Flows(100, knownPaths: true, _ => false)));
        Assert.Empty(FaultLocation.Find(Tree, [new FlowEvidence { Source = "h0-0-0", Destination = "gone", Changed = 3 }, new FlowEvidence { Source = "h0-0-0", Destination = "h0-0-0", Changed = 3 }]));
    }

    [Fact]
    public void Find_PathThatTheFabricDoesNotHave_CountsAsUnknown()
    {
        FlowEvidence flow = new() { Source = "h0-0-0", Destination = "h0-1-0", Changed = 3 };

        Assert.Equal(FaultLocation.Find(Tree, [flow]), FaultLocation.Find(Tree, [flow with { Path = ["e0-0", "c3", "e0-1"] }]));
        Assert.Equal(FaultLocation.Find(Tree, [flow]), FaultLocation.Find(Tree, [flow with { Path = [] }]));
    }

    /// <summary>Flows between hosts chosen by chance, each on one of the shortest paths chosen by chance, as hashes do.</summary>
    private sealed class Traffic(Fabric fabric, int seed)
    {
        private readonly Random random = new(seed);
        private readonly string[] hosts = Fabrics.HostNames(fabric);

        public List<FlowEvidence> Flows(int count, bool knownPaths, Func<string[], bool> isChanged)
        {
            List<FlowEvidence> flows = [];
            while (flows.Count < count)
            {
                var (source, destination) = (hosts[random.Next(hosts.Length)], hosts[random.Next(hosts.Length)]);
                if (source != destination)
                {
                    var path = PathOf(source, destination);
                    var changed = isChanged(path);
                    flows.Add(new() { Source = source, Destination = destination, Path = knownPaths ? path[1..^1] : null, Changed = changed ? 1 : 0, Intact = changed ? 0 : 1 });
                }
            }

            return flows;
        }

        // h{pod}-{edge}-{j}: up as far as needed, over an aggregation switch and a core of chance, and down.
        private string[] PathOf(string source, string destination)
        {
            var (s, d) = (source[1..].Split('-'), destination[1..].Split('-'));
            var (up, core) = (random.Next(2), random.Next(2));
            return (s[0] == d[0], s[1] == d[1]) switch
            {
                (true, true) => [source, $"e{s[0]}-{s[1]}", destination],
                (true, false) => [source, $"e{s[0]}-{s[1]}", $"a{s[0]}-{up}", $"e{d[0]}-{d[1]}", destination],
                _ => [source, $"e{s[0]}-{s[1]}", $"a{s[0]}-{up}", $"c{(2 * up) + core}", $"a{d[0]}-{up}", $"e{d[0]}-{d[1]}", destination],
            };
        }
    }
}
