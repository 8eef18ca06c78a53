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
    [InlineData(20, 24_576)] // 10 ms of 2.5 MB/s, whole KiB
    [InlineData(1, 4_096)]
    [InlineData(10_000, 65_536)]
    public void Size_OfNewTrees_FollowsTheHostsRate(double mbps, int bytes)
    {
        var fabric = Fabrics.Of(FatTree.Build(new FabricShape { HostMbps = mbps, RackUplinkMbps = mbps, CoreMbps = mbps }));

        var plan = Composer().Size(Plan(fabric, null, new(1, 1)), null, Spec, fabric);

        Assert.Equal((bytes, 16), (plan.ChunkBytes, plan.WindowChunks));
    }

    [Fact]
    public void Size_OfTreesThatStay_IsWhatAllTheirHostsHave_WhateverTheOptionsBecame()
    {
        var fabric = Fabrics.Of(FatTree.Build(new FabricShape { HostMbps = 1_000, RackUplinkMbps = 1_000, CoreMbps = 1_000 }));
        var first = Composer().Size(Plan(fabric, null, new(1, 1)), null, Spec, fabric);

        var later = Composer(new() { ChunkBytes = 8_192, WindowChunks = 4 });
        var kept = later.Size(Plan(fabric, first, new(1, 2)), first, Spec, fabric);
        var anew = later.Size(Plan(fabric, null, new(1, 3)), first, Spec, fabric);

        Assert.Equal((new Revision(1, 1), 65_536, 16), (kept.TreesRevision, kept.ChunkBytes, kept.WindowChunks));
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

    private static PolicyComposer Composer(PlanningOptions? options = null) => new(options ?? new(), PriorityLadder.Standard);

    private static JobPlan Plan(Fabric fabric, JobPlan? previous, Revision next) =>
        Planner.Plan(fabric, [new() { JobId = 1, Spec = Spec, Previous = previous }], new(), PriorityLadder.Standard, next).Jobs.Single();
}
