using System.Globalization;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Marking;

/// <summary>
/// Makes rules of selectors such that a packet costs the same however many there are: those that look at the same bits of the same fields become one
/// rule for each verdict, with a set of values. Pure.
/// </summary>
/// <remarks>
/// The first selector that matches a packet decides, as in a plain list. So a selector joins the rules of an earlier one only if none between the two
/// could decide otherwise for the same packet.
/// All sets are of single values of masked fields, which the kernel keeps as hash tables. A prefix is a value under its mask; a range of ports is cut into
/// blocks of a power of two each, when there are many (tuple space search: Srinivasan, Suri and Varghese, SIGCOMM 1999). Intervals and verdict maps would be
/// shorter to write, but with both of them a packet under way while the rules are exchanged can find nothing: the kernel takes a map's old elements back, and
/// publishes an interval set's new ones, at another instant than the rules (measured on Linux 6.18: 42 packets of 6 million in 776 exchanges
/// of a map, 4,526 with intervals in a concatenation, none with these).
/// </remarks>
internal static class SelectorRules
{
    // Up to so many selectors with ranges of ports in the same fields stay a rule each.
    private const int FewRanges = 8;

    // A selector that would need more values than this stays a rule of its own.
    private const int MostBlocks = 64;

    /// <summary>Makes the rules.</summary>
    /// <param name="selectors">In the order in which they decide.</param>
    /// <param name="verdict">What becomes of packets of that code point, e.g. <c>goto dscp_26</c>.</param>
    /// <returns>One rule each, without indentation.</returns>
    public static IEnumerable<string> Make(IEnumerable<SelectorMatch> selectors, Func<Dscp, string> verdict)
    {
        SelectorMatch[] all = [.. selectors];
        var ranges = all.Where(HasRange).CountBy(RangedFields).ToDictionary(StringComparer.Ordinal);
        var groups = new List<Group>();
        foreach (var selector in all)
        {
            if (!HasRange(selector))
            {
                Add(groups, selector, Fields(selector));
            }
            else if (Fields(selector).Count == 0 || ranges[RangedFields(selector)] <= FewRanges || Blocks(selector) is not { Count: <= MostBlocks } blocks)
            {
                Add(groups, selector, []);
            }
            else
            {
                blocks.ForEach(block => Add(groups, block, Fields(block)));
            }
        }

        return groups.SelectMany(g => g.Rules(verdict));
    }

    /// <summary>Whether one packet could match both, as they are.</summary>
    public static bool Overlap(SelectorMatch left, SelectorMatch right) =>
        (left.Protocol is null || right.Protocol is null || left.Protocol == right.Protocol)
        && Overlap(left.Source, right.Source) && Overlap(left.Destination, right.Destination)
        && Family(left) is var family && (family is null || Family(right) is not { } other || other == family)
        && Overlap(left.SourcePorts, right.SourcePorts) && Overlap(left.DestinationPorts, right.DestinationPorts)
        && (left.Uid is null || right.Uid is null || left.Uid == right.Uid)
        && (left.Cgroup is not { } l || right.Cgroup is not { } r || CgroupPath.IsWithin(l, r) || CgroupPath.IsWithin(r, l));

    private static bool? Family(SelectorMatch selector) => selector.Source?.IsIPv6 ?? selector.Destination?.IsIPv6;

    private static bool Overlap(AddressPrefix? left, AddressPrefix? right) =>
        left is not { } l || right is not { } r || l.Contains(r.Value, r.IsIPv6) || r.Contains(l.Value, l.IsIPv6);

    private static bool Overlap(PortRange? left, PortRange? right) =>
        left is not { } l || right is not { } r || (l.First <= r.Last && r.First <= l.Last);

    private static void Add(List<Group> groups, SelectorMatch selector, List<Field> fields)
    {
        // What has no key is known by its conditions.
        var expression = fields.Count > 0 ? string.Join(" . ", fields.Select(f => f.Expression)) : null;
        var shape = expression ?? $"only {Conditions(selector)}";
        var last = groups.Count - 1;
        if (groups.FindLastIndex(g => g.Shape == shape) is >= 0 and var home)
        {
            // It passes over all groups behind that one, if they have nothing to say against it.
            while (last > home && groups[last].Members.TrueForAll(m => m.Dscp == selector.Dscp || !Overlap(m, selector)))
            {
                last--;
            }

            if (last == home)
            {
                groups[home].Add(selector, Element(fields));
                return;
            }
        }

        var group = new Group(shape, expression);
        group.Add(selector, Element(fields));
        groups.Add(group);
    }

