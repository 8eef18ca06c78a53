using System.Net;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Marking;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;
using MLNet.SDN.Tests.Agent.Policies;

namespace MLNet.SDN.Tests.Agent.Marking;

public sealed class SelectorRulesTests
{
    [Fact]
    public void Make_TenThousandOfOneKind_IsARulePerVerdict()
    {
        var selectors = Enumerable.Range(0, 10_000).Select(i => Select(i % 5, source: $"10.{i / 250}.{i % 250}.1", protocol: "tcp", destinationPort: 5000 + (i % 3)));

        string[] rules = [.. SelectorRules.Make(selectors, Verdict)];

        Assert.StartsWith("ip saddr . tcp dport { 10.0.0.1 . 5000, 10.0.5.1 . 5002, ", rules[0], StringComparison.Ordinal);
        Assert.Equal(["accept", "1", "2", "3", "4"], rules.Select(r => r[(r.LastIndexOf(' ') + 1)..]));
        Assert.All(rules, r => Assert.Equal(2_000, r.Split(", ").Length));
    }

    [Fact]
    public void Make_PrefixesThatOverlap_AreSeparateRulesInOrder()
    {
        var rules = SelectorRules.Make(
            [Select(1, source: "10.0.0.0/8"), Select(1, source: "11.0.0.0/8"), Select(3, source: "10.1.0.0/16"), Select(4, source: "12.0.0.0/8"), Select(5, source: "12.5.0.0/16")], Verdict);

        Assert.Equal(["ip saddr & 255.0.0.0 { 10.0.0.0, 11.0.0.0 } 1", "ip saddr 12.0.0.0/8 4", "ip saddr 10.1.0.0/16 3", "ip saddr 12.5.0.0/16 5"], rules);
    }

    [Fact]
    public void Make_PrefixesOfIPv6_AreMasked() => Assert.Equal(
        ["ip6 saddr & ffff:ffff:ffff:: . tcp dport { 2001:db8:1:: . 80, 2001:db8:2:: . 80 } 1"],
        SelectorRules.Make([Select(1, source: "2001:db8:1::/48", protocol: "tcp", destinationPort: 80), Select(1, source: "2001:db8:2::/48", protocol: "tcp", destinationPort: 80)], Verdict));

    [Fact]
    public void Make_FewRangesOfPorts_AreRulesOfTheirOwn() => Assert.Equal(
        ["tcp dport 5-9 1", "tcp dport 7-20 2"], SelectorRules.Make([Select(1, protocol: "tcp", destinationPort: 5, to: 9), Select(2, protocol: "tcp", destinationPort: 7, to: 20)], Verdict));

