using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Agent.Capture;

public sealed class FlowTableTests
{
    private static readonly SegmentCount Packet = new(1, 100);

    [Fact]
    public void Collect_Changed_GivesDeltasOnce()
    {
        var table = Table();
        table.Add(Key(1), new SegmentCount(2, 3000), TcpFlags.None, At(1));
        table.Add(Key(1), Packet, TcpFlags.None, At(2));
        table.Add(Key(2), Packet, TcpFlags.None, At(3));

        Assert.Equal(
            [new(Key(2), At(3), At(3), 100, 1, FlowEndReason.Active), new(Key(1), At(1), At(2), 3100, 3, FlowEndReason.Active)],
            Collect(table, CollectScope.Changed, 3));
        Assert.Empty(Collect(table, CollectScope.Changed, 4));
        Assert.Equal(2, table.Count);
    }

    [Fact]
    public void Collect_Changed_IntervalBeginsWithItsFirstPacket()
    {
        var table = Table();
        table.Add(Key(1), Packet, TcpFlags.None, At(1));
        Collect(table, CollectScope.Changed, 1);
        table.Add(Key(1), Packet, TcpFlags.None, At(5));
        table.Add(Key(1), Packet, TcpFlags.None, At(6));

        Assert.Equal([new(Key(1), At(5), At(6), 200, 2, FlowEndReason.Active)], Collect(table, CollectScope.Changed, 6));
    }

    [Fact]
    public void Collect_PacketStampedBeforeItsPredecessor_EndIsNotBeforeStart()
    {
        var table = Table();
        table.Add(Key(1), Packet, TcpFlags.None, At(5));
        table.Add(Key(1), Packet, TcpFlags.None, At(4));

        Assert.Equal([new(Key(1), At(5), At(5), 200, 2, FlowEndReason.Active)], Collect(table, CollectScope.Changed, 5));
    }

    [Fact]
    public void Collect_Ended_LeavesLivingFlowsAlone()
    {
        var table = Table();
        table.Add(Key(1), Packet, TcpFlags.None, At(1));

        Assert.Empty(Collect(table, CollectScope.Ended, 2));
        Assert.Single(Collect(table, CollectScope.Changed, 2));
    }

    [Fact]
    public void Collect_DscpChanges_IsAnotherRecord()
    {
        var table = Table();
        table.Add(Key(1), Packet, TcpFlags.None, At(1));
        table.Add(Key(1) with { Dscp = 34 }, Packet, TcpFlags.None, At(2));

        Assert.Equal([34, 0], Collect(table, CollectScope.Changed, 2).Select(d => (int)d.Key.Dscp));
    }

    [Fact]
    public void Collect_Silent_EndsIdle()
    {
        var table = Table();
        table.Add(Key(1), Packet, TcpFlags.None, At(0));
        table.Add(Key(2), Packet, TcpFlags.None, At(9));

        Assert.Empty(Collect(table, CollectScope.Ended, 10));
        Assert.Equal([new(Key(1), At(0), At(0), 100, 1, FlowEndReason.Idle)], Collect(table, CollectScope.Ended, 11));
        Assert.Equal(1, table.Count);
    }

    [Fact]
    public void Collect_SilentAfterItWasReported_EndsWithAnEmptyRecord()
    {
        var table = Table();
        table.Add(Key(1), Packet, TcpFlags.None, At(0));
        Collect(table, CollectScope.Changed, 1);

        Assert.Equal([new(Key(1), At(0), At(0), 0, 0, FlowEndReason.Idle)], Collect(table, CollectScope.Ended, 11));
    }

    [Theory]
    [InlineData(TcpFlags.Fin)]
    [InlineData(TcpFlags.Rst)]
    public void Collect_Closed_EndsOnceTheLastAcknowledgementsAreIn(object flag)
    {
        var table = Table();
        table.Add(Key(1), Packet, (TcpFlags)flag, At(1));
        Assert.Empty(Collect(table, CollectScope.Ended, 2));
        table.Add(Key(1), Packet, TcpFlags.None, At(2));

        Assert.Empty(Collect(table, CollectScope.Ended, 3));
        Assert.Equal([new(Key(1), At(1), At(2), 200, 2, FlowEndReason.EndOfFlow)], Collect(table, CollectScope.Ended, 4));
        Assert.Equal(0, table.Count);
    }

    [Fact]
    public void Add_PortsUsedAgain_AreTwoFlows()
    {
        var table = Table();
        table.Add(Key(1), Packet, TcpFlags.None, At(1));
        table.Add(Key(1), Packet, TcpFlags.Fin, At(1));
        table.Add(Key(1), new SegmentCount(1, 60), TcpFlags.Syn, At(2));
        table.Add(Key(1), Packet, TcpFlags.None, At(3));

        Assert.Equal(
            [new(Key(1), At(1), At(1), 200, 2, FlowEndReason.EndOfFlow), new(Key(1), At(2), At(3), 160, 2, FlowEndReason.Active)],
            Collect(table, CollectScope.Changed, 3));
        Assert.Empty(Collect(table, CollectScope.Ended, 6)); // the second connection lives on
        Assert.Equal(1, table.Count);
    }

    [Fact]
    public void Add_Full_LongestSilentMakesRoomAndIsReported()
    {
        var table = new FlowTable(2, TimeSpan.FromSeconds(10));
        table.Add(Key(1), Packet, TcpFlags.None, At(1));
        table.Add(Key(2), Packet, TcpFlags.None, At(2));
        table.Add(Key(1), Packet, TcpFlags.None, At(3));
        table.Add(Key(3), Packet, TcpFlags.None, At(4));

        Assert.Equal((2, 1L), (table.Count, table.Evictions));
        Assert.Equal(
            [(2, FlowEndReason.LackOfResources, 100L), (3, FlowEndReason.Active, 100L), (1, FlowEndReason.Active, 200L)],
            Collect(table, CollectScope.Changed, 4).Select(d => (Number(d.Key), d.Reason, d.Octets)));
    }

