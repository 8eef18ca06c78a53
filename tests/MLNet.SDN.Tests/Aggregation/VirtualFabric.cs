using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>
/// The engines of all hosts of a job, joined by queues instead of sockets, in virtual time, one step at a time in an order drawn from a seed.
/// What the real transport does to frames happens here too: several connections per link that overtake each other, and connections that break
/// and swallow what was on them.
/// </summary>
internal sealed unsafe class VirtualFabric : IDisposable
{
    private readonly Random _random;
    private readonly FakeTimeProvider _time = new();
    private readonly SortedDictionary<string, Host> _hosts = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, Channel> _channels = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, Queue<SignalMessage>> _signals = new(StringComparer.Ordinal);
    private readonly List<VirtualWorker> _workers = [];
    private readonly AggregationJob _first;

    public VirtualFabric(int seed, AggregationJob job)
    {
        _random = new Random(seed);
        _first = job;
        foreach (var host in job.Endpoints.Select(e => e.Host))
        {
            _hosts.Add(host, new Host(this, host, job));
        }

        foreach (var host in _hosts.Values.Where(h => !h.Engine.IsAnchor))
        {
            SignalUp(host.Name);
        }
    }

    public NativeBufferPool Pool { get; } = new();

    public Random Random => _random;

    public IReadOnlyList<VirtualWorker> Workers => _workers;

    /// <summary>Workers of the job.</summary>
    public int World => _first.Members.Count;

    public IEnumerable<JobEngine> Engines => _hosts.Values.Select(h => h.Engine);

    /// <summary>Called before each step; may break things.</summary>
    public Action<VirtualFabric>? Chaos { get; set; }

    public TimeSpan Elapsed => _time.GetUtcNow() - _time.Start;

    public VirtualWorker AddWorker(int rank, Func<uint, ulong, int> size, uint streams, int rounds, VirtualMessage? message = null)
    {
        var host = _hosts[_first.Members[rank].Host];
        var worker = new VirtualWorker(host.Engine, rank, _first.Members.Count, size, streams, rounds) { Message = message ?? VirtualMessage.Numbers };
        host.Workers[rank] = worker;
        _workers.Add(worker);
        return worker;
    }

    /// <summary>Gives one host a newer plan.</summary>
    public void Apply(string host, AggregationJob job)
    {
        Assert.Null(TreeSet.TryCreate(job, host, out var trees));
        _hosts[host].Engine.Apply(job, trees);
    }

    /// <summary>Breaks one connection; what was on it is lost.</summary>
    public void BreakSomeConnection()
    {
        if (_channels.Count == 0)
        {
            return;
        }

        var key = _channels.Keys.ElementAt(_random.Next(_channels.Count));
        var channel = _channels[key];
        channel.Clear();
        var back = _channels.GetValueOrDefault($"{channel.To}>{channel.From}#{channel.Stripe}");
        back?.Clear();
        _hosts[channel.From].Engine.OnDisturbed(channel.To);
        _hosts[channel.To].Engine.OnDisturbed(channel.From);
    }

    /// <summary>Breaks one signalling connection, which comes again.</summary>
    public void BreakSomeSignalling()
    {
        var hosts = _hosts.Values.Where(h => !h.Engine.IsAnchor).ToList();
        if (hosts.Count > 0)
        {
            var host = hosts[_random.Next(hosts.Count)].Name;
            SignalDown(host);
            SignalUp(host);
        }
    }

    /// <summary>A host falls silent for good: nothing from it or to it arrives any more.</summary>
    public void Silence(string host)
    {
        _hosts[host].Silent = true;
        foreach (var channel in _channels.Values.Where(c => c.From == host || c.To == host))
        {
            channel.Clear();
        }

        foreach (var peer in _hosts.Values)
        {
            if (peer.Name != host)
            {
                peer.Engine.OnSignalDown(host);
                peer.Engine.OnLink(host, up: false);
            }
        }
    }

