using System.Text.Json;
using System.Text.Json.Serialization;

namespace MLNet.SDN.Contracts;

/// <summary>What a node of the topology is.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<NodeKind>))]
public enum NodeKind
{
    /// <summary>A machine with an agent; workers run here.</summary>
    [JsonStringEnumMemberName("host")] Host,

    /// <summary>Anything that forwards.</summary>
    [JsonStringEnumMemberName("switch")] Switch,
}

/// <summary>A host or a switch.</summary>
public sealed record TopologyNode
{
    /// <summary>Unique name.</summary>
    public required string Id { get; init; }

    /// <summary>Host or switch.</summary>
    public required NodeKind Kind { get; init; }

    /// <summary>Data-plane address. Required for hosts, IPv4 or IPv6, unique.</summary>
    public string? Address { get; init; }

    /// <summary>
    /// Addresses by which a switch may answer probes (those of its ports, or of its loopback): the paths that agents find are read by them. Each belongs to one node only; null
    /// where none is known. Not for hosts.
    /// </summary>
    public IReadOnlyList<string>? Addresses { get; init; }

    /// <summary>Rack, for hosts and rack switches.</summary>
    public string? Rack { get; init; }

    /// <summary>Pod, for all but core switches.</summary>
    public string? Pod { get; init; }

    /// <summary>Tier of a switch: <c>edge</c>, <c>aggregation</c> or <c>core</c>; a hint for drawing.</summary>
    public string? Tier { get; init; }
}

/// <summary>A full-duplex link.</summary>
public sealed record TopologyLink
{
    /// <summary>One end.</summary>
    public required string Source { get; init; }

    /// <summary>The other end.</summary>
    public required string Target { get; init; }

    /// <summary>Capacity of each direction, bit/s.</summary>
    public required long RateBitsPerSecond { get; init; }
}

/// <summary>A fabric, in NetworkX node-link form. Written undirected: a link is full duplex.</summary>
public sealed record Topology
{
    /// <summary>When true, each link is listed in both directions, with the same rate. Always false in what the controller and the tools write.</summary>
    public bool Directed { get; init; }

    /// <summary>Parallel links between the same two nodes are allowed when true.</summary>
    public bool Multigraph { get; init; }

    /// <summary>Free attributes of the graph, such as its name; any JSON.</summary>
    public IReadOnlyDictionary<string, JsonElement>? Graph { get; init; }

    /// <summary>All hosts and switches.</summary>
    public required IReadOnlyList<TopologyNode> Nodes { get; init; }

    /// <summary>All links.</summary>
    public IReadOnlyList<TopologyLink> Links { get; init => field = value ?? []; } = [];

    /// <summary>The same by its other name: NetworkX from 3.4 on writes it so. Only read, never written; null otherwise.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<TopologyLink>? Edges { get; init; }
}
