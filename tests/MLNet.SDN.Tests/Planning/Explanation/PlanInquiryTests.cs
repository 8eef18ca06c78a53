using MLNet.SDN.Contracts;
using MLNet.SDN.Planning;
using MLNet.SDN.Planning.Explanation;
using MLNet.SDN.Planning.Topology;
using static MLNet.SDN.Tests.Planning.Fabrics;

namespace MLNet.SDN.Tests.Planning.Explanation;

public class PlanInquiryTests
{
    private static readonly PlanningSettings Rack = new();
    private static readonly PlanningSettings Optimized = new() { Strategy = "optimized" };

    [Fact]
    public void Explain_JobAloneWithIdleHosts_NamesItsLinkAndTheHelperThatWouldServeItBest()
    {
        // Two workers of four in one rack: only their own links count, and an idle host beside them can take half of the summing.
        var jobs = Planned(Demo, Optimized, new JobSpec { Name = "alexnet", Workers = ["h0-0-0", "h0-0-1", "h0-0-2"], GradientBytes = 5_000_000, ComputeSeconds = 0.5, Rounds = 100 });

        var explanation = Explain(jobs, 1, Optimized);

        Assert.Equal(
            "Job alexnet waits for link e0-0->h0-0-0, which it has to itself: 2.67 s a round, the least that any plan can reach. "
            + "Alone a round would take 3.17 s, 0.5 s of it computation; no other job delays it. "
            + "Level 1: 267 s of communication left; it shares no link with another job. "
            + "One more helper, h0-0-3, would make a round alone 2.9 s, 8 % less.",
            explanation.Text);
    }

    [Fact]
    public void Explain_JobBehindAnother_SaysWhoIsAheadAndWhatThatCosts()
    {
        var jobs = Planned(Demo, Rack, Job("resnet", HostNames(Demo), 1_000_000, 0.2, 50), Job("bert", HostNames(Demo), 4_000_000, 0.4, 200));

        var explanation = Explain(jobs, 2, Rack);

        Assert.Equal(
            "Job bert waits for link e0-0->h0-0-0, shared with resnet: 3.0 s a round, the least that any plan can reach. "
            + "Alone a round would take 3.4 s, 0.4 s of it computation; beside the other jobs it takes about 13 s, 3.8 times as long. "
            + "Level 2: 600 s of communication left; behind resnet (38 s) on link e0-0->h0-0-0. "
            + "Helpers sum only under strategy 'optimized'; 'rack' is set.",
            explanation.Text);
        Assert.Equal(["resnet"], explanation.SharedWith.Select(s => s.Job));
        Assert.True(explanation.RoundSecondsNow > explanation.RoundSecondsAlone);
    }

    [Fact]
    public void Explain_JobThatSaidNothing_SaysWhatToSubmit()
    {
        var jobs = Planned(Demo, Rack, Job("resnet", HostNames(Demo), 1_000_000, 0.2, 50), new JobSpec { Name = "mystery", Workers = ["h0-0-0", "h1-0-0"] });

        var explanation = Explain(jobs, 2, Rack);

        Assert.Equal(
            "Job mystery did not say how many bytes a round has, so its times are unknown. "
            + "Its busiest link is a0-0->e0-0, shared with resnet. "
            + "Submit it with gradientBytes, computeSeconds and rounds to have it planned by its length. "
            + "Level 2: rounds or bytes unknown, so taken as longer than every known job; behind resnet (38 s) on link e0-0->h0-0-0.",
            explanation.Text);
        Assert.Equal(0, explanation.RoundSecondsNow);
    }

