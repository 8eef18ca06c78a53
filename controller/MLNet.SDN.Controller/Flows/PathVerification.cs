using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Tomography;

namespace MLNet.SDN.Controller.Flows;

/// <summary>Names the pairs of hosts between which marks do not arrive as they were sent. Safe to call from any thread.</summary>
internal sealed class PathVerification(TimeProvider time, ILogger<PathVerification> logger)
{
    /// <summary>Octets re-marked between two hosts from which on the pair is named: a megabyte less what may get lost of it.</summary>
    public const long NamedFrom = 950_000;

    /// <summary>How long a pair stays named after the last re-marked octets.</summary>
    public static readonly TimeSpan LiveWindow = TimeSpan.FromMinutes(10);

    // By then both sides have reported everything: an idle flow ends after 15 s, a report waits for 10 s at most, and patience is 12 s.
    private static readonly TimeSpan FlowLifetime = TimeSpan.FromSeconds(90);

    // Witnesses of the vote on switches: a flow speaks against them while more of it is changed, and for them while more of it arrives as sent. Both sides of what arrives are
    // known after 22 s at most; a flow is forgotten after 90 s.
    private static readonly TimeSpan ChangedWindow = TimeSpan.FromSeconds(90);
    private static readonly TimeSpan IntactWindow = TimeSpan.FromSeconds(45);
    private const long WitnessFrom = 20_000;

    private const int MaxFlows = 200_000;

    private readonly Lock _lock = new();
    private readonly Dictionary<FlowTuple, Flow> _flows = [];
    private readonly Dictionary<(string Source, string Destination), Pair> _pairs = [];
    private volatile IReadOnlyList<MarkingFault> _faults = [];

    /// <summary>Pairs named now, worst first; the same list as long as nothing changes.</summary>
    public IReadOnlyList<MarkingFault> Faults => _faults;

    /// <summary>Flows that were not compared because there were too many at once.</summary>
    public long FlowsLeftOut { get; private set; }

    /// <summary>When octets were last found changed, on any pair; null before.</summary>
    public DateTimeOffset? ChangedAt { get; private set; }

    /// <summary>Takes a record between two hosts of the fabric over.</summary>
    /// <param name="path">Switches that the flow crosses, where they are known.</param>
    public void Take(in FlowTuple tuple, string sourceHost, string destinationHost, FlowRecord record, IReadOnlyList<string>? path = null)
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

