using System.Net;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Discovery;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Flows;

/// <summary>Asks the data plane whose connection this is; see <see cref="AggregationHost.TryFindOwner"/>.</summary>
internal delegate bool ConnectionOwnerLookup(IPAddress localAddress, int localPort, IPAddress remoteAddress, int remotePort, out ConnectionOwner owner);

/// <summary>Makes flow records of what was counted: which job, which role, and what the policy says they should carry. One caller at a time.</summary>
internal sealed class FlowAttribution
{
    private const byte Tcp = 6;

    // What the data plane calls its signalling connections.
    private const string SignalRole = "signal";

    // Addresses of a cluster's hosts, not of the whole Internet: beyond this the cache has met a scan and starts again.
    private const int MaxCachedAddresses = 8192;

    private readonly ConnectionOwnerLookup? owners;
    private readonly SocketOwners? sockets;
    private readonly Dictionary<(UInt128, bool), (IPAddress Address, string Text)> addresses = [];

    /// <summary>Creates an attribution.</summary>
    /// <param name="owners">Null when this host has no data plane.</param>
    /// <param name="sockets">Whose the other sockets are; null when nobody is asked, and then no selector that names a process matches.</param>
    public FlowAttribution(ConnectionOwnerLookup? owners, SocketOwners? sockets = null) => (this.owners, this.sockets) = (owners, sockets);

    /// <summary>Makes a record.</summary>
    /// <param name="delta">What was counted.</param>
    /// <param name="policy">The policy in force.</param>
    public FlowRecord Describe(in FlowDelta delta, InstalledPolicy policy)
    {
        var key = delta.Key;
        var source = Address(key.Source, key.IsIPv6);
        var destination = Address(key.Destination, key.IsIPv6);
        var (job, role, expected, routers) = Attribute(key, source.Address, destination.Address, policy);
        return new FlowRecord
        {
            FlowStart = new DateTimeOffset(delta.FirstTicks, TimeSpan.Zero),
            FlowEnd = new DateTimeOffset(delta.LastTicks, TimeSpan.Zero),
            Direction = key.Direction,
            SourceAddress = source.Text,
            DestinationAddress = destination.Text,
            SourceTransportPort = key.SourcePort,
            DestinationTransportPort = key.DestinationPort,
            ProtocolIdentifier = key.Protocol,
            IpDiffServCodePoint = new Dscp(key.Dscp),
            PostIpDiffServCodePoint = expected,
            OctetDeltaCount = delta.Octets,
            PacketDeltaCount = delta.Packets,
            Retransmissions = delta.Retransmissions > 0 ? delta.Retransmissions : null,
            OutOfOrder = delta.OutOfOrder > 0 ? delta.OutOfOrder : null,
            HandshakeMicroseconds = delta.HandshakeTicks > 0 ? Math.Max(1, delta.HandshakeTicks / TimeSpan.TicksPerMicrosecond) : null,
            EndReason = delta.Reason,
            JobId = job,
            Role = role,
            Routers = routers,
        };
    }

    private (long? Job, string? Role, Dscp Expected, IReadOnlyList<string>? Routers) Attribute(in FlowKey key, IPAddress source, IPAddress destination, InstalledPolicy policy)
    {
        // 1. Connections of our own data plane are known exactly.
        if (owners is not null && key.Protocol == Tcp)
        {
            var sent = key.Direction == FlowDirection.Egress;
            var owned = sent
                ? owners(source, key.SourcePort, destination, key.DestinationPort, out var owner)
                : owners(destination, key.DestinationPort, source, key.SourcePort, out owner);
            if (owned)
            {
                return (owner.JobId, owner.Role, owner.Role == SignalRole ? policy.SignallingDscp : policy.DscpByJob.GetValueOrDefault(owner.JobId), sent ? owner.Routers : null);
            }
        }

        // 2. Others by what the jobs select: their packets, then the answers to them.
        SocketOwner? socket = policy.Selectors is [{ NamesProcess: true }, ..] ? sockets?.OwnerOf(key) : null;
        foreach (var selector in policy.Selectors)
        {
            if (selector.Matches(key, socket))
            {
                return (selector.JobId, selector.Role, selector.Dscp, null);
            }
        }

        return (null, null, Dscp.Default, null);
    }

    private (IPAddress Address, string Text) Address(UInt128 value, bool isIPv6)
    {
        if (addresses.TryGetValue((value, isIPv6), out var known))
        {
            return known;
        }

        if (addresses.Count == MaxCachedAddresses)
        {
            addresses.Clear();
        }

        var address = FlowKey.ToAddress(value, isIPv6);
        return addresses[(value, isIPv6)] = (address, address.ToString());
    }
}
