using System.Diagnostics;
using System.Numerics;
using System.Runtime.CompilerServices;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Capture;

/// <summary>Counts packets by flow. Bounded: the flow that was silent longest makes room. Not thread-safe.</summary>
/// <remarks>
/// A hash table with chains over one array of entries, which are also linked by the time of their last packet, to within <see cref="OrderTicks"/>. So the
/// cost of a collection is that of what it finds, and a packet allocates nothing once the array has grown to what is needed.
/// Time is that of the packets; a clock set back only delays the end of silent flows.
/// </remarks>
internal sealed class FlowTable
{
    private const int None = -1;
    private const int FirstSize = 256;
    private const byte Tcp = 6;

    // Long enough for the last acknowledgements of both sides at any round-trip time in a data centre, short enough for a live view.
    private static readonly long LingerTicks = TimeSpan.FromSeconds(2).Ticks;

    // A busy flow need not change its place with every packet: that would touch four entries instead of one.
    private static readonly ulong OrderTicks = (ulong)TimeSpan.FromMilliseconds(10).Ticks;

    private readonly int capacity;
    private readonly long idleTicks;
    private readonly HandshakeTimes handshakes = new();
    private readonly Queue<FlowDelta> ended = new();
    private readonly List<(int Slot, uint Incarnation)> closing = [];
    private Entry[] entries;
    private int[] buckets;
    private int used;
    private int free = None;
    private int newest = None;
    private int oldest = None;
    private int last = None;