    [Fact]
    public void Explain_JobOnOneHost_UsesNoLink()
    {
        var explanation = Explain(Planned(Demo, Rack, Job("local", ["h0-0-0", "h0-0-0"], 1_000_000, 0.2, 50)), 1, Rack);

        Assert.Null(explanation.Bottleneck);
        Assert.StartsWith("Job local uses no link: all its workers are on host h0-0-0, which sums without the network.", explanation.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void Explain_UnknownJob_IsNull() => Assert.Null(PlanInquiry.Explain(7, Planned(Demo, Rack, Job("a", ["h0-0-0", "h1-0-0"], 1, 0, 1)), Demo, Rack, PriorityLadder.Standard, default));

    [Fact]
    public void Forecast_TwoEqualJobsOnOneLink_TakeTurnsUnderPriorities()
    {
        // Both compute as long as they send: strict order staggers them, and fair sharing keeps them in step.
        var narrow = Of(FatTree.Build(new FabricShape { K = 2, HostsPerRack = 2, HostMbps = 100, RackUplinkMbps = 8, CoreMbps = 8 }));
        string[] one = ["h0-0-0", "h1-0-0"];
        string[] two = ["h0-0-1", "h1-0-1"];
        foreach (var (policy, expected) in new[] { ("fair", 3.0), ("srpt", 2.0) })
        {
            var settings = new PlanningSettings { Policy = policy };
            var jobs = Planned(narrow, settings, Job("a", one, 1_000_000, 1, 100), Job("b", two, 1_000_000, 1, 200));

            Assert.Equal(expected, Explain(jobs, 2, settings, narrow).RoundSecondsNow, 0.1);
        }
    }

    [Fact]
    public void Forecast_RoundOfHalfAnHourBesideRoundsOfMilliseconds_LooksAtBoth()
    {
        // The short job sends half of the time, and then has all but the floor of 5 %: what is left for the 500 s of the long one is 0.525.
        var narrow = Of(FatTree.Build(new FabricShape { K = 2, HostsPerRack = 2, HostMbps = 100, RackUplinkMbps = 8, CoreMbps = 8 }));
        var jobs = Planned(
            narrow, Rack, Job("short", ["h0-0-0", "h1-0-0"], 4_000, 0.004, 1_000_000), Job("long", ["h0-0-1", "h1-0-1"], 500_000_000, 1_000, 10));

        Assert.Equal(1_000 + (500 / 0.525), Explain(jobs, 2, Rack, narrow).RoundSecondsNow, 100.0);
        Assert.InRange(Explain(jobs, 1, Rack, narrow).RoundSecondsNow, 0.008, 0.0085);
    }

    [Theory]
    [InlineData(1, 0)]
    [InlineData(1, 1_000_000)]
    [InlineData(long.MaxValue, 0)]
    [InlineData(long.MaxValue, 1_000_000)]
    public void Forecast_AtTheEndsOfWhatIsAccepted_IsANumber(long bytes, double compute)
    {
        string[] hosts = ["h0-0-0", "h1-0-0"];
        var odd = Job("odd", hosts, bytes, compute, long.MaxValue);
        foreach (var other in new[] { odd, Job("even", hosts, 4_000_000, 0.1, 100), Job("small", hosts, 1, 0, 1) })
        {
            var jobs = Planned(Demo, Optimized, odd, other with { Name = "other" });
            foreach (var job in jobs)
            {
                var explanation = Explain(jobs, job.JobId, Optimized);
                Assert.True(double.IsFinite(explanation.RoundSecondsNow) && explanation.RoundSecondsNow >= explanation.RoundSecondsAlone, explanation.Text);

                // Strict order leaves the last of two a floor of 5 %; beside an equal, all of it.
                Assert.True(explanation.RoundSecondsNow <= 21 * explanation.RoundSecondsAlone, explanation.Text);
            }
        }
    }

    [Fact]
    public void Preview_JobOnOneHost_UsesNoLink()
    {
        var preview = PlanInquiry.Preview(Job("local", ["h0-0-0"], 1_000_000, 0, 50), [], Demo, Rack, PriorityLadder.Standard, default);

        Assert.Equal("Job local would get level 1 and use no link: all its workers are on host h0-0-0, which sums without the network. No other job runs.", preview.Text);
    }

    [Fact]
    public void Preview_JobBesideAnother_TellsGainAndLossAndChangesNothing()
    {
        var jobs = Planned(Demo, Rack, Job("bert", HostNames(Demo), 4_000_000, 0.4, 200));
        var before = jobs.Single().Previous;

        var preview = PlanInquiry.Preview(Job("resnet", HostNames(Demo), 1_000_000, 0.2, 50), jobs, Demo, Rack, PriorityLadder.Standard, default);

        Assert.Equal(
            "Job resnet would get level 1 and take about 0.99 s a round (0.95 s alone). "
            + "By a plain sharded server, unmarked, it would take 16 s, 15.8 times as long. "
            + "It would slow bert (a round 3.8 times as long). "
            + "Levels would change for bert (1 to 2). "
            + "Link e0-0->h0-0-0 is asked for 167 % of its time by jobs bert, resnet: each of their rounds will take longer than alone.",
            preview.Text);
        Assert.Same(before, jobs.Single().Previous);
        Assert.Equal(1, preview.Plan.Level);
        var bert = Assert.Single(preview.Others);
        Assert.Equal(("bert", 1, 2, false), (bert.Name, bert.LevelNow, bert.LevelThen, bert.NewTrees));
        Assert.True(bert.Loss > 0);
        Assert.True(preview.Gain > 0);
        Assert.Equal(preview.Gain, 1 - (preview.RoundSeconds / preview.PlainRoundSeconds), 9);
    }

    [Fact]
    public void Preview_OfAPreviewedJob_IsWhatSubmittingThenExplains()
    {
        var first = Job("bert", HostNames(Demo), 4_000_000, 0.4, 200);
        var second = Job("resnet", HostNames(Demo)[..8], 1_000_000, 0.2, 50);

        var preview = PlanInquiry.Preview(second, Planned(Demo, Rack, first), Demo, Rack, PriorityLadder.Standard, default);
        var explanation = Explain(Planned(Demo, Rack, first, second), 2, Rack);

        Assert.Equal(explanation.Level, preview.Plan.Level);
        Assert.Equal(explanation.RoundSecondsNow, preview.RoundSeconds, 9);
        Assert.Equal(explanation.RoundSecondsAlone, preview.RoundSecondsAlone, 9);
    }

    [Fact]
    public void Preview_WithoutOtherJobs_ComparesWithThePlainServerAlone()
    {
        var preview = PlanInquiry.Preview(Job("bert", HostNames(Demo), 4_000_000, 0, 200), [], Demo, Rack, PriorityLadder.Standard, default);

        Assert.Empty(preview.Others);
        Assert.Equal(preview.RoundSecondsAlone, preview.RoundSeconds);
        Assert.Contains("No other job runs.", preview.Text, StringComparison.Ordinal);
    }

    private static JobSpec Job(string name, IReadOnlyList<string> workers, long bytes, double compute, long rounds) =>
        new() { Name = name, Workers = workers, GradientBytes = bytes, ComputeSeconds = compute, Rounds = rounds };

    private static PlanExplanation Explain(IReadOnlyList<PlanningJob> jobs, long id, PlanningSettings settings, Fabric? fabric = null) =>
        PlanInquiry.Explain(id, jobs, fabric ?? Demo, settings, PriorityLadder.Standard, TestContext.Current.CancellationToken)!;

    private static PlanningJob[] Planned(Fabric fabric, PlanningSettings settings, params JobSpec[] specs)
    {
        PlanningJob[] jobs = [.. specs.Select((s, i) => new PlanningJob { JobId = i + 1, Spec = s, RoundsLeft = s.Rounds })];
        var plans = Planner.Plan(fabric, jobs, settings, PriorityLadder.Standard, new(1, 1)).Jobs;
        return [.. jobs.Zip(plans, (job, plan) => job with { Previous = plan })];
    }
}
