using MLNet.SDN.Contracts;
using MLNet.SDN.Planning;
using static MLNet.SDN.Tests.Planning.Fabrics;
using static MLNet.SDN.Tests.Planning.PlannerTests;

namespace MLNet.SDN.Tests.Planning.Priorities;

public class LevelTests
{
    private static readonly string[] Pair = ["h0-0-0", "h0-1-0"];

    [Fact]
    public void Srpt_ThreeJobsOnTheSameHosts_LeastCommunicationLeftGoesFirst()
    {
        // 1 s, 0.1 s and 10 s of communication a round, 10, 50 and 2 rounds: 10 s, 5 s, 20 s left.
        var plans = Plan(Job(1, Pair, 2_500_000, rounds: 10), Job(2, Pair, 250_000, rounds: 50), Job(3, Pair, 25_000_000, rounds: 2));

        Assert.Equal([2, 1, 3], plans.Select(p => p.Level));
        Assert.Equal(["AF31", "AF41", "AF21"], plans.Select(p => p.Dscp.ToString()));
        Assert.Equal("Level 2: 10 s of communication left; behind job-2 (5.0 s) on link a0-0->e0-0.", plans[0].LevelReason);
        Assert.Equal("Level 1: 5.0 s of communication left; ahead of job-1 (10 s) on link a0-0->e0-0 and 1 more.", plans[1].LevelReason);
    }

    [Fact]
    public void Srpt_JobAlone_HasTheTopLevel()
    {
        var plan = Plan(Job(1, Pair, 2_500_000, rounds: 10)).Single();

        Assert.Equal(1, plan.Level);
        Assert.Equal("Level 1: 10 s of communication left; it shares no link with another job.", plan.LevelReason);
    }

    [Fact]
    public void Srpt_JobsThatShareNoLink_ShareALevel() =>
        Assert.Equal(
            [1, 1, 2, 2],
            Plan(Job(1, ["h0-0-0", "h0-0-1"], 1000, 1), Job(2, ["h0-0-2", "h0-0-3"], 1000, 2), Job(3, ["h0-0-0", "h0-0-1"], 1000, 3), Job(4, ["h0-0-2", "h0-0-3"], 1000, 4)).Select(p => p.Level));

    [Fact]
    public void Srpt_UnknownRounds_GoLastAndSaySo()
    {
        var plans = Plan(Job(1, Pair, 1000), Job(2, Pair, 100_000_000, rounds: 1000), Job(3, Pair, 0, rounds: 5));

        Assert.Equal(1, plans[1].Level);
        Assert.All([plans[0], plans[2]], p => Assert.Contains("unknown", p.LevelReason, StringComparison.Ordinal));
    }

    [Fact]
    public void Srpt_JobOnOneHost_UsesNoLink() => Assert.Equal("Level 1: it uses no link.", Plan(Job(1, ["h0-0-0", "h0-0-0"], 1000, 5)).Single().LevelReason);

    [Fact]
    public void Srpt_MoreJobsThanLevels_KeepsTheOrderAndUsesTheLadder()
    {
        var plans = Plan([.. Enumerable.Range(1, 20).Select(id => Job(id, Pair, 2_500_000, rounds: id * id))]);

        Assert.Equal(plans.Select(p => p.Level).Order(), plans.Select(p => p.Level));
        Assert.Equal([1, 2, 3, 4, 5, 6], plans.Select(p => p.Level).Distinct());
        Assert.DoesNotContain(plans, p => p.Dscp == PriorityLadder.Standard.SignallingDscp());
    }

    [Fact]
    public void Srpt_SlightlyLessLeftThanTheOneAhead_LeavesTheOrderInForce()
    {
        // Job 1 leads with 100 s against 101 s; then job 2 has 98 s against 99 s left.
        PlanningJob[] jobs = [Job(1, Pair, 2_500_000, rounds: 100), Job(2, Pair, 2_500_000, rounds: 101)];
        var before = Plan(jobs);
        PlanningJob[] later = [jobs[0] with { RoundsLeft = 99, Previous = before[0] }, jobs[1] with { RoundsLeft = 98, Previous = before[1] }];

        var after = Plan(later);
        var muchLater = Plan([later[0], later[1] with { RoundsLeft = 40 }]);

        Assert.Equal([1, 2], after.Select(p => p.Level));
        Assert.Contains("order in force stays", after[0].LevelReason, StringComparison.Ordinal);
        Assert.Equal([2, 1], muchLater.Select(p => p.Level));
    }

