using System.Runtime.InteropServices;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.Flows;

/// <summary>Octets that left as one code point and arrived as another.</summary>
internal readonly record struct Remark(byte Sent, byte Arrived);

/// <summary>Compares, for one 5-tuple, the octets sent under each code point with the octets that arrived under it, and finds those that were re-marked on the way.</summary>
/// <remarks>
/// <para>The two sides report at different times, so sums of one moment never match. Two lower bounds do hold at any moment:</para>
/// <para>missing(c) = what was sent under c so long ago that the receiver must have reported it, less all that has arrived under c;</para>
/// <para>surplus(d) = what arrived under d so long ago that the sender must have reported it, less all that was sent under d.</para>
/// <para>What is truly missing or surplus never shrinks, so the highest bound seen holds too. Loss makes only missing(c); a late report makes neither; a change of level in mid-flow makes neither.
/// Re-marking c to d makes both, and the lesser of the two sums is re-marked for certain.</para>
/// <para>"So long ago" means: the other side has reported a later packet of this flow by more than <see cref="Margin"/>, or has been connected and silent about it for <see cref="Patience"/>.</para>
/// <para>Each <see cref="SettleInterval"/> the books are settled: what matches is noted, and what found no match for a whole interval is forgotten, so that loss of an hour ago cannot meet a miscount of today.</para>
/// </remarks>
internal sealed class MarkLedger
{
    /// <summary>Clock difference between hosts plus time under way, at most. Queues here hold about a second.</summary>
    public static readonly TimeSpan Margin = TimeSpan.FromSeconds(2);

    /// <summary>Longest report interval (10 s) with its transfer.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(12);

    /// <summary>How long a difference waits for its match.</summary>
    public static readonly TimeSpan SettleInterval = TimeSpan.FromMinutes(2);

    // A side that stays silent lets the other's records pile up; beyond this they are merged, later and so on the safe side.
    private const int MaxWaiting = 64;

    private readonly Dictionary<byte, Code> _codes = [];
    private readonly Dictionary<Remark, long> _settled = [];
    private readonly Side _sender = new();
    private readonly Side _receiver = new();
    private DateTimeOffset _settleAt = DateTimeOffset.MaxValue;

    /// <summary>Re-marked octets whose books are closed.</summary>
    public IReadOnlyDictionary<Remark, long> Settled => _settled;

    /// <summary>When a record was added last.</summary>
    public DateTimeOffset Touched { get; private set; }

    /// <summary>Whether more octets have arrived under one of these code points since, as they were sent.</summary>
    public bool ArrivedIntactSince(DateTimeOffset since, Func<byte, bool> isOfInterest) => _codes.Any(c => c.Key != 0 && isOfInterest(c.Key) && c.Value.IntactAt >= since);

    /// <summary>Notes octets that left the sender.</summary>
    public void Sent(Dscp dscp, long octets, DateTimeOffset flowEnd, DateTimeOffset now)
    {
        At(dscp.Value).Sent += octets;
        At(dscp.Value).SentAll += octets;
        _sender.Add(dscp.Value, octets, flowEnd, now);
        Touch(now);
    }

    /// <summary>Notes octets that reached the receiver.</summary>
    public void Arrived(Dscp dscp, long octets, DateTimeOffset flowEnd, DateTimeOffset now)
    {
        At(dscp.Value).Arrived += octets;
        At(dscp.Value).ArrivedAll += octets;
        _receiver.Add(dscp.Value, octets, flowEnd, now);
        Touch(now);
    }

    /// <summary>Takes in what has become certain.</summary>
    /// <param name="senderListening">Whether the sender's agent has been connected for <see cref="Patience"/>, so that its silence says something.</param>
    /// <param name="receiverListening">The same of the receiver's agent.</param>
    public void Advance(DateTimeOffset now, bool senderListening, bool receiverListening)
    {
        _sender.Release(_receiver.Latest - Margin, receiverListening ? now - Patience : DateTimeOffset.MinValue, (code, octets) => At(code).SentCertain += octets);
        _receiver.Release(_sender.Latest - Margin, senderListening ? now - Patience : DateTimeOffset.MinValue, (code, octets) => At(code).ArrivedCertain += octets);
        foreach (var code in _codes.Values)
        {
            code.Missing = Math.Max(code.Missing, code.SentCertain - code.ArrivedAll);
            code.Surplus = Math.Max(code.Surplus, code.ArrivedCertain - code.SentAll);
            if (Math.Min(code.Sent, code.Arrived) is var intact && intact > code.Intact)
            {
                (code.Intact, code.IntactAt) = (intact, now);
            }
        }

        if (now >= _settleAt)
        {
            Settle();
            _settleAt = now + SettleInterval;
        }
    }

