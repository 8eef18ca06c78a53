using System.Net;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Discovery;
using MLNet.SDN.Agent.Flows;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Contracts;
using MLNet.SDN.Tests.Agent.Policies;

namespace MLNet.SDN.Tests.Agent.Flows;

public sealed class FlowAttributionTests
{
    private static readonly InstalledPolicy Policy = Read(
        PolicySamples.Job(1, "resnet", 1, 34),
        PolicySamples.Job(2, "gloo", 2, 26, new FlowSelector { Source = "10.0.0.0/24", Protocol = "tcp", DestinationPortFrom = 29_500, DestinationPortTo = 29_600, Role = "gloo" }),
        PolicySamples.Job(3, "ps", 3, 18, new FlowSelector { Protocol = "tcp", SourcePortFrom = 29_550 }, new FlowSelector { Source = "2001:db8::/32" }));

    [Theory]
    [InlineData(FlowDirection.Egress, "10.0.0.2", 40_000, "10.0.0.6", 7471)] // sent on a connection this host dialled
    [InlineData(FlowDirection.Ingress, "10.0.0.6", 7471, "10.0.0.2", 40_000)] // received on it
    public void Describe_OwnSocket_IsTheOwners(FlowDirection direction, string source, int sourcePort, string destination, int destinationPort)
    {
        bool Owner(IPAddress local, int localPort, IPAddress remote, int remotePort, out ConnectionOwner owner)
        {
            owner = new ConnectionOwner(1, "push");
            return (local.ToString(), localPort, remote.ToString(), remotePort) == ("10.0.0.2", 40_000, "10.0.0.6", 7471);
        }

        var record = new FlowAttribution(Owner).Describe(Delta(source, sourcePort, destination, destinationPort, direction), Policy);

        Assert.Equal((1L, "push", new Dscp(34)), (record.JobId, record.Role, record.PostIpDiffServCodePoint));
    }

    [Fact]
    public void Describe_SignallingSocket_ShouldCarryTheSignallingCodePoint()
    {
        static bool Owner(IPAddress local, int localPort, IPAddress remote, int remotePort, out ConnectionOwner owner)
        {
            owner = new ConnectionOwner(1, "signal");
            return true;
        }

        var record = new FlowAttribution(Owner).Describe(Delta("10.0.0.2", 1, "10.0.0.6", 7471), Policy);

        Assert.Equal((1L, "signal", new Dscp(40)), (record.JobId, record.Role, record.PostIpDiffServCodePoint));
    }

    [Theory]
    [InlineData("10.0.0.9", 40_000, "10.9.9.9", 29_500, 2, "gloo", 26)]
    [InlineData("10.9.9.9", 29_600, "10.0.0.9", 40_000, 2, "gloo", 26)] // the answers
    [InlineData("10.9.9.9", 29_550, "10.0.0.9", 40_000, 3, "selected", 18)] // as written goes before reversed
    [InlineData("10.0.0.9", 40_000, "10.9.9.9", 29_601, null, null, 0)]
    [InlineData("10.9.9.9", 40_000, "10.0.0.9", 29_500, null, null, 0)] // source not selected
    [InlineData("2001:db8::1", 1, "2001:db9::1", 2, 3, "selected", 18)]
    [InlineData("2001:db9::1", 1, "2001:db8::1", 2, 3, "selected", 18)]
    [InlineData("2001:db9::1", 1, "2001:db9::2", 2, null, null, 0)]
    public void Describe_OtherFlow_IsSelectedInEitherDirection(string source, int sourcePort, string destination, int destinationPort, int? job, string? role, int dscp)
    {
        var record = new FlowAttribution(null).Describe(Delta(source, sourcePort, destination, destinationPort), Policy);

        Assert.Equal(((long?)job, role, new Dscp(dscp)), (record.JobId, record.Role, record.PostIpDiffServCodePoint));
    }

