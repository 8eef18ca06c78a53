using System.Net;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Jobs;
using static MLNet.SDN.Tests.Planning.Fabrics;

namespace MLNet.SDN.Tests.Planning.Jobs;

public class JobRulesTests
{
    private static readonly JobSpec Sound = new() { Name = "bert-a", Workers = ["h0-0-0", "h0-0-0", "h1-1-3"], Helpers = ["h0-0-1"], GradientBytes = 1, ComputeSeconds = 0.5, Rounds = 10, OwnerUid = 0 };

    [Fact]
    public void Check_SoundJob_HasNoFault() =>
        Assert.Empty(Check(Sound with { Selectors = [new() { Source = "10.0.1.0/24", Protocol = "tcp", DestinationPortFrom = 5000, DestinationPortTo = 5100, Role = "gloo" }, new() { Destination = "2001:db8::/32" }, new() { Protocol = "udp" }] }));

    [Fact]
    public void Check_EverythingWrong_NamesEveryFieldAtOnce()
    {
        var faults = Check(new()
        {
            Name = "Bert A",
            Workers = ["h0-0-0", "", "e0-0", "h9-9-9"],
            Helpers = ["h0-0-0", "h0-0-1", "h0-0-1", null!],
            GradientBytes = -1,
            ComputeSeconds = double.NaN,
            Rounds = -2,
            OwnerUid = -3,
        });

        Assert.Equal(
            [("name", "Bert A"), ("workers[1]", ""), ("workers[2]", "e0-0"), ("workers[3]", "h9-9-9"), ("helpers[0]", "h0-0-0"), ("helpers[2]", "h0-0-1"), ("helpers[3]", ""), ("gradientBytes", "-1"), ("computeSeconds", "NaN"), ("rounds", "-2"), ("ownerUid", "-3")],
            faults.Select(f => (f.Field, f.Value)));
    }

