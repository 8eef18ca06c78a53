using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Discovery;

/// <summary>
/// Whose sockets the flows of this host are, for policies that select by user or control group: packets on the wire do not tell, the kernel's list of sockets does.
/// <see cref="Refresh"/> has one caller at a time; <see cref="OwnerOf(in FlowKey)"/> is safe to call from any thread.
/// </summary>
internal sealed class SocketOwners
{
    private const byte Tcp = 6;
    private const byte Udp = 17;

    // A flow is reported for a while after its socket is closed: at most the idle timeout and a report interval.
    private static readonly TimeSpan Memory = TimeSpan.FromMinutes(1);

    // As many as the flow table has by default. Beyond that the closed ones are forgotten.
    private const int MostSockets = 65_536;

    private readonly Func<byte, IReadOnlyList<SocketFacts>> list;
    private readonly CgroupTree? cgroups;
    private readonly TimeProvider time;
    private volatile IReadOnlyDictionary<Ends, Known> known = new Dictionary<Ends, Known>();

    /// <summary>Creates owners; nobody's yet.</summary>
    /// <param name="list">Sockets of a protocol that are open now.</param>
    /// <param name="cgroups">Null where there are none.</param>
    /// <param name="time">Clock.</param>
    public SocketOwners(Func<byte, IReadOnlyList<SocketFacts>> list, CgroupTree? cgroups, TimeProvider time) => (this.list, this.cgroups, this.time) = (list, cgroups, time);

    /// <summary>Looks at all sockets, if the policy asks whose they are.</summary>
    /// <exception cref="IOException">The kernel does not tell.</exception>
    public void Refresh(InstalledPolicy policy)
    {
        if (!policy.NamesProcesses)
        {
            known = new Dictionary<Ends, Known>();
            return;
        }

        var now = time.GetTimestamp();
        var groups = cgroups?.Numbers(policy.Cgroups) ?? [];
        var next = new Dictionary<Ends, Known>();
        foreach (var protocol in (byte[])[Tcp, Udp])
        {
            foreach (var socket in list(protocol))
            {
                var connection = socket.Connection;
                next[new Ends(connection.Local, connection.LocalPort, connection.Remote, connection.RemotePort, protocol, connection.IsIPv6)] =
                    new Known(OwnerOf(socket, groups), now);
            }
        }

        foreach (var (ends, closed) in known)
        {
            if (next.Count < MostSockets && time.GetElapsedTime(closed.At, now) < Memory)
            {
                next.TryAdd(ends, closed);
            }
        }

        known = next;
    }

    /// <summary>Whose socket at this host's end of a flow it is.</summary>
    /// <returns>Null when nobody knows: a forwarded flow, or one that began and ended between two looks.</returns>
    public SocketOwner? OwnerOf(in FlowKey key)
    {
        var all = known;
        if (all.Count == 0)
        {
            return null;
        }

        var sent = key.Direction == FlowDirection.Egress;
        var (local, localPort) = sent ? (key.Source, key.SourcePort) : (key.Destination, key.DestinationPort);
        var (remote, remotePort) = sent ? (key.Destination, key.DestinationPort) : (key.Source, key.SourcePort);
        var connected = new Ends(local, localPort, remote, remotePort, key.Protocol, key.IsIPv6);

        // A UDP socket may be bound and no more, to one address or any, and one for IPv6 serves IPv4 too.
        var bound = connected with { Remote = 0, RemotePort = 0 };
        return all.TryGetValue(connected, out var found) || (key.Protocol == Udp
            && (all.TryGetValue(bound, out found) || all.TryGetValue(bound with { Local = 0 }, out found) || all.TryGetValue(bound with { Local = 0, IsIPv6 = true }, out found)))
            ? found.Owner : null;
    }

    /// <summary>Whose a socket is that the kernel was asked about just now.</summary>
    /// <param name="socket">The socket.</param>
    /// <param name="groups">As <see cref="CgroupTree.Numbers"/> gives them.</param>
    public static SocketOwner OwnerOf(in SocketFacts socket, IReadOnlyDictionary<ulong, string> groups) => new(socket.Uid, groups.GetValueOrDefault(socket.Cgroup));

    private readonly record struct Ends(UInt128 Local, ushort LocalPort, UInt128 Remote, ushort RemotePort, byte Protocol, bool IsIPv6);

    private readonly record struct Known(SocketOwner Owner, long At);
}
