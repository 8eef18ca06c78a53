using System.Collections.Concurrent;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Agents;

namespace MLNet.SDN.Controller.Discovery;

/// <summary>What each host's agent discovered, as it said last. Safe to call from any thread.</summary>
internal sealed class DiscoveryReports(AgentRegistry registry, TimeProvider time)
{
    // An agent that is there repeats itself every 10 s.
    private static readonly TimeSpan SilentAfter = TimeSpan.FromSeconds(35);

    // The host of an agent that is away goes on as it is: its jobs are taken to go on too, for so long.
    private static readonly TimeSpan AwayFor = TimeSpan.FromMinutes(10);

    private static readonly TimeSpan NeverTells = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<string, (DiscoveryReport Report, DateTimeOffset At)> _reports = new(StringComparer.Ordinal);

    /// <summary>
    /// An agent that has just come has told what there is within this time: an agent that began anew waits some seconds for its discovery unit before it says anything, and what
    /// its host said before counts until then.
    /// </summary>
    public static TimeSpan AgentsTellWithin { get; } = TimeSpan.FromSeconds(15);

    /// <summary>Takes a report over.</summary>
    public void Take(DiscoveryReport report) => _reports[report.Host] = (report, time.GetUtcNow());

    /// <summary>Reports that count now, by host.</summary>
    public IReadOnlyList<DiscoveryReport> Current()
    {
        var now = time.GetUtcNow();
        return [.. _reports.OrderBy(r => r.Key, StringComparer.Ordinal).Where(r => Counts(r.Key, r.Value.Report, r.Value.At, now)).Select(r => r.Value.Report)];
    }

    /// <summary>Whether what is known of a host is what its agent says now, and not what it said before it went or what another controller was told.</summary>
    public bool HasTold(string host)
    {
        if (!registry.ConnectedFor(host, AgentsTellWithin))
        {
            return false;
        }

        // An agent that takes nothing from a discovery unit never says anything: it is not waited for for ever.
        return registry.ConnectedFor(host, NeverTells) || (_reports.TryGetValue(host, out var last) && registry.Status(host).Boot == last.Report.Boot && time.GetUtcNow() - last.At < SilentAfter);
    }

    private bool Counts(string host, DiscoveryReport report, DateTimeOffset at, DateTimeOffset now)
    {
        var status = registry.Status(host);
        return status.Connected && registry.ConnectedFor(host, AgentsTellWithin)
            ? status.Boot == report.Boot && now - at < SilentAfter
            : now - at < AwayFor;
    }
}
