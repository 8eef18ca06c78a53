using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Logging.Abstractions;
using MLNet.SDN.Agent;
using MLNet.SDN.Agent.Marking;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;
using MLNet.SDN.Tests.Agent.Policies;

namespace MLNet.SDN.SystemTests.Agent;

/// <summary>Marks set by the real nftables on the left host, counted by rules of the test where they arrive on the right.</summary>
[Collection(nameof(HostPair))]
public sealed partial class MarkingTests : IDisposable
{
    private const string Strangers = "table inet strangers {\n\tchain output {\n\t\ttype filter hook output priority filter; policy accept;\n\t\tip dscp cs7 drop\n\t}\n}\n";

    private readonly HostPair? hosts;
    private readonly string directory = Directory.CreateTempSubdirectory("mlnet-marking-").FullName;
    private readonly Marker marker;

    public MarkingTests()
    {
        Prerequisites.RequireNamespaces("ip", "nft");
        hosts = new HostPair();
        HostPair.LoadRules(hosts.Left, Strangers);
        marker = new Marker(new SystemProgram("nft", NftIn(hosts.Left)), NullLogger.Instance);
    }

    public void Dispose()
    {
        hosts?.Dispose();
        Directory.Delete(directory, recursive: true);
    }

    [Theory]
    [InlineData(HostPair.RightAddress, "ip")]
    [InlineData("2001:db8:99::2", "ip6")]
    public async Task Apply_SelectedFlow_ArrivesMarkedWithItsEcnBits(string address, string family)
    {
        HostPair.LoadRules(hosts!.Right, $$"""
            table inet arrived {
              chain prerouting {
                type filter hook prerouting priority raw; policy accept;
                udp dport 5000 {{family}} dscp af31 {{family}} ecn ect0 counter
                udp dport 5000 counter
                udp dport 5001 {{family}} dscp cs0 counter
                udp dport 5001 counter
              }
            }
            """);
        await marker.ProbeAsync(default);
        Assert.Null(await marker.ApplyAsync(Rules(26, new FlowSelector { Protocol = "udp", DestinationPortFrom = 5000 }), default));

        Send(address, 5000, 100, trafficClass: 2); // ECT(0), RFC 3168 §5
        Send(address, 5001, 100, trafficClass: 0);

        // The first packets wait for the neighbour's link address.
        PacketRingTests.WaitFor(() => Arrived() is [_, 100, _, 100]);
        Assert.Equal([100, 100, 100, 100], Arrived());
    }

    // Ranges and prefixes become masked values in sets; what the kernel makes of them is the same.
    [Theory]
    [InlineData(HostPair.RightAddress, "ip", "10.98.0.0/15")]
    [InlineData("2001:db8:99::2", "ip6", "2001:db8:80::/43")]
    public async Task Apply_ManyRangesUnderPrefixes_MarkExactlyTheirPorts(string address, string family, string prefix)
    {
        HostPair.LoadRules(hosts!.Right, $$"""
            table inet arrived {
              chain prerouting {
                type filter hook prerouting priority raw; policy accept;
                udp dport 1000-1009 {{family}} dscp af31 counter
                udp dport { 999, 1010 } {{family}} dscp cs0 counter
                udp dport 999-1010 counter
              }
            }
            """);
        var elsewhere = Enumerable.Range(1, 20).Select(i => family == "ip" ? $"10.{2 * i}.0.0/15" : $"2001:db8:{0x1000 + (i * 32):x}::/43");
        await marker.ProbeAsync(default);
        Assert.Null(await marker.ApplyAsync(
            Rules(PolicySamples.Job(1, "job", 2, 26, [.. elsewhere.Append(prefix).Select(p => new FlowSelector { Protocol = "udp", Destination = p, DestinationPortFrom = 1000, DestinationPortTo = 1009 })])),
            default));
        Assert.Contains(" & 65528 {", HostPair.RunIn(hosts.Left, "nft", "list", "table", "inet", "mlnet_sdn"), StringComparison.Ordinal);

        for (var port = 999; port <= 1010; port++)
        {
            Send(address, port, 10, trafficClass: 0);
        }

        PacketRingTests.WaitFor(() => Arrived() is [_, _, 120]);
        Assert.Equal([100, 20, 120], Arrived());
    }