    // 1000 = 8 x 125, so that each is a block of 8 and one of 2 (1000 to 1009), or begins lower.
    [Fact]
    public void Make_ManyRangesOfPorts_CostNoMoreRulesThanThereAreSizesOfBlocks()
    {
        var selectors = Enumerable.Range(1, 1_000).Select(i => Select(1, source: $"10.0.{i / 250}.{i % 250}", protocol: "tcp", destinationPort: 1000, to: 1009)).ToArray();

        string[] rules = [.. SelectorRules.Make(selectors, Verdict)];

        Assert.Collection(
            rules,
            r => Assert.StartsWith("ip saddr . tcp dport & 0xfff8 { 10.0.0.1 . 1000, 10.0.0.2 . 1000, ", r, StringComparison.Ordinal),
            r => Assert.StartsWith("ip saddr . tcp dport & 0xfffe { 10.0.0.1 . 1008, 10.0.0.2 . 1008, ", r, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(1, 65535)]
    [InlineData(1, 65534)]
    [InlineData(1, 2)]
    [InlineData(65535, 65535)]
    [InlineData(32767, 32769)]
    [InlineData(1024, 65535)]
    public void Make_RangeOfPortsInBlocks_TakesThatRangeAndNoMore(int first, int last)
    {
        var selectors = Enumerable.Range(1, 20).Select(i => Select(1, source: $"10.0.0.{i}", protocol: "tcp", destinationPort: first, to: last));

        string[] rules = [.. SelectorRules.Make(selectors, Verdict)];

        Assert.DoesNotContain(rules, r => r.Contains('-', StringComparison.Ordinal));
        foreach (var port in new[] { first - 1, first, first + 1, (first + last) / 2, last - 1, last, last + 1 }.Where(p => p is >= 0 and <= 65535))
        {
            var key = new FlowKey(FlowKey.FromAddress(IPAddress.Parse("10.0.0.7")), 1, 9, (ushort)port, 6, 0, FlowDirection.Egress, false);
            Assert.Equal(port >= first && port <= last ? "1" : null, Decide(rules, key));
        }
    }

    [Fact]
    public void Make_OneBetweenThatCouldDecideOtherwise_IsNotPassedOver()
    {
        var rules = SelectorRules.Make(
            [Select(1, protocol: "tcp", destinationPort: 1), Select(2, source: "10.0.0.1"), Select(3, protocol: "tcp", destinationPort: 2), Select(2, protocol: "tcp", destinationPort: 3)],
            Verdict);

        Assert.Equal(["tcp dport 1 1", "ip saddr 10.0.0.1/32 2", "tcp dport 2 3", "tcp dport 3 2"], rules);
    }

    [Fact]
    public void Make_AnySelectors_DecideAsAPlainListDoes()
    {
        string?[] prefixes = [null, null, "10.0.0.1", "10.0.0.2", "10.0.0.0/31", "10.0.0.0/30", "0.0.0.0/0", "2001:db8::1", "2001:db8::/127", "::/0"];
        var (sets, masked) = (0, 0);
        for (var seed = 0; seed < 300; seed++)
        {
            var random = new Random(seed);
            var selectors = new List<SelectorMatch>();
            var most = seed % 2 == 0 ? prefixes.Length : 3;
            while (selectors.Count < 40)
            {
                int? Port() => random.Next(seed % 2 == 0 ? 3 : 20) == 0 ? null : 1 + random.Next(4);
                var selector = new FlowSelector
                {
                    Source = prefixes[random.Next(most)],
                    Destination = prefixes[random.Next(most)],
                    Protocol = seed % 2 == 0 && random.Next(4) == 0 ? "udp" : "tcp",
                    SourcePortFrom = Port(),
                    DestinationPortFrom = Port(),
                };
                selector = selector with { DestinationPortTo = selector.DestinationPortFrom + random.Next(4) };
                if (SelectorMatch.Parse(PolicySamples.Job(1, "a", 1, random.Next(4)), selector, "s", []) is { } match)
                {
                    selectors.Add(match);
                }
            }

            string[] rules = [.. SelectorRules.Make(selectors, Verdict)];
            sets += rules.Count(r => r.Contains('{', StringComparison.Ordinal));
            masked += rules.Count(r => r.Contains("port & ", StringComparison.Ordinal));
            for (var i = 0; i < 200; i++)
            {
                var isIPv6 = random.Next(3) == 0;
                UInt128 Address() => FlowKey.FromAddress(IPAddress.Parse(isIPv6 ? $"2001:db8::{random.Next(4)}" : $"10.0.0.{random.Next(5)}"));
                var key = new FlowKey(Address(), Address(), (ushort)random.Next(9), (ushort)random.Next(9), (byte)(random.Next(3) == 0 ? 17 : 6), 0, FlowDirection.Egress, isIPv6);
                var expected = selectors.Find(s => s.Matches(key)) is { } first ? Verdict(first.Dscp) : null;

                Assert.True(expected == Decide(rules, key), $"seed {seed}, {key}: {expected} expected of\n{string.Join('\n', rules)}");
            }
        }

        Assert.InRange(sets, 200, int.MaxValue);
        Assert.InRange(masked, 100, int.MaxValue);
    }

    private static string Verdict(Dscp dscp) => dscp == Dscp.Default ? "accept" : $"{dscp.Value}";

    private static SelectorMatch Select(int dscp, string? source = null, string? protocol = null, int? destinationPort = null, int? to = null) => SelectorMatch.Parse(
        PolicySamples.Job(1, "a", dscp == 0 ? 0 : 1, dscp), new FlowSelector { Source = source, Protocol = protocol, DestinationPortFrom = destinationPort, DestinationPortTo = to }, "s", [])!;

    // As the kernel reads the rules: the first that has a verdict.
    private static string? Decide(string[] rules, FlowKey key)
    {
        foreach (var rule in rules)
        {
            if (rule.IndexOf(" { ", StringComparison.Ordinal) is >= 0 and var set)
            {
                var (expressions, end) = (rule[..set].Split(" . "), rule.IndexOf(" } ", StringComparison.Ordinal));
                if (rule[(set + 3)..end].Split(", ").Any(element => expressions.Zip(element.Split(" . ")).All(f => Holds(f.First, f.Second, key))))
                {
                    return rule[(end + 3)..];
                }

                continue;
            }

            var words = rule.Split(' ');
            var holds = true;
            for (var i = 0; i + 2 < words.Length; i += 3)
            {
                holds &= Holds($"{words[i]} {words[i + 1]}", words[i + 2], key);
            }

            if (holds)
            {
                return words[^1];
            }
        }

        return null;
    }

    private static bool Holds(string expression, string value, FlowKey key)
    {
        var words = expression.Split(' ');
        if (words[0] is "tcp" or "udp")
        {
            var ports = value.Split('-').Select(ushort.Parse).ToArray();
            var port = (words[1] == "sport" ? key.SourcePort : key.DestinationPort) & (words is [_, _, "&", var mask] ? Convert.ToUInt16(mask, 16) : 0xffff);
            return key.Protocol == (words[0] == "tcp" ? 6 : 17) && port >= ports[0] && port <= ports[^1];
        }

        if (words is [var family, var side, "&", var bits])
        {
            var address = side == "saddr" ? key.Source : key.Destination;
            return key.IsIPv6 == (family == "ip6") && (address & FlowKey.FromAddress(IPAddress.Parse(bits))) == FlowKey.FromAddress(IPAddress.Parse(value));
        }

        return expression switch
        {
            "meta l4proto" => key.Protocol == (value == "tcp" ? 6 : 17),
            "meta nfproto" => key.IsIPv6 == (value == "ipv6"),
            _ => AddressPrefix.TryParse(value, out var prefix) && prefix.IsIPv6 == (words[0] == "ip6") && prefix.Contains(words[1] == "saddr" ? key.Source : key.Destination, key.IsIPv6),
        };
    }
}
