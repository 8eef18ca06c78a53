using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation.Model;

/// <summary>
/// The engines of all hosts of a job, joined by queues instead of sockets, in virtual time, one step at a time in an order drawn from a seed.
/// What the real transport does to frames happens here too: several connections per link that overtake each other, connections that break
/// and swallow what was on them, and the last words of an agent that arrive after its next life has begun.
/// </summary>
internal sealed unsafe class VirtualFabric : IDisposable
{
    /// <summary>Connections of a link.</summary>
    public const int Stripes = 3;

    /// <summary>A peer of which nothing was heard for so long is given up, even when its connection seems to stand.</summary>
    private static readonly TimeSpan SilentFor = TimeSpan.FromSeconds(8);

    private readonly Random _random;
    private readonly SortedDictionary<string, VirtualHost> _hosts = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, Link> _links = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, SignalLink> _signals = new(StringComparer.Ordinal);
    private readonly List<Channel> _orphans = [];
    private readonly List<VirtualWorker> _workers = [];
    private readonly Dictionary<(uint Stream, ulong Round), (int Rank, byte[] Result)> _results = [];
    private readonly Dictionary<(uint Stream, ulong Round), HashSet<Epoch>> _epochs = [];
    private readonly HashSet<(string, string)> _cut = [];
    private readonly List<Action> _choices = [];
    private readonly AggregationJob _first;
    private ulong _lives;

    public VirtualFabric(int seed, AggregationJob job, ProtocolFault fault = ProtocolFault.None)
    {
        _random = new Random(seed);
        _first = job;
        Fault = fault;
        foreach (var host in job.Endpoints.Select(e => e.Host))
        {
            _hosts.Add(host, new VirtualHost(this, host, job));
        }

        Anchor = _hosts[job.Members.First(m => m.Rank == 0).Host];
        foreach (var host in _hosts.Values.Where(h => h != Anchor))
        {
            _signals.Add(host.Name, new SignalLink(host));
        }
    }

    public VirtualTime Time { get; } = new();

    public NativeBufferPool Pool { get; } = new();

    public ProtocolFault Fault { get; }

    public Random Random => _random;

    public int World => _first.Members.Count;

    public long JobId => _first.JobId;

    public VirtualHost Anchor { get; }

    public IReadOnlyCollection<VirtualHost> Hosts => _hosts.Values;

    public IReadOnlyList<VirtualWorker> Workers => _workers;

    public IEnumerable<JobEngine> Engines => _hosts.Values.Select(h => h.Engine);

    /// <summary>Called before each step; may break things.</summary>
    public Action<VirtualFabric>? Chaos { get; set; }

    public TimeSpan Elapsed { get; private set; }

    public long Steps { get; private set; }

    /// <summary>Epochs of rounds beyond the first of each, as seen in frames.</summary>
    public int Redone => _epochs.Values.Sum(e => e.Count - 1);

    public ulong NextLife() => ++_lives;

    public VirtualWorker AddWorker(int rank, Func<uint, ulong, int> size, uint streams, int rounds, VirtualMessage? message = null)
    {
        var host = _hosts[_first.Members[rank].Host];
        var worker = new VirtualWorker(this, host, rank, size, streams, rounds, message ?? VirtualMessage.Numbers);
        host.Workers[rank] = worker;
        _workers.Add(worker);
        return worker;
    }

    /// <summary>Gives one host a newer plan.</summary>
    public void Apply(string host, AggregationJob job) => _hosts[host].Apply(job);

    /// <summary>Breaks one connection; what was on it is lost.</summary>
    public void BreakSomeConnection()
    {
        if (_links.Count == 0)
        {
            return;
        }

        var link = _links.Values.ElementAt(_random.Next(_links.Count));
        var stripe = _random.Next(Stripes);
        link.Forth[stripe].Frames.Clear();
        link.Back[stripe].Frames.Clear();
        Disturbed(link);
    }

