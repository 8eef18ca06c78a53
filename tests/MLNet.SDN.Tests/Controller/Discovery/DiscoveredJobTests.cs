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
    public void Assemble_MoreConnectionsThanSelectors_AreSelectedByTheEndThatListens()
    {
        // 30 hosts, each connected with each: 435 connections to 29 that listen.
        var reports = Enumerable.Range(0, 30).Select(h => Report($"h{h:00}", [h],
            [.. Enumerable.Range(0, 30).Where(p => p != h).Select(p => p < h ? new DiscoveredConnection(Address(h), 40_000 + p, Address(p), 5000) : new DiscoveredConnection(Address(h), 5000, Address(p), 40_000 + h))], size: 30));

        var job = Assert.Single(DiscoveredJob.Assemble(reports));

        Assert.Null(job.Reason);
        Assert.Equal(435, job.Connections);
        Assert.InRange(job.Selectors.Count, 29, 30);
        Assert.All(job.Selectors.Skip(1), s => Assert.Null(s.Source));

        static string Address(int host) => $"10.0.0.{host + 1}";
    }

    internal static DiscoveryReport Report(string host, int[] ranks, DiscoveredConnection[] connections, TrafficProfile? profile = null, int size = 2, int uid = 1000) => new()
    {
        Host = host,
        Boot = Guid.Empty,
        Jobs = [new() { Key = "torch//10.0.0.1:29500", Name = "torch-10.0.0.1-29500", Uid = uid, WorldSize = size, Ranks = ranks, Connections = connections, Profile = profile }],
    };

    internal static TrafficProfile Profile(double period, long bytes) => new() { PeriodSeconds = period, BytesPerRound = bytes, DutyCycle = 0.2, Confidence = 0.9, Rounds = 20 };
}
