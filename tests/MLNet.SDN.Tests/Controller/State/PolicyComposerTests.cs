using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Plans;
using MLNet.SDN.Controller.State;
using MLNet.SDN.Planning;
using MLNet.SDN.Planning.Topology;
using MLNet.SDN.Tests.Planning;

namespace MLNet.SDN.Tests.Controller.State;

public class PolicyComposerTests
{
    private static readonly JobSpec Spec = new() { Name = "bert", Workers = ["h0-0-0", "h1-1-1"], GradientBytes = 1_000_000 };

    [Theory]
    [InlineData(20, 1_000_000, 5_688, 368)] // the square root of 1 MB over the busiest link times 122 bytes, by four, nearest to four segments with a header of 97; a window of 2 MiB
    [InlineData(20, 16_000_000, 21_616, 97)]
    [InlineData(10_000, 1_000_000, 56_368, 37)] // handling costs more bytes there
    [InlineData(10_000, 100_000_000, 262_144, 8)]
    [InlineData(20, 100_000, 4_240, 494)]
    [InlineData(20, 0, 24_512, 85)] // 10 ms of 2.5 MB/s
    public void Size_OfNewTrees_FollowsRateAndRound(double mbps, long gradientBytes, int bytes, int window)
    {
        var fabric = Fabrics.Of(FatTree.Build(new FabricShape { HostMbps = mbps, RackUplinkMbps = mbps, CoreMbps = mbps }));
        var spec = Spec with { GradientBytes = gradientBytes };

        var plan = Composer().Size(Plan(fabric, null, new(1, 1), spec), null, spec, fabric);

        Assert.Equal((bytes, window), (plan.ChunkBytes, plan.WindowChunks));
    }

    [Fact]
    public void Size_OfNewTreesOverNarrowUplinks_FollowsThese()
    {
        var fabric = Fabrics.Of(FatTree.Build(new FabricShape { HostMbps = 20, RackUplinkMbps = 5, CoreMbps = 5 }));
        var spec = Spec with { Workers = Fabrics.HostNames(fabric), GradientBytes = 4_000_000 };
        var plan = Plan(fabric, null, new(1, 1), spec);

        var sized = Composer().Size(plan, null, spec, fabric);

        // 2 (8 - 1) / 8 of the message, over two uplinks; 98 bytes of header and ranks.
        var best = Math.Sqrt(3_500_000 * (98 + 6.25) / 4);
        Assert.Equal(((int)Math.Round((best + 98) / 1_448) * 1_448) - 98, sized.ChunkBytes + 6);
    }

    [Fact]
    public void Size_OfTreesThatStay_IsWhatAllTheirHostsHave_WhateverTheOptionsBecame()
    {
        var fabric = Fabrics.Of(FatTree.Build(new FabricShape { HostMbps = 1_000, RackUplinkMbps = 1_000, CoreMbps = 1_000 }));
        var first = Composer().Size(Plan(fabric, null, new(1, 1)), null, Spec, fabric);

        var later = Composer(new() { ChunkBytes = 8_192, WindowChunks = 4 });
        var kept = later.Size(Plan(fabric, first, new(1, 2)), first, Spec, fabric);
        var anew = later.Size(Plan(fabric, null, new(1, 3)), first, Spec, fabric);

        Assert.Equal((new Revision(1, 1), 18_720, 112), (kept.TreesRevision, kept.ChunkBytes, kept.WindowChunks));
        Assert.Equal((new Revision(1, 3), 8_192, 4), (anew.TreesRevision, anew.ChunkBytes, anew.WindowChunks));
    }

    [Fact]
    public void Size_OfTreesStoredWithoutSizes_IsTheOptions_WhichTheirHostsWereGiven()
    {
        var fabric = Fabrics.Of(FatTree.Build(new FabricShape { HostMbps = 20, RackUplinkMbps = 20, CoreMbps = 20 }));
        var stored = Plan(fabric, null, new(1, 1));

        var sized = Composer(new() { ChunkBytes = 32_768, WindowChunks = 4 }).Size(stored, stored, Spec, fabric);

        Assert.Equal((32_768, 4), (sized.ChunkBytes, sized.WindowChunks));
    }