    /// <summary>All re-marked octets known now, settled ones included.</summary>
    public Dictionary<Remark, long> Remarks()
    {
        var remarks = new Dictionary<Remark, long>(_settled);
        Match((remark, octets) => CollectionsMarshal.GetValueRefOrAddDefault(remarks, remark, out _) += octets);
        return remarks;
    }

    private void Touch(DateTimeOffset now)
    {
        Touched = now;
        if (_settleAt == DateTimeOffset.MaxValue)
        {
            _settleAt = now + SettleInterval;
        }
    }

    private Code At(byte code)
    {
        ref var entry = ref CollectionsMarshal.GetValueRefOrAddDefault(_codes, code, out _);
        return entry ??= new();
    }

    private void Settle()
    {
        Match((remark, octets) =>
        {
            CollectionsMarshal.GetValueRefOrAddDefault(_settled, remark, out _) += octets;
            _codes[remark.Sent].CloseMissing(octets);
            _codes[remark.Arrived].CloseSurplus(octets);
        });
        foreach (var code in _codes.Values)
        {
            code.CloseMissing(Math.Min(code.Missing, code.MissingBefore));
            code.CloseSurplus(Math.Min(code.Surplus, code.SurplusBefore));
            (code.MissingBefore, code.SurplusBefore) = (code.Missing, code.Surplus);
        }
    }

    // Unmarked traffic cannot lose its mark, so only marked codes are matched as sent. Each octet is matched once.
    private void Match(Action<Remark, long> matched)
    {
        var missing = _codes.Where(c => c.Key != 0 && c.Value.Missing > 0).Select(c => (c.Key, Octets: c.Value.Missing)).OrderByDescending(c => c.Octets).ToArray();
        foreach (var (arrived, surplus) in _codes.Where(c => c.Value.Surplus > 0).Select(c => (c.Key, c.Value.Surplus)).OrderByDescending(c => c.Surplus).ToArray())
        {
            var rest = surplus;
            for (var i = 0; i < missing.Length && rest > 0; i++)
            {
                var octets = missing[i].Key == arrived ? 0 : Math.Min(rest, missing[i].Octets);
                if (octets > 0)
                {
                    missing[i].Octets -= octets;
                    rest -= octets;
                    matched(new(missing[i].Key, arrived), octets);
                }
            }
        }
    }

    private sealed class Code
    {
        public long Sent { get; set; }

        public long Arrived { get; set; }

        public long Intact { get; set; }

        public DateTimeOffset IntactAt { get; set; } = DateTimeOffset.UnixEpoch;

        // As above, with what is closed.
        public long SentAll { get; set; }

        public long SentCertain { get; set; }

        public long ArrivedAll { get; set; }

        public long ArrivedCertain { get; set; }

        public long Missing { get; set; }

        public long MissingBefore { get; set; }

        public long Surplus { get; set; }

        public long SurplusBefore { get; set; }

        // What is closed as missing counts as arrived from now on.
        public void CloseMissing(long octets)
        {
            Missing -= octets;
            ArrivedAll += octets;
        }

        // What is closed as surplus counts as sent from now on.
        public void CloseSurplus(long octets)
        {
            Surplus -= octets;
            SentAll += octets;
        }
    }

    private sealed class Side
    {
        private readonly List<Waiting> _waiting = [];

        public DateTimeOffset Latest { get; private set; } = DateTimeOffset.UnixEpoch;

        public void Add(byte code, long octets, DateTimeOffset flowEnd, DateTimeOffset now)
        {
            Latest = flowEnd > Latest ? flowEnd : Latest;
            var same = _waiting.Count < MaxWaiting ? -1 : _waiting.FindLastIndex(w => w.Code == code);
            if (same < 0)
            {
                _waiting.Add(new(code, octets, flowEnd, now));
            }
            else
            {
                var merged = _waiting[same];
                _waiting[same] = new(code, merged.Octets + octets, flowEnd > merged.FlowEnd ? flowEnd : merged.FlowEnd, now);
            }
        }

        public void Release(DateTimeOffset coveredUntil, DateTimeOffset takenBefore, Action<byte, long> certain) =>
            _waiting.RemoveAll(w =>
            {
                if (w.FlowEnd > coveredUntil && w.TakenAt > takenBefore)
                {
                    return false;
                }

                certain(w.Code, w.Octets);
                return true;
            });

        private readonly record struct Waiting(byte Code, long Octets, DateTimeOffset FlowEnd, DateTimeOffset TakenAt);
    }
}
