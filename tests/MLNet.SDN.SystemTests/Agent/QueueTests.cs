using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Logging.Abstractions;
using MLNet.SDN.Agent;
using MLNet.SDN.Agent.Queues;
using MLNet.SDN.Contracts;
using MLNet.SDN.Tests.Agent.Policies;

namespace MLNet.SDN.SystemTests.Agent;

/// <summary>The queues of the left host's egress, made by the real tc.</summary>
[Collection(nameof(HostPair))]
public sealed class QueueTests : IDisposable
{
    private readonly HostPair hosts;
    private readonly string directory = Directory.CreateTempSubdirectory("mlnet-queues-").FullName;
    private readonly SystemProgram tc;
    private readonly QueueKeeper keeper;

    public QueueTests()
    {
        Prerequisites.RequireNamespaces("ip", "tc");
        hosts = new HostPair();
        var path = Path.Combine(directory, "tc");
        File.WriteAllText(path, $"#!/bin/sh\nexec ip netns exec {hosts.Left} tc \"$@\"\n");
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        tc = new SystemProgram("tc", path);
        keeper = new QueueKeeper(tc, [HostPair.LeftInterface], NullLogger.Instance);
    }

    private static HostPolicy Policy => PolicySamples.Policy(1) with { LinkRateBitsPerSecond = 100_000_000 };

    public void Dispose()
    {
        hosts.Dispose();
        Directory.Delete(directory, recursive: true);
    }

    [Theory]
    [InlineData(HostPair.RightAddress)]
    [InlineData("2001:db8:99::2")]
    public async Task Apply_MarkedPackets_AreServedByTheirClassAndRemovalBringsBackWhatWas(string address)
    {
        var before = Show();

        await keeper.ApplyAsync(Policy, default);

        Assert.Null(keeper.Limit);
        Assert.Equal("htb", keeper.Served[HostPair.LeftInterface]);
        Assert.Contains("qdisc htb 6d6c: root", Show(), StringComparison.Ordinal);
        var to = IPAddress.Parse(address);
        HostPair.RunIn(hosts.Left, "ping", "-c", "1", address); // the neighbour is known
        var counted = Packets();
        Send(to, 34, 7);
        Send(to, 0, 5);
        Send(to, 46, 3); // no class of its own
        var more = Packets().ToDictionary(c => c.Key, c => c.Value - counted[c.Key], StringComparer.Ordinal);

        // The ladder's second is AF41, its sixth CS0. Acknowledgements of others may be among the latter.
        Assert.Equal(7, more["6d6c:11"]);
        Assert.InRange(more["6d6c:15"], 8, 12);
        Assert.Null(await QueueKeeper.RemoveAllAsync(tc, default));
        Assert.Equal(before, Show());
    }

    [Fact]
    public async Task Apply_Same_IsNotMadeAnewAlsoAfterARestart()
    {
        await keeper.ApplyAsync(Policy, default);
        HostPair.RunIn(hosts.Left, "ping", "-c", "3", "-i", "0.01", HostPair.RightAddress);
        var counted = Packets();

        await new QueueKeeper(tc, [HostPair.LeftInterface], NullLogger.Instance).ApplyAsync(Policy, default);
        Assert.InRange(Packets()["6d6c:15"], counted["6d6c:15"], int.MaxValue);

        await keeper.ApplyAsync(Policy with { LinkRateBitsPerSecond = 50_000_000 }, default);
        Assert.InRange(Packets()["6d6c:15"], 0, counted["6d6c:15"] - 1);
        Assert.Contains("ceil 50Mbit", HostPair.RunIn(hosts.Left, "tc", "class", "show", "dev", HostPair.LeftInterface), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Apply_QueueOfSomebodyElse_StaysAndIsTold()
    {
        HostPair.RunIn(hosts.Left, "tc", "qdisc", "add", "dev", HostPair.LeftInterface, "root", "handle", "1:", "htb");
        var before = Show();

        await keeper.ApplyAsync(Policy, default);

        Assert.Contains("somebody's choice", keeper.Limit, StringComparison.Ordinal);
        Assert.StartsWith("not ours: ", keeper.Served[HostPair.LeftInterface], StringComparison.Ordinal);
        Assert.Null(await QueueKeeper.RemoveAllAsync(tc, default));
        Assert.Equal(before, Show());
    }

    [Fact]
    public async Task Apply_RateUnknown_NothingIsTouched()
    {
        var before = Show();

        await keeper.ApplyAsync(PolicySamples.Policy(), default);

        Assert.Contains("rate", keeper.Limit, StringComparison.Ordinal);
        Assert.Equal(before, Show());
    }

    // Without HTB's counter of packets of no class: neighbours are looked for at any time.
    private string Show() => Regex.Replace(HostPair.RunIn(hosts.Left, "tc", "qdisc", "show", "dev", HostPair.LeftInterface), @" direct_packets_stat \d+", "");

    private Dictionary<string, int> Packets() =>
        Regex.Matches(HostPair.RunIn(hosts.Left, "tc", "-s", "class", "show", "dev", HostPair.LeftInterface), @"class htb (\S+) .*\n Sent \d+ bytes (\d+) pkt")
            .ToDictionary(m => m.Groups[1].Value, m => int.Parse(m.Groups[2].Value, System.Globalization.CultureInfo.InvariantCulture), StringComparer.Ordinal);

    private void Send(IPAddress to, int dscp, int count) => HostPair.In(hosts.Left, () =>
    {
        using var socket = new Socket(to.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        if (to.AddressFamily == AddressFamily.InterNetwork)
        {
            socket.SetSocketOption(SocketOptionLevel.IP, SocketOptionName.TypeOfService, dscp << 2);
        }
        else
        {
            socket.SetRawSocketOption(41, 67, BitConverter.GetBytes(dscp << 2));
        }

        for (var i = 0; i < count; i++)
        {
            socket.SendTo(new byte[100], new IPEndPoint(to, 9));
        }

        return count;
    });
}