    [Fact]
    public async Task Apply_LiveTcpConnection_BothDirectionsOfTheLeftHostAreMarked()
    {
        HostPair.LoadRules(hosts!.Right, """
            table inet arrived {
              chain prerouting {
                type filter hook prerouting priority raw; policy accept;
                tcp sport 6000 ip dscp af41 counter
                tcp sport 6000 ip dscp cs0 counter
              }
            }
            """);
        await marker.ProbeAsync(default);
        using var listener = Listen(hosts.Left, HostPair.LeftAddress, 6000);
        using var client = HostPair.In(hosts.Right, () => new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
        client.Connect(listener.LocalEndPoint!);
        using var server = listener.Accept();
        Exchange(server, client);
        Assert.Equal(0, Arrived()[0]);
        var before = Arrived()[1];

        // The selector names what the right host sends; the left one sends the answers.
        Assert.Null(await marker.ApplyAsync(Rules(34, new FlowSelector { Protocol = "tcp", DestinationPortFrom = 6000 }), default));
        Exchange(server, client);

        Assert.InRange(Arrived()[0], 1, 1000);
        Assert.Equal(before, Arrived()[1]);
    }

    [Fact]
    public async Task Apply_DataPlaneSockets_KeepTheirOwnMark()
    {
        HostPair.LoadRules(hosts!.Right, """
            table inet arrived {
              chain prerouting {
                type filter hook prerouting priority raw; policy accept;
                udp dport 7471 ip dscp af31 counter
                tcp dport 7471 ip dscp ef counter
                tcp dport 7471 counter
              }
            }
            """);
        await marker.ProbeAsync(default);
        var job = PolicySamples.Job(1, "all", 2, 26, new FlowSelector { Destination = "10.99.0.0/24" }) with
        {
            Endpoints = [new HostEndpoint("h0-0-0", HostPair.LeftAddress, 7471, null), new HostEndpoint("h0-0-1", HostPair.RightAddress, 7471, null)],
        };
        Assert.Null(await marker.ApplyAsync(Rules(job), default));

        Send(HostPair.RightAddress, 7471, 10, trafficClass: 0);
        using var listener = Listen(hosts.Right, HostPair.RightAddress, 7471);
        using var client = HostPair.In(hosts.Left, () => new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
        client.SetSocketOption(SocketOptionLevel.IP, SocketOptionName.TypeOfService, 46 << 2);
        client.Connect(listener.LocalEndPoint!);
        using var server = listener.Accept();
        Exchange(client, server);

        var arrived = Arrived();
        Assert.Equal(10, arrived[0]);
        Assert.InRange(arrived[1], 2, 1000);
        Assert.Equal(arrived[2], arrived[1]);
    }

    [Fact]
    public async Task Apply_ReplacedManyTimesUnderTraffic_NoPacketIsUnmarked()
    {
        HostPair.LoadRules(hosts!.Right, """
            table inet arrived {
              chain prerouting {
                type filter hook prerouting priority raw; policy accept;
                udp dport 5000 ip dscp { af31, af41 } counter
                udp dport 5000 counter
              }
            }
            """);
        await marker.ProbeAsync(default);
        await marker.ApplyAsync(Rules(26, new FlowSelector { Protocol = "udp" }), default);
        using var stop = new CancellationTokenSource();
        var sending = Task.Run(() =>
        {
            var sent = 0;
            while (!stop.IsCancellationRequested)
            {
                sent += Send(HostPair.RightAddress, 5000, 500, 0);
            }

            return sent;
        });
        for (var i = 0; i < 20; i++)
        {
            Assert.Null(await marker.ApplyAsync(Rules(i % 2 == 0 ? 34 : 26, new FlowSelector { Protocol = "udp" }), default));
        }

        await stop.CancelAsync();
        Assert.InRange(await sending, 1000, int.MaxValue);
        var arrived = Arrived();
        Assert.Equal(arrived[1], arrived[0]);
    }

    [Fact]
    public async Task Repair_TableTakenAway_ComesBackWithItsHash()
    {
        await marker.ProbeAsync(default);
        await marker.ApplyAsync(Rules(26, new FlowSelector { Protocol = "udp" }), default);
        var hash = marker.Hash;
        var listing = HostPair.RunIn(hosts!.Left, "nft", "-s", "-n", "list", "table", "inet", "mlnet_sdn");
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(listing))), hash);

        HostPair.RunIn(hosts.Left, "nft", "delete", "table", "inet", "mlnet_sdn");
        Assert.True(await marker.RepairAsync(default));
        Assert.Equal(hash, marker.Hash);