    // What a set's key is made of. Empty where the selector is no key: it looks at a family or a protocol alone.
    private static List<Field> Fields(SelectorMatch selector)
    {
        var fields = new List<Field>();
        if (selector.Uid is { } uid)
        {
            fields.Add(new Field("meta skuid", uid.ToString(CultureInfo.InvariantCulture)));
        }

        if (selector.Cgroup is { } group)
        {
            fields.Add(new Field(Level(group), $"\"{group}\""));
        }

        foreach (var (prefix, name) in new[] { (selector.Source, "saddr"), (selector.Destination, "daddr") })
        {
            if (prefix is { Length: 0 })
            {
                return [];
            }

            if (prefix is { } p)
            {
                var mask = p.Length == (p.IsIPv6 ? 128 : 32) ? "" : $" & {FlowKey.ToAddress(p.Mask, p.IsIPv6)}";
                fields.Add(new Field($"{(p.IsIPv6 ? "ip6" : "ip")} {name}{mask}", FlowKey.ToAddress(p.Value, p.IsIPv6).ToString()));
            }
        }

        var protocol = Protocol(selector);
        if (protocol is not null && selector is { SourcePorts: null, DestinationPorts: null })
        {
            if (fields.Count > 0)
            {
                fields.Add(new Field("meta l4proto", protocol));
            }

            return fields;
        }

        foreach (var (ports, name) in new[] { (selector.SourcePorts, "sport"), (selector.DestinationPorts, "dport") })
        {
            if (ports is { } block)
            {
                var size = block.Last - block.First + 1;
                var mask = size == 1 ? "" : string.Create(CultureInfo.InvariantCulture, $" & 0x{65536 - size:x4}");
                fields.Add(new Field($"{protocol} {name}{mask}", block.First.ToString(CultureInfo.InvariantCulture)));
            }
        }

        return fields;
    }

    private static bool HasRange(SelectorMatch selector) => selector is { SourcePorts: { } s } && s.Last > s.First || selector is { DestinationPorts: { } d } && d.Last > d.First;

    // Which ports are ranges, and what else it looks at.
    private static string RangedFields(SelectorMatch selector) => string.Create(
        CultureInfo.InvariantCulture,
        $"{selector.Protocol} {selector.Source?.Length} {selector.Destination?.Length} {Family(selector)} {Kind(selector.SourcePorts)} {Kind(selector.DestinationPorts)} {selector.Uid is not null} {(selector.Cgroup is { } group ? CgroupPath.Depth(group) : 0)}");

    private static string Level(string group) => string.Create(CultureInfo.InvariantCulture, $"socket cgroupv2 level {CgroupPath.Depth(group)}");

    private static string Kind(PortRange? ports) => ports is { } p ? p.Last > p.First ? "range" : "one" : "any";

    // The same selector in parts, each with ports of one block.
    private static List<SelectorMatch> Blocks(SelectorMatch selector) =>
        [.. from source in Blocks(selector.SourcePorts) from destination in Blocks(selector.DestinationPorts) select selector with { SourcePorts = source, DestinationPorts = destination }];

    private static List<PortRange?> Blocks(PortRange? ports)
    {
        if (ports is not { } range)
        {
            return [null];
        }

        // From the bottom, each time the largest block that begins there and does not go beyond.
        var blocks = new List<PortRange?>();
        for (var first = (int)range.First; first <= range.Last;)
        {
            var size = first == 0 ? 65536 : first & -first;
            while (first + size - 1 > range.Last)
            {
                size /= 2;
            }

            blocks.Add(new PortRange((ushort)first, (ushort)(first + size - 1)));
            first += size;
        }

        return blocks;
    }

    private static string Element(List<Field> fields) => string.Join(" . ", fields.Select(f => f.Value));

    private static string? Protocol(SelectorMatch selector) => selector.Protocol switch { 6 => "tcp", 17 => "udp", _ => null };

    private static string Text(PortRange range) =>
        range.Last > range.First ? string.Create(CultureInfo.InvariantCulture, $"{range.First}-{range.Last}") : range.First.ToString(CultureInfo.InvariantCulture);

    private static string Conditions(SelectorMatch selector)
    {
        var text = (selector.Uid is { } uid ? string.Create(CultureInfo.InvariantCulture, $"meta skuid {uid} ") : "")
            + (selector.Cgroup is { } group ? $"{Level(group)} \"{group}\" " : "")
            + Address("saddr", selector.Source) + Address("daddr", selector.Destination);
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

    private readonly record struct Field(string Expression, string Value);

    // Selectors that look at the same bits, so that no packet matches two of them. Expression: of the set's key; null where there is none.
    private sealed class Group(string shape, string? expression)
    {
        private readonly HashSet<string> known = new(StringComparer.Ordinal);
        private readonly List<string> elements = [];

        public string Shape => shape;

        public List<SelectorMatch> Members { get; } = [];

        public void Add(SelectorMatch selector, string element)
        {
            // An earlier one decides for all its packets.
            if (known.Add(element))
            {
                Members.Add(selector);
                elements.Add(element);
            }
        }

        public IEnumerable<string> Rules(Func<Dscp, string> verdict) => Members.Zip(elements).GroupBy(m => m.First.Dscp, (dscp, these) =>
            these.ToList() is [var only]
                ? $"{Conditions(only.First)}{verdict(dscp)}"
                : $"{expression} {{ {string.Join(", ", these.Select(m => m.Second))} }} {verdict(dscp)}");
    }
}
