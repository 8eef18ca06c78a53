using MLNet.SDN.Agent.Marking;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;
using MLNet.SDN.Tests.Agent.Policies;

namespace MLNet.SDN.Tests.Agent.Marking;

public sealed class RulesetTests
{
    private const string Removal = "table inet mlnet_sdn\ndelete table inet mlnet_sdn\n";

    [Fact]
    public void Render_OneSelector_MarksItsPacketsAndTheirAnswers()
    {
        var text = Render(7471, PolicySamples.Job(1, "gloo", 2, 26, new FlowSelector
        {
            Source = "10.0.1.0/24",
            Destination = "10.0.2.3",
            Protocol = "tcp",
            DestinationPortFrom = 29_500,
            DestinationPortTo = 29_600,
        }));

        Assert.Equal(
            """
            table inet mlnet_sdn {
            	chain output {
            		type filter hook output priority -90; policy accept;
            	}
            	chain forward {
            		type filter hook forward priority -90; policy accept;
            	}
            }
            flush table inet mlnet_sdn
            table inet mlnet_sdn {
            	chain dscp_26 {
            		meta nfproto ipv4 counter ip dscp set 26 accept
            		meta nfproto ipv6 counter ip6 dscp set 26 accept
            	}
            	chain selected {
            		tcp sport 7471 accept
            		ip daddr . tcp dport { 10.0.0.2 . 7471, 10.0.0.6 . 7471 } accept
            		ip saddr 10.0.1.0/24 ip daddr 10.0.2.3/32 tcp dport 29500-29600 goto dscp_26
            		ip saddr 10.0.2.3/32 ip daddr 10.0.1.0/24 tcp sport 29500-29600 goto dscp_26
            	}
            	chain output {
            		type filter hook output priority -90; policy accept;
            		oifname "lo" accept comment "mlnet-agent MARKER"
            		jump selected
            	}
            	chain forward {
            		type filter hook forward priority -90; policy accept;
            		jump selected
            	}
            }

            """,
            WithoutMarker(text));
    }

    [Fact]
    public void Render_EveryKindOfSelector_IsOneRuleEachUnlessAnEarlierOneSaysTheSame()
    {
        var job = PolicySamples.Job(1, "all", 1, 34,
            new FlowSelector { Protocol = "udp" },
            new FlowSelector { Protocol = "UDP", SourcePortFrom = 4791 },
            new FlowSelector { Source = "2001:db8::/32" },
            new FlowSelector { Source = "0.0.0.0/0", Protocol = "tcp" },
            new FlowSelector { Destination = "::/0", Protocol = "tcp", SourcePortFrom = 1, SourcePortTo = 65_535, DestinationPortFrom = 5 }) with
        {
            Endpoints = [new HostEndpoint("h0-0-0", "2001:db8::1", 7471, null), new HostEndpoint("h0-0-1", "10.0.0.6", 80, null)],
        };

        var rules = Rules(Render(null, job));

        Assert.Equal(
            [
                "ip daddr . tcp dport { 10.0.0.6 . 80 } accept",
                "ip6 daddr . tcp dport { 2001:db8::1 . 7471 } accept",
                "meta l4proto udp goto dscp_34",
                "udp sport 4791 goto dscp_34",
                "ip6 saddr 2001:db8::/32 goto dscp_34",
                "meta nfproto ipv4 meta l4proto tcp goto dscp_34",
                "meta nfproto ipv6 tcp sport 1-65535 tcp dport 5 goto dscp_34",
                "udp dport 4791 goto dscp_34",
                "ip6 daddr 2001:db8::/32 goto dscp_34",
                "meta nfproto ipv6 tcp sport 5 tcp dport 1-65535 goto dscp_34",
            ],
            rules);
    }

    [Fact]
    public void Render_TwoJobs_EachHasItsClassAndTheFirstWins()
    {
        var text = Render(
            null,
            PolicySamples.Job(1, "a", 1, 34, new FlowSelector { Protocol = "tcp", DestinationPortFrom = 1 }),
            PolicySamples.Job(2, "b", 3, 18, new FlowSelector { Protocol = "tcp", DestinationPortFrom = 2 }));

        Assert.Equal(["chain dscp_18 {", "chain dscp_34 {"], text.Split('\n').Select(l => l.Trim()).Where(l => l.StartsWith("chain dscp", StringComparison.Ordinal)));
        Assert.Equal(["tcp dport 1 goto dscp_34", "tcp dport 2 goto dscp_18", "tcp sport 1 goto dscp_34", "tcp sport 2 goto dscp_18"], Rules(text)[1..]);
    }

    [Fact]
    public void Render_UnmarkedJobBeforeAMarkedOne_ShieldsItsPackets()
    {
        var text = Render(
            null,
            PolicySamples.Job(1, "a", 0, 0, new FlowSelector { Protocol = "tcp", DestinationPortFrom = 1 }),
            PolicySamples.Job(2, "b", 3, 18, new FlowSelector { Protocol = "tcp" }));

        Assert.Equal(["tcp dport 1 accept", "meta l4proto tcp goto dscp_18", "tcp sport 1 accept", "meta l4proto tcp goto dscp_18"], Rules(text)[1..]);
    }

