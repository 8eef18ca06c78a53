using System.Net;
using Microsoft.Extensions.Time.Testing;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Flows;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Tests.Controller.Flows;

public class LiveFlowsTests
{
    private static readonly DateTimeOffset Start = new(2025, 6, 1, 12, 0, 0, TimeSpan.Zero);
    private static readonly FlowTuple Tuple = new(IPAddress.Parse("10.0.0.2"), IPAddress.Parse("10.1.1.6"), 40_000, 7_471, 6);

    private readonly FakeTimeProvider _time = new(Start);
    private readonly LiveFlows _live;

    public LiveFlowsTests() => _live = new(_time);

    [Fact]
    public void Take_SenderAndReceiver_JoinIntoOneFlow()
    {
        Egress(1_000_000, 34);
        Ingress(900_000, 0);

        var flow = Assert.Single(_live.Snapshot().Flows.Values);
        Assert.Equal(("bert", "push", "h0-0-0", "h1-1-1"), (flow.Job, flow.Role, flow.Source, flow.Destination));
        Assert.Equal(1_000_000, flow.Octets);
        Assert.Equal((new Dscp(34), new Dscp(0)), (flow.DscpSent, flow.DscpArrived));
        Assert.Equal(8_000_000, flow.RateBitsPerSecond);
    }

    [Fact]
    public void Take_OnlyReceiver_ShowsWhatArrived()
    {
        Ingress(900_000, 34);

        var flow = Assert.Single(_live.Snapshot().Flows.Values);
        Assert.Null(flow.DscpSent);
        Assert.Equal((new Dscp(34), 900_000L, 7_200_000.0), (flow.DscpArrived, flow.Octets, flow.RateBitsPerSecond));
    }

    [Fact]
    public void Rate_OfReportsTenSecondsApart_IsThatOfTheInterval()
    {
        Egress(1_000, 34);
        _time.Advance(TimeSpan.FromSeconds(10));
        Egress(10_000_000, 34);

        Assert.Equal(8_000_000, _live.Snapshot().Flows.Values.Single().RateBitsPerSecond);
    }

    [Fact]
    public void Rate_OfTwoCodePointsInOneReport_IsTheirSum()
    {
        // The level changed in mid-flow: two records, one flow.
        _live.Take(Tuple, "h0-0-0", "h1-1-1", "bert", FlowDirection.Egress, [Record(FlowDirection.Egress, 400_000, 34), Record(FlowDirection.Egress, 600_000, 26) with { FlowEnd = Start.AddMilliseconds(10) }]);

        var flow = Assert.Single(_live.Snapshot().Flows.Values);
        Assert.Equal((8_000_000.0, new Dscp(26)), (flow.RateBitsPerSecond, flow.DscpSent));
    }

    [Fact]
    public void Snapshot_SilentFlow_FadesThenGoes()
    {
        Egress(1_000_000, 34);
        var shown = _live.Snapshot().Flows.Values.Single();
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Same(shown, _live.Snapshot().Flows.Values.Single());

        _time.Advance(TimeSpan.FromSeconds(4));
        Assert.Equal(0, _live.Snapshot().Flows.Values.Single().RateBitsPerSecond);
        Assert.Equal(0, _live.Snapshot().Rates.SentBy["h0-0-0"]);

        _time.Advance(LiveFlows.Lifetime);
        Assert.Empty(_live.Snapshot().Flows);
    }

    [Fact]
    public void Snapshot_EndedFlow_GoesSoon()
    {
        _live.Take(Tuple, "h0-0-0", "h1-1-1", null, FlowDirection.Egress, [Record(FlowDirection.Egress, 1, 0) with { EndReason = FlowEndReason.EndOfFlow }]);
        _time.Advance(TimeSpan.FromSeconds(6));

        Assert.Empty(_live.Snapshot().Flows);
    }

    [Fact]
    public void Compute_OneFlowAcrossPods_IsExactAtHostsAndSpreadWithin()
    {
        // h0-0-0 ─ e0-0 ═(2)═ a0-* ═(4)═ c* ═ a1-* ═ e1-1 ─ h1-1-1: 8 Mbit/s sent, 7.2 arrive.
        Assert.True(Fabric.TryCreate(ControllerProcess.Topology, out var fabric, out _));
        Egress(1_000_000, 34);
        Ingress(900_000, 34);

        var loads = LinkLoads.Compute(fabric!, _live.Snapshot().Rates);

        Assert.Equal(ControllerProcess.Topology.Links.Count * 2, loads.Count);
        var first = loads[("h0-0-0", "e0-0")];
        Assert.Equal((8_000_000.0, 100_000_000L, false), (first.BitsPerSecond, first.RateBitsPerSecond, first.Estimated));
        Assert.Equal((7_200_000.0, false), (loads[("e1-1", "h1-1-1")].BitsPerSecond, loads[("e1-1", "h1-1-1")].Estimated));
        Assert.Equal((4_000_000.0, true), (loads[("e0-0", "a0-0")].BitsPerSecond, loads[("e0-0", "a0-0")].Estimated));
        Assert.Equal(8_000_000.0, loads.Where(l => l.Key.Source.StartsWith('c')).Sum(l => l.Value.BitsPerSecond));
        Assert.Equal(0, loads[("e0-0", "h0-0-0")].BitsPerSecond);
        Assert.Equal(0, loads[("a0-0", "e0-0")].BitsPerSecond);
    }

    [Theory]
    [InlineData("10.0.0.2", true)]
    [InlineData("2001:db8::1", true)]
    [InlineData("::ffff:10.0.0.2", true)]
    [InlineData("10.0.2", false)]
    [InlineData("1", false)]
    [InlineData("0x7f.0.0.1 ", false)]
    [InlineData("", false)]
    [InlineData("h0-0-0", false)]
    public void TryRead_Addresses_AreReadAsCapturesWriteThem(string text, bool good)
    {
        Assert.Equal(good, FlowTuple.TryRead(Record(FlowDirection.Egress, 1, 0) with { SourceAddress = text }, out var tuple));
        if (good)
        {
            Assert.NotEqual("::ffff:10.0.0.2", tuple.Source.ToString());
        }
    }

    private void Egress(long octets, int dscp) => _live.Take(Tuple, "h0-0-0", "h1-1-1", "bert", FlowDirection.Egress, [Record(FlowDirection.Egress, octets, dscp)]);

    private void Ingress(long octets, int dscp) => _live.Take(Tuple, "h0-0-0", "h1-1-1", "bert", FlowDirection.Ingress, [Record(FlowDirection.Ingress, octets, dscp)]);

    private FlowRecord Record(FlowDirection direction, long octets, int dscp) => new()
    {
        FlowStart = _time.GetUtcNow(),
        FlowEnd = _time.GetUtcNow(),
        Direction = direction,
        SourceAddress = "10.0.0.2",
        DestinationAddress = "10.1.1.6",
        SourceTransportPort = 40_000,
        DestinationTransportPort = 7_471,
        ProtocolIdentifier = 6,
        IpDiffServCodePoint = new(dscp),
        PostIpDiffServCodePoint = new(34),
        OctetDeltaCount = octets,
        PacketDeltaCount = 1,
        EndReason = FlowEndReason.Active,
        Role = "push",
    };
}
