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
/// <para>Loss makes only missing(c); a late report makes neither; a change of level in mid-flow makes neither. Re-marking c to d makes both, and the lesser of the two sums is re-marked for certain.</para>
/// <para>"So long ago" means: the other side has reported a later packet of this flow by more than <see cref="Margin"/>, or has been connected and silent about it for <see cref="Patience"/>.</para>
/// <para>What has been missing or surplus for a whole <see cref="SettleInterval"/> is settled: matched into <see cref="Settled"/> and forgotten, so that loss of an hour ago cannot meet a miscount of today.</para>
/// </remarks>
internal sealed class MarkLedger
{
    /// <summary>Clock difference between hosts plus time under way, at most. Queues here hold about a second.</summary>
    public static readonly TimeSpan Margin = TimeSpan.FromSeconds(2);

    /// <summary>Longest report interval (10 s) with its transfer.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(12);

    /// <summary>How long a difference must stand to be settled.</summary>
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

    /// <summary>Notes octets that left the sender.</summary>
    public void Sent(Dscp dscp, long octets, DateTimeOffset flowEnd, DateTimeOffset now)
    {
        At(dscp.Value).SentAll += octets;
        _sender.Add(dscp.Value, octets, flowEnd, now);
        Touch(now);
    }

    /// <summary>Notes octets that reached the receiver.</summary>
    public void Arrived(Dscp dscp, long octets, DateTimeOffset flowEnd, DateTimeOffset now)
    {
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
            code.LeastMissing = Math.Min(code.LeastMissing, code.Missing);
            code.LeastSurplus = Math.Min(code.LeastSurplus, code.Surplus);
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
        Match(c => c.Missing, c => c.Surplus, remarks);
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
        Match(c => c.LeastMissing, c => c.LeastSurplus, _settled);
        foreach (var code in _codes.Values)
        {
            // What was missing counts as arrived from now on, and what was surplus as sent.
            code.ArrivedAll += code.LeastMissing;
            code.ArrivedCertain += code.LeastMissing;
            code.SentAll += code.LeastSurplus;
            code.SentCertain += code.LeastSurplus;
            code.LeastMissing = code.Missing;
            code.LeastSurplus = code.Surplus;
        }
    }

    // Unmarked traffic cannot lose its mark, so only marked codes are matched as sent. Each octet is matched once.
    private void Match(Func<Code, long> missing, Func<Code, long> surplus, Dictionary<Remark, long> into)
    {
        var lacking = _codes.Where(c => c.Key != 0 && missing(c.Value) > 0).Select(c => (c.Key, Octets: missing(c.Value))).OrderByDescending(c => c.Octets).ToArray();
        foreach (var (arrived, left) in _codes.Where(c => surplus(c.Value) > 0).Select(c => (c.Key, surplus(c.Value))).OrderByDescending(c => c.Item2))
        {
            var rest = left;
            for (var i = 0; i < lacking.Length && rest > 0; i++)
            {
                var matched = lacking[i].Key == arrived ? 0 : Math.Min(rest, lacking[i].Octets);
                if (matched > 0)
                {
                    lacking[i].Octets -= matched;
                    rest -= matched;
                    CollectionsMarshal.GetValueRefOrAddDefault(into, new(lacking[i].Key, arrived), out _) += matched;
                }
            }
        }
    }

    private sealed class Code
    {
        public long SentAll { get; set; }

        public long SentCertain { get; set; }

        public long ArrivedAll { get; set; }

        public long ArrivedCertain { get; set; }

        public long LeastMissing { get; set; }

        public long LeastSurplus { get; set; }

        public long Missing => Math.Max(0, SentCertain - ArrivedAll);

        public long Surplus => Math.Max(0, ArrivedCertain - SentAll);
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