    [Theory]
    [InlineData(FlowDirection.Egress, "10.0.0.2", 40_000, "10.9.9.9", 443, 1)] // the user's
    [InlineData(FlowDirection.Ingress, "10.9.9.9", 443, "10.0.0.2", 40_000, 1)] // what it receives
    [InlineData(FlowDirection.Egress, "10.0.0.2", 40_001, "10.9.9.9", 29_500, 2)] // below the group, which is asked before the port
    [InlineData(FlowDirection.Egress, "10.0.0.2", 40_002, "10.9.9.9", 443, null)] // a group with a name that begins the same
    [InlineData(FlowDirection.Egress, "10.0.0.2", 40_003, "10.9.9.9", 443, null)] // nobody's
    public void Describe_SelectedByUserOrGroup_IsKnownByItsSocket(FlowDirection direction, string source, int sourcePort, string destination, int destinationPort, int? job)
    {
        var groups = new CgroupTree(Directory.CreateTempSubdirectory("mlnet-cgroup-").FullName);
        var (a, below, beside) = (Make(groups, "/job"), Make(groups, "/job/worker"), Make(groups, "/jobs"));
        SocketFacts[] open = [Socket(40_000, 443, 1000, beside), Socket(40_001, 29_500, 0, below), Socket(40_002, 443, 0, beside)];
        var sockets = new SocketOwners(protocol => protocol == 6 ? open : [], groups, TimeProvider.System);
        var policy = Read(
            PolicySamples.Job(1, "user", 1, 34, new FlowSelector { Uid = 1000 }),
            PolicySamples.Job(3, "port", 3, 18, new FlowSelector { Protocol = "tcp", DestinationPortFrom = 29_500 }),
            PolicySamples.Job(2, "group", 2, 26, new FlowSelector { Cgroup = "/job" }));
        Assert.NotEqual(a, below);
        sockets.Refresh(policy);
        open = [];
        sockets.Refresh(policy); // closed, and remembered for as long as it is reported

        Assert.Equal(job, (int?)new FlowAttribution(null, sockets).Describe(Delta(source, sourcePort, destination, destinationPort, direction), policy).JobId);
        Directory.Delete(groups.Mount, recursive: true);

        static ulong Make(CgroupTree tree, string path)
        {
            Directory.CreateDirectory(tree.Mount + path);
            return tree.Numbers([path]).Single(n => n.Value == path).Key;
        }

        static SocketFacts Socket(ushort local, ushort remote, uint uid, ulong group) => new(
            new TcpConnection(FlowKey.FromAddress(IPAddress.Parse("10.0.0.2")), local, FlowKey.FromAddress(IPAddress.Parse("10.9.9.9")), remote, IsIPv6: false), 1, uid, 1, 0, group);
    }

    [Fact]
    public void Describe_Udp_IsNeverAskedOfTheDataPlane()
    {
        static bool Owner(IPAddress local, int localPort, IPAddress remote, int remotePort, out ConnectionOwner owner) =>
            throw new InvalidOperationException("asked");

        var delta = Delta("10.0.0.2", 1, "10.0.0.6", 2);

        Assert.Null(new FlowAttribution(Owner).Describe(delta with { Key = delta.Key with { Protocol = 17 } }, Policy).JobId);
    }

    [Fact]
    public void Describe_Delta_BecomesTheRecord()
    {
        var record = new FlowAttribution(null).Describe(Delta("10.0.0.2", 40_000, "10.0.0.6", 7471), InstalledPolicy.None);

        Assert.Equal(
            new FlowRecord
            {
                FlowStart = new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero),
                FlowEnd = new DateTimeOffset(2026, 1, 1, 0, 0, 1, TimeSpan.Zero),
                Direction = FlowDirection.Egress,
                SourceAddress = "10.0.0.2",
                DestinationAddress = "10.0.0.6",
                SourceTransportPort = 40_000,
                DestinationTransportPort = 7471,
                ProtocolIdentifier = 6,
                IpDiffServCodePoint = new Dscp(10),
                PostIpDiffServCodePoint = new Dscp(0),
                OctetDeltaCount = 1500,
                PacketDeltaCount = 2,
                EndReason = FlowEndReason.Idle,
            },
            record);
    }

    private static InstalledPolicy Read(params HostJob[] jobs) => PolicyRules.Read(PolicySamples.Policy(1, jobs), PolicySamples.Host, out _)!;

    private static FlowDelta Delta(string source, int sourcePort, string destination, int destinationPort, FlowDirection direction = FlowDirection.Egress)
    {
        var start = new DateTime(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc).Ticks;
        var key = new FlowKey(
            FlowKey.FromAddress(IPAddress.Parse(source)), FlowKey.FromAddress(IPAddress.Parse(destination)), (ushort)sourcePort, (ushort)destinationPort,
            6, 10, direction, source.Contains(':', StringComparison.Ordinal));
        return new FlowDelta(key, start, start + TimeSpan.TicksPerSecond, 1500, 2, FlowEndReason.Idle);
    }
}