    /// <summary>Breaks one signalling connection, which comes again.</summary>
    public void BreakSomeSignalling()
    {
        if (_signals.Count > 0)
        {
            Break(_signals.Values.ElementAt(_random.Next(_signals.Count)));
        }
    }

    /// <summary>An agent dies. Others notice later, and may still receive its last words.</summary>
    public void Crash(VirtualHost host)
    {
        foreach (var (key, link) in _links.Where(l => l.Value.A == host || l.Value.B == host).ToList())
        {
            _links.Remove(key);
            var from = link.A == host ? link.Forth : link.Back;
            _orphans.AddRange(from.Where(c => c.Frames.Count > 0));
            var other = link.A == host ? link.B : link.A;
            if (other.Up)
            {
                other.Engine.OnLink(host.Name, up: false);
                other.Engine.OnDisturbed(host.Name);
            }
        }

        _orphans.RemoveAll(o => o.To == host);
        foreach (var signal in _signals.Values.Where(s => s.Host == host || host == Anchor))
        {
            Break(signal);
        }

        host.Crash();
    }

    /// <summary>Lets two hosts not reach each other.</summary>
    public void Cut(string a, string b) => _cut.Add(Pair(a, b));

    /// <summary>Lets two hosts reach each other again. A connection may have outlived it, or not.</summary>
    public void Heal(string a, string b)
    {
        _cut.Remove(Pair(a, b));
        if (_links.TryGetValue(KeyOf(a, b), out var link) && _random.Next(2) == 0)
        {
            Break(link);
        }
    }

    /// <summary>A host falls silent for good: nothing from it or to it arrives any more.</summary>
    public void Silence(string host)
    {
        foreach (var other in _hosts.Keys)
        {
            if (other != host)
            {
                Cut(host, other);
            }
        }
    }

    /// <summary>G2: who finishes a round has the same bits as everyone else.</summary>
    public void Agree(int rank, uint stream, ulong round, ReadOnlySpan<byte> result)
    {
        if (!_results.TryGetValue((stream, round), out var first))
        {
            _results[(stream, round)] = (rank, result.ToArray());
            return;
        }

        GuaranteeBrokenException.Unless(result.SequenceEqual(first.Result), $"G2: ranks {first.Rank} and {rank} have different results of stream {stream}, round {round}");
    }

    public void Signal(VirtualHost from, string to, SignalMessage message)
    {
        var signal = from == Anchor ? _signals[to] : _signals[from.Name];
        if (signal.Up)
        {
            // As bytes, so that the messages' JSON is tried as well.
            (from == Anchor ? signal.Down : signal.UpWay).Enqueue(message.Serialize());
        }
    }

    /// <summary>Runs until every worker is through or has died.</summary>
    public void Run(int maxSteps = 400_000)
    {
        var idle = 0;
        while (Steps++ < maxSteps)
        {
            if (_workers.All(w => w.Ended))
            {
                return;
            }

            Chaos?.Invoke(this);
            if (Step())
            {
                idle = 0;
                if (_random.Next(200) == 0)
                {
                    Tick();
                }
            }
            else
            {
                Tick();
                GuaranteeBrokenException.Unless(++idle < 900, $"G3: nothing moves for a minute and a half; {Waits()}");
            }
        }

        throw new GuaranteeBrokenException($"G3: not through after {maxSteps} steps; {Waits()}");
    }

    public void Dispose()
    {
        foreach (var host in _hosts.Values)
        {
            host.Engine.Abandon();
        }

        foreach (var worker in _workers)
        {
            worker.Release();
        }

        var left = Pool.Outstanding;
        Pool.Dispose();
        if (left != 0 && !Failed)
        {
            throw new GuaranteeBrokenException($"G4: {left} buffers were not given back");
        }
    }

    /// <summary>The run ended early: what is left is left.</summary>
    public bool Failed { get; set; }

    private string Waits() => string.Join("; ", Engines.SelectMany(e => e.WorkerStatuses()).Select(w => $"rank {w.Rank}: {w.WaitsFor}"));

