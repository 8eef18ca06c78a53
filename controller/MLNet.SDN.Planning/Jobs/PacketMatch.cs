using System.Globalization;
using System.Net;
using System.Net.Sockets;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Jobs;

/// <summary>A selector that was read and found sound: the packets it picks, as ranges that can be compared.</summary>
internal readonly record struct PacketMatch(AddressPrefix? Source, AddressPrefix? Destination, string? Protocol, PortRange SourcePorts, PortRange DestinationPorts)
{
    /// <summary>Whether agents would have to choose between the two: they mark what a selector picks and the answers to it.</summary>
    /// <remarks>
    /// A packet is picked by a selector as written or reversed; with both of either, two of the four combinations say the same as the other two. Not counted are packets between a
    /// port that only the one names and a port that only the other names at the other end: there two services would have to talk to each other, and any two jobs that name
    /// a destination port each would be refused. A range that takes in the ports of ordinary clients names no service, so it does count.
    /// </remarks>
    public bool Collides(PacketMatch other) => Meets(other) || Meets(other.Reversed());

    /// <summary>User that sends; null: any.</summary>
    public int? Uid { get; init; }

    /// <summary>Control group that sends; null: any.</summary>
    public string? Cgroup { get; init; }

    private bool NamesProcess => Uid is not null || Cgroup is not null;

    /// <summary>The answers to the packets picked, which the same process sends at its end.</summary>
    public PacketMatch Reversed() => this with { Source = Destination, Destination = Source, SourcePorts = DestinationPorts, DestinationPorts = SourcePorts };

    // Who names a process is asked before who does not, so between the two there is nothing to choose.
    private bool SameProcess(PacketMatch other) =>
        NamesProcess == other.NamesProcess
        && (Uid is null || other.Uid is null || Uid == other.Uid)
        && (Cgroup is null || other.Cgroup is null || CgroupPath.IsWithin(Cgroup, other.Cgroup) || CgroupPath.IsWithin(other.Cgroup, Cgroup));

    private bool Meets(PacketMatch other) => Overlaps(other) && !IsBetweenServices(other) && !other.IsBetweenServices(this);

    private bool IsBetweenServices(PacketMatch other) =>
        SourcePorts.IsService && DestinationPorts.IsAny && other.SourcePorts.IsAny && other.DestinationPorts.IsService;

    private bool Overlaps(PacketMatch other) =>
        SameProcess(other)
        && AddressPrefix.Overlap(Source, other.Source)
        && AddressPrefix.Overlap(Destination, other.Destination)
        && SameFamily(Source ?? Destination, other.Source ?? other.Destination)
        && (Protocol is null || other.Protocol is null || Protocol == other.Protocol)
        && SourcePorts.Overlaps(other.SourcePorts)
        && DestinationPorts.Overlaps(other.DestinationPorts);

    /// <summary>Reads a selector, adding every fault found.</summary>
    public static bool TryRead(FlowSelector selector, string field, List<FieldFault> faults, out PacketMatch match)
    {
        var before = faults.Count;
        var source = ReadPrefix(selector.Source, $"{field}.source", faults);
        var destination = ReadPrefix(selector.Destination, $"{field}.destination", faults);
        if (!SameFamily(source, destination))
        {
            faults.Add(new($"{field}.destination", selector.Destination!, "Source and destination must both be IPv4 or both IPv6."));
        }

        if (selector.Protocol is not (null or "tcp" or "udp"))
        {
            faults.Add(new($"{field}.protocol", selector.Protocol, "The protocol must be tcp or udp, or left out to match any."));
        }

        var sourcePorts = PortRange.Read(selector.SourcePortFrom, selector.SourcePortTo, $"{field}.sourcePort", faults);
        var destinationPorts = PortRange.Read(selector.DestinationPortFrom, selector.DestinationPortTo, $"{field}.destinationPort", faults);
        var namesPorts = selector.SourcePortFrom is not null || selector.SourcePortTo is not null || selector.DestinationPortFrom is not null || selector.DestinationPortTo is not null;
        if (namesPorts && selector.Protocol is null)
        {
            faults.Add(new($"{field}.protocol", "", "Ports mean something only within a protocol; set it to tcp or udp."));
        }

        if (selector.Uid is < 0)
        {
            faults.Add(new($"{field}.uid", selector.Uid.Value.ToString(CultureInfo.InvariantCulture), "A user id is not negative."));
        }

        if (selector.Cgroup is { } group && CgroupPath.FaultOf(group) is { } remedy)
        {
            faults.Add(new($"{field}.cgroup", group, remedy));
        }

        if (selector is { Source: null, Destination: null, Protocol: null, Uid: null, Cgroup: null } && !namesPorts)
        {
            faults.Add(new(field, "", "The selector picks every packet; set at least one of source, destination, protocol, ports, uid and cgroup."));
        }

        if (selector.Role is { } role && (role.Length is 0 or > 63 || role.Any(c => char.IsControl(c))))
        {
            faults.Add(new($"{field}.role", role, "A role must have 1-63 characters, none of them control characters; leave it out for none."));
        }

        match = new(source, destination, selector.Protocol, sourcePorts, destinationPorts) { Uid = selector.Uid, Cgroup = selector.Cgroup };
        return faults.Count == before;
    }

    /// <inheritdoc />
    public override string ToString() =>
        $"{Protocol ?? "any protocol"} from {Source?.ToString() ?? "anywhere"}{SourcePorts} to {Destination?.ToString() ?? "anywhere"}{DestinationPorts}"
        + (Uid is { } uid ? string.Create(CultureInfo.InvariantCulture, $" by user {uid}") : "") + (Cgroup is { } group ? $" by cgroup {group}" : "");

    private static bool SameFamily(AddressPrefix? a, AddressPrefix? b) => a is null || b is null || a.Value.IsIPv6 == b.Value.IsIPv6;

    private static AddressPrefix? ReadPrefix(string? text, string field, List<FieldFault> faults)
    {
        if (text is null)
        {
            return null;
        }

        if (AddressPrefix.TryParse(text, out var prefix, out var remedy))
        {
            return prefix;
        }

        faults.Add(new(field, text, remedy));
        return null;
    }
}

