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

    private readonly ConcurrentDictionary<string, (DiscoveryReport Report, DateTimeOffset At)> _reports = new(StringComparer.Ordinal);

    /// <summary>Takes a report over.</summary>
    public void Take(DiscoveryReport report) => _reports[report.Host] = (report, time.GetUtcNow());

    /// <summary>Reports that count now, by host.</summary>
    public IReadOnlyList<DiscoveryReport> Current()
    {
        var now = time.GetUtcNow();
        var current = new List<DiscoveryReport>();
        foreach (var (host, (report, at)) in _reports.OrderBy(r => r.Key, StringComparer.Ordinal))
        {
            var status = registry.Status(host);
            if (status.Connected ? status.Boot == report.Boot && now - at < SilentAfter : now - at < AwayFor)
            {
                current.Add(report);
            }
        }

        return current;
    }
}