    [Fact]
    public void Render_NothingToMark_OnlyRemoves()
    {
        Assert.Equal(Removal, Render(7471));
        Assert.Equal(Removal, Render(7471, PolicySamples.Job()));
        Assert.Equal(Removal, Render(7471, PolicySamples.Job(1, "a", 0, 0, new FlowSelector { Protocol = "tcp" })));
        Assert.Equal(Removal, Ruleset.Render(InstalledPolicy.None, 7471));
        Assert.Null(Ruleset.MarkerOf(Removal));
    }

    [Fact]
    public void Render_SameContentInAnotherRevision_IsTheSameText()
    {
        var job = PolicySamples.Job(1, "a", 1, 34, new FlowSelector { Protocol = "tcp" });

        Assert.Equal(Render(7471, job), Render(7471, job with { Name = "other", WindowChunks = 1 }));
        Assert.NotEqual(Ruleset.MarkerOf(Render(7471, job)), Ruleset.MarkerOf(Render(7472, job)));
    }

    [Fact]
    public void Render_RoleOfASelector_IsNeverPartOfTheText()
    {
        var text = Render(7471, PolicySamples.Job(1, "a\" } flush ruleset", 1, 34, new FlowSelector { Protocol = "tcp", Role = "x\"; flush ruleset; #" }));

        Assert.DoesNotContain("flush ruleset", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Render_SelectorsByUserAndGroup_StandInOutputBeforeTheOthers()
    {
        var job = PolicySamples.Job(1, "all", 1, 34,
            new FlowSelector { Protocol = "udp" },
            new FlowSelector { Uid = 1000 },
            new FlowSelector { Uid = 1001 },
            new FlowSelector { Cgroup = "/train.slice/a", Protocol = "tcp", DestinationPortFrom = 80 },
            new FlowSelector { Cgroup = "/train.slice/b", Uid = 5, Destination = "2001:db8::/32" },
            new FlowSelector { Cgroup = "/train.slice/gone" });

        var text = Render(7471, path => path == "/train.slice/gone" ? null : new Cgroup($"unified{path}", 7), job);

        Assert.Equal(
            [
                "tcp sport 7471 accept",
                "ip daddr . tcp dport { 10.0.0.2 . 7471, 10.0.0.6 . 7471 } accept",
                "meta skuid { 1000, 1001 } goto dscp_34",
                "socket cgroupv2 level 2 \"unified/train.slice/a\" tcp dport 80 goto dscp_34",
                "meta skuid 5 socket cgroupv2 level 2 \"unified/train.slice/b\" ip6 daddr 2001:db8::/32 goto dscp_34",
                "socket cgroupv2 level 2 \"unified/train.slice/a\" tcp sport 80 goto dscp_34",
                "meta skuid 5 socket cgroupv2 level 2 \"unified/train.slice/b\" ip6 saddr 2001:db8::/32 goto dscp_34",
                "jump selected",
            ],
            Chain(text, "output").Where(l => !l.StartsWith("oifname", StringComparison.Ordinal)));
        Assert.Equal(["jump selected"], Chain(text, "forward"));
        Assert.Equal(["meta l4proto udp goto dscp_34"], Chain(text, "selected")[2..]);
    }

    [Fact]
    public void Render_UnmarkedUserBeforeAMarkedPort_ShieldsItsPackets()
    {
        var text = Render(
            null, _ => null,
            PolicySamples.Job(1, "a", 3, 18, new FlowSelector { Protocol = "tcp" }),
            PolicySamples.Job(2, "b", 0, 0, new FlowSelector { Uid = 1000 }));

        Assert.Contains("meta skuid 1000 accept", Chain(text, "output"));
    }

    [Fact]
    public void Render_GroupThatCameBack_IsAnotherText()
    {
        var job = PolicySamples.Job(1, "a", 1, 34, new FlowSelector { Cgroup = "/a" });

        Assert.NotEqual(Render(7471, path => new Cgroup(path, 1), job), Render(7471, path => new Cgroup(path, 2), job));
        Assert.Equal(Removal, Render(7471, _ => null, job));
    }

    private static string Render(int? dataPort, params HostJob[] jobs) => Render(dataPort, null, jobs);

    private static string Render(int? dataPort, Func<string, Cgroup?>? cgroup, params HostJob[] jobs)
    {
        var policy = PolicyRules.Read(PolicySamples.Policy(1, jobs), PolicySamples.Host, out var faults);
        Assert.Empty(faults);
        return Ruleset.Render(policy!, dataPort, cgroup);
    }

    private static string WithoutMarker(string text)
    {
        var marker = Ruleset.MarkerOf(text);
        Assert.NotNull(marker);
        return text.Replace(marker, "mlnet-agent MARKER", StringComparison.Ordinal);
    }

    private static string[] Rules(string text) => Chain(text, "selected");

    // What stands in a chain behind its hook.
    private static string[] Chain(string text, string name)
    {
        var lines = text.Split('\n');
        var start = Array.FindLastIndex(lines, l => l.Trim() == $"chain {name} {{") + 1;
        return [.. lines[start..].Select(l => l.Trim()).TakeWhile(l => l != "}").Where(l => !l.StartsWith("type ", StringComparison.Ordinal))];
    }
}
