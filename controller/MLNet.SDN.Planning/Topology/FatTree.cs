using System.Globalization;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Topology;

/// <summary>Builds k-ary fat-trees: M. Al-Fares, A. Loukissas, A. Vahdat, "A scalable, commodity data center network architecture", SIGCOMM 2008, §3.</summary>
/// <remarks>
/// Hosts <c>h{pod}-{edge}-{j}</c> with address <c>10.pod.edge.(2+4j)</c>, rack switches <c>e{pod}-{edge}</c>, aggregation switches <c>a{pod}-{i}</c>,
/// core switches <c>c{i}</c>. A rack is called as its switch, a pod <c>p{pod}</c>.
/// </remarks>
public static class FatTree
{
    /// <summary>Shape with given oversubscription.</summary>
    /// <param name="k">Ports of a switch; even, 2..126.</param>
    /// <param name="hostMbps">Rate of a host's link, Mbit/s.</param>
    /// <param name="rackOversubscription">Rate of a rack's hosts over the rate of its uplinks; 1 is none, 4 means 4:1.</param>
    /// <param name="podOversubscription">Rate of a pod's rack uplinks over the rate of its uplinks to the core.</param>
    /// <param name="hostsPerRack">k/2 when null.</param>
    /// <param name="pods">k when null.</param>
    public static FabricShape Shape(int k, double hostMbps, double rackOversubscription = 1, double podOversubscription = 1, int? hostsPerRack = null, int? pods = null)
    {
        var uplink = hostMbps * (hostsPerRack ?? (k / 2)) / (rackOversubscription * (k / 2));
        return new() { K = k, Pods = pods, HostsPerRack = hostsPerRack, HostMbps = hostMbps, RackUplinkMbps = uplink, CoreMbps = uplink / podOversubscription };
    }

    /// <summary>Builds the topology.</summary>
    /// <exception cref="ArgumentException">The shape has a fault; the message is that of <see cref="Check"/>.</exception>
    public static Contracts.Topology Build(FabricShape shape)
    {
        if (Check(shape) is [var fault, ..])
        {
            throw new ArgumentException($"{fault.Field}: {fault.Message}", nameof(shape));
        }

        var half = shape.K / 2;
        var pods = shape.Pods ?? shape.K;
        var hostsPerRack = shape.HostsPerRack ?? half;
        var nodes = new List<TopologyNode>();
        var links = new List<TopologyLink>();
        for (var pod = 0; pod < pods; pod++)
        {
            var podName = $"p{pod}";
            for (var edge = 0; edge < half; edge++)
            {
                var rack = $"e{pod}-{edge}";
                nodes.Add(new() { Id = rack, Kind = NodeKind.Switch, Rack = rack, Pod = podName, Tier = "edge" });
                for (var j = 0; j < hostsPerRack; j++)
                {
                    var host = $"h{pod}-{edge}-{j}";
                    nodes.Add(new() { Id = host, Kind = NodeKind.Host, Address = $"10.{pod}.{edge}.{2 + (4 * j)}", Rack = rack, Pod = podName });
                    links.Add(Link(host, rack, shape.HostMbps));
                }

                for (var i = 0; i < half; i++)
                {
                    links.Add(Link(rack, $"a{pod}-{i}", shape.RackUplinkMbps));
                }
            }

            for (var i = 0; i < half; i++)
            {
                nodes.Add(new() { Id = $"a{pod}-{i}", Kind = NodeKind.Switch, Pod = podName, Tier = "aggregation" });
                for (var c = 0; c < half; c++)
                {
                    links.Add(Link($"a{pod}-{i}", $"c{(i * half) + c}", shape.CoreMbps));
                }
            }
        }

        for (var c = 0; c < half * half; c++)
        {
            nodes.Add(new() { Id = $"c{c}", Kind = NodeKind.Switch, Tier = "core" });
        }

        return new() { Nodes = nodes, Links = links };
    }

    /// <summary>Everything wrong with a shape.</summary>
    public static IReadOnlyList<FieldFault> Check(FabricShape shape)
    {
        var faults = new List<FieldFault>();
        if (shape.K is < 2 or > 126 || shape.K % 2 != 0)
        {
            faults.Add(new("k", Text(shape.K), "The number of ports must be even, 2 to 126."));
        }

        if (shape.Pods is { } pods && (pods < 1 || pods > shape.K))
        {
            faults.Add(new("pods", Text(pods), "There must be 1 to k pods."));
        }

        if (shape.HostsPerRack is < 1 or > 63)
        {
            faults.Add(new("hostsPerRack", Text(shape.HostsPerRack.Value), "A rack must have 1 to 63 hosts; its /24 has room for no more links of their own."));
        }

        foreach (var (field, rate) in new[] { ("hostMbps", shape.HostMbps), ("rackUplinkMbps", shape.RackUplinkMbps), ("coreMbps", shape.CoreMbps) })
        {
            if (!(rate >= 0.001 && rate <= 1e9))
            {
                faults.Add(new(field, rate.ToString(CultureInfo.InvariantCulture), "A rate must be 0.001 to 1e9 Mbit/s."));
            }
        }

        return faults;
    }

    internal static TopologyLink Link(string a, string b, double mbps) => new() { Source = a, Target = b, RateBitsPerSecond = (long)Math.Round(mbps * 1e6) };

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
}
