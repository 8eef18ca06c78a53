using System.Runtime.CompilerServices;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Capture;

/// <summary>Totals of a meter since it was made.</summary>
/// <param name="Frames">Frames seen.</param>
/// <param name="Ignored">Of these, frames that are not IP with TCP or UDP, malformed ones, and those of others seen in passing.</param>
/// <param name="Drops">Frames lost before they were seen.</param>
/// <param name="Evictions">Flows that had to make room.</param>
/// <param name="LostRecords">Records of ended flows that were lost because nobody took them.</param>
/// <param name="Flows">Flows in the table now.</param>
internal readonly record struct MeterTotals(long Frames, long Ignored, long Drops, long Evictions, long LostRecords, int Flows);

/// <summary>Counts frames into flows. One thread counts, another collects: the lock is taken once per batch of frames, never per frame.</summary>
internal sealed class FlowMeter
{
    private readonly Lock sync = new();
    private readonly FlowTable table;
    private readonly HashSet<UInt128> localAddresses;
    private long frames;
    private long ignored;
    private long drops;

    /// <summary>Creates a meter with no flows.</summary>
    /// <param name="capacity">Most flows at a time.</param>
    /// <param name="idleTimeout">A flow silent this long has ended.</param>
    /// <param name="localAddresses">Addresses of this host, for sources that cannot tell sent from received.</param>
    public FlowMeter(int capacity, TimeSpan idleTimeout, IEnumerable<UInt128>? localAddresses = null)
    {
        table = new FlowTable(capacity, idleTimeout);
        this.localAddresses = [.. localAddresses ?? []];
    }

    /// <summary>Begins a batch; frames are added only within one.</summary>
    public Lock.Scope Batch() => sync.EnterScope();

    /// <summary>Counts a frame, within <see cref="Batch"/>. Allocates nothing.</summary>
    /// <param name="info">What is known of it.</param>
    /// <param name="frame">Its first bytes.</param>
    /// <param name="link">What it begins with.</param>
    /// <param name="mtu">As <see cref="IFrameSource.Mtu"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Add(in FrameInfo info, ReadOnlySpan<byte> frame, LinkLayer link, int mtu)
    {
        frames++;
        if (info.Origin == FrameOrigin.Foreign
            || !PacketHeaders.TryRead(frame, info.WireBytes, link, out var headers, info.Origin == FrameOrigin.Sent ? FlowDirection.Egress : FlowDirection.Ingress))
        {
            ignored++;
            return;
        }

        if (info.Origin == FrameOrigin.Unknown && localAddresses.Contains(headers.Key.Source))
        {
            headers = new PacketHeaders(
                headers.Key with { Direction = FlowDirection.Egress }, headers.PacketBytes, headers.HeaderBytes, headers.Flags, headers.Sequence, headers.Acknowledgement);
        }

        table.Add(headers, SegmentCount.Of(headers, info.SegmentPayload, mtu), info.Ticks);
    }

    /// <summary>Counts frames that were lost before they were seen.</summary>
    public void AddDrops(long count) => Interlocked.Add(ref drops, count);

    /// <summary>As <see cref="FlowTable.Collect"/>.</summary>
    public void Collect(CollectScope scope, long nowTicks, List<FlowDelta> into)
    {
        lock (sync)
        {
            table.Collect(scope, nowTicks, into);
        }
    }

    /// <summary>As <see cref="FlowTable.Snapshot"/>.</summary>
    public void Snapshot(List<FlowDelta> into)
    {
        lock (sync)
        {
            table.Snapshot(into);
        }
    }

    /// <summary>Totals so far.</summary>
    public MeterTotals Totals()
    {
        lock (sync)
        {
            return new MeterTotals(frames, ignored, Interlocked.Read(ref drops), table.Evictions, table.LostRecords, table.Count);
        }
    }
}