    /// <summary>Runs until every worker is through or has died.</summary>
    public void Run(int maxSteps = 200_000)
    {
        var idle = 0;
        for (var step = 0; step < maxSteps; step++)
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
                Assert.True(++idle < 600, $"nothing moves for a minute; {string.Join("; ", Engines.SelectMany(e => e.WorkerStatuses()).Select(w => $"rank {w.Rank}: {w.WaitsFor}"))}");
            }
        }

        Assert.Fail($"not through after {maxSteps} steps; {string.Join("; ", Engines.SelectMany(e => e.WorkerStatuses()).Select(w => $"rank {w.Rank}: {w.WaitsFor}"))}");
    }

    public void Dispose()
    {
        foreach (var host in _hosts.Values)
        {
            host.Engine.Close("end", "the test ends");
        }

        foreach (var channel in _channels.Values)
        {
            channel.Clear();
        }

        Assert.Equal(0, Pool.Outstanding);
        Pool.Dispose();
    }

    private void Tick()
    {
        _time.Advance(TimeSpan.FromMilliseconds(100));
        foreach (var host in _hosts.Values.Where(h => !h.Silent))
        {
            host.Engine.Tick();
        }
    }

    /// <summary>Does one thing, drawn from all that can happen. False when nothing can.</summary>
    private bool Step()
    {
        var choices = new List<Action>();
        foreach (var host in _hosts.Values.Where(h => !h.Silent))
        {
            foreach (var peer in host.Engine.Peers())
            {
                var queue = host.Engine.QueueOf(peer);
                if (queue.Count > 0)
                {
                    choices.Add(() => Transmit(host, peer, queue));
                }
            }
        }

        foreach (var channel in _channels.Values.Where(c => c.Frames.Count > 0))
        {
            choices.Add(() => Receive(channel));
        }

        foreach (var (key, queue) in _signals.Where(s => s.Value.Count > 0))
        {
            choices.Add(() => ReceiveSignal(key, queue));
        }

        foreach (var worker in _workers.Where(w => w.CanStep))
        {
            choices.Add(worker.Step);
        }

        if (choices.Count == 0)
        {
            return false;
        }

        choices[_random.Next(choices.Count)]();
        return true;
    }

    private void Transmit(Host host, string peer, FrameQueue queue)
    {
        if (!queue.TryTake(out var item))
        {
            return;
        }

        Span<byte> head = stackalloc byte[FrameHeader.Bytes + FrameHeader.MaxContributorBytes];
        if (!host.Engine.TryPrepare(item, head, out var frame))
        {
            return;
        }

        var payload = new ReadOnlySpan<byte>(frame.Payload, frame.PayloadBytes);
        FrameHeader.Seal(head[..frame.HeadBytes], payload);
        byte[] wire = [.. head[..frame.HeadBytes], .. payload];
        host.Engine.GiveBack(frame);
        if (_hosts[peer].Silent)
        {
            return;
        }

        var stripe = _random.Next(3);
        var key = $"{host.Name}>{peer}#{stripe}";
        if (!_channels.TryGetValue(key, out var channel))
        {
            _channels[key] = channel = new Channel(host.Name, peer, stripe);
        }

        channel.Frames.Enqueue(wire);
    }

    private void Receive(Channel channel)
    {
        var wire = channel.Frames.Dequeue();
        var engine = _hosts[channel.To].Engine;
        Assert.True(FrameHeader.TryRead(wire, out var header));
        var head = wire.AsSpan(0, FrameHeader.Bytes + header.ContributorBytes);
        var payload = wire.AsSpan(head.Length);
        Assert.True(header.Verify(head, payload));
        var buffer = Pool.Rent(engine.MaxChunkBytes);
        payload.CopyTo(buffer.Span(payload.Length));
        var verdict = engine.OnFrame(channel.From, header, head[FrameHeader.Bytes..], buffer);
        if (verdict != FrameVerdict.Taken)
        {
            buffer.Release();
        }

        // Honest engines never send what another refuses.
        Assert.NotEqual(FrameVerdict.Violation, verdict);
    }

    private void ReceiveSignal(string key, Queue<SignalMessage> queue)
    {
        var (from, to) = (key[..key.IndexOf('>')], key[(key.IndexOf('>') + 1)..]);
        // Over the wire and back, so that the messages' JSON is tried as well.
        Assert.True(SignalMessage.TryParse(queue.Dequeue().Serialize(), out var message));
        Assert.True(_hosts[to].Engine.OnSignal(from, message!));
    }

    private void SignalUp(string host)
    {
        var anchor = _hosts[host].Engine.AnchorHost;
        _hosts[host].Engine.OnSignalUp(anchor);
        _hosts[anchor].Engine.OnSignalUp(host);
    }

    private void SignalDown(string host)
    {
        var anchor = _hosts[host].Engine.AnchorHost;
        _signals.Remove($"{host}>{anchor}");
        _signals.Remove($"{anchor}>{host}");
        _hosts[host].Engine.OnSignalDown(anchor);
        _hosts[anchor].Engine.OnSignalDown(host);
    }

    private sealed class Channel(string from, string to, int stripe)
    {
        public string From { get; } = from;

        public string To { get; } = to;

        public int Stripe { get; } = stripe;

        public Queue<byte[]> Frames { get; } = new();

        public void Clear() => Frames.Clear();
    }

    private sealed class Host : IJobPorts
    {
        private readonly VirtualFabric _fabric;

        public Host(VirtualFabric fabric, string name, AggregationJob job)
        {
            _fabric = fabric;
            Name = name;
            Assert.Null(TreeSet.TryCreate(job, name, out var trees));
            Engine = new JobEngine(name, job, trees!, $"boot-{name}", fabric.Pool, this, fabric._time, NullLogger.Instance);
        }

        public string Name { get; }

        public JobEngine Engine { get; }

        public bool Silent { get; set; }

        public Dictionary<int, VirtualWorker> Workers { get; } = [];

        public void Signal(string host, SignalMessage message)
        {
            if (Silent || _fabric._hosts[host].Silent)
            {
                return;
            }

            var key = $"{Name}>{host}";
            if (!_fabric._signals.TryGetValue(key, out var queue))
            {
                _fabric._signals[key] = queue = new Queue<SignalMessage>();
            }

            queue.Enqueue(message);
        }

        public void RoundBegins()
        {
        }

        public void StreamOpened(int rank, uint stream, SharedArea area, ulong round) => Workers[rank].Opened(stream, area, round);

        public void StreamRefused(int rank, uint stream, string code, string message) => Workers[rank].Refused(stream, code, message);

        public void RoundDone(int rank, uint stream, ulong round) => Workers[rank].Done(stream, round);

        public void RoundFailed(int rank, uint stream, ulong round, string code, string message) => Workers[rank].Failed(stream, round, code, message);
    }
}

