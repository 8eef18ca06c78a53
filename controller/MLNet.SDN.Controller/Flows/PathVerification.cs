using MLNet.SDN.Contracts;

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

    private const int MaxFlows = 200_000;

    private readonly Lock _lock = new();
    private readonly Dictionary<FlowTuple, (MarkLedger Ledger, (string Source, string Destination) Hosts)> _flows = [];
    private readonly Dictionary<(string Source, string Destination), Pair> _pairs = [];
    private volatile IReadOnlyList<MarkingFault> _faults = [];

    /// <summary>Pairs named now, worst first; the same list as long as nothing changes.</summary>
    public IReadOnlyList<MarkingFault> Faults => _faults;

    /// <summary>Flows that were not compared because there were too many at once.</summary>
    public long FlowsLeftOut { get; private set; }

    /// <summary>Takes a record between two hosts of the fabric over.</summary>
    public void Take(in FlowTuple tuple, string sourceHost, string destinationHost, FlowRecord record)
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

                flow = (new(), (sourceHost, destinationHost));
                _flows[tuple] = flow;
            }

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
            foreach (var (tuple, (ledger, hosts)) in _flows.ToList())
            {
                ledger.Advance(now, listening(hosts.Source), listening(hosts.Destination));
                if (now - ledger.Touched >= FlowLifetime)
                {
                    Close(tuple);
                }
                else if (ledger.Remarks() is { Count: > 0 } remarks)
                {
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
                    pair.LastSeen = now;
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

    private static void Add(Dictionary<Remark, long> sum, IReadOnlyDictionary<Remark, long> remarks)
    {
        foreach (var (remark, octets) in remarks)
        {
            sum[remark] = sum.GetValueOrDefault(remark) + octets;
        }
    }

    private void Close(FlowTuple tuple)
    {
        _flows.Remove(tuple, out var flow);
        if (flow.Ledger.Remarks() is { Count: > 0 } remarks)
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

    private sealed class Pair
    {
        public Dictionary<Remark, long> Closed { get; } = [];

        public required DateTimeOffset Since { get; init; }

        public required DateTimeOffset LastSeen { get; set; }

        public long Octets { get; set; }

        public bool Named { get; set; }
    }
}
