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
    public void Make_TenThousandOfOneKind_IsOneRule()
    {
        var selectors = Enumerable.Range(0, 10_000).Select(i => Select(i % 5, source: $"10.{i / 250}.{i % 250}.1", protocol: "tcp", destinationPort: 5000 + (i % 3)));

        var rule = Assert.Single(SelectorRules.Make(selectors, Verdict));

        Assert.StartsWith("ip saddr . tcp dport vmap { 10.0.0.1 . 5000 : accept, 10.0.1.1 . 5001 : 1, ", rule, StringComparison.Ordinal);
    }

    [Fact]
    public void Make_RangesThatOverlap_AreSeparateRulesInOrder()
    {
        var rules = SelectorRules.Make(
            [Select(1, source: "10.0.0.0/8"), Select(2, source: "11.0.0.0/8"), Select(3, source: "10.1.0.0/16"), Select(4, source: "12.0.0.0/8")], Verdict);

        Assert.Equal(["ip saddr vmap { 10.0.0.0/8 : 1, 11.0.0.0/8 : 2 }", "ip saddr vmap { 10.1.0.0/16 : 3, 12.0.0.0/8 : 4 }"], rules);
    }

    [Fact]
    public void Make_OneBetweenThatCouldDecideOtherwise_IsNotPassedOver()
    {
        var rules = SelectorRules.Make(
            [Select(1, protocol: "tcp", destinationPort: 1), Select(2, source: "10.0.0.1"), Select(3, protocol: "tcp", destinationPort: 2), Select(2, protocol: "tcp", destinationPort: 3)],
            Verdict);

        Assert.Equal(["tcp dport 1 1", "ip saddr 10.0.0.1/32 2", "tcp dport vmap { 2 : 3, 3 : 2 }"], rules);
    }

    [Fact]
    public void Make_AnySelectors_DecideAsAPlainListDoes()
    {
        string?[] prefixes = [null, null, "10.0.0.1", "10.0.0.2", "10.0.0.0/31", "10.0.0.0/30", "0.0.0.0/0", "2001:db8::1", "2001:db8::/127", "::/0"];
        var maps = 0;
        for (var seed = 0; seed < 300; seed++)
        {
            var random = new Random(seed);
            var selectors = new List<SelectorMatch>();
            while (selectors.Count < 40)
            {
                int? Port() => random.Next(3) == 0 ? null : 1 + random.Next(4);
                var selector = new FlowSelector
                {
                    Source = prefixes[random.Next(prefixes.Length)],
                    Destination = prefixes[random.Next(prefixes.Length)],
                    Protocol = random.Next(4) == 0 ? "udp" : "tcp",
                    SourcePortFrom = Port(),
                    DestinationPortFrom = Port(),
                };
                selector = selector with { DestinationPortTo = selector.DestinationPortFrom + random.Next(2) };
                if (SelectorMatch.Parse(PolicySamples.Job(1, "a", 1, random.Next(4)), selector, "s", []) is { } match)
                {
                    selectors.Add(match);
                }
            }

            string[] rules = [.. SelectorRules.Make(selectors, Verdict)];
            maps += rules.Count(r => r.Contains("vmap", StringComparison.Ordinal));
            for (var i = 0; i < 200; i++)
            {
                var isIPv6 = random.Next(3) == 0;
                UInt128 Address() => FlowKey.FromAddress(IPAddress.Parse(isIPv6 ? $"2001:db8::{random.Next(4)}" : $"10.0.0.{random.Next(5)}"));
                var key = new FlowKey(Address(), Address(), (ushort)random.Next(6), (ushort)random.Next(6), (byte)(random.Next(3) == 0 ? 17 : 6), 0, FlowDirection.Egress, isIPv6);
                var expected = selectors.Find(s => s.Matches(key)) is { } first ? Verdict(first.Dscp) : null;

                Assert.True(expected == Decide(rules, key), $"seed {seed}, {key}: {expected} expected of\n{string.Join('\n', rules)}");
            }
        }

        Assert.InRange(maps, 300, int.MaxValue);
    }

    private static string Verdict(Dscp dscp) => dscp == Dscp.Default ? "accept" : $"{dscp.Value}";

    private static SelectorMatch Select(int dscp, string? source = null, string? protocol = null, int? destinationPort = null) => SelectorMatch.Parse(
        PolicySamples.Job(1, "a", dscp == 0 ? 0 : 1, dscp), new FlowSelector { Source = source, Protocol = protocol, DestinationPortFrom = destinationPort }, "s", [])!;

    // As the kernel reads the rules: the first that has a verdict.
    private static string? Decide(string[] rules, FlowKey key)
    {
        foreach (var rule in rules)
        {
            if (rule.IndexOf(" vmap { ", StringComparison.Ordinal) is >= 0 and var map)
            {
                var expressions = rule[..map].Split(" . ");
                foreach (var element in rule[(map + 8)..^2].Split(", "))
                {
                    var (value, verdict) = (element[..element.LastIndexOf(" : ", StringComparison.Ordinal)], element[(element.LastIndexOf(' ') + 1)..]);
                    if (expressions.Zip(value.Split(" . ")).All(f => Holds(f.First, f.Second, key)))
                    {
                        return verdict;
                    }
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
            var port = words[1] == "sport" ? key.SourcePort : key.DestinationPort;
            return key.Protocol == (words[0] == "tcp" ? 6 : 17) && port >= ports[0] && port <= ports[^1];
        }

        return expression switch
        {
            "meta l4proto" => key.Protocol == (value == "tcp" ? 6 : 17),
            "meta nfproto" => key.IsIPv6 == (value == "ipv6"),
            _ => AddressPrefix.TryParse(value, out var prefix) && prefix.IsIPv6 == (words[0] == "ip6") && prefix.Contains(words[1] == "saddr" ? key.Source : key.Destination, key.IsIPv6),
        };
    }
}