/// <summary>An IP prefix. IPv4 stands in the low 32 bits.</summary>
internal readonly record struct AddressPrefix(UInt128 Network, int Length, bool IsIPv6)
{
    private int Width => IsIPv6 ? 128 : 32;

    public static bool TryParse(string text, out AddressPrefix prefix, out string remedy)
    {
        prefix = default;
        remedy = "Give a prefix in CIDR form, such as 10.0.1.0/24 or 10.0.1.7/32.";
        var slash = text.IndexOf('/', StringComparison.Ordinal);
        if (slash <= 0 || Topology.FabricRules.CanonicalAddress(text[..slash]) is not { } canonical
            || !int.TryParse(text.AsSpan(slash + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var length))
        {
            return false;
        }

        var address = IPAddress.Parse(canonical);
        var isIPv6 = address.AddressFamily == AddressFamily.InterNetworkV6;
        if (length > (isIPv6 ? 128 : 32))
        {
            remedy = $"A prefix of this family has at most {(isIPv6 ? 128 : 32)} bits.";
            return false;
        }

        UInt128 bits = 0;
        foreach (var octet in address.GetAddressBytes())
        {
            bits = (bits << 8) | octet;
        }

        prefix = new(bits, length, isIPv6);
        var network = prefix.First(length);
        if (network != bits)
        {
            remedy = $"Bits are set beyond the prefix length; write {new AddressPrefix(network, length, isIPv6)}, or a longer prefix.";
            return false;
        }

        return true;
    }

    public static bool Overlap(AddressPrefix? a, AddressPrefix? b)
    {
        if (a is not { } x || b is not { } y)
        {
            return true;
        }

        var length = Math.Min(x.Length, y.Length);
        return x.IsIPv6 == y.IsIPv6 && x.First(length) == y.First(length);
    }

    /// <inheritdoc />
    public override string ToString()
    {
        Span<byte> octets = stackalloc byte[Width / 8];
        for (var i = 0; i < octets.Length; i++)
        {
            octets[i] = (byte)(Network >> (Width - 8 - (8 * i)));
        }

        return $"{new IPAddress(octets)}/{Length}";
    }

    private UInt128 First(int bits) => bits == 0 ? 0 : Network >> (Width - bits) << (Width - bits);
}

/// <summary>Ports from..to, both inclusive.</summary>
internal readonly record struct PortRange(int From, int To)
{
    // Where Linux takes the ports of clients from (ip_local_port_range).
    private const int FirstClientPort = 32_768;
    private const int LastClientPort = 60_999;

    // A client would meet so few of them by chance once in a hundred connections.
    private const int MostClientPorts = 256;

    /// <summary>Every port, and packets without any.</summary>
    public bool IsAny => this == new PortRange(0, 65_535);

    /// <summary>Ports of something that listens, rather than those that clients get.</summary>
    public bool IsService => !IsAny && Math.Min(To, LastClientPort) - Math.Max(From, FirstClientPort) < MostClientPorts;

    public bool Overlaps(PortRange other) => From <= other.To && other.From <= To;

    public static PortRange Read(int? from, int? to, string field, List<FieldFault> faults)
    {
        foreach (var (port, end) in new[] { (from, "From"), (to, "To") })
        {
            if (port is < 1 or > 65_535)
            {
                faults.Add(new(field + end, port.Value.ToString(CultureInfo.InvariantCulture), "A port must be 1 to 65535."));
            }
        }

        if (to is not null && from is null)
        {
            faults.Add(new($"{field}From", "", $"The first port is missing; a range needs {field[(field.LastIndexOf('.') + 1)..]}From."));
        }
        else if (to < from)
        {
            faults.Add(new($"{field}To", to.Value.ToString(CultureInfo.InvariantCulture), $"The last port must not be below the first ({from})."));
        }

        return from is { } first ? new(first, to ?? first) : new(0, 65_535);
    }

    /// <inheritdoc />
    public override string ToString() => IsAny ? "" : From == To ? $" port {From}" : $" ports {From}-{To}";
}
