using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Flows;

namespace MLNet.SDN.Tests.Controller.Flows;

public class PathVerificationTests
{
    private const int Runs = 40;

    private static readonly DateTimeOffset Start = new(2025, 6, 1, 12, 0, 0, TimeSpan.Zero);

    [Fact]
    public void Advance_ManyRuns_NeverNamesAnInnocentPair()
    {
        for (var seed = 0; seed < Runs; seed++)
        {
            var run = new FabricRun(seed, faults: false);
            for (var second = 0; second < 240; second++)
            {
                run.Second();
                Assert.True(run.Verification.Faults.Count == 0, $"seed {seed}, second {second}: {string.Join(", ", run.Verification.Faults)}");
            }
        }
    }

    [Fact]
    public void Advance_MarksClearedOnSomePaths_NamesExactlyThesePairsWithinThirtySeconds()
    {
        var named = 0;
        for (var seed = 0; seed < Runs; seed++)
        {
            var run = new FabricRun(seed, faults: true);
            Dictionary<(string, string), int> due = [];
            for (var second = 0; second < 240; second++)
            {
                run.Second();
                foreach (var fault in run.Verification.Faults)
                {
                    var really = run.Remarked.GetValueOrDefault((fault.Source, fault.Destination));
                    Assert.True(fault.Octets <= really, $"seed {seed}, second {second}: {fault} says more than the {really} that were re-marked");
                    Assert.Equal(new Dscp(0), fault.Arrived);
                }

                foreach (var (pair, octets) in run.Remarked.Where(r => r.Value >= 1_000_000 && !run.WasOut))
                {
                    due.TryAdd(pair, second + 30);
                }

                foreach (var (pair, by) in due.Where(d => d.Value == second))
                {
                    named++;
                    Assert.True(run.Verification.Faults.Any(f => (f.Source, f.Destination) == pair), $"seed {seed}: {pair} is not named by second {by} though {run.Remarked[pair]} octets were re-marked");
                }
            }
        }

        // The check above cannot have been idle.
        Assert.True(named > Runs, $"only {named} pairs had a megabyte re-marked");
    }

    [Fact]
    public void Advance_NothingRemarkedForTenMinutes_ClearsThePair()
    {
        var time = new FakeTimeProvider(Start);
        var verification = new PathVerification(time, NullLogger<PathVerification>.Instance);
        verification.Take(Tuple(1), "a", "b", Record(FlowDirection.Egress, 34, 2_000_000, Start));
        verification.Take(Tuple(1), "a", "b", Record(FlowDirection.Ingress, 0, 2_000_000, Start));
        for (var second = 0; second < 20; second++)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            verification.Advance(_ => true);
        }

        var fault = Assert.Single(verification.Faults);
        Assert.Equal(("a", "b", new Dscp(34), new Dscp(0), 2_000_000), (fault.Source, fault.Destination, fault.Sent, fault.Arrived, fault.Octets));

