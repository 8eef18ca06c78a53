using System.Text.Json;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Simulation;

namespace MLNet.SDN.Tests.Planning.Simulation;

public class FailureTests
{
    // Two workers in one rack send 1e9 bytes each per round over links of 1e9 byte/s after a second of computation: four rounds of two seconds.
    private static readonly BatchScenario Pair = new()
    {
        Name = "pair",
        Topology = new() { Racks = 2, HostsPerRack = 3, Pods = 1, RacksPerPod = 2, HostBytesPerSecond = 1e9, RackUplinkBytesPerSecond = 1e9, PodUplinkBytesPerSecond = 1e9 },
        Jobs = [new() { Model = "m", Workers = [0, 1], Bytes = 1e9, ComputeSeconds = 1, Iterations = 4, ArrivalSeconds = 0 }],
    };

    [Theory]
    [InlineData(0, 5, 13)] // before it has done anything
    [InlineData(0.5, 10.5, 18)] // while it computes
    [InlineData(1.25, 3.25, 10)] // while it sends
    [InlineData(1, 2, 9)] // just as it begins to send
    [InlineData(2, 3, 9)] // just as a round ends
    [InlineData(8, 9, 8)] // just as it finishes
    [InlineData(20, 30, 8)]
    public void Run_WorkersHostIsAway_StopsTheJobForThatLong(double from, double to, double end)
    {
        foreach (var strategy in SchemeComparison.Strategies)
        {
            Assert.Equal(end, Run(Pair, strategy, Host("h0001", from, to)).Jobs.Single().FinishSeconds, 9);
        }
    }

    [Fact]
    public void Run_HostsAwayAfterOneAnotherAndTogether_AddUpOnce() =>
        Assert.Equal(8 + 3, Run(Pair, "rack", Host("h0001", 0.5, 2.5), Host("h0000", 1.5, 3.5), Host("h0005", 3, 9)).Jobs.Single().FinishSeconds, 9);

    [Fact]
    public void Run_JobThatOnlyComputes_WaitsForItsHostToo() =>
        Assert.Equal(4 + 2, Run(Pair with { Jobs = [Pair.Jobs[0] with { Workers = [1, 1] }] }, "rack", Host("h0001", 1.5, 3.5)).Jobs.Single().FinishSeconds, 9);

    [Fact]
    public void Run_OtherJobsWhileOneWaits_HaveItsShare()
    {
        // A second job on the same hosts: with both sending each has half; while nobody can send, nobody moves on.
        var two = Pair with { Jobs = [Pair.Jobs[0] with { ComputeSeconds = 0, Iterations = 1 }, Pair.Jobs[0] with { Workers = [0, 2], ComputeSeconds = 0, Iterations = 1 }] };

        var result = Run(two, "direct-sharded", Host("h0001", 0.5, 4));

        // Until 0.5 s each moves a quarter. Then the second, alone, needs 0.75 s more; the first goes on at 4 s with three quarters.
        Assert.Equal([4.75, 1.25], result.Jobs.Select(j => j.FinishSeconds).OrderDescending(), (a, b) => Math.Abs(a - b) < 1e-9);
    }

    [Theory]
    [InlineData("direct-sharded")]
    [InlineData("optimized")]
    public void Run_FailuresOfAnyKind_LoseAndDoubleNoByte(string strategy)
    {
        var whole = Run(Pair, strategy);
        var failing = Run(Pair, strategy, Host("h0001", 1.25, 3.25), Host("h0000", 6.5, 7));

        Assert.Equal(whole.Links.Select(l => l.Link), failing.Links.Select(l => l.Link));
        Assert.All(whole.Links.Zip(failing.Links), l => Assert.Equal(l.First.Bytes, l.Second.Bytes, 1e-3));
    }

    [Theory]
    [InlineData(0.0, 1e6, 2.0)] // half the way out for the whole run
    [InlineData(0.25, 0.5, 1.125)] // for a quarter of the time alone it runs at half its rate
    public void Run_OneOfTwoUplinksIsAway_TakesTheOther(double from, double to, double slowdown)
    {
        // h0-0-0 ─ e0-0 ═ (a0-0, a0-1: two ways of 10 Mbit/s each) ═ e0-1 ─ h0-1-0, hosts at 20 Mbit/s.
        var scenario = TwoWays();
        var alone = Run(scenario, []).Jobs.Single().FinishSeconds;

        var result = Run(scenario, [Link("a0-0", "e0-0", from * alone, to * alone)]);

        Assert.Equal(slowdown * alone, result.Jobs.Single().FinishSeconds, alone * 1e-9);
        Assert.All(result.Links, l => Assert.InRange(l.Utilisation, 0, 1 + 1e-9));
    }

    [Fact]
    public void Run_BothUplinksAreAway_Waits()
    {
        var scenario = TwoWays();
        var alone = Run(scenario, []).Jobs.Single().FinishSeconds;

        // Both are away from 2 s to 7 s, one of them from 1 s to 8 s: five seconds at nothing, two at half.
        Assert.Equal(alone + 5 + 1, Run(scenario, [Link("e0-0", "a0-0", 2, 7), Link("e0-0", "a0-1", 1, 8)]).Jobs.Single().FinishSeconds, 1e-6);
    }