    private void Tick()
    {
        var step = TimeSpan.FromMilliseconds(100);
        Time.Advance(step);
        Elapsed += step;
        foreach (var signal in _signals.Values)
        {
            // Silence is noticed by who is awake.
            signal.SilentSince = !signal.Up || Reaches(signal) ? null : signal.SilentSince ?? Elapsed;
            if (signal.SilentSince is { } since && Elapsed - since > SilentFor)
            {
                Break(signal);
            }
        }

        foreach (var link in _links.Values.Where(l => _cut.Contains(Pair(l.A.Name, l.B.Name))).ToList())
        {
            if (_random.Next(50) == 0)
            {
                Break(link);
            }
        }

        foreach (var host in _hosts.Values.Where(h => h.Runs))
        {
            host.Engine.Tick();
        }
    }

    /// <summary>Does one thing, drawn from all that can happen. False when nothing can.</summary>
    private bool Step()
    {
        _choices.Clear();
        foreach (var host in _hosts.Values.Where(h => h.Runs))
        {
            foreach (var peer in host.Engine.Peers())
            {
                if (!_links.TryGetValue(KeyOf(host.Name, peer), out var link))
                {
                    // The host whose name comes first dials, as soon as both can.
                    if (string.CompareOrdinal(host.Name, peer) < 0 && _hosts[peer].Runs && !_cut.Contains(Pair(host.Name, peer)))
                    {
                        var (a, b) = (host, _hosts[peer]);
                        _choices.Add(() => Connect(a, b));
                    }
                }
                else if (host.Engine.QueueOf(peer) is { Count: > 0 } queue)
                {
                    _choices.Add(() => Transmit(link, link.A == host, queue));
                }
            }
        }

        foreach (var link in _links.Values)
        {
            if (_cut.Contains(Pair(link.A.Name, link.B.Name)))
            {
                continue;
            }

            foreach (var channel in link.Forth.Concat(link.Back))
            {
                if (channel.Frames.Count > 0 && channel.To.Runs)
                {
                    _choices.Add(() => Receive(channel));
                }
            }
        }

        foreach (var orphan in _orphans.Where(o => o.To.Runs))
        {
            _choices.Add(() => ReceiveLastWords(orphan));
        }

        foreach (var signal in _signals.Values)
        {
            if (!signal.Up && Reaches(signal))
            {
                _choices.Add(() => Connect(signal));
            }
            else if (signal.Up && !_cut.Contains(Pair(signal.Host.Name, Anchor.Name)))
            {
                if (signal.Down.Count > 0 && signal.Host.Runs)
                {
                    _choices.Add(() => ReceiveSignal(signal, down: true));
                }

                if (signal.UpWay.Count > 0 && Anchor.Runs)
                {
                    _choices.Add(() => ReceiveSignal(signal, down: false));
                }
            }
        }

        foreach (var worker in _workers.Where(w => w.CanStep))
        {
            _choices.Add(worker.Step);
        }

        if (_choices.Count == 0)
        {
            return false;
        }

        _choices[_random.Next(_choices.Count)]();
        return true;
    }

    private void Connect(VirtualHost a, VirtualHost b)
    {
        _links[KeyOf(a.Name, b.Name)] = new Link(a, b);
        a.Engine.OnLink(b.Name, up: true);
        b.Engine.OnLink(a.Name, up: true);
    }

    private void Break(Link link)
    {
        _links.Remove(KeyOf(link.A.Name, link.B.Name));
        link.A.Engine.OnLink(link.B.Name, up: false);
        link.B.Engine.OnLink(link.A.Name, up: false);
        Disturbed(link);
    }

    private static void Disturbed(Link link)
    {
        link.A.Engine.OnDisturbed(link.B.Name);
        link.B.Engine.OnDisturbed(link.A.Name);
    }

    private void Connect(SignalLink signal)
    {
        signal.Up = true;
        signal.Host.Engine.OnSignalUp(Anchor.Name);
        Anchor.Engine.OnSignalUp(signal.Host.Name);
    }

