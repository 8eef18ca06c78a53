using System.Globalization;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Topology;

/// <summary>Shape of a fabric in which each rack and each pod has one logical uplink.</summary>
public sealed record LogicalTreeShape
{
    /// <summary>Racks, 1..4096.</summary>
    public required int Racks { get; init; }

    /// <summary>Hosts per rack, 1..1024.</summary>
    public required int HostsPerRack { get; init; }

    /// <summary>Pods, ≥ 1; <see cref="RacksPerPod"/> times this is <see cref="Racks"/>.</summary>
    public required int Pods { get; init; }

    /// <summary>Racks of a pod, ≥ 1.</summary>
    public required int RacksPerPod { get; init; }

    /// <summary>Rate of a host's link in each direction, byte/s.</summary>
    public required double HostBytesPerSecond { get; init; }

    /// <summary>Rate of a rack's uplink in each direction, byte/s.</summary>
    public required double RackUplinkBytesPerSecond { get; init; }

    /// <summary>Rate of a pod's uplink in each direction, byte/s.</summary>
    public required double PodUplinkBytesPerSecond { get; init; }
}

/// <summary>Builds fabrics of hosts, racks, pods and one core, joined by one link each: what a datacentre looks like when ECMP spreads perfectly.</summary>
/// <remarks>Hosts <c>h0000</c>..., racks <c>r000</c>..., pods <c>p000</c>..., numbered so that ordinal order is the order of numbers; rack of host h is h / hosts per rack.</remarks>
public static class LogicalTree
{
    /// <summary>Builds the topology.</summary>
    /// <exception cref="ArgumentException">The shape has a fault; the message is that of <see cref="Check"/>.</exception>
    public static Contracts.Topology Build(LogicalTreeShape shape)
    {
        if (Check(shape) is [var fault, ..])
        {
            throw new ArgumentException($"{fault.Field}: {fault.Message}", nameof(shape));
        }

        var nodes = new List<TopologyNode>();
        var links = new List<TopologyLink>();
        for (var rack = 0; rack < shape.Racks; rack++)
        {
            var (rackName, podName) = ($"r{rack:D3}", $"p{rack / shape.RacksPerPod:D3}");
            nodes.Add(new() { Id = rackName, Kind = NodeKind.Switch, Rack = rackName, Pod = podName, Tier = "edge" });
            links.Add(Link(rackName, podName, shape.RackUplinkBytesPerSecond));
            for (var j = 0; j < shape.HostsPerRack; j++)
            {
                var number = (rack * shape.HostsPerRack) + j;
                var address = number + 1;
                nodes.Add(new() { Id = HostName(number), Kind = NodeKind.Host, Address = $"10.{address >> 16}.{(address >> 8) & 255}.{address & 255}", Rack = rackName, Pod = podName });
                links.Add(Link(HostName(number), rackName, shape.HostBytesPerSecond));
            }
        }

        for (var pod = 0; pod < shape.Pods; pod++)
        {
            nodes.Add(new() { Id = $"p{pod:D3}", Kind = NodeKind.Switch, Pod = $"p{pod:D3}", Tier = "aggregation" });
            links.Add(Link($"p{pod:D3}", "core", shape.PodUplinkBytesPerSecond));
        }

        nodes.Add(new() { Id = "core", Kind = NodeKind.Switch, Tier = "core" });
        return new() { Nodes = nodes, Links = links };
    }

    /// <summary>Name of a host by its number, 0-based.</summary>
    public static string HostName(int number) => string.Create(CultureInfo.InvariantCulture, $"h{number:D4}");

    /// <summary>Everything wrong with a shape.</summary>
    public static IReadOnlyList<FieldFault> Check(LogicalTreeShape shape)
    {
        var faults = new List<FieldFault>();
        Range("racks", shape.Racks, 4096);
        Range("hostsPerRack", shape.HostsPerRack, 1024);
        Range("pods", shape.Pods, 4096);
        Range("racksPerPod", shape.RacksPerPod, 4096);
        if (faults.Count == 0 && shape.Pods * shape.RacksPerPod != shape.Racks)
        {
            faults.Add(new("racks", Text(shape.Racks), $"{shape.Pods} pods of {shape.RacksPerPod} racks make {shape.Pods * shape.RacksPerPod} racks; mend one of the three."));
        }

        foreach (var (field, rate) in new[]
        {
            ("hostBytesPerSecond", shape.HostBytesPerSecond), ("rackUplinkBytesPerSecond", shape.RackUplinkBytesPerSecond), ("podUplinkBytesPerSecond", shape.PodUplinkBytesPerSecond),
        })
        {
            if (!(rate >= 1 && rate <= 1e15))
            {
                faults.Add(new(field, rate.ToString(CultureInfo.InvariantCulture), "A rate must be 1 to 1e15 byte/s."));
            }
        }

        return faults;

        void Range(string field, int value, int most)
        {
            if (value < 1 || value > most)
            {
                faults.Add(new(field, Text(value), $"The number must be 1 to {most}."));
            }
        }
    }

    private static TopologyLink Link(string a, string b, double bytesPerSecond) => new() { Source = a, Target = b, RateBitsPerSecond = (long)Math.Round(bytesPerSecond * 8) };

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
}
