using System.Collections.Immutable;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.Flows;

/// <summary>All flows seen now. Immutable.</summary>
/// <param name="Flows">By key; a flow that did not change is the same object as before.</param>
/// <param name="Rates">Rates by pair of hosts and by host, for the load of links.</param>
internal sealed record LiveFlowSnapshot(IReadOnlyDictionary<string, LiveFlow> Flows, FlowRates Rates);

/// <summary>bit/s, summed over flows.</summary>
/// <param name="Between">By sending and receiving host of the fabric.</param>
/// <param name="SentBy">All that a host sends, to wherever, as it measured itself.</param>
/// <param name="ReceivedBy">All that a host receives, as it measured itself.</param>
internal sealed record FlowRates(
    IReadOnlyDictionary<(string Source, string Destination), double> Between,
    IReadOnlyDictionary<string, double> SentBy,
    IReadOnlyDictionary<string, double> ReceivedBy);

/// <summary>Joins the sender's and the receiver's records of each 5-tuple into the flow as seen now. Safe to call from any thread.</summary>
internal sealed class LiveFlows(TimeProvider time)
{
    /// <summary>How long a flow is shown after its last record: three report intervals.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan LifetimeAfterEnd = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan LeastInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestInterval = TimeSpan.FromSeconds(15);

    private const int MaxFlows = 200_000;

    private readonly Lock _lock = new();
    private readonly Dictionary<FlowTuple, Entry> _flows = [];
    private LiveFlowSnapshot _snapshot = new(ImmutableDictionary<string, LiveFlow>.Empty, new(
        ImmutableDictionary<(string, string), double>.Empty, ImmutableDictionary<string, double>.Empty, ImmutableDictionary<string, double>.Empty));

    private bool _dirty;

    /// <summary>Flows that are not shown because there are too many at once.</summary>
    public long FlowsLeftOut { get; private set; }

    /// <summary>Takes the records of one 5-tuple and direction from one report over.</summary>
    /// <param name="sourceHost">Null when no host of the fabric has the address.</param>
    /// <param name="job">Name of the job; null when it belongs to none.</param>
    public void Take(in FlowTuple tuple, string? sourceHost, string? destinationHost, string? job, FlowDirection direction, IReadOnlyList<FlowRecord> records)
    {
        var now = time.GetUtcNow();
        lock (_lock)
        {
            if (!_flows.TryGetValue(tuple, out var flow))
            {
                if (_flows.Count >= MaxFlows)
                {
                    FlowsLeftOut++;
                    return;
                }

                flow = new(tuple, sourceHost, destinationHost);
                _flows[tuple] = flow;
            }

            var side = direction == FlowDirection.Egress ? flow.Sent : flow.Arrived;
            side.Take(records, now);
            flow.Job = job ?? flow.Job;
            flow.Role = records[^1].Role ?? flow.Role;
            flow.Ended |= records.Any(r => r.EndReason == FlowEndReason.EndOfFlow);
            flow.View = null;
            _dirty = true;
        }
    }

    /// <summary>The flows as of now; silent ones fade and go.</summary>
    public LiveFlowSnapshot Snapshot()
    {
        var now = time.GetUtcNow();
        lock (_lock)
        {
            foreach (var (tuple, flow) in _flows)
            {
                var silent = now - flow.TakenAt;
                if (silent > (flow.Ended ? LifetimeAfterEnd : Lifetime))
                {
                    // Removing while enumerating is allowed since .NET Core 3.
                    _flows.Remove(tuple);
                    _dirty = true;
                }
                else if (flow.Sent.Fade(now) | flow.Arrived.Fade(now))
                {
                    flow.View = null;
                    _dirty = true;
                }
            }

            if (_dirty)
            {
                _dirty = false;
                _snapshot = Build();
            }

            return _snapshot;
        }
    }

    private static void Add<TKey>(Dictionary<TKey, double> sums, TKey key, double value)
        where TKey : notnull => sums[key] = sums.GetValueOrDefault(key) + value;