                flow = new((sourceHost, destinationHost));
                _flows[tuple] = flow;
            }

            flow.Path = path ?? flow.Path;

            if (record.Direction == FlowDirection.Egress)
            {
                flow.Ledger.Sent(record.IpDiffServCodePoint, record.OctetDeltaCount, record.FlowEnd, now);
            }
            else
            {
                flow.Ledger.Arrived(record.IpDiffServCodePoint, record.OctetDeltaCount, record.FlowEnd, now);
            }
        }
    }

    /// <summary>Records of this host were lost, so its flows cannot be compared from here on: their open books are closed as they stand, and new ones are begun.</summary>
    public void Forget(string host)
    {
        lock (_lock)
        {
            foreach (var tuple in _flows.Where(f => f.Value.Hosts.Source == host || f.Value.Hosts.Destination == host).Select(f => f.Key).ToList())
            {
                Close(tuple);
            }
        }
    }

    /// <summary>Takes in what has become certain, and names or clears pairs. Called each second.</summary>
    /// <param name="listening">Whether a host's agent has been connected for <see cref="MarkLedger.Patience"/>.</param>
    public void Advance(Func<string, bool> listening)
    {
        var now = time.GetUtcNow();
        lock (_lock)
        {
            // (1) Each flow's books; flows that both sides have forgotten are closed.
            Dictionary<(string, string), Dictionary<Remark, long>> open = [];
            foreach (var (tuple, flow) in _flows.ToList())
            {
                var (ledger, hosts) = (flow.Ledger, flow.Hosts);
                ledger.Advance(now, listening(hosts.Source), listening(hosts.Destination));
                if (now - ledger.Touched >= FlowLifetime)
                {
                    Close(tuple);
                }
                else if (ledger.Remarks() is { Count: > 0 } remarks)
                {
                    flow.Note(remarks, now);
                    if (!open.TryGetValue(hosts, out var sum))
                    {
                        open[hosts] = sum = [];
                    }

                    Add(sum, remarks);
                }
            }

            // (2) Each pair: closed books and open ones.
            foreach (var hosts in open.Keys.Where(h => !_pairs.ContainsKey(h)).ToList())
            {
                _pairs[hosts] = new() { Since = now, LastSeen = now };
            }

            List<MarkingFault> faults = [];
            foreach (var (hosts, pair) in _pairs.ToList())
            {
                var total = new Dictionary<Remark, long>(pair.Closed);
                if (open.TryGetValue(hosts, out var remarks))
                {
                    Add(total, remarks);
                }

                var octets = total.Values.Sum();
                if (octets > pair.Octets)
                {
                    ChangedAt = pair.LastSeen = now;
                }

                pair.Octets = octets;
                if (now - pair.LastSeen > LiveWindow)
                {
                    Clear(hosts, pair);
                }
                else if (octets >= NamedFrom)
                {
                    var worst = total.MaxBy(t => t.Value).Key;
                    faults.Add(new() { Source = hosts.Source, Destination = hosts.Destination, Sent = new(worst.Sent), Arrived = new(worst.Arrived), Octets = octets, Since = pair.Since, LastSeen = pair.LastSeen });
                    if (!pair.Named)
                    {
                        pair.Named = true;
                        FlowLog.MarksDoNotArrive(logger, hosts.Source, hosts.Destination, faults[^1].Sent, faults[^1].Arrived, octets);
                    }
                }
            }

            // (3) What readers see.
            faults.Sort((a, b) => b.Octets != a.Octets ? b.Octets.CompareTo(a.Octets) : string.CompareOrdinal($"{a.Source}>{a.Destination}", $"{b.Source}>{b.Destination}"));
            if (!faults.SequenceEqual(_faults))
            {
                _faults = faults;
            }
        }
    }

    /// <summary>What flows seen lately tell of the paths between hosts; empty while no pair is named.</summary>
    public IReadOnlyList<FlowEvidence> Evidence()
    {
        var now = time.GetUtcNow();
        lock (_lock)
        {
            if (Faults.Count == 0)
            {
                return [];
            }

            // A switch may change one code point and spare the others, so only flows under those that are changed somewhere speak for a switch.
            var changed = _flows.Values.Where(f => now - f.ChangedAt <= ChangedWindow).ToList();
            var codes = changed.SelectMany(f => f.Ledger.Remarks().Keys.Select(r => r.Sent)).ToHashSet();
            Dictionary<((string, string), string), FlowEvidence> evidence = [];
            foreach (var flow in _flows.Values)
            {
                var isChanged = now - flow.ChangedAt <= ChangedWindow && flow.Octets >= WitnessFrom;
                if (isChanged || (flow.ChangedAt < now - ChangedWindow && flow.Ledger.ArrivedIntactSince(now - IntactWindow, codes.Contains)))
                {
                    var key = (flow.Hosts, string.Join(' ', flow.Path ?? []));
                    var before = evidence.GetValueOrDefault(key) ?? new() { Source = flow.Hosts.Source, Destination = flow.Hosts.Destination, Path = flow.Path };
                    evidence[key] = isChanged ? before with { Changed = before.Changed + 1 } : before with { Intact = before.Intact + 1 };
                }
            }

            return [.. evidence.Values];
        }
    }

    private static void Add(Dictionary<Remark, long> sum, IReadOnlyDictionary<Remark, long> remarks)
    {
        foreach (var (remark, octets) in remarks)
        {
            sum[remark] = sum.GetValueOrDefault(remark) + octets;
        }
    }

    private void Close(FlowTuple tuple)
    {
        if (_flows.Remove(tuple, out var flow) && flow.Ledger.Remarks() is { Count: > 0 } remarks)
        {
            if (!_pairs.TryGetValue(flow.Hosts, out var pair))
            {
                _pairs[flow.Hosts] = pair = new() { Since = time.GetUtcNow(), LastSeen = time.GetUtcNow() };
            }

            Add(pair.Closed, remarks);
        }
    }

    // Nothing was re-marked for the whole window: the pair starts from nothing, its open flows too.
    private void Clear((string Source, string Destination) hosts, Pair pair)
    {
        if (pair.Named)
        {
            FlowLog.MarksArriveAgain(logger, hosts.Source, hosts.Destination);
        }

        _pairs.Remove(hosts);
        foreach (var tuple in _flows.Where(f => f.Value.Hosts == hosts && f.Value.Ledger.Remarks().Count > 0).Select(f => f.Key).ToList())
        {
            _flows.Remove(tuple);
        }
    }

    private sealed class Flow((string Source, string Destination) hosts)
    {
        public MarkLedger Ledger { get; } = new();

        public (string Source, string Destination) Hosts { get; } = hosts;

        public IReadOnlyList<string>? Path { get; set; }

        public long Octets { get; private set; }

        public DateTimeOffset ChangedAt { get; private set; } = DateTimeOffset.UnixEpoch;

        public void Note(IReadOnlyDictionary<Remark, long> remarks, DateTimeOffset now)
        {
            var octets = remarks.Values.Sum();
            (ChangedAt, Octets) = octets > Octets ? (now, octets) : (ChangedAt, Octets);
        }
    }

    private sealed class Pair
    {
        public Dictionary<Remark, long> Closed { get; } = [];

        public required DateTimeOffset Since { get; init; }

        public required DateTimeOffset LastSeen { get; set; }

        public long Octets { get; set; }

        public bool Named { get; set; }
    }
}