    [Fact]
    public void Check_Server_IsAnyHostOfTheTopologyButNoHelper()
    {
        Assert.Empty(Check(Sound with { Server = "h0-0-0" }));
        Assert.Empty(Check(Sound with { Server = "h1-0-0" }));
        Assert.Equal(("server", "h9-9-9"), Check(Sound with { Server = "h9-9-9" }).Select(f => (f.Field, f.Value)).Single());
        var fault = Assert.Single(Check(Sound with { Server = "h0-0-1" }));
        Assert.Equal("helpers[0]", fault.Field);
        Assert.Contains("has the server of this job", fault.Message, StringComparison.Ordinal);
        Assert.Contains("At most 8191 workers are possible beside a server", Assert.Single(Check(Sound with { Workers = [.. Enumerable.Repeat("h0-0-0", 8192)], Server = "h1-0-0" })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Check_ZeroWorkers_NamesTheField() => Assert.Equal("workers", Assert.Single(Check(Sound with { Workers = [] })).Field);

    [Theory]
    [InlineData("")]
    [InlineData("-a")]
    [InlineData("a/b")]
    [InlineData("ä")]
    [InlineData("a\n")]
    [InlineData("0123456789012345678901234567890123456789012345678901234567890123")]
    public void Check_BadName_IsRefused(string name) => Assert.Equal(("name", name), Check(Sound with { Name = name }).Select(f => (f.Field, f.Value)).Single());

    [Theory]
    [InlineData(double.PositiveInfinity)]
    [InlineData(-0.001)]
    [InlineData(1_000_001)]
    [InlineData(double.MaxValue)]
    public void Check_BadComputeSeconds_IsRefused(double seconds) => Assert.Equal("computeSeconds", Assert.Single(Check(Sound with { ComputeSeconds = seconds })).Field);

    public static TheoryData<FlowSelector, string> BadSelectors => new()
    {
        { new(), "selectors[0]" },
        { new() { Role = "gloo" }, "selectors[0]" },
        { new() { Source = "10.0.0.1" }, "selectors[0].source" },
        { new() { Source = "10.0/16" }, "selectors[0].source" },
        { new() { Source = "10.0.0.1/24" }, "selectors[0].source" },
        { new() { Source = "10.0.0.0/33" }, "selectors[0].source" },
        { new() { Source = "10.0.0.0/-1" }, "selectors[0].source" },
        { new() { Destination = "h0-0-0/32" }, "selectors[0].destination" },
        { new() { Destination = "/24" }, "selectors[0].destination" },
        { new() { Source = "10.0.0.0/8", Destination = "2001:db8::/32" }, "selectors[0].destination" },
        { new() { Protocol = "sctp" }, "selectors[0].protocol" },
        { new() { SourcePortFrom = 5 }, "selectors[0].protocol" },
        { new() { Protocol = "tcp", SourcePortFrom = 0 }, "selectors[0].sourcePortFrom" },
        { new() { Protocol = "tcp", DestinationPortFrom = 70_000 }, "selectors[0].destinationPortFrom" },
        { new() { Protocol = "tcp", DestinationPortTo = 80 }, "selectors[0].destinationPortFrom" },
        { new() { Protocol = "tcp", DestinationPortFrom = 81, DestinationPortTo = 80 }, "selectors[0].destinationPortTo" },
        { new() { Protocol = "tcp", Role = "a\u001bb" }, "selectors[0].role" },
        { new() { Uid = -1 }, "selectors[0].uid" },
        { new() { Cgroup = "" }, "selectors[0].cgroup" },
        { new() { Cgroup = "/a//b" }, "selectors[0].cgroup" },
    };

    [Theory]
    [MemberData(nameof(BadSelectors), DisableDiscoveryEnumeration = true)]
    public void Check_BadSelector_NamesItsField(FlowSelector selector, string field) => Assert.Equal(field, Assert.Single(Check(Sound with { Selectors = [selector] })).Field);

    [Fact]
    public void Check_HostBitsSet_SaysWhatWouldBeRight() =>
        Assert.Contains("10.0.0.0/24", Assert.Single(Check(Sound with { Selectors = [new() { Source = "10.0.0.1/24" }] })).Message, StringComparison.Ordinal);

    public static TheoryData<FlowSelector, FlowSelector, bool> Pairs => new()
    {
        { new() { Source = "10.0.0.0/8" }, new() { Source = "10.7.0.0/16" }, true },
        { new() { Source = "10.0.0.0/16" }, new() { Source = "10.1.0.0/16" }, true }, // what the one sends to the other answers what the other sends
        { new() { Source = "10.0.0.0/24", Destination = "10.0.1.0/24" }, new() { Source = "10.0.1.0/24", Destination = "10.0.0.0/24" }, true },
        { new() { Source = "10.0.0.0/24", Destination = "10.0.1.0/24" }, new() { Source = "10.0.2.0/24", Destination = "10.0.1.0/24" }, false },
        { new() { Protocol = "tcp", DestinationPortFrom = 29500 }, new() { Protocol = "tcp", DestinationPortFrom = 29501 }, false },
        { new() { Protocol = "tcp", DestinationPortFrom = 50000 }, new() { Protocol = "tcp", DestinationPortFrom = 50001, DestinationPortTo = 50100 }, false },
        { new() { Protocol = "tcp", DestinationPortFrom = 29500 }, new() { Protocol = "tcp", DestinationPortFrom = 32768, DestinationPortTo = 60999 }, true },
        { new() { Protocol = "tcp", DestinationPortFrom = 29500 }, new() { Source = "10.0.0.0/24", Protocol = "tcp" }, true },
        { new() { Source = "10.0.0.0/16" }, new() { Destination = "10.1.0.0/16" }, true },
        { new() { Source = "10.0.0.0/8" }, new() { Source = "::/0" }, false },
        { new() { Source = "10.0.0.0/8" }, new() { Destination = "2001:db8::/32" }, false },
        { new() { Protocol = "tcp" }, new() { Protocol = "udp" }, false },
        { new() { Protocol = "tcp", SourcePortFrom = 10, SourcePortTo = 20 }, new() { Protocol = "tcp", SourcePortFrom = 20, SourcePortTo = 30 }, true },
        { new() { Protocol = "tcp", SourcePortFrom = 10, SourcePortTo = 20 }, new() { Protocol = "tcp", SourcePortFrom = 21 }, false },
        { new() { Protocol = "tcp", SourcePortFrom = 10 }, new() { Protocol = "tcp", DestinationPortFrom = 10 }, true },
        { new() { Source = "0.0.0.0/0" }, new() { Protocol = "udp" }, true },
        { new() { Uid = 5 }, new() { Uid = 5, Protocol = "tcp" }, true },
        { new() { Uid = 5 }, new() { Uid = 6 }, false },
        { new() { Uid = 5 }, new() { Cgroup = "/a" }, true },
        { new() { Cgroup = "/a" }, new() { Cgroup = "/a/b" }, true },
        { new() { Cgroup = "/a" }, new() { Cgroup = "/ab" }, false },
        { new() { Cgroup = "/a", Protocol = "udp" }, new() { Cgroup = "/a", Protocol = "tcp" }, false },
        { new() { Uid = 5 }, new() { Protocol = "tcp" }, false }, // who names a process is asked first
    };

    [Theory]
    [MemberData(nameof(Pairs), DisableDiscoveryEnumeration = true)]
    public void Check_SelectorAgainstAnotherJobs_OverlapIsSymmetricAndNamesTheJob(FlowSelector mine, FlowSelector theirs, bool overlap)
    {
        foreach (var (a, b) in new[] { (mine, theirs), (theirs, mine) })
        {
            var faults = Check(Sound with { Selectors = [a] }, Sound with { Name = "other", Selectors = [b] });

            Assert.Equal(overlap ? 1 : 0, faults.Count);
            Assert.All(faults, f => Assert.True(f.Field == "selectors[0]" && f.Message.Contains("job other", StringComparison.Ordinal)));
        }
    }

    [Fact]
    public void Check_SameSelectorOnOtherHosts_IsNoFault()
    {
        var selector = new FlowSelector { Protocol = "tcp", DestinationPortFrom = 29500 };
        var mine = Sound with { Selectors = [selector] };

        Assert.Empty(Check(mine, Sound with { Name = "other", Workers = ["h0-1-0", "h1-0-0"], Helpers = null, Selectors = [selector] }));
        Assert.Single(Check(mine, Sound with { Name = "other", Workers = ["h0-1-0", "h1-0-0"], Helpers = ["h1-1-3"], Selectors = [selector] }));
    }

    [Fact]
    public void Check_AgainstAgentsOwnMatching_RefusesWhatTheyWouldHaveToChooseBetween()
    {
        var random = new Random(20);
        var packets = Packets().ToList();
        var collisions = 0;
        for (var i = 0; i < 1500; i++)
        {
            var (a, b) = (RandomSelector(random), RandomSelector(random));
            var (matchA, matchB) = (Parse(a), Parse(b));
            if (matchA is null || matchB is null)
            {
                continue;
            }

            // Any packet, either way round for either job, but for those between a port of the one and a port of the other.
            var collides = new[] { matchA, matchA.Reversed() }.Any(x => new[] { matchB, matchB.Reversed() }.Any(y =>
                !BetweenServices(x, y) && !BetweenServices(y, x) && packets.Exists(p => x.Matches(p) && y.Matches(p))));
            var faults = Check(Sound with { Selectors = [a] }, Sound with { Name = "other", Selectors = [b] });

            Assert.True(collides == (faults.Count == 1), $"{a} against {b}: {(collides ? "some packet is of both" : "no packet is of both")}");
            collisions += faults.Count;
        }

        Assert.InRange(collisions, 200, 1300);

        static SelectorMatch? Parse(FlowSelector selector) => SelectorMatch.Parse(
            new HostJob { JobId = 1, Name = "j", Secret = "", Level = 1, Dscp = new(34), TreesRevision = default, Members = [], Endpoints = [], Shards = [], ChunkBytes = 1, WindowChunks = 1, Stripes = 1 },
            selector, "", []);

        static bool BetweenServices(SelectorMatch x, SelectorMatch y) =>
            x.DestinationPorts is null && y.SourcePorts is null && IsService(x.SourcePorts) && IsService(y.DestinationPorts);

        static bool IsService(MLNet.SDN.Agent.Policies.PortRange? range) => range is { } r && Enumerable.Range(32_768, 60_999 - 32_768 + 1).Count(p => r.Contains((ushort)p)) <= 256;
    }

    [Fact]
    public void Check_ThousandsOfFaults_TellsTheFirstAndCountsTheRest()
    {
        var faults = Check(Sound with { Workers = [.. Enumerable.Repeat("nowhere", 8_000)] });

        Assert.Equal(51, faults.Count);
        Assert.Contains("7950 more", faults[^1].Message, StringComparison.Ordinal);

        // Each selector of one job against each of many others.
        FlowSelector[] all = [.. Enumerable.Range(0, 256).Select(_ => new FlowSelector { Protocol = "tcp" })];
        faults = Check(Sound with { Selectors = all }, [.. Enumerable.Range(0, 200).Select(i => Sound with { Name = $"other{i}", Selectors = all })]);
        Assert.Equal(51, faults.Count);
        Assert.Contains("more at least", faults[^1].Message, StringComparison.Ordinal);
    }

    // All that can tell two of the selectors below apart: ranges begin and end at these ports, so two that meet do so at one of them.
    private static readonly int[] Ports = [1000, 1001, 29500, 32767, 32768, 33023, 33024, 50000, 60999, 61000, 65535];
    private static readonly string[] Addresses = ["10.0.0.1", "10.0.1.1", "10.1.0.1", "2001:db8::1", "2001:db9::1"];
    private static readonly string?[] Prefixes = [null, null, null, "10.0.0.0/24", "10.0.1.0/24", "10.0.0.0/16", "10.0.0.0/8", "10.1.0.1/32", "2001:db8::/32", "2001:db9::1/128", "0.0.0.0/0", "::/0"];

    private static FlowSelector RandomSelector(Random random)
    {
        var protocol = random.Next(4) switch { 0 => null, 1 => "udp", _ => "tcp" };
        (int? From, int? To) Range()
        {
            if (protocol is null || random.Next(2) == 0)
            {
                return (null, null);
            }

            int[] ends = [Ports[random.Next(Ports.Length)], Ports[random.Next(Ports.Length)]];
            return random.Next(2) == 0 ? (ends[0], null) : (ends.Min(), ends.Max());
        }

        var (source, destination) = (Range(), Range());
        return new()
        {
            Source = Prefixes[random.Next(Prefixes.Length)],
            Destination = Prefixes[random.Next(Prefixes.Length)],
            Protocol = protocol,
            SourcePortFrom = source.From,
            SourcePortTo = source.To,
            DestinationPortFrom = destination.From,
            DestinationPortTo = destination.To,
        };
    }

    private static IEnumerable<FlowKey> Packets() =>
        from source in Addresses.Select(IPAddress.Parse)
        from destination in Addresses.Select(IPAddress.Parse)
        where source.AddressFamily == destination.AddressFamily
        from protocol in (byte[])[6, 17, 1]
        from sourcePort in protocol == 1 ? [0] : Ports
        from destinationPort in protocol == 1 ? [0] : Ports
        select new FlowKey
        {
            Source = FlowKey.FromAddress(source), Destination = FlowKey.FromAddress(destination), IsIPv6 = source.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6,
            Protocol = protocol, SourcePort = (ushort)sourcePort, DestinationPort = (ushort)destinationPort,
        };

    private static IReadOnlyList<FieldFault> Check(JobSpec spec, params JobSpec[] unfinished)
    {
        var faults = JobRules.Check(spec, Demo, unfinished);
        Assert.All(faults, f => Assert.EndsWith(".", f.Message, StringComparison.Ordinal));
        return faults;
    }
}