    private LiveFlowSnapshot Build()
    {
        var flows = new Dictionary<string, LiveFlow>(_flows.Count, StringComparer.Ordinal);
        Dictionary<(string, string), double> between = [];
        Dictionary<string, double> sent = new(StringComparer.Ordinal);
        Dictionary<string, double> received = new(StringComparer.Ordinal);
        foreach (var flow in _flows.Values)
        {
            var view = flow.View ??= flow.MakeView();
            flows[view.Key] = view;
            if (flow is { SourceHost: { } from, DestinationHost: { } to })
            {
                Add(between, (from, to), view.RateBitsPerSecond);
            }

            if (flow.SourceHost is { } sender)
            {
                Add(sent, sender, flow.Sent.Rate);
            }

            if (flow.DestinationHost is { } receiver)
            {
                Add(received, receiver, flow.Arrived.Rate);
            }
        }

        return new(flows, new(between, sent, received));
    }

    private sealed class Entry(FlowTuple tuple, string? sourceHost, string? destinationHost)
    {
        private readonly string _key = tuple.ToString();

        public string? SourceHost { get; } = sourceHost;

        public string? DestinationHost { get; } = destinationHost;

        public Side Sent { get; } = new();

        public Side Arrived { get; } = new();

        public string? Job { get; set; }

        public string? Role { get; set; }

        public bool Ended { get; set; }

        public LiveFlow? View { get; set; }

        public DateTimeOffset TakenAt => Sent.TakenAt > Arrived.TakenAt ? Sent.TakenAt : Arrived.TakenAt;

        public LiveFlow MakeView()
        {
            var measured = Sent.Seen ? Sent : Arrived;
            return new()
            {
                Key = _key,
                Job = Job,
                Role = Role,
                Source = SourceHost ?? tuple.Source.ToString(),
                Destination = DestinationHost ?? tuple.Destination.ToString(),
                SourcePort = tuple.SourcePort,
                DestinationPort = tuple.DestinationPort,
                Protocol = tuple.Protocol,
                RateBitsPerSecond = measured.Rate,
                Octets = measured.Octets,
                DscpSent = Sent.Seen ? Sent.Dscp : null,
                DscpArrived = Arrived.Seen ? Arrived.Dscp : null,
                LastSeen = Sent.LastPacket > Arrived.LastPacket ? Sent.LastPacket : Arrived.LastPacket,
            };
        }
    }

    private sealed class Side
    {
        private TimeSpan _interval;

        public bool Seen { get; private set; }

        public long Octets { get; private set; }

        public double Rate { get; private set; }

        public Dscp Dscp { get; private set; }

        public DateTimeOffset LastPacket { get; private set; }

        public DateTimeOffset TakenAt { get; private set; }

        public void Take(IReadOnlyList<FlowRecord> records, DateTimeOffset now)
        {
            long octets = 0;
            var first = DateTimeOffset.MaxValue;
            var last = DateTimeOffset.MinValue;
            foreach (var record in records)
            {
                octets += record.OctetDeltaCount;
                first = record.FlowStart < first ? record.FlowStart : first;
                if (record.FlowEnd > last)
                {
                    last = record.FlowEnd;
                    Dscp = record.IpDiffServCodePoint;
                }
            }

            // The interval of a flow that goes on is the time since its last record; of a new one, the time that its packets span.
            var interval = Seen ? now - TakenAt : TimeSpan.Zero;
            interval = last - first > interval ? last - first : interval;
            _interval = interval < LeastInterval ? LeastInterval : interval > LongestInterval ? LongestInterval : interval;
            Rate = octets * 8 / _interval.TotalSeconds;
            Octets += octets;
            LastPacket = last > LastPacket ? last : LastPacket;
            TakenAt = now;
            Seen = true;
        }

        // A flow without a record for more than two intervals sends nothing.
        public bool Fade(DateTimeOffset now)
        {
            if (Rate == 0 || now - TakenAt <= (2 * _interval) + LeastInterval)
            {
                return false;
            }

            Rate = 0;
            return true;
        }
    }
}