    [Fact]
    public void Srpt_NewShortJob_GoesAheadOfTheOrderInForce()
    {
        PlanningJob[] jobs = [Job(1, Pair, 2_500_000, rounds: 100), Job(2, Pair, 2_500_000, rounds: 101)];
        var before = Plan(jobs);

        var after = Plan([jobs[0] with { Previous = before[0] }, jobs[1] with { Previous = before[1] }, Job(3, Pair, 2_500_000, rounds: 1)]);

        Assert.Equal([2, 3, 1], after.Select(p => p.Level));
    }

    [Fact]
    public void Weighted_QueuesWithWeights_PartsGoByOneOverWhatIsLeft()
    {
        // 1 s of communication a round; 10, 20, 80 and 10,000 s left: weights 32, 16, 4 and the least.
        PlanningJob[] jobs = [.. new[] { 10, 20, 80, 10_000 }.Select((rounds, i) => Job(i + 1, Pair, 2_500_000, rounds))];

        var plans = Planner.Plan(Demo, jobs, new() { Policy = "weighted" }, Weighted, new(1, 1)).Jobs;

        Assert.Equal([1, 2, 4, 6], plans.Select(p => p.Level));
        Assert.Equal("Level 2: 20 s of communication left; its queue has weight 16 of 63.", plans[1].LevelReason);
    }

    [Fact]
    public void Weighted_SlightlyLessLeft_KeepsTheLevelInForce()
    {
        // Between weights 32 and 16 the middle is 14.1 times what the first has left, in units of ten.
        PlanningJob[] jobs = [Job(1, Pair, 2_500_000, rounds: 10), Job(2, Pair, 2_500_000, rounds: 15)];
        var before = Planner.Plan(Demo, jobs, new() { Policy = "weighted" }, Weighted, new(1, 1)).Jobs;
        PlanningJob[] later = [jobs[0] with { Previous = before[0] }, jobs[1] with { Previous = before[1], RoundsLeft = 14 }];

        Assert.Equal([1, 2], before.Select(p => p.Level));
        Assert.Equal([1, 2], Planner.Plan(Demo, later, new() { Policy = "weighted" }, Weighted, new(1, 1)).Jobs.Select(p => p.Level));
        Assert.Equal([1, 1], Planner.Plan(Demo, [later[0], later[1] with { RoundsLeft = 11 }], new() { Policy = "weighted" }, Weighted, new(1, 1)).Jobs.Select(p => p.Level));
    }

    [Fact]
    public void Weighted_QueuesInStrictOrder_IsRefused()
    {
        var fault = Assert.Single(PlanningSettingsRules.Check(new() { Policy = "weighted" }, PriorityLadder.Standard));

        Assert.Equal(("policy", "weighted"), (fault.Field, fault.Value));
        Assert.Empty(PlanningSettingsRules.Check(new() { Policy = "weighted" }, Weighted));
        Assert.Throws<ArgumentException>(() => Planner.Plan(Demo, [Job(1, Pair, 1000)], new() { Policy = "weighted" }, PriorityLadder.Standard, new(1, 1)));
    }

    [Fact]
    public void Srpt_JobHeldUpTooLong_GoesAhead()
    {
        PlanningJob[] jobs = [Job(1, Pair, 2_500_000, rounds: 50), Job(2, Pair, 2_500_000, rounds: 10)];

        Assert.Equal([2, 1], Plan(jobs).Select(p => p.Level));
        Assert.Equal([2, 1], Plan(jobs[0] with { Slowdown = 4 }, jobs[1]).Select(p => p.Level));
        Assert.Equal([1, 2], Plan(jobs[0] with { Slowdown = 21 }, jobs[1]).Select(p => p.Level));
    }

    private static PriorityLadder Weighted { get; } = new()
    {
        Classes = [.. PriorityLadder.Standard.Classes.Select((c, i) => c with { Weight = c.Signalling ? null : Math.Pow(2, 6 - i) })],
    };

    private static IReadOnlyList<JobPlan> Plan(params PlanningJob[] jobs) => Planner.Plan(Demo, jobs, new(), PriorityLadder.Standard, new(1, 1)).Jobs;
}