    private void Break(SignalLink signal)
    {
        if (signal.Up)
        {
            signal.Up = false;
            signal.SilentSince = null;
            signal.Down.Clear();
            signal.UpWay.Clear();
            signal.Host.Engine.OnSignalDown(Anchor.Name);
            Anchor.Engine.OnSignalDown(signal.Host.Name);
        }
    }

    private bool Reaches(SignalLink signal) => signal.Host.Runs && Anchor.Runs && !_cut.Contains(Pair(signal.Host.Name, Anchor.Name));

    private void Transmit(Link link, bool forth, FrameQueue queue)
    {
        if (!queue.TryTake(out var item))
        {
            return;
        }

        var (from, life) = forth ? (link.A, link.LifeB) : (link.B, link.LifeA);
        Span<byte> head = stackalloc byte[FrameHeader.Bytes + FrameHeader.MaxContributorBytes];
        if (!from.Engine.TryPrepare(item, life, head, out var frame))
        {
            return;
        }

        var payload = new ReadOnlySpan<byte>(frame.Payload, frame.PayloadBytes);
        FrameHeader.Seal(head[..frame.HeadBytes], payload);
        byte[] wire = [.. head[..frame.HeadBytes], .. payload];
        from.Engine.GiveBack(frame);
        (forth ? link.Forth : link.Back)[_random.Next(Stripes)].Frames.Enqueue(wire);
    }

    private void ReceiveLastWords(Channel orphan)
    {
        if (_random.Next(8) == 0)
        {
            orphan.Frames.Clear();
        }
        else
        {
            Receive(orphan);
        }

        if (orphan.Frames.Count == 0)
        {
            _orphans.Remove(orphan);
        }
    }

    private void Receive(Channel channel)
    {
        var wire = channel.Frames.Dequeue();
        var engine = channel.To.Engine;
        GuaranteeBrokenException.Unless(FrameHeader.TryRead(wire, out var header), "a frame that cannot be read was sent");
        var head = wire.AsSpan(0, FrameHeader.Bytes + header.ContributorBytes);
        var payload = wire.AsSpan(head.Length);
        GuaranteeBrokenException.Unless(header.Verify(head, payload), "a frame with a wrong checksum was sent");
        var epochs = _epochs.TryGetValue((header.Stream, header.Round), out var seen) ? seen : _epochs[(header.Stream, header.Round)] = [];
        epochs.Add(header.Epoch);
        var buffer = Pool.Rent(Math.Max(engine.MaxChunkBytes, payload.Length));
        payload.CopyTo(buffer.Span(payload.Length));
        var verdict = engine.OnFrame(channel.From.Name, header, head[FrameHeader.Bytes..], buffer);
        if (verdict != FrameVerdict.Taken)
        {
            buffer.Release();
        }

        GuaranteeBrokenException.Unless(
            verdict is FrameVerdict.Taken or FrameVerdict.Dropped,
            $"honest engines never send what another refuses: {verdict} at {channel.To.Name} for {header.Type} of {channel.From.Name}, stream {header.Stream}, round {header.Round}, shard {header.Shard}, chunk {header.Chunk}, {header.Epoch}");
    }

    private void ReceiveSignal(SignalLink signal, bool down)
    {
        var (from, to) = down ? (Anchor, signal.Host) : (signal.Host, Anchor);
        var bytes = (down ? signal.Down : signal.UpWay).Dequeue();
        GuaranteeBrokenException.Unless(SignalMessage.TryParse(bytes, out var message), "a message that cannot be read was sent");
        GuaranteeBrokenException.Unless(to.Engine.OnSignal(from.Name, message!), $"message {message!.Type} was refused");
    }

    private static string KeyOf(string a, string b) => string.CompareOrdinal(a, b) < 0 ? $"{a}-{b}" : $"{b}-{a}";

    private static (string, string) Pair(string a, string b) => string.CompareOrdinal(a, b) < 0 ? (a, b) : (b, a);
}
