using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Flows;
using MLNet.SDN.Planning.Topology;
using MLNet.SDN.Tests.Planning;

namespace MLNet.SDN.Tests.Controller.Flows;

public class RemarkingSwitchesTests
{
    private const byte Marked = 34;
    private const byte OtherMark = 26;

    private static readonly Fabric Tree = Fabrics.Of(FatTree.Build(FatTree.Shape(4, 10)));
    private static readonly DateTimeOffset Start = new(2025, 6, 1, 12, 0, 0, TimeSpan.Zero);

    [Theory]
    [InlineData("e0-0", 0)]
    [InlineData("a1-0", 0)]
    [InlineData("c3", 8)]
    public void Advance_SwitchThatRewrites_IsNamedAndStaysSoWhileItsPairsDo(string faulty, int arrivesAs)
    {
        var run = new Run();
        run.Seconds(60, path => path.Contains(faulty), (byte)arrivesAs);

        var suspect = run.Switches.Suspects[0];
        Assert.Equal((faulty, null), (suspect.Switch, suspect.Neighbour));
        Assert.True(suspect.Confidence > 0.9, $"{suspect}");
        Assert.Contains("arrived changed, 0 that crossed it", suspect.Reason, StringComparison.Ordinal);

        // It is mended: nothing new is changed, and nobody else is blamed until its pairs are cleared.
        run.Seconds(300, _ => false, 0);
        Assert.Equal([faulty], run.Switches.Suspects.Where(s => s.Confidence > 0.5).Select(s => s.Switch));
        run.Seconds(420, _ => false, 0);
        Assert.Empty(run.Verification.Faults);
        Assert.Empty(run.Switches.Suspects);
    }

    [Fact]
    public void Advance_NothingChanged_SuspectsNobody()
    {
        var run = new Run();
        run.Seconds(60, _ => false, 0);

        Assert.Empty(run.Switches.Suspects);
    }

    [Fact]
    public void Advance_SwitchThatSparesACodePoint_IsNamedAllTheSame()
    {
        // Every second flow is of another level, which the switch lets through.
        var run = new Run { SparedLevel = true };
        run.Seconds(60, path => path.Contains("a2-1"), 0);

        Assert.Equal("a2-1", run.Switches.Suspects[0].Switch);
        Assert.True(run.Switches.Suspects[0].Confidence > 0.9);
    }

    [Fact]
    public void Advance_FabricGone_SuspectsNobody()
    {
        var run = new Run();
        run.Seconds(60, path => path.Contains("e0-0"), 0);
        Assert.NotEmpty(run.Switches.Suspects);

        run.Switches.Advance(null);

        Assert.Empty(run.Switches.Suspects);
    }

    /// <summary>Flows between all hosts of different racks, whose two sides report each second; half of their paths are known.</summary>
    private sealed class Run
    {
        private readonly FakeTimeProvider _time = new(Start);
        private readonly List<(FlowTuple Tuple, string[] Path, byte Sent, bool Known)> _flows = [];

        public Run()
        {
            Verification = new(_time, NullLogger<PathVerification>.Instance);
            Switches = new(Verification, _time, NullLogger<RemarkingSwitches>.Instance);
            var random = new Random(3);
            foreach (var source in Fabrics.HostNames(Tree))
            {
                foreach (var destination in Fabrics.HostNames(Tree).Where(d => d[..4] != source[..4]))
                {
                    var (s, d, up) = (source[1..].Split('-'), destination[1..].Split('-'), random.Next(2));
                    string[] middle = s[0] == d[0] ? [$"a{s[0]}-{up}"] : [$"a{s[0]}-{up}", $"c{(2 * up) + random.Next(2)}", $"a{d[0]}-{up}"];
                    var tuple = new FlowTuple(IPAddress.Parse(Tree.Hosts[source].Address!), IPAddress.Parse(Tree.Hosts[destination].Address!), 40_000 + _flows.Count, 7471, 6);
                    _flows.Add((tuple, [source, $"e{s[0]}-{s[1]}", .. middle, $"e{d[0]}-{d[1]}", destination], Marked, random.Next(2) == 0));
                }
            }
        }

        public bool SparedLevel { get; init; }

        public PathVerification Verification { get; }

        public RemarkingSwitches Switches { get; }

        public void Seconds(int count, Func<string[], bool> isChanged, byte arrivesAs)
        {
            for (var second = 0; second < count; second++)
            {
                _time.Advance(TimeSpan.FromSeconds(1));

                // Every ten seconds, as agents report when nobody watches.
                for (var i = 0; second % 10 == 0 && i < _flows.Count; i++)
                {
                    var (tuple, path, sent, known) = _flows[i];
                    sent = SparedLevel && i % 2 == 0 ? OtherMark : sent;
                    var arrived = sent == Marked && isChanged(path) ? arrivesAs : sent;
                    Verification.Take(tuple, path[0], path[^1], Record(FlowDirection.Egress, tuple, sent), known ? path[1..^1] : null);
                    Verification.Take(tuple, path[0], path[^1], Record(FlowDirection.Ingress, tuple, arrived));
                }

                Verification.Advance(_ => true);
                Switches.Advance(Tree);
            }
        }

        private FlowRecord Record(FlowDirection direction, FlowTuple tuple, byte dscp) => new()
        {
            FlowStart = _time.GetUtcNow(),
            FlowEnd = _time.GetUtcNow(),
            Direction = direction,
            SourceAddress = tuple.Source.ToString(),
            DestinationAddress = tuple.Destination.ToString(),
            SourceTransportPort = tuple.SourcePort,
            DestinationTransportPort = 7471,
            ProtocolIdentifier = 6,
            IpDiffServCodePoint = new(dscp),
            PostIpDiffServCodePoint = new(Marked),
            OctetDeltaCount = 600_000,
            PacketDeltaCount = 400,
            EndReason = FlowEndReason.Active,
        };
    }
}