        for (var second = 0; second < 580; second++)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            verification.Advance(_ => true);
        }

        Assert.Single(verification.Faults);
        time.Advance(TimeSpan.FromSeconds(30));
        verification.Advance(_ => true);
        Assert.Empty(verification.Faults);
    }

    [Fact]
    public void Advance_LessThanTheAllowance_NamesNobody()
    {
        var time = new FakeTimeProvider(Start);
        var verification = new PathVerification(time, NullLogger<PathVerification>.Instance);
        verification.Take(Tuple(1), "a", "b", Record(FlowDirection.Egress, 34, 900_000, Start));
        verification.Take(Tuple(1), "a", "b", Record(FlowDirection.Ingress, 0, 900_000, Start));
        time.Advance(TimeSpan.FromSeconds(20));
        verification.Advance(_ => true);
        Assert.Empty(verification.Faults);

        // Several flows of a pair count together.
        verification.Take(Tuple(2), "a", "b", Record(FlowDirection.Egress, 26, 60_000, Start));
        verification.Take(Tuple(2), "a", "b", Record(FlowDirection.Ingress, 8, 60_000, Start));
        time.Advance(TimeSpan.FromSeconds(20));
        verification.Advance(_ => true);
        Assert.Equal(960_000, Assert.Single(verification.Faults).Octets);
    }

    [Fact]
    public void Advance_UnmarkedTrafficThatArrivesMarked_IsNoFault()
    {
        var time = new FakeTimeProvider(Start);
        var verification = new PathVerification(time, NullLogger<PathVerification>.Instance);
        verification.Take(Tuple(1), "a", "b", Record(FlowDirection.Egress, 0, 5_000_000, Start));
        verification.Take(Tuple(1), "a", "b", Record(FlowDirection.Ingress, 34, 5_000_000, Start));
        time.Advance(TimeSpan.FromSeconds(20));
        verification.Advance(_ => true);
        Assert.Empty(verification.Faults);
    }

    private static FlowTuple Tuple(int port) => new(IPAddress.Parse("10.0.0.2"), IPAddress.Parse("10.1.0.2"), port, 7471, 6);

    private static FlowRecord Record(FlowDirection direction, int dscp, long octets, DateTimeOffset end) => new()
    {
        FlowStart = end,
        FlowEnd = end,
        Direction = direction,
        SourceAddress = "10.0.0.2",
        DestinationAddress = "10.1.0.2",
        SourceTransportPort = 1,
        DestinationTransportPort = 7471,
        ProtocolIdentifier = 6,
        IpDiffServCodePoint = new(dscp),
        PostIpDiffServCodePoint = new(dscp),
        OctetDeltaCount = octets,
        PacketDeltaCount = 1,
        EndReason = FlowEndReason.Active,
    };

    /// <summary>
    /// Four hosts, a flow or two between every two of them, and one verification. Flows change their level, packets get lost and are delayed, agents report
    /// every second or every ten, out of step, late, with clocks that differ, and one may lose its connection for a while. Some paths clear marks for a while.
    /// </summary>
    private sealed class FabricRun
    {
        private static readonly int[] Levels = [34, 26, 18, 10, 1];

        private readonly Random _random;
        private readonly FakeTimeProvider _time = new(Start);
        private readonly List<Flow> _flows = [];
        private readonly Dictionary<string, Agent> _agents = [];
        private readonly PriorityQueue<(Flow Flow, int Dscp, long Octets), DateTimeOffset> _underWay = new();
        private readonly Agent? _outAgent;
        private readonly (int From, int To) _outage;

        public FabricRun(int seed, bool faults)
        {
            _random = new(seed);
            var interval = _random.Next(2) == 0 ? 1 : 10;
            string[] hosts = ["a", "b", "c", "d"];
            foreach (var host in hosts)
            {
                _agents[host] = new(interval, _random.Next(interval), TimeSpan.FromMilliseconds(_random.Next(-400, 400)));
            }

            // Half of the runs lose an agent's connection; those promise no thirty seconds, but still that nobody innocent is named.
            if (_random.Next(2) == 0)
            {
                _outAgent = _agents[hosts[_random.Next(4)]];
                _outage = (_random.Next(60), _random.Next(60, 140));
                WasOut = true;
            }

            var port = 0;
            foreach (var source in hosts)
            {
                foreach (var destination in hosts.Where(h => h != source))
                {
                    for (var i = 0; i < 1 + _random.Next(2); i++)
                    {
                        var broken = faults && _random.Next(3) == 0 ? (_random.Next(90), _random.Next(90, 200)) : (int.MaxValue, int.MaxValue);
                        _flows.Add(new(Tuple(++port), source, destination, broken)
                        {
                            Dscp = Levels[_random.Next(5)],
                            BytesPerSecond = 20_000 * (1 << _random.Next(8)),
                            LossShare = _random.Next(2) == 0 ? 0 : _random.NextDouble() * 0.3,
                        });
                    }
                }
            }

            Verification = new(_time, NullLogger<PathVerification>.Instance);
        }

        public PathVerification Verification { get; }

        public bool WasOut { get; }

        public Dictionary<(string, string), long> Remarked { get; } = [];

        private int Elapsed => (int)(_time.GetUtcNow() - Start).TotalSeconds;

        public void Second()
        {
            // Traffic of this second, in twenty steps.
            for (var step = 0; step < 20; step++)
            {
                _time.Advance(TimeSpan.FromMilliseconds(50));
                foreach (var flow in _flows)
                {
                    Send(flow);
                }

                while (_underWay.TryPeek(out var arriving, out var at) && at <= _time.GetUtcNow())
                {
                    _underWay.Dequeue();
                    _agents[arriving.Flow.Destination].Count(arriving.Flow, FlowDirection.Ingress, arriving.Dscp, arriving.Octets, at);
                }
            }

            foreach (var agent in _agents.Values)
            {
                var isOut = agent == _outAgent && Elapsed >= _outage.From && Elapsed < _outage.To;
                agent.Second(Elapsed, isOut, _random);
                foreach (var (flow, record) in agent.Deliver(Elapsed, isOut))
                {
                    Verification.Take(flow.Tuple, flow.Source, flow.Destination, record);
                }
            }

            Verification.Advance(host => Elapsed - _agents[host].ConnectedSince >= MarkLedger.Patience.TotalSeconds);
        }

        private void Send(Flow flow)
        {
            if (_random.Next(400) == 0)
            {
                flow.Dscp = Levels[_random.Next(5)];
            }

            if (_random.Next(200) == 0)
            {
                flow.Silent = !flow.Silent;
            }

            if (flow.Silent)
            {
                return;
            }

            var octets = flow.BytesPerSecond / 20;
            _agents[flow.Source].Count(flow, FlowDirection.Egress, flow.Dscp, octets, _time.GetUtcNow());
            var arriving = octets - (long)(octets * flow.LossShare);
            var cleared = Elapsed >= flow.Broken.From && Elapsed < flow.Broken.To;
            if (cleared)
            {
                Remarked[(flow.Source, flow.Destination)] = Remarked.GetValueOrDefault((flow.Source, flow.Destination)) + arriving;
            }

            _underWay.Enqueue((flow, cleared ? 0 : flow.Dscp, arriving), _time.GetUtcNow().AddMilliseconds(_random.Next(1_000)));
        }

        private sealed class Flow(FlowTuple tuple, string source, string destination, (int From, int To) broken)
        {
            public FlowTuple Tuple { get; } = tuple;

            public string Source { get; } = source;

            public string Destination { get; } = destination;

            public (int From, int To) Broken { get; } = broken;

            public required int Dscp { get; set; }

            public required long BytesPerSecond { get; init; }

            public required double LossShare { get; init; }

            public bool Silent { get; set; }
        }

        private sealed class Agent(int interval, int phase, TimeSpan clock)
        {
            private readonly Dictionary<(Flow Flow, FlowDirection Direction, int Dscp), (long Octets, DateTimeOffset First, DateTimeOffset Last)> _table = [];
            private readonly Queue<(int DueAt, Flow Flow, FlowRecord Record)> _outbox = [];
            private int _lastDue;

            public int ConnectedSince { get; private set; } = -100;

            public void Count(Flow flow, FlowDirection direction, int dscp, long octets, DateTimeOffset at)
            {
                var seen = at + clock;
                _table[(flow, direction, dscp)] = _table.TryGetValue((flow, direction, dscp), out var known) ? (known.Octets + octets, known.First, seen) : (octets, seen, seen);
            }

            public void Second(int now, bool isOut, Random random)
            {
                ConnectedSince = isOut ? now + 1 : ConnectedSince;
                if (now % interval != phase)
                {
                    return;
                }

                // Reports of one agent stay in order, however late they are.
                _lastDue = Math.Max(_lastDue, now + random.Next(3));
                foreach (var ((flow, direction, dscp), (octets, first, last)) in _table)
                {
                    _outbox.Enqueue((_lastDue, flow, Record(direction, dscp, octets, last) with { FlowStart = first }));
                }

                _table.Clear();
            }

            public IEnumerable<(Flow, FlowRecord)> Deliver(int now, bool isOut)
            {
                while (!isOut && _outbox.TryPeek(out var next) && next.DueAt <= now)
                {
                    _outbox.Dequeue();
                    yield return (next.Flow, next.Record);
                }
            }
        }
    }
}