    [Fact]
    public void Run_HelpersAreAway_TreesDoWithoutThem()
    {
        // Four workers of eight hosts in each of two racks, uplinks with room: the other four help.
        var helped = new BatchScenario
        {
            Name = "helped",
            Topology = new() { Racks = 2, HostsPerRack = 8, Pods = 1, RacksPerPod = 2, HostBytesPerSecond = 1e9, RackUplinkBytesPerSecond = 1e10, PodUplinkBytesPerSecond = 1e10 },
            Jobs = [new() { Model = "m", Workers = [0, 1, 2, 3, 8, 9, 10, 11], Bytes = 1e9, ComputeSeconds = 0.5, Iterations = 40, ArrivalSeconds = 0 }],
        };
        var alone = helped with { Topology = helped.Topology with { HostsPerRack = 4 }, Jobs = [helped.Jobs[0] with { Workers = [0, 1, 2, 3, 4, 5, 6, 7] }] };
        ScheduledFailure[] helpers = [.. new[] { 4, 5, 6, 7, 12, 13, 14, 15 }.Select(h => Host($"h{h:D4}", 0, 1e4))];
        var (with, without) = (Run(helped, "optimized").MeanSeconds, Run(alone, "optimized").MeanSeconds);

        Assert.True(with < 0.9 * without);
        Assert.Equal(without, Run(helped, "optimized", helpers).MeanSeconds, without * 0.01);

        // One of eight goes for a while: slower than with it, but the job does not wait for it, and the others help on.
        var one = Run(helped, "optimized", Host("h0005", with / 4, with / 2));
        Assert.InRange(one.MeanSeconds, with, with + (0.25 * (without - with)));
    }

    [Fact]
    public void Run_FailuresOnALargeBatch_AreEqualEachTimeAndEndAll()
    {
        using var stream = Golden.Open("scenarios/XL-16-split-1.json");
        var scenario = JsonSerializer.Deserialize(stream, BatchScenarioJson.Default.BatchScenario)!;
        ScheduledFailure[] failures = [Host("h0105", 3, 20), Host("h0900", 0, 50), Link("r008", "p002", 10, 30), Link("core", "p007", 12, 12.5), Host("h0105", 60, 61)];
        foreach (var strategy in new[] { "ring", "optimized" })
        {
            var first = Run(scenario, strategy, failures);

            Assert.Equal(JsonSerializer.Serialize(first), JsonSerializer.Serialize(Run(scenario, strategy, [.. failures.Reverse()])));
            Assert.All(first.Jobs, j => Assert.InRange(j.FinishSeconds, 0, 1e4));
            Assert.InRange(first.MeanSeconds, Run(scenario, strategy).MeanSeconds, 1e4);
        }
    }

    [Fact]
    public void Of_FaultySchedule_NamesEveryField()
    {
        ScheduledFailure[] schedule =
        [
            new() { FromSeconds = 0, ToSeconds = 1 },
            Host("h9999", 0, 1),
            Host("r000", -1, 1),
            Link("h0000", "r001", 0, 1),
            Link("r000", "p000", 2, 2),
            new() { Link = ["r000"], FromSeconds = 0, ToSeconds = double.PositiveInfinity },
        ];

        Assert.Null(SimulationCase.Of(Pair with { Failures = schedule }, out var faults));

        Assert.Equal(
            ["failures[0]", "failures[1].host", "failures[2].host", "failures[2].fromSeconds", "failures[3].link", "failures[4].toSeconds", "failures[5].link", "failures[5].toSeconds"],
            faults.Select(f => f.Field));
    }

    private static Scenario TwoWays() => new()
    {
        Name = "ways",
        Fabric = new() { HostMbps = 20, RackUplinkMbps = 10, CoreMbps = 10 },
        Jobs = [new() { Name = "a", Workers = ["h0-0-0", "h0-1-0"], GradientBytes = 1_000_000, Rounds = 40 }],
    };

    private static ScheduledFailure Host(string host, double from, double to) => new() { Host = host, FromSeconds = from, ToSeconds = to };

    private static ScheduledFailure Link(string a, string b, double from, double to) => new() { Link = [a, b], FromSeconds = from, ToSeconds = to };

    private static SchemeResult Run(BatchScenario scenario, string strategy, params ScheduledFailure[] failures)
    {
        var @case = SimulationCase.Of(scenario with { Failures = failures }, out var faults);
        Assert.Empty(faults);
        return SchemeComparison.Run(@case!, new(strategy, "fair"), TestContext.Current.CancellationToken);
    }

    private static SchemeResult Run(Scenario scenario, ScheduledFailure[] failures)
    {
        var @case = SimulationCase.Of(scenario with { Failures = failures }, 0, out var faults);
        Assert.Empty(faults);
        return SchemeComparison.Run(@case! with { InChunks = false }, new("direct-sharded", "fair"), TestContext.Current.CancellationToken);
    }
}
