using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Policies;

/// <summary>Ports from the first to the last, both included.</summary>
internal readonly record struct PortRange(ushort First, ushort Last)
{
    /// <summary>Whether the port lies between.</summary>
    public bool Contains(ushort port) => port >= First && port <= Last;
}

/// <summary>A job's <see cref="FlowSelector"/>, checked and ready to be compared with flows and to be made a rule.</summary>
internal sealed record SelectorMatch
{
    /// <summary>What flows are called whose selector has no role of its own.</summary>
    public const string DefaultRole = "selected";

    private const int MaxRoleLength = 64;

    /// <summary>The job that selects.</summary>
    public required long JobId { get; init; }

    /// <summary>What the flows do in the job.</summary>
    public required string Role { get; init; }

    /// <summary>What they should carry.</summary>
    public required Dscp Dscp { get; init; }

    /// <summary>Null: any.</summary>
    public AddressPrefix? Source { get; init; }

    /// <summary>Null: any.</summary>
    public AddressPrefix? Destination { get; init; }

    /// <summary>IP protocol number; null: any.</summary>
    public byte? Protocol { get; init; }

    /// <summary>Null: any.</summary>
    public PortRange? SourcePorts { get; init; }

    /// <summary>Null: any.</summary>
    public PortRange? DestinationPorts { get; init; }

    /// <summary>User of the socket that sends; null: any.</summary>
    public uint? Uid { get; init; }

    /// <summary>Control group of the socket that sends, or one above that; null: any. See <see cref="CgroupPath"/>.</summary>
    public string? Cgroup { get; init; }

    /// <summary>Whether only packets of this host's own sockets are selected, by whose they are.</summary>
    public bool NamesProcess => Uid is not null || Cgroup is not null;

    /// <summary>The same with source and destination exchanged: the answers to the packets selected, by the same process at its end.</summary>
    public SelectorMatch Reversed() => this with { Source = Destination, Destination = Source, SourcePorts = DestinationPorts, DestinationPorts = SourcePorts };

    /// <summary>Whether the flow's packets are selected as they are, not as answers.</summary>
    /// <param name="key">The flow.</param>
    /// <param name="owner">Whose socket at this host's end of it is; null when nobody knows.</param>
    public bool Matches(in FlowKey key, SocketOwner? owner) =>
        Matches(key) && (Uid is null || Uid == owner?.Uid) && (Cgroup is null || (owner?.Cgroup is { } group && CgroupPath.IsWithin(group, Cgroup)));

    /// <summary>The same, whoever sends.</summary>
    public bool Matches(in FlowKey key) =>
        (Protocol is null || Protocol == key.Protocol)
        && (Source is null || Source.Value.Contains(key.Source, key.IsIPv6))
        && (Destination is null || Destination.Value.Contains(key.Destination, key.IsIPv6))
        && (SourcePorts is null || SourcePorts.Value.Contains(key.SourcePort))
        && (DestinationPorts is null || DestinationPorts.Value.Contains(key.DestinationPort));

    /// <summary>Checks a selector.</summary>
    /// <param name="job">The job it belongs to.</param>
    /// <param name="selector">As it came.</param>
    /// <param name="path">Path of the selector in the policy, for the faults.</param>
    /// <param name="faults">Gets what is wrong.</param>
    /// <returns>Null when anything is wrong.</returns>
    public static SelectorMatch? Parse(HostJob job, FlowSelector selector, string path, List<FieldFault> faults)
    {
        var before = faults.Count;
        byte? protocol = selector.Protocol?.ToUpperInvariant() switch
        {
            null => null,
            "TCP" => 6,
            "UDP" => 17,
            _ => Fault<byte>(faults, $"{path}.protocol", selector.Protocol!, "Protocol is tcp or udp."),
        };
        var match = new SelectorMatch
        {
            JobId = job.JobId,
            Role = string.IsNullOrWhiteSpace(selector.Role) ? DefaultRole : selector.Role,
            Dscp = job.Dscp,
            Source = Prefix(selector.Source, $"{path}.source", faults),
            Destination = Prefix(selector.Destination, $"{path}.destination", faults),
            Protocol = protocol,
            SourcePorts = Ports(selector.SourcePortFrom, selector.SourcePortTo, $"{path}.sourcePort", faults),
            Cgroup = selector.Cgroup,
            DestinationPorts = Ports(selector.DestinationPortFrom, selector.DestinationPortTo, $"{path}.destinationPort", faults),
        };

        if (match.Role.Length > MaxRoleLength || match.Role.Any(char.IsControl))
        {
            _ = Fault<byte>(faults, $"{path}.role", "", $"A role has at most {MaxRoleLength} printable characters.");
        }

        if (selector.Uid is < 0)
        {
            _ = Fault<byte>(faults, $"{path}.uid", $"{selector.Uid}", "A user id is not negative.");
        }
        else if (selector.Uid is { } uid)
        {
            match = match with { Uid = (uint)uid };
        }

        if (selector.Cgroup is { } group && CgroupPath.FaultOf(group) is { } remedy)
        {
            _ = Fault<byte>(faults, $"{path}.cgroup", group, remedy);
        }

        if (match is { Source: null, Destination: null, Protocol: null, SourcePorts: null, DestinationPorts: null, NamesProcess: false } && faults.Count == before)
        {
            _ = Fault<byte>(faults, path, "", "A selector that sets nothing would take every packet; set at least one field.");
        }

        if (match is { Source: { } source, Destination: { } destination } && source.IsIPv6 != destination.IsIPv6)
        {
            _ = Fault<byte>(faults, path, $"{source} to {destination}", "Source and destination must be of one family, both IPv4 or both IPv6.");
        }

        if (match.Protocol is null && (match.SourcePorts is not null || match.DestinationPorts is not null) && faults.Count == before)
        {
            _ = Fault<byte>(faults, $"{path}.protocol", "", "Ports need a protocol, tcp or udp.");
        }

        return faults.Count == before ? match : null;
    }

    private static AddressPrefix? Prefix(string? text, string field, List<FieldFault> faults)
    {
        if (text is null)
        {
            return null;
        }

        return AddressPrefix.TryParse(text, out var prefix) ? prefix : Fault<AddressPrefix>(faults, field, text, "A prefix such as 10.0.1.0/24 or 2001:db8::/64 is needed.");
    }

    private static PortRange? Ports(int? from, int? to, string field, List<FieldFault> faults)
    {
        if (from is null && to is null)
        {
            return null;
        }

        if (from is >= 1 and <= 65_535 && (to ?? from) is var last && last >= from && last <= 65_535)
        {
            return new PortRange((ushort)from.Value, (ushort)last.Value);
        }

        return Fault<PortRange>(faults, $"{field}From", $"{from}-{to}", "A port range runs from 1..65535 up to a port not below it.");
    }

    private static T? Fault<T>(List<FieldFault> faults, string field, string value, string message)
        where T : struct
    {
        faults.Add(new FieldFault(field, value, message));
        return null;
    }
}
