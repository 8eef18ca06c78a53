using System.Net;
using System.Net.Sockets;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Agent.Policies;

public sealed class JobPresenceTests
{
    private static readonly FlowSelector Port = new() { Protocol = "tcp", DestinationPortFrom = 5000 };
    private static readonly LocalSocket Dialled = new(Address("10.0.0.2"), 40_000, Address("10.0.0.6"), 5000, 6, IsIPv6: false, 1000);
    private static readonly LocalSocket Listening = new(0, 5000, 0, 0, 6, IsIPv6: true, 1000);
    private static readonly LocalSocket Other = new(Address("10.0.0.2"), 40_000, Address("10.0.0.6"), 5001, 6, IsIPv6: false, 1000);

    [Fact]
    public void Look_SocketsClosed_GoneAtTheSecondLookAndForGood()
    {
        var presence = new JobPresence();
        var policy = Policy(1);

        Assert.Empty(presence.Look(policy, [Dialled, Other]));
        Assert.Empty(presence.Look(policy, [Other])); // between two connections
        Assert.Empty(presence.Look(policy, [Listening]));
        Assert.Empty(presence.Look(policy, []));
        Assert.Equal([7L], presence.Look(policy, []));
        Assert.Equal([7L], presence.Look(policy, [Dialled])); // a stranger, for all that is known
        Assert.Empty(presence.Look(Policy(2), [Dialled])); // planned anew
    }

    [Fact]
    public void Look_DiscoveredJob_IsThereAsLongAsItsProcessesAre()
    {
        var presence = new JobPresence();
        var policy = Policy(1);
        policy = policy with { Policy = policy.Policy! with { Jobs = [policy.Policy.Jobs[0] with { DiscoveryKey = "torch//a:1", OwnerUid = 1000 }] } };
        var there = new HashSet<(string, int)> { ("torch//a:1", 1000) };

        Assert.Empty(presence.Look(policy, [], there));
        Assert.Empty(presence.Look(policy, [Dialled])); // a stranger on the same ports does not count
        Assert.Equal([7L], presence.Look(policy, [Dialled], new HashSet<(string, int)> { ("torch//b:1", 1000), ("torch//a:1", 1001) })); // nor another user's job of that key
        Assert.Empty(presence.Look(policy, [], there));
    }

    [Fact]
    public void Look_NeverSeen_IsLeftAlone()
    {
        var presence = new JobPresence();
        for (var i = 0; i < 5; i++)
        {
            Assert.Empty(presence.Look(Policy(1), [Other, new LocalSocket(0, 80, 0, 0, 6, IsIPv6: false, 0)]));
        }
    }

    [Fact]
    public void Restore_AfterARestart_GoesOnFromWhatWasSeen()
    {
        var before = new JobPresence();
        before.Look(Policy(1), [Dialled]);
        var seen = before.Seen();
        before.Look(Policy(1), []);
        before.Look(Policy(1), []);
        Assert.NotEqual(seen, before.Seen());

        // Gone: it stays so, whoever has its ports now.
        var presence = new JobPresence();
        presence.Restore(before.Seen());
        Assert.Equal([7L], presence.GoneOf(Policy(1).Policy!));
        Assert.Empty(presence.GoneOf(Policy(2).Policy!));
        Assert.Equal([7L], presence.Look(Policy(1), [Dialled with { Uid = 2000 }]));

        // Ended while nobody looked: a stranger is not its user.
        presence = new();
        presence.Restore(seen);
        Assert.Empty(presence.Look(Policy(1), [Dialled with { Uid = 2000 }]));
        Assert.Equal([7L], presence.Look(Policy(1), [Dialled with { Uid = 2000 }]));

        // Where nobody looks at sockets, nothing is said of them.
        presence = new();
        presence.Restore(seen);
        Assert.All(Enumerable.Range(0, 3), _ => Assert.Empty(presence.Look(Policy(1), null)));
    }

    [Fact]
    public void Look_SamePortsOfAnotherUser_DoNotKeepIt()
    {
        var presence = new JobPresence();
        presence.Look(Policy(1), [Dialled]);
        presence.Look(Policy(1), [Dialled with { Uid = 2000 }]);

        Assert.Equal([7L], presence.Look(Policy(1), [Dialled with { Uid = 2000 }]));
    }

    [Fact]
    public void Look_OwnerNamed_OnlyItsSocketsCount()
    {
        var presence = new JobPresence();
        var policy = Policy(1, owner: 2000);
        presence.Look(policy, [Dialled with { Uid = 2000 }, Dialled]);
        presence.Look(policy, [Dialled]);

        Assert.Equal([7L], presence.Look(policy, [Dialled]));
    }

    [Theory]
    [InlineData("127.0.0.1", "127.0.0.1")]
    [InlineData("::1", "::1")]
    [InlineData("::ffff:127.0.0.1", "127.0.0.1")]
    public void Read_OwnSockets_AreListedAsTheKernelHasThem(string address, string shown)
    {
        using var listener = new Socket(AddressFamily.InterNetworkV6, SocketType.Stream, ProtocolType.Tcp) { DualMode = true };
        listener.Bind(new IPEndPoint(IPAddress.IPv6Any, 0));
        listener.Listen();
        var given = IPAddress.Parse(address);
        using var client = new Socket(given.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        var port = (ushort)((IPEndPoint)listener.LocalEndPoint!).Port;
        if (given.IsIPv4MappedToIPv6)
        {
            client.DualMode = true;
        }

        client.Connect(given.AddressFamily == AddressFamily.InterNetworkV6 && !given.IsIPv4MappedToIPv6 ? IPAddress.IPv6Loopback : given, port);
        var local = (ushort)((IPEndPoint)client.LocalEndPoint!).Port;

        var sockets = LocalSockets.Read();

        var expected = IPAddress.Parse(shown);
        Assert.Contains(sockets, s => s is { Local: var any, RemotePort: 0 } && any == 0 && s.LocalPort == port);
        var found = Assert.Single(sockets, s => s.LocalPort == local && s.RemotePort == port && s.Protocol == 6);
        Assert.Equal((Address(shown), Address(shown), expected.AddressFamily == AddressFamily.InterNetworkV6), (found.Local, found.Remote, found.IsIPv6));
    }

    private static UInt128 Address(string text) => FlowKey.FromAddress(IPAddress.Parse(text));

    private static InstalledPolicy Policy(int trees, int? owner = null) => PolicyRules.Read(
        PolicySamples.Policy(1, PolicySamples.Job(7, "gloo", 2, 26, Port) with { TreesRevision = new Revision(1, trees), OwnerUid = owner }, PolicySamples.Job(8, "quiet")),
        PolicySamples.Host, out _)!;
}
