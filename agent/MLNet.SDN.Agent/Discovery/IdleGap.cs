using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Discovery;

/// <summary>Waits until connections of discovered jobs, whose mark is about to change, are silent: packets of one burst with two marks would take two queues and overtake each other.</summary>
/// <remarks>Their rounds are not ours to know, so the gap is found by looking. One that never comes is not waited for: marks that differ from the policy for long are worse.</remarks>
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
    private readonly TimeProvider time;

    /// <summary>Creates a gap finder.</summary>
    /// <param name="list">All established connections.</param>
    /// <param name="ask">What is known of one of them now; null when it is closed.</param>
    /// <param name="time">Clock.</param>
    public IdleGap(Func<IReadOnlyList<SocketFacts>> list, Func<SocketFacts, SocketFacts?> ask, TimeProvider time) => (this.list, this.ask, this.time) = (list, ask, time);

    /// <summary>Waits, with what the kernel of this network namespace tells. Where it tells nothing there is no waiting.</summary>
    public static async Task WaitAsync(InstalledPolicy before, InstalledPolicy after, TimeProvider time, CancellationToken cancellationToken)
    {
        if (Discovered(before).Count + Discovered(after).Count == 0)
        {
            return;
        }

        try
        {
            using var diagnosis = new SocketDiagnosis();
            await new IdleGap(diagnosis.Connections, s => diagnosis.Find(s.Connection, s.Cookie), time).WaitAsync(before, after, cancellationToken);
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
        var discovered = Discovered(before);
        discovered.UnionWith(Discovered(after));
        var changing = list().Where(s => Changes(s.Connection)).OrderByDescending(s => s.BytesAcknowledged).Take(MostWatched).ToList();
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

        bool Changes(in TcpConnection connection)
        {
            var key = new FlowKey(connection.Local, connection.Remote, connection.LocalPort, connection.RemotePort, Tcp, 0, FlowDirection.Egress, connection.IsIPv6);
            var (was, willBe) = (before.Selectors.FirstOrDefault(s => s.Matches(key)), after.Selectors.FirstOrDefault(s => s.Matches(key)));
            return (was?.Dscp ?? Dscp.Default) != (willBe?.Dscp ?? Dscp.Default)
                && ((was is not null && discovered.Contains(was.JobId)) || (willBe is not null && discovered.Contains(willBe.JobId)));
        }

        long Bytes() => changing.Sum(s => ask(s)?.BytesAcknowledged ?? 0);
    }

    private static HashSet<long> Discovered(InstalledPolicy policy) => policy.Policy?.Jobs.Where(j => j.DiscoveryKey is not null).Select(j => j.JobId).ToHashSet() ?? [];
}