/// <summary>A trainer that reduces known numbers and checks what comes back.</summary>
internal sealed unsafe class VirtualWorker(JobEngine engine, int rank, int world, Func<uint, ulong, int> size, uint streams, int rounds)
{
    private readonly Dictionary<uint, (SharedArea Area, ulong Next)> _areas = [];
    private readonly HashSet<uint> _waiting = [];
    private readonly Dictionary<uint, int> _done = [];
    private bool _joined;

    public int Rank { get; } = rank;

    public bool Dead { get; private set; }

    /// <summary>Said goodbye or died, or has no more rounds to do.</summary>
    public bool Ended => Dead || (_done.Count == streams && _done.Values.All(d => d >= rounds));

    /// <summary>Rounds that failed: stream, round, code and text.</summary>
    public List<(uint Stream, ulong Round, string Code, string Text)> Failures { get; } = [];

    /// <summary>Rounds finished with the right result.</summary>
    public int Right { get; private set; }

    public bool CanStep => !Dead && !Paused && (!_joined || Next() is not null);

    /// <summary>Does nothing for the time being.</summary>
    public bool Paused { get; set; }

    /// <summary>What is reduced; the same for all workers.</summary>
    public VirtualMessage Message { get; init; } = VirtualMessage.Numbers;

    public void Step()
    {
        if (!_joined)
        {
            Assert.Null(engine.TryJoin(Rank, out var joined));
            Assert.Equal(Rank, joined);
            _joined = true;
            return;
        }

        if (Next() is not { } stream)
        {
            return;
        }

        var have = _areas.TryGetValue(stream, out var place);
        var n = size(stream, have ? place.Next : 0);
        var bytes = n * Message.ElementBytes;
        if (!have || place.Area.Capacity < bytes)
        {
            _waiting.Add(stream);
            Assert.Null(engine.Open(Rank, stream, bytes));
            return;
        }

        Message.Contribution(Rank, stream, place.Next, n).CopyTo(new Span<byte>(place.Area.Contribution(place.Next), bytes));

        // What the agent left there before must not shine through.
        new Span<byte>(place.Area.Result(place.Next), bytes).Fill(0xFF);
        _waiting.Add(stream);
        _areas[stream] = (place.Area, place.Next + 1);
        Assert.Null(engine.Submit(Rank, stream, place.Next, Message.Shape(n)));
    }

    public void Opened(uint stream, SharedArea area, ulong round)
    {
        Assert.True(_waiting.Remove(stream));
        _areas[stream] = (area, round);
    }

    public void Refused(uint stream, string code, string text)
    {
        if (!Dead)
        {
            Assert.True(_waiting.Remove(stream));
            Failures.Add((stream, 0, code, text));
            _done[stream] = rounds;
        }
    }

    public void Done(uint stream, ulong round)
    {
        if (Dead)
        {
            return;
        }

        Assert.True(_waiting.Remove(stream));
        var (area, next) = _areas[stream];
        Assert.Equal(next - 1, round);
        var n = size(stream, round);
        Message.Check(world, stream, round, new ReadOnlySpan<byte>(area.Result(round), n * Message.ElementBytes));
        Right++;
        _done[stream] = _done.GetValueOrDefault(stream) + 1;
    }

    public void Failed(uint stream, ulong round, string code, string text)
    {
        if (Dead)
        {
            return;
        }

        Assert.True(_waiting.Remove(stream));
        Failures.Add((stream, round, code, text));
        _done[stream] = _done.GetValueOrDefault(stream) + 1;
    }

    public void Die()
    {
        if (!_joined)
        {
            Step();
        }

        Dead = true;
        engine.Leave(Rank, left: false);
    }

    private uint? Next()
    {
        for (uint stream = 0; stream < streams; stream++)
        {
            if (!_waiting.Contains(stream) && _done.GetValueOrDefault(stream) < rounds)
            {
                return stream;
            }
        }

        return null;
    }
}