        HostPair.RunIn(hosts.Left, "nft", "insert", "rule", "inet", "mlnet_sdn", "output", "udp", "dport", "5000", "accept");
        Assert.True(await marker.RepairAsync(default));
        Assert.Equal(hash, marker.Hash);
        Assert.False(await marker.RepairAsync(default));
    }

    [Fact]
    public async Task Apply_TrafficPasses_HashStays()
    {
        await marker.ProbeAsync(default);
        await marker.ApplyAsync(Rules(26, new FlowSelector { Protocol = "udp" }), default);
        Send(HostPair.RightAddress, 5000, 10, 0);

        Assert.False(await marker.RepairAsync(default));
    }

    [Fact]
    public async Task Remove_AndNothingToMark_LeaveOnlyTheTablesOfOthers()
    {
        var before = HostPair.RunIn(hosts!.Left, "nft", "list", "ruleset");
        await marker.ProbeAsync(default);
        await marker.ApplyAsync(Rules(26, new FlowSelector { Protocol = "udp" }), default);
        Assert.NotEqual(before, HostPair.RunIn(hosts.Left, "nft", "list", "ruleset"));

        Assert.Null(await marker.ApplyAsync(Ruleset.Removal, default));
        Assert.Equal(before, HostPair.RunIn(hosts.Left, "nft", "list", "ruleset"));

        await marker.ApplyAsync(Rules(26, new FlowSelector { Protocol = "udp" }), default);
        Assert.Null(await marker.RemoveAsync(default));
        Assert.Equal(before, HostPair.RunIn(hosts.Left, "nft", "list", "ruleset"));
        Assert.Null(await marker.RemoveAsync(default));
    }

    [Fact]
    public async Task Apply_EveryKindOfSelector_IsTakenByTheKernel()
    {
        await marker.ProbeAsync(default);
        var job = PolicySamples.Job(1, "all", 1, 34,
            new FlowSelector { Protocol = "udp" },
            new FlowSelector { Protocol = "udp", SourcePortFrom = 4791 },
            new FlowSelector { Source = "2001:db8::/32" },
            new FlowSelector { Source = "0.0.0.0/0", Protocol = "tcp" },
            new FlowSelector { Destination = "::/0", Protocol = "tcp", SourcePortFrom = 1, SourcePortTo = 65_535, DestinationPortFrom = 5 },
            new FlowSelector { Source = "10.0.1.7/24", Destination = "10.0.2.3", Protocol = "tcp", DestinationPortFrom = 29_500, DestinationPortTo = 29_600 }) with
        {
            Endpoints = [new HostEndpoint("h0-0-0", "2001:db8::1", 7471, null), new HostEndpoint("h0-0-1", "10.0.0.6", 80, null)],
        };

        Assert.Null(await marker.ApplyAsync(Rules(job), default));
    }

    private static string Rules(int dscp, FlowSelector selector) => Rules(PolicySamples.Job(1, "job", dscp == 34 ? 1 : 2, dscp, selector));

    private static string Rules(HostJob job)
    {
        var policy = PolicyRules.Read(PolicySamples.Policy(1, job), PolicySamples.Host, out var faults);
        Assert.Empty(faults);
        return Ruleset.Render(policy!, 7471);
    }

    private static Socket Listen(string host, string address, int port) => HostPair.In(host, () =>
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Parse(address), port));
        socket.Listen();
        return socket;
    });

    private static void Exchange(Socket from, Socket to)
    {
        var buffer = new byte[1000];
        for (var i = 0; i < 10; i++)
        {
            from.Send(buffer);
            Assert.InRange(to.Receive(buffer), 1, 1000);
        }
    }

    [GeneratedRegex("counter packets ([0-9]+)")]
    private static partial Regex Counter();

    private int Send(string address, int port, int count, int trafficClass) => HostPair.In(hosts!.Left, () =>
    {
        var to = new IPEndPoint(IPAddress.Parse(address), port);
        using var socket = new Socket(to.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        if (to.AddressFamily == AddressFamily.InterNetwork)
        {
            socket.SetSocketOption(SocketOptionLevel.IP, SocketOptionName.TypeOfService, trafficClass);
        }
        else
        {
            socket.SetRawSocketOption(41, 67, BitConverter.GetBytes(trafficClass));
        }

        for (var i = 0; i < count; i++)
        {
            socket.SendTo(new byte[64], to);
        }

        return count;
    });

    // Packets counted by each rule on the right, in order.
    private int[] Arrived() => [.. Counter().Matches(HostPair.RunIn(hosts!.Right, "nft", "list", "table", "inet", "arrived"))
        .Select(m => int.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture))];

    private string NftIn(string host)
    {
        var path = Path.Combine(directory, "nft");
        File.WriteAllText(path, $"#!/bin/sh\nexec ip netns exec {host} nft \"$@\"\n");
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return path;
    }
}
