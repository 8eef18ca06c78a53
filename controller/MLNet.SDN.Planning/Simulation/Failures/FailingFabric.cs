using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Simulation.Failures;

/// <summary>A fabric of which hosts and links are away by schedule. One object serves one run.</summary>
internal sealed class FailingFabric
{
    private readonly Fabric whole;
    private readonly ScheduledFailure[] schedule;
    private readonly double[] times;

    public FailingFabric(Fabric whole, IReadOnlyList<ScheduledFailure> schedule)
    {
        this.whole = Now = whole;
        this.schedule = [.. schedule];
        times = [.. schedule.SelectMany(f => new[] { f.FromSeconds, f.ToSeconds }).Distinct().Order()];
    }

    /// <summary>The fabric as it is: links are away that failed, and all links of hosts that failed.</summary>
    public Fabric Now { get; private set; }

    /// <summary>The first time after the given one at which anything goes or comes back; infinity when nothing does any more.</summary>
    public double NextChange(double now)
    {
        foreach (var time in times)
        {
            if (time > now)
            {
                return time;
            }
        }

        return double.PositiveInfinity;
    }

    /// <summary>Moves on in time; at the ends of an interval what comes back is there, and what goes is away.</summary>
    /// <returns>Whether anything is away that was not, or is back that was away.</returns>
    public bool MoveTo(double now)
    {
        if (schedule.Length == 0)
        {
            return false;
        }

        var away = new SortedSet<int>();
        foreach (var failure in schedule)
        {
            if (now < failure.FromSeconds || now >= failure.ToSeconds)
            {
                continue;
            }

            if (failure.Link is { } ends && FailureRules.TryFind(ends, whole, out var link))
            {
                away.UnionWith([link.There, link.Back]);
            }
            else if (failure.Host is { } host)
            {
                foreach (var there in whole.Graph.LinksFrom(whole.HostNumber(host)))
                {
                    away.UnionWith([there, whole.Graph.LinkBetween(whole.Graph.Links[there].Target, whole.HostNumber(host))]);
                }
            }
        }

        var before = Enumerable.Range(0, Now.Graph.Links.Length).Where(l => Now.Graph.Links[l].Parallel == 0);
        if (away.SetEquals(before))
        {
            return false;
        }

        Now = away.Count == 0 ? whole : whole.Without(away);
        return true;
    }

    /// <summary>Whether the host has a link left, and can so reach others.</summary>
    public bool IsUp(int host)
    {
        foreach (var link in Now.Graph.LinksFrom(host))
        {
            if (Now.Graph.Links[link].Parallel > 0)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whether all of these hosts are up and reach one another.</summary>
    public bool Joins(int[] hosts) => hosts.All(IsUp) && (hosts.Length == 1 || Now.ReachedFrom(hosts[0]).IsSupersetOf(hosts));
}
