using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Discovery;

namespace MLNet.SDN.Tests.Controller.Discovery;

public sealed class DiscoveredJobTests
{
    [Fact]
    public void Assemble_BothEndsReport_OnlyWhatBothKnowIsSelected()
    {
        var job = Assert.Single(DiscoveredJob.Assemble(
        [
            Report("a", [0], [new("10.0.0.1", 40_000, "10.0.0.2", 5000), new("10.0.0.1", 40_001, "10.0.0.9", 443)], Profile(0.50, 1000)),
            Report("b", [1], [new("10.0.0.2", 5000, "10.0.0.1", 40_000), new("10.0.0.2", 40_002, "10.0.0.9", 443)], Profile(0.52, 3000)),
        ]));

        Assert.Null(job.Reason);
        Assert.Equal(["a", "b"], job.Hosts.OrderBy(h => h.Key).Select(h => h.Value));
        var selector = Assert.Single(job.Selectors);
        Assert.Equal(("10.0.0.1/32", 40_000, "10.0.0.2/32", 5000, "tcp"), (selector.Source, selector.SourcePortFrom, selector.Destination, selector.DestinationPortFrom, selector.Protocol));
        Assert.Equal((0.51, 2000L), (job.Profile!.PeriodSeconds, job.Profile.BytesPerRound));
    }

    [Fact]
    public void Assemble_InDoubt_HasAReasonToBeLeftAlone()
    {
        DiscoveredConnection[] there = [new("10.0.0.1", 40_000, "10.0.0.2", 5000)], back = [new("10.0.0.2", 5000, "10.0.0.1", 40_000)];
        (DiscoveryReport[] Reports, string Reason)[] doubts =
        [
            ([Report("a", [0], there)], "1 of 2 ranks were not found, the first is 1"),
            ([Report("a", [0], there), Report("b", [0], back)], "Rank 0 runs on a and on b"),
            ([Report("a", [0], there), Report("b", [1], back, size: 3)], "2 processes, b with 3"),
            ([Report("a", [0, 1], [])], "one host"),
            ([Report("a", [0], there), Report("b", [1], [])], "No connection is known to both"),
        ];
        foreach (var (reports, reason) in doubts)
        {
            Assert.Contains(reason, Assert.Single(DiscoveredJob.Assemble(reports)).Reason, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Assemble_TwoUsersOfOneKey_AreTwoJobs()
    {
        var jobs = DiscoveredJob.Assemble([Report("a", [0], []), Report("b", [1], [], uid: 7)]);

        Assert.Equal([7, 1000], jobs.Select(j => j.Uid).Order());
        Assert.All(jobs, j => Assert.NotNull(j.Reason));
    }

    [Fact]
    public void Assemble_MoreConnectionsThanSelectors_AreSelectedByPairOfHostsAndThePortThatListens()
    {
        // 8 hosts, each with 10 connections to each that comes before: 280 connections between 28 pairs. Ports of those that dial are the kernel's choice.
        var job = Assert.Single(DiscoveredJob.Assemble(Mesh(8, 10)));

        Assert.Null(job.Reason);
        Assert.Equal((280, 28), (job.Connections, job.Selectors.Count));
        Assert.All(job.Selectors, s => Assert.True(s is { Source: not null, SourcePortFrom: null, Destination: not null, DestinationPortFrom: 5000, DestinationPortTo: null }));
        Assert.Equal(28, job.Selectors.Select(s => (s.Source, s.Destination)).Distinct().Count());
    }

    [Fact]
    public void Assemble_MoreThanSelectorsCanTell_IsLeftAlone()
    {
        // 24 hosts, each connected with each once: no end of a pair has a second connection, so nothing wider than 276 single ones is safe.
        var job = Assert.Single(DiscoveredJob.Assemble(Mesh(24, 1)));

        Assert.Contains("276 selectors", job.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Assemble_ManyConnectionsBetweenPortsUsedOnce_NoneIsWidened()
    {
        DiscoveredConnection[] there = [.. Enumerable.Range(0, 257).Select(i => new DiscoveredConnection("10.0.0.1", 40_000 + i, "10.0.0.2", 50_000 + i))];
        var job = Assert.Single(DiscoveredJob.Assemble([Report("a", [0], there), Report("b", [1], [.. there.Select(Reverse)])]));

        Assert.NotNull(job.Reason);
        Assert.All(job.Selectors, s => Assert.NotNull(s.SourcePortFrom));
    }

    private static DiscoveryReport[] Mesh(int hosts, int each)
    {
        var all = (from server in Enumerable.Range(1, hosts) from client in Enumerable.Range(server + 1, hosts - server) from i in Enumerable.Range(0, each)
            select new DiscoveredConnection($"10.0.0.{client}", 40_000 + (100 * server) + i, $"10.0.0.{server}", 5000)).ToList();
        return
        [
            .. Enumerable.Range(1, hosts).Select(h => Report($"h{h:00}", [h - 1], [.. all.Concat(all.Select(Reverse)).Where(c => c.LocalAddress == $"10.0.0.{h}")], size: hosts)),
        ];
    }

    private static DiscoveredConnection Reverse(DiscoveredConnection c) => new(c.RemoteAddress, c.RemotePort, c.LocalAddress, c.LocalPort);

    internal static DiscoveryReport Report(string host, int[] ranks, DiscoveredConnection[] connections, TrafficProfile? profile = null, int size = 2, int uid = 1000) => new()
    {
        Host = host,
        Boot = Guid.Empty,
        Jobs = [new() { Key = "torch//10.0.0.1:29500", Name = "torch-10.0.0.1-29500", Uid = uid, WorldSize = size, Ranks = ranks, Connections = connections, Profile = profile }],
    };

    internal static TrafficProfile Profile(double period, long bytes) => new() { PeriodSeconds = period, BytesPerRound = bytes, DutyCycle = 0.2, Confidence = 0.9, Rounds = 20 };
}