    /// <summary>Creates an empty table.</summary>
    /// <param name="capacity">Most flows at a time, ≥ 1.</param>
    /// <param name="idleTimeout">A flow silent this long has ended.</param>
    public FlowTable(int capacity, TimeSpan idleTimeout)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(capacity);
        this.capacity = capacity;
        idleTicks = idleTimeout.Ticks;
        entries = new Entry[Math.Min(FirstSize, capacity)];
        buckets = NewBuckets(entries.Length);
    }

    /// <summary>Flows in the table.</summary>
    public int Count { get; private set; }

    /// <summary>Flows that had to make room for others, ever.</summary>
    public long Evictions { get; private set; }

    /// <summary>Records of ended flows that nobody collected in time, ever; as many as the table has room for are kept.</summary>
    public long LostRecords { get; private set; }

    /// <summary>Counts a frame.</summary>
    /// <param name="headers">Its headers.</param>
    /// <param name="size">What it was on the wire.</param>
    /// <param name="ticks">When it was seen, UTC ticks.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Add(in PacketHeaders headers, in SegmentCount size, long ticks)
    {
        ref readonly var key = ref headers.Key;
        var flags = headers.Flags;

        // Packets come in trains: the flow of the last one is looked at before the hash.
        var slot = last;
        if (slot == None || !entries[slot].Key.Equals(key))
        {
            var hash = key.GetHashCode();
            slot = Find(key, hash);
            if (slot == None)
            {
                slot = Insert(key, hash);
            }

            last = slot;
        }

        ref var entry = ref entries[slot];
        if ((flags & TcpFlags.Syn) != 0)
        {
            Begin(ref entry, headers, ticks);
        }

        if (entry.Packets == 0)
        {
            entry.FirstTicks = ticks;
            Touch(slot, ref entry, ticks);
        }
        else if ((ulong)(ticks - entry.TouchedTicks) > OrderTicks)
        {
            Touch(slot, ref entry, ticks);
        }

        // Processors stamp packets on their own, so one may carry a time before its predecessor's.
        entry.LastTicks = Math.Max(ticks, entry.FirstTicks);
        entry.Octets += size.Octets;
        entry.Packets += size.Packets;
        if (key.Protocol == Tcp)
        {
            entry.Progress.Add(headers, size.Packets, ticks);
            if ((flags & (TcpFlags.Fin | TcpFlags.Rst)) != 0)
            {
                Close(slot, ref entry, flags);
            }
        }
    }

    /// <summary>Takes what was counted, and forgets flows that ended.</summary>
    /// <param name="scope">Which flows.</param>
    /// <param name="nowTicks">The time, UTC ticks.</param>
    /// <param name="into">Gets the deltas; ended flows appear even when they carried nothing since they were last taken.</param>
    public void Collect(CollectScope scope, long nowTicks, List<FlowDelta> into)
    {
        while (ended.TryDequeue(out var delta))
        {
            into.Add(delta);
        }

        EndClosed(nowTicks, into);
        while (oldest != None && (scope == CollectScope.Everything || entries[oldest].LastTicks < nowTicks - idleTicks))
        {
            var reason = entries[oldest].LastTicks < nowTicks - idleTicks ? FlowEndReason.Idle : FlowEndReason.Forced;
            into.Add(entries[oldest].Delta(reason));
            Remove(oldest);
        }

        if (scope != CollectScope.Changed)
        {
            return;
        }

        // Newest first, up to the first that carried nothing: those behind it carried nothing either.
        for (var slot = newest; slot != None && entries[slot].Packets != 0; slot = entries[slot].Older)
        {
            ref var entry = ref entries[slot];
            into.Add(entry.Delta(FlowEndReason.Active));
            entry.Forget();
        }
    }

    /// <summary>Looks at all flows, newest first, and changes nothing.</summary>
    /// <param name="into">Gets each flow as one delta from its first packet on.</param>
    public void Snapshot(List<FlowDelta> into)
    {
        for (var slot = newest; slot != None; slot = entries[slot].Older)
        {
            into.Add(entries[slot].Whole());
        }
    }

    // At least one bucket an entry, a power of two.
    private static int[] NewBuckets(int size)
    {
        var fresh = new int[BitOperations.RoundUpToPowerOf2((uint)size)];
        Array.Fill(fresh, None);
        return fresh;
    }

    private int Find(in FlowKey key, int hash)
    {
        for (var slot = buckets[Bucket(hash)]; slot != None; slot = entries[slot].Next)
        {
            if (entries[slot].Hash == hash && entries[slot].Key.Equals(key))
            {
                return slot;
            }
        }

        return None;
    }

    private int Bucket(int hash) => hash & (buckets.Length - 1);

    private void Begin(ref Entry entry, in PacketHeaders headers, long ticks)
    {
        if ((entry.Flags & (TcpFlags.Fin | TcpFlags.Rst)) != 0)
        {
            // The ports are used again: what was counted belongs to the connection before.
            Emit(entry, FlowEndReason.EndOfFlow);
            entry.Restart();
        }

        if ((headers.Flags & TcpFlags.Ack) == 0)
        {
            handshakes.Begin(headers, ticks);
        }
        else
        {
            entry.HandshakeTicks = handshakes.Complete(headers, ticks);
        }
    }

    private void Close(int slot, ref Entry entry, TcpFlags flags)
    {
        if ((entry.Flags & (TcpFlags.Fin | TcpFlags.Rst)) == 0)
        {
            if (closing.Count >= 2 * capacity)
            {
                ForgetGone();
            }

            closing.Add((slot, entry.Incarnation));
        }

        entry.Flags |= flags;
    }

    private void Touch(int slot, ref Entry entry, long ticks)
    {
        entry.TouchedTicks = ticks;
        MoveToNewest(slot);
    }

    private int Insert(in FlowKey key, int hash)
    {
        if (Count == capacity)
        {
            Evictions++;
            if (entries[oldest].Packets != 0)
            {
                Emit(entries[oldest], FlowEndReason.LackOfResources);
            }

            Remove(oldest);
        }

        int slot;
        if (free != None)
        {
            slot = free;
            free = entries[slot].Next;
        }
        else
        {
            if (used == entries.Length)
            {
                Grow();
            }

            slot = used++;
        }

        ref var entry = ref entries[slot];
        var incarnation = entry.Incarnation + 1;
        entry = default;
        entry.Key = key;
        entry.Hash = hash;
        entry.Incarnation = incarnation;
        entry.Next = buckets[Bucket(hash)];
        buckets[Bucket(hash)] = slot;
        LinkNewest(slot);
        Count++;
        return slot;
    }

    private void Remove(int slot)
    {
        ref var link = ref buckets[Bucket(entries[slot].Hash)];
        while (link != slot)
        {
            link = ref entries[link].Next;
        }

        link = entries[slot].Next;
        Unlink(slot);
        last = last == slot ? None : last;
        entries[slot].Incarnation++;
        entries[slot].Next = free;
        free = slot;
        Count--;
    }

    private void Grow()
    {
        Array.Resize(ref entries, (int)Math.Min((long)entries.Length * 2, capacity));
        buckets = NewBuckets(entries.Length);
        for (var slot = 0; slot < used; slot++)
        {
            // The table grows only when no slot is free, so every one is in use.
            ref var bucket = ref buckets[Bucket(entries[slot].Hash)];
            entries[slot].Next = bucket;
            bucket = slot;
        }
    }

    private void EndClosed(long nowTicks, List<FlowDelta> into)
    {
        var kept = 0;
        for (var i = 0; i < closing.Count; i++)
        {
            var (slot, incarnation) = closing[i];
            ref var entry = ref entries[slot];
            if (entry.Incarnation != incarnation)
            {
                continue;
            }

            if (entry.LastTicks > nowTicks - LingerTicks)
            {
                closing[kept++] = closing[i];
                continue;
            }

            into.Add(entry.Delta(FlowEndReason.EndOfFlow));
            Remove(slot);
        }

        closing.RemoveRange(kept, closing.Count - kept);
    }

    // Flows that made room for others leave their mark in the list of closing ones: under a storm of resets nobody would clear it before it is large.
    private void ForgetGone()
    {
        var kept = 0;
        for (var i = 0; i < closing.Count; i++)
        {
            if (entries[closing[i].Slot].Incarnation == closing[i].Incarnation)
            {
                closing[kept++] = closing[i];
            }
        }

        closing.RemoveRange(kept, closing.Count - kept);
    }

    private void Emit(in Entry entry, FlowEndReason reason)
    {
        if (ended.Count == capacity)
        {
            ended.Dequeue();
            LostRecords++;
        }

        ended.Enqueue(entry.Delta(reason));
    }

    private void MoveToNewest(int slot)
    {
        if (slot != newest)
        {
            Unlink(slot);
            LinkNewest(slot);
        }
    }

    private void LinkNewest(int slot)
    {
        entries[slot].Older = newest;
        entries[slot].Newer = None;
        if (newest != None)
        {
            entries[newest].Newer = slot;
        }
        else
        {
            oldest = slot;
        }

        newest = slot;
    }

    private void Unlink(int slot)
    {
        var (older, newer) = (entries[slot].Older, entries[slot].Newer);
        Debug.Assert(older != None || oldest == slot);
        if (older != None)
        {
            entries[older].Newer = newer;
        }
        else
        {
            oldest = newer;
        }

        if (newer != None)
        {
            entries[newer].Older = older;
        }
        else
        {
            newest = older;
        }
    }

    private struct Entry
    {
        public FlowKey Key;
        public int Hash;
        public int Next;
        public int Older;
        public int Newer;
        public long FirstTicks;
        public long LastTicks;
        public long TouchedTicks;
        public long Octets;
        public long Packets;
        public TcpProgress Progress;
        public long HandshakeTicks;
        public long BeganTicks;
        public long ReportedOctets;
        public long ReportedPackets;
        public uint Incarnation;
        public TcpFlags Flags;

        public readonly FlowDelta Delta(FlowEndReason reason) =>
            new(Key, Packets == 0 ? LastTicks : FirstTicks, LastTicks, Octets, Packets, reason, Progress.Retransmissions, Progress.OutOfOrder, HandshakeTicks);

        public readonly FlowDelta Whole() => Delta(FlowEndReason.Active) with
        {
            FirstTicks = ReportedPackets == 0 ? FirstTicks : BeganTicks,
            Octets = ReportedOctets + Octets,
            Packets = ReportedPackets + Packets,
        };

        public void Forget()
        {
            BeganTicks = ReportedPackets == 0 ? FirstTicks : BeganTicks;
            (ReportedOctets, ReportedPackets) = (ReportedOctets + Octets, ReportedPackets + Packets);
            (Octets, Packets, HandshakeTicks) = (0, 0, 0);
            (Progress.Retransmissions, Progress.OutOfOrder) = (0, 0);
        }

        public void Restart()
        {
            Forget();
            (ReportedOctets, ReportedPackets) = (0, 0);
            Progress = default;
            Flags = TcpFlags.None;
            Incarnation++;
        }
    }
}