    [Fact]
    public void Size_OfTreesWhoseEdgesTakeAllWaysAlike_OneConnectionEachWithAPace()
    {
        var fabric = Fabrics.Of(FatTree.Build(new FabricShape { HostMbps = 20, RackUplinkMbps = 20, CoreMbps = 20 }));
        var hosts = Fabrics.HostNames(fabric);
        var spec = Spec with { Workers = hosts[..8], Helpers = hosts[8..], GradientBytes = 4_000_000 };
        var first = Composer().Size(Plan(fabric, null, new(1, 1), spec), null, spec, fabric);

        var kept = Composer().Size(Plan(fabric, first, new(1, 2), spec), first, spec, fabric);
        var chains = Composer().Size(Plan(fabric, null, new(1, 3), spec with { Helpers = [] }), first, spec with { Helpers = [] }, fabric);

        // Each worker sends all of its message, over a link of 20 Mbit/s.
        Assert.True(first.SingleWay);
        Assert.InRange(first.PaceBitsPerSecond, 19_990_000, 20_000_000);
        Assert.Equal((true, first.PaceBitsPerSecond), (kept.SingleWay, kept.PaceBitsPerSecond));

        // The same trees on links half as fast.
        var slow = Fabrics.Of(FatTree.Build(new FabricShape { HostMbps = 10, RackUplinkMbps = 10, CoreMbps = 10 }));
        var slower = Composer().Size(first with { PredictedSeconds = 2 * first.PredictedSeconds }, first, spec, slow);
        Assert.Equal((true, first.PaceBitsPerSecond / 2), (slower.SingleWay, slower.PaceBitsPerSecond));
        Assert.Equal((true, 0), (chains.SingleWay, chains.PaceBitsPerSecond));
        var content = Composer().Place(new() { Id = 1, Spec = spec, State = JobState.Pending, SubmittedAt = DateTimeOffset.UnixEpoch, Secret = "" }, first, 1, null, fabric, new Dictionary<string, int>(), new(1, 1)).Content;
        Assert.Equal((2, true, first.PaceBitsPerSecond), (content.Stripes, content.SingleWay, content.PaceBitsPerSecond));
    }

    [Fact]
    public void Size_OfChainsOverNarrowUplinks_AnEdgeNeedsMoreThanOneOfThem()
    {
        var fabric = Fabrics.Of(FatTree.Build(new FabricShape { HostMbps = 20, RackUplinkMbps = 5, CoreMbps = 5 }));
        var spec = Spec with { Workers = Fabrics.HostNames(fabric), GradientBytes = 4_000_000 };

        Assert.False(Composer().Size(Plan(fabric, null, new(1, 1), spec), null, spec, fabric).SingleWay);
    }

    [Fact]
    public void Place_JobWithServer_ItIsTheLastMember()
    {
        var fabric = Fabrics.Of(FatTree.Build(new FabricShape { HostMbps = 20, RackUplinkMbps = 20, CoreMbps = 20 }));
        var spec = Spec with { Server = "h2-0-0" };
        var plan = Plan(fabric, null, new(1, 1), spec);
        var record = new JobRecord { Id = 1, Spec = spec, State = JobState.Pending, SubmittedAt = DateTimeOffset.UnixEpoch, Secret = "", Plan = plan };

        var placed = Composer().Place(record, plan, 0, null, fabric, new Dictionary<string, int>(), new(1, 1));

        Assert.Equal([new(0, "h0-0-0"), new(1, "h1-1-1"), new JobMember(2, "h2-0-0")], placed.Content.Members);
        Assert.Equal(2, placed.Content.ServerRank);
        Assert.Contains("h2-0-0", placed.Hosts);
        Assert.All(placed.Content.Shards, s => Assert.Equal(["h2-0-0"], s.Roots));
    }

    private static PolicyComposer Composer(PlanningOptions? options = null) => new(options ?? new(), PriorityLadder.Standard);

    private static JobPlan Plan(Fabric fabric, JobPlan? previous, Revision next, JobSpec? spec = null) =>
        Planner.Plan(fabric, [new() { JobId = 1, Spec = spec ?? Spec, Previous = previous }], new() { Strategy = spec?.Helpers is { Count: > 0 } ? "optimized" : new PlanningSettings().Strategy }, PriorityLadder.Standard, next).Jobs.Single();
}
