using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Agent.Capture;

public sealed class TcpProgressTests
{
    // Sequence number, payload, milliseconds.
    public static TheoryData<string, int, int, (uint, int, int)[]> Sent { get; } = new()
    {
        { "in order", 0, 0, [(100, 10, 0), (110, 10, 1), (120, 10, 2)] },
        { "the same again", 1, 0, [(100, 10, 0), (110, 10, 1), (100, 10, 2)] },
        { "the last again", 1, 0, [(100, 10, 0), (100, 10, 500)] },
        { "old and new together", 1, 0, [(100, 10, 0), (105, 10, 1), (115, 10, 2)] },
        { "across the wrap", 0, 0, [(0xFFFFFFF0, 32, 0), (16, 10, 1)] },
        { "again across the wrap", 1, 0, [(0xFFFFFFF0, 32, 0), (0xFFFFFFF0, 32, 1)] },
        { "a gap that this host never saw", 0, 0, [(100, 10, 0), (500, 10, 1)] },
        { "a probe of an idle connection", 0, 0, [(100, 10, 0), (109, 1, 9000)] },
        { "acknowledgements alone", 0, 0, [(100, 10, 0), (100, 0, 1), (110, 0, 2)] },
    };

    public static TheoryData<string, int, int, (uint, int, int)[]> Received { get; } = new()
    {
        { "overtaken", 0, 1, [(100, 10, 0), (120, 10, 1), (110, 10, 2), (130, 10, 3)] },
        { "repaired a round trip later", 1, 0, [(100, 10, 0), (120, 10, 1), (110, 10, 5)] },
        { "in order after a gap", 0, 0, [(100, 10, 0), (120, 10, 1), (130, 10, 2)] },
    };

    [Theory]
    [MemberData(nameof(Sent))]
    public void Add_Sent_OnlyRepetitionsCount(string what, int again, int overtaken, (uint, int, int)[] packets) => Check(what, FlowDirection.Egress, again, overtaken, packets);

    [Theory]
    [MemberData(nameof(Received))]
    public void Add_Received_TimeTellsWhich(string what, int again, int overtaken, (uint, int, int)[] packets) => Check(what, FlowDirection.Ingress, again, overtaken, packets);

    [Fact]
    public void Table_SynAndAnswer_TimeIsInTheAnswersRecord()
    {
        var table = new FlowTable(100, TimeSpan.FromSeconds(10));
        var syn = new FlowKey(1, 2, 40_000, 80, 6, 0, FlowDirection.Egress, IsIPv6: false);
        var answer = new FlowKey(2, 1, 80, 40_000, 6, 34, FlowDirection.Ingress, IsIPv6: false);
        var one = new SegmentCount(1, 60);

        table.Add(new PacketHeaders(syn, 60, 60, TcpFlags.Syn, Sequence: 1000), one, At(0));
        table.Add(new PacketHeaders(syn, 60, 60, TcpFlags.Syn, Sequence: 1000), one, At(1000)); // again: the first counts
        table.Add(new PacketHeaders(answer, 60, 60, TcpFlags.Syn | TcpFlags.Ack, Sequence: 5, Acknowledgement: 999), one, At(1001)); // of another connection
        Assert.DoesNotContain(Collect(table), d => d.HandshakeTicks != 0);
        table.Add(new PacketHeaders(answer, 60, 60, TcpFlags.Syn | TcpFlags.Ack, Sequence: 5, Acknowledgement: 1001), one, At(1002));

        var record = Assert.Single(Collect(table), d => d.HandshakeTicks != 0);
        Assert.Equal((answer, TimeSpan.FromMilliseconds(1002).Ticks), (record.Key, record.HandshakeTicks));
        Assert.Empty(Collect(table));
    }

    [Fact]
    public void Snapshot_ReportedAndNew_CountsAllAndChangesNothing()
    {
        var table = new FlowTable(100, TimeSpan.FromSeconds(10));
        var key = new FlowKey(1, 2, 40_000, 80, 17, 0, FlowDirection.Egress, IsIPv6: false);
        table.Add(key, new SegmentCount(1, 100), TcpFlags.None, At(1));
        Collect(table);
        table.Add(key, new SegmentCount(2, 200), TcpFlags.None, At(5));

        var snapshot = new List<FlowDelta>();
        table.Snapshot(snapshot);

        Assert.Equal([new FlowDelta(key, At(1), At(5), 300, 3, FlowEndReason.Active)], snapshot);
        Assert.Equal(200, Assert.Single(Collect(table)).Octets);
    }

    [Fact]
    public void Table_MillionFlows_StaysBoundedAndCountsWhatItEvicted()
    {
        const int Flows = 1_000_000;
        const int Capacity = 65_536;
        var table = new FlowTable(Capacity, TimeSpan.FromSeconds(30));
        var deltas = new List<FlowDelta>();
        long told = 0;
        var before = 0L;
        for (var i = 0; i < Flows; i++)
        {
            if (i == Flows / 2)
            {
                before = GC.GetAllocatedBytesForCurrentThread();
            }

            table.Add(new FlowKey((uint)i, 9, (ushort)i, 7471, 6, 0, FlowDirection.Ingress, IsIPv6: false), new SegmentCount(1, 40), TcpFlags.Rst, At(i / 100));
            if (i % 50_000 == 49_999)
            {
                deltas.Clear();
                table.Collect(CollectScope.Ended, At((i / 100) - 60_000), deltas);
                told += deltas.Sum(d => d.Packets);
            }
        }

        Assert.Equal((Capacity, (long)Flows - Capacity), (table.Count, table.Evictions));
        deltas.Clear();
        table.Collect(CollectScope.Everything, At(Flows), deltas);
        Assert.Equal(Flows, told + deltas.Sum(d => d.Packets) + table.LostRecords);

        // Full once, it takes no more memory: the list of the collected may grow a last time.
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 64 << 20);
    }

    private static void Check(string what, FlowDirection direction, int again, int overtaken, (uint Sequence, int Payload, int Milliseconds)[] packets)
    {
        var progress = default(TcpProgress);
        foreach (var (sequence, payload, milliseconds) in packets)
        {
            progress.Add(new PacketHeaders(new FlowKey(1, 2, 3, 4, 6, 0, direction, IsIPv6: false), 40 + payload, 40, TcpFlags.Ack, sequence), 1, At(milliseconds));
        }

        Assert.Equal((what, again, overtaken), (what, progress.Retransmissions, progress.OutOfOrder));
    }

    private static long At(int milliseconds) => DateTime.UnixEpoch.AddMilliseconds(milliseconds).Ticks;

    private static List<FlowDelta> Collect(FlowTable table)
    {
        var deltas = new List<FlowDelta>();
        table.Collect(CollectScope.Changed, At(2000), deltas);
        return deltas;
    }
}
