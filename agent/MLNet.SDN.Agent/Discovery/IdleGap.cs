using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Discovery;

/// <summary>
/// Waits until connections that jobs select, whose mark is about to change, are silent: packets of one burst with two marks would take two queues and overtake each other.
/// Those of the data plane are left out: they change between their own rounds.
/// </summary>
/// <remarks>The rounds of others are not ours to know, so the gap is found by looking. One that never comes is not waited for: marks that differ from the policy for long are worse.</remarks>
internal sealed class IdleGap
{
    /// <summary>How long the change is held back at most.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    // Longer than a segment of a burst is on its way in a data centre, shorter than the gaps between bursts of different rounds.
    private static readonly TimeSpan Silence = TimeSpan.FromMilliseconds(15);

    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(3);

    // The busiest speak for all of them.
    private const int MostWatched = 64;

    private const byte Tcp = 6;

    private readonly Func<IReadOnlyList<SocketFacts>> list;
    private readonly Func<SocketFacts, SocketFacts?> ask;
    private readonly Func<SocketFacts, SocketOwner> owner;
    private readonly int? dataPort;
    private readonly TimeProvider time;

    /// <summary>Creates a gap finder.</summary>
    /// <param name="list">All established connections.</param>
    /// <param name="ask">What is known of one of them now; null when it is closed.</param>
    /// <param name="owner">Whose a connection is.</param>
    /// <param name="dataPort">TCP port on which this host's data plane listens; null when it has none.</param>
    /// <param name="time">Clock.</param>
    public IdleGap(
        Func<IReadOnlyList<SocketFacts>> list, Func<SocketFacts, SocketFacts?> ask, Func<SocketFacts, SocketOwner> owner, int? dataPort, TimeProvider time) =>
        (this.list, this.ask, this.owner, this.dataPort, this.time) = (list, ask, owner, dataPort, time);

    /// <summary>Waits, with what the kernel of this network namespace tells. Where it tells nothing there is no waiting.</summary>
    public static async Task WaitAsync(InstalledPolicy before, InstalledPolicy after, int? dataPort, CgroupTree? cgroups, TimeProvider time, CancellationToken cancellationToken)
    {
        if (before.Selectors.SequenceEqual(after.Selectors))
        {
            return;
        }

        try
        {
            using var diagnosis = new SocketDiagnosis();
            var groups = cgroups?.Numbers(before.Cgroups.Union(after.Cgroups)) ?? [];
            await new IdleGap(diagnosis.Connections, s => diagnosis.Find(s.Connection, s.Cookie), s => SocketOwners.OwnerOf(s, groups), dataPort, time)
                .WaitAsync(before, after, cancellationToken);
        }
        catch (IOException)
        {
            // The marks are due all the same.
        }
    }

    /// <summary>Waits until all connections that the second policy marks otherwise than the first are silent, or <see cref="Patience"/> is over.</summary>
    /// <param name="before">In force.</param>
    /// <param name="after">About to be.</param>
    /// <param name="cancellationToken">Abandons.</param>
    /// <returns>False when there was no gap.</returns>
    public async Task<bool> WaitAsync(InstalledPolicy before, InstalledPolicy after, CancellationToken cancellationToken)
    {
        var peers = before.AggregationJobs.Concat(after.AggregationJobs).SelectMany(j => j.Endpoints)
            .Select(e => (FlowKey.FromAddress(e.Address.Address), (ushort)e.Address.Port)).ToHashSet();
        var changing = list().Where(Changes).OrderByDescending(s => s.BytesAcknowledged).Take(MostWatched).ToList();
        if (changing.Count == 0)
        {
            return true;
        }

        var began = time.GetTimestamp();
        var (last, quietSince) = (Bytes(), time.GetTimestamp());
        while (time.GetElapsedTime(began) < Patience)
        {
            await Task.Delay(Interval, time, cancellationToken);
            var bytes = Bytes();
            var now = time.GetTimestamp();
            if (bytes != last)
            {
                (last, quietSince) = (bytes, now);
            }
            else if (time.GetElapsedTime(quietSince, now) >= Silence)
            {
                return true;
            }
        }

        return false;

        bool Changes(SocketFacts socket)
        {
            var connection = socket.Connection;
            if (connection.LocalPort == dataPort || peers.Contains((connection.Remote, connection.RemotePort)))
            {
                return false;
            }

            var key = new FlowKey(connection.Local, connection.Remote, connection.LocalPort, connection.RemotePort, Tcp, 0, FlowDirection.Egress, connection.IsIPv6);
            var whose = owner(socket);
            return Mark(before, key, whose) != Mark(after, key, whose);
        }

        long Bytes() => changing.Sum(s => ask(s)?.BytesAcknowledged ?? 0);
    }

    private static Dscp Mark(InstalledPolicy policy, in FlowKey key, SocketOwner whose)
    {
        foreach (var selector in policy.Selectors)
        {
            if (selector.Matches(key, whose))
            {
                return selector.Dscp;
            }
        }

        return Dscp.Default;
    }
}