    [Fact]
    public void Add_EndedFlowsNeverCollected_AreBoundedAndCounted()
    {
        var table = new FlowTable(4, TimeSpan.FromSeconds(10));
        for (var i = 0; i < 100; i++)
        {
            table.Add(Key(i), Packet, TcpFlags.Rst, At(i));
        }

        Assert.Equal((96L, 92L), (table.Evictions, table.LostRecords));
        var deltas = Collect(table, CollectScope.Changed, 101);
        Assert.Equal(
            [(92, FlowEndReason.LackOfResources), (93, FlowEndReason.LackOfResources), (94, FlowEndReason.LackOfResources), (95, FlowEndReason.LackOfResources),
                (96, FlowEndReason.EndOfFlow), (97, FlowEndReason.EndOfFlow), (98, FlowEndReason.EndOfFlow), (99, FlowEndReason.EndOfFlow)],
            deltas.Select(d => (Number(d.Key), d.Reason)));
    }

    [Fact]
    public void Collect_Everything_EndsAllAndEmptiesTheTable()
    {
        var table = Table();
        table.Add(Key(1), Packet, TcpFlags.None, At(1));
        table.Add(Key(2), Packet, TcpFlags.None, At(2));

        Assert.All(Collect(table, CollectScope.Everything, 3), d => Assert.Equal(FlowEndReason.Forced, d.Reason));
        Assert.Equal(0, table.Count);
        Assert.Empty(Collect(table, CollectScope.Everything, 4));
    }

    [Fact]
    public void AnySequence_AgreesWithAPlainModelAndLosesNothing()
    {
        for (var seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            var capacity = random.Next(40, 400); // no smaller than what can end between two collections, so nothing is lost
            var table = new FlowTable(capacity, TimeSpan.FromSeconds(10));
            var model = new Dictionary<FlowKey, (long Last, long Octets)>();
            var sent = new Dictionary<FlowKey, long>();
            var told = new Dictionary<FlowKey, long>();
            var stale = new HashSet<FlowKey>();
            var now = 0;
            for (var step = 0; step < 3000; step++)
            {
                now += random.Next(2);
                if (step % 40 == 39)
                {
                    var scope = (CollectScope)random.Next(3);
                    foreach (var delta in Collect(table, scope, now))
                    {
                        told[delta.Key] = told.GetValueOrDefault(delta.Key) + delta.Octets;
                    }

                    if (scope == CollectScope.Changed)
                    {
                        stale.UnionWith(model.Keys);
                    }

                    foreach (var (key, flow) in model.ToList())
                    {
                        if (scope == CollectScope.Everything || flow.Last < now - 10)
                        {
                            model.Remove(key);
                        }
                    }

                    Assert.Equal(model.Count, table.Count);
                    continue;
                }

                var added = Key(random.Next(500));
                if (!model.ContainsKey(added) && model.Count == capacity)
                {
                    // Of those silent equally long any may go; the table's is the one that was added to first.
                    model.Remove(model.MinBy(f => f.Value.Last * 10_000 + f.Value.Octets).Key);
                }

                // The step serves the model as the order of packets: a flow takes its place with the first of an instant, and with the first after a report.
                var isPlaced = model.TryGetValue(added, out var known) && known.Last == now && !stale.Contains(added);
                model[added] = (now, isPlaced ? known.Octets : step);
                stale.Remove(added);
                sent[added] = sent.GetValueOrDefault(added) + 100;
                table.Add(added, Packet, TcpFlags.None, At(now));
                Assert.Equal(model.Count, table.Count);
            }

            foreach (var delta in Collect(table, CollectScope.Everything, now))
            {
                Assert.True(model.Remove(delta.Key) || delta.Reason != FlowEndReason.Forced, $"seed {seed}: {delta} is in the table alone");
                told[delta.Key] = told.GetValueOrDefault(delta.Key) + delta.Octets;
            }

            Assert.Equal(0, table.LostRecords);
            Assert.Equal(sent.OrderBy(f => Number(f.Key)), told.Where(f => f.Value > 0).OrderBy(f => Number(f.Key)));
        }
    }

    [Fact]
    public void Add_KnownAndNewFlowsInAGrownTable_AllocatesNothing()
    {
        var table = new FlowTable(1000, TimeSpan.FromSeconds(10));
        for (var i = 0; i < 5000; i++)
        {
            table.Add(Key(i), Packet, TcpFlags.Fin, At(i));
        }

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 5000; i++)
        {
            table.Add(Key(i), Packet, (i & 1) == 0 ? TcpFlags.Fin : TcpFlags.Syn, At(6000 + i));
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private static FlowTable Table() => new(100, TimeSpan.FromSeconds(10));

    private static FlowKey Key(int number) => new((uint)number, 0x0A000006, 40_000, 7471, 6, 0, FlowDirection.Egress, IsIPv6: false);

    private static int Number(FlowKey key) => (int)key.Source;

    private static long At(int seconds) => DateTime.UnixEpoch.AddSeconds(seconds).Ticks;

    private static List<FlowDelta> Collect(FlowTable table, CollectScope scope, int nowSeconds)
    {
        var deltas = new List<FlowDelta>();
        table.Collect(scope, At(nowSeconds), deltas);
        return deltas;
    }
}
