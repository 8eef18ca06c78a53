using System.Globalization;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Marking;

/// <summary>Makes rules of selectors such that a packet costs the same however many there are: those that look at the same fields become one map. Pure.</summary>
/// <remarks>
/// The first selector that matches a packet decides, as in a plain list. So a selector joins the map of an earlier one only if none between the two
/// could decide otherwise for the same packet. Maps of single values are hash tables in the kernel; those with prefixes or ranges, whose elements
/// may not overlap, are searched by nftables' <c>pipapo</c> sets (Linux 5.6 and later).
/// </remarks>
internal static class SelectorRules
{
    /// <summary>Makes the rules.</summary>
    /// <param name="selectors">In the order in which they decide.</param>
    /// <param name="verdict">What becomes of packets of that code point, e.g. <c>goto dscp_26</c>.</param>
    /// <returns>One rule each, without indentation.</returns>
    public static IEnumerable<string> Make(IEnumerable<SelectorMatch> selectors, Func<Dscp, string> verdict)
    {
        var groups = new List<Group>();
        foreach (var selector in selectors)
        {
            var fields = Fields(selector);
            var last = groups.Count - 1;
            if (fields.Count > 0 && groups.FindLastIndex(g => g.Shape == Shape(selector, fields)) is >= 0 and var home)
            {
                // It passes over all groups behind that one, if they have nothing to say against it.
                while (last > home && groups[last].Members.TrueForAll(m => m.Dscp == selector.Dscp || !Overlap(m, selector)))
                {
                    last--;
                }

                if (last == home && groups[home].TryAdd(selector, Element(fields)))
                {
                    continue;
                }
            }
            else if (groups.Count > 0 && groups[last].Members is [var previous] && groups[last].Shape is null && Conditions(previous) == Conditions(selector))
            {
                continue;
            }

            var group = new Group(fields.Count > 0 ? Shape(selector, fields) : null);
            group.TryAdd(selector, Element(fields));
            groups.Add(group);
        }

        return groups.Select(g => g.Members is [var only]
            ? $"{Conditions(only)}{verdict(only.Dscp)}"
            : $"{g.Expression} vmap {{ {string.Join(", ", g.Members.Zip(g.Elements, (m, e) => $"{e} : {verdict(m.Dscp)}"))} }}");
    }

    /// <summary>Whether one packet could match both, as they are.</summary>
    public static bool Overlap(SelectorMatch left, SelectorMatch right) =>
        (left.Protocol is null || right.Protocol is null || left.Protocol == right.Protocol)
        && Overlap(left.Source, right.Source) && Overlap(left.Destination, right.Destination)
        && Family(left) is var family && (family is null || Family(right) is not { } other || other == family)
        && Overlap(left.SourcePorts, right.SourcePorts) && Overlap(left.DestinationPorts, right.DestinationPorts);

    private static bool? Family(SelectorMatch selector) => selector.Source?.IsIPv6 ?? selector.Destination?.IsIPv6;

    private static bool Overlap(AddressPrefix? left, AddressPrefix? right) =>
        left is not { } l || right is not { } r || l.Contains(r.Value, r.IsIPv6) || r.Contains(l.Value, l.IsIPv6);

    private static bool Overlap(PortRange? left, PortRange? right) =>
        left is not { } l || right is not { } r || (l.First <= r.Last && r.First <= l.Last);

    // What a map's key is made of: expression and value. Empty where the selector is no key: it looks at a family or a protocol alone.
    private static List<(string Expression, string Value, bool IsRange)> Fields(SelectorMatch selector)
    {
        var fields = new List<(string, string, bool)>();
        foreach (var (prefix, name) in new[] { (selector.Source, "saddr"), (selector.Destination, "daddr") })
        {
            if (prefix is { Length: 0 })
            {
                return [];
            }

            if (prefix is { } p)
            {
                var isOne = p.Length == (p.IsIPv6 ? 128 : 32);
                fields.Add(($"{(p.IsIPv6 ? "ip6" : "ip")} {name}", isOne ? FlowKey.ToAddress(p.Value, p.IsIPv6).ToString() : p.ToString(), !isOne));
            }
        }

        var protocol = Protocol(selector);
        if (protocol is not null && selector is { SourcePorts: null, DestinationPorts: null })
        {
            if (fields.Count > 0)
            {
                fields.Add(("meta l4proto", protocol, false));
            }

            return fields;
        }

        foreach (var (ports, name) in new[] { (selector.SourcePorts, "sport"), (selector.DestinationPorts, "dport") })
        {
            if (ports is { } range)
            {
                fields.Add(($"{protocol} {name}", Text(range), range.Last > range.First));
            }
        }

        return fields;
    }

    private static string Shape(SelectorMatch selector, List<(string Expression, string Value, bool IsRange)> fields) =>
        $"{(fields.Exists(f => f.IsRange) ? "ranges" : "values")}:{string.Join(" . ", fields.Select(f => f.Expression))}";

    private static string Element(List<(string Expression, string Value, bool IsRange)> fields) => string.Join(" . ", fields.Select(f => f.Value));

    private static string? Protocol(SelectorMatch selector) => selector.Protocol switch { 6 => "tcp", 17 => "udp", _ => null };

    private static string Text(PortRange range) =>
        range.Last > range.First ? string.Create(CultureInfo.InvariantCulture, $"{range.First}-{range.Last}") : range.First.ToString(CultureInfo.InvariantCulture);

    private static string Conditions(SelectorMatch selector)
    {
        var text = Address("saddr", selector.Source) + Address("daddr", selector.Destination);
        var protocol = Protocol(selector);
        if (protocol is not null && selector is { SourcePorts: null, DestinationPorts: null })
        {
            return $"{text}meta l4proto {protocol} ";
        }

        return text
            + (selector.SourcePorts is { } source ? $"{protocol} sport {Text(source)} " : "")
            + (selector.DestinationPorts is { } destination ? $"{protocol} dport {Text(destination)} " : "");
    }

    // A prefix of length 0 is no match for nft, only a family.
    private static string Address(string field, AddressPrefix? prefix) =>
        prefix is not { } p ? ""
        : p.Length == 0 ? $"meta nfproto {(p.IsIPv6 ? "ipv6" : "ipv4")} "
        : $"{(p.IsIPv6 ? "ip6" : "ip")} {field} {p} ";

    // Selectors that become one rule: a single one as it is, several as a map.
    private sealed class Group(string? shape)
    {
        private readonly HashSet<string> known = new(StringComparer.Ordinal);
        private readonly bool hasRanges = shape?.StartsWith("ranges:", StringComparison.Ordinal) == true;

        public string? Shape => shape;

        public string Expression => shape![(shape!.IndexOf(':', StringComparison.Ordinal) + 1)..];

        public List<SelectorMatch> Members { get; } = [];

        public List<string> Elements { get; } = [];

        // True also when an earlier one decides for all its packets.
        public bool TryAdd(SelectorMatch selector, string element)
        {
            if (known.Contains(element))
            {
                return true;
            }

            if (hasRanges && Members.Exists(m => Overlap(m, selector)))
            {
                return false;
            }

            known.Add(element);
            Members.Add(selector);
            Elements.Add(element);
            return true;
        }
    }
}
