using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Jobs;

namespace MLNet.SDN.Tests.Controller.Jobs;

/// <summary>What hosts say of a job's rounds, put together.</summary>
public class JobSightTests
{
    //      h0
    //     /  \
    //    h1   h2     h3 is slow, so h2 waits for it, and h0 for h2
    //          |
    //          h3
    [Fact]
    public void Of_HostsThatWaitForEachOther_NamesTheOneThatAllWaitFor()
    {
        var sight = JobSight.Of(new Dictionary<string, JobReduction>(StringComparer.Ordinal)
        {
            ["h0"] = Reduction(round: 8, gather: 1.0, slowest: "h2", share: 0.9) with { BytesSent = 10, BytesReceived = 4, BufferBytes = 7, WaitsFor = "round 9 waits for h3 (the contribution of rank 3)" },
            ["h1"] = Reduction(round: 8, deliver: 1.3) with { BytesSent = 2, BytesReceived = 5, RoundsRedone = 3, WaitsFor = "round 9 waits for h0 (results of 4 of 4 chunks)" },
            ["h2"] = Reduction(round: 8, gather: 1.2, slowest: "h3", share: 1),
            ["h3"] = Reduction(round: 7, gather: 50, slowest: "h9", share: 1),
        });

        Assert.Equal(
            new RoundSight
            {
                Round = 8, BytesSent = 12, BytesReceived = 9, BufferBytes = 7, RoundsRedone = 3, GatherSeconds = 1.2, DeliverSeconds = 1.3, Slowest = "h3", SlowestShare = 1,
                WaitsFor = "round 9 waits for h3 (the contribution of rank 3)",
            },
            sight);
    }

    [Fact]
    public void Of_NobodyStandsOut_NamesNobody()
    {
        var sight = JobSight.Of(new Dictionary<string, JobReduction>(StringComparer.Ordinal) { ["h0"] = Reduction(round: 8, gather: 1, slowest: "h2", share: 0.4) });

        Assert.Null(sight!.Slowest);
        Assert.Null(sight.WaitsFor);
        Assert.Null(JobSight.Of(new Dictionary<string, JobReduction>(StringComparer.Ordinal)));
    }

    [Fact]
    public void IsSound_FiguresThatCannotBe_AreNot()
    {
        Assert.True(JobSight.IsSound(Reduction(-1)));
        Assert.False(JobSight.IsSound(Reduction(-2)));
        Assert.False(JobSight.IsSound(Reduction(0) with { BytesSent = -1 }));
        Assert.False(JobSight.IsSound(Reduction(0, gather: double.NaN)));
        Assert.False(JobSight.IsSound(Reduction(0, deliver: double.PositiveInfinity)));
        Assert.False(JobSight.IsSound(Reduction(0, share: 1.1)));
        Assert.False(JobSight.IsSound(Reduction(0) with { WaitsFor = new string('x', 10_000) }));
    }

    private static JobReduction Reduction(long round, double gather = 0, double deliver = 0, string? slowest = null, double share = 0) =>
        new() { JobId = 1, Round = round, GatherSeconds = gather, DeliverSeconds = deliver, SlowestChild = slowest, SlowestShare = share };
}
