using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.SystemTests.Agent;

/// <summary>Live capture against what the kernel's sockets say of themselves.</summary>
[Collection(nameof(HostPair))]
public sealed class PacketRingTests : IDisposable
{
    private const int HeadersOfASegment = 52; // IPv4 20, TCP 20, timestamps 12
    private const int HeadersOfAnIPv6Segment = 72;
    private const int MoreHeadersOfASyn = 8; // its options take 20 bytes

    private const int MostSackBytes = 28; // what is left of 40 bytes of options behind the timestamps; only where packets overtook each other

    private readonly HostPair? hosts;

    public PacketRingTests()
    {
        Prerequisites.RequireNamespaces("ip");
        hosts = new HostPair();
    }

    public void Dispose() => hosts?.Dispose();

    [Theory]
    [InlineData(HostPair.RightAddress, HeadersOfASegment, 1500, 65_536)]
    [InlineData(HostPair.RightAddress, HeadersOfASegment, 1500, 6_000)]
    [InlineData(HostPair.RightAddress, HeadersOfASegment, 9000, 65_536)]
    [InlineData("2001:db8:99::2", HeadersOfAnIPv6Segment, 1500, 65_536)]
    public void Read_TcpTransfer_OctetsAndPacketsAreThoseOfTheSockets(string address, int headers, int mtu, int largestSegment)
    {
        foreach (var (host, name) in new[] { (hosts!.Left, HostPair.LeftInterface), (hosts.Right, HostPair.RightInterface) })
        {
            HostPair.Run("ip", "-n", host, "link", "set", name, "mtu", $"{mtu}", "gso_max_size", $"{largestSegment}");
        }

        using var left = new Capture(hosts!.Left, HostPair.LeftInterface);
        using var right = new Capture(hosts.Right, HostPair.RightInterface);

        var (client, server) = Transfer(IPAddress.Parse(address), 20_000_000);

        var sent = left.Stop().Where(d => d.Key.Direction == FlowDirection.Egress).ToList();
        var received = right.Stop().Where(d => d.Key.Direction == FlowDirection.Ingress).ToList();
        var answered = right.Deltas.Where(d => d.Key.Direction == FlowDirection.Egress).ToList();
        Assert.InRange(client.SegmentsOut, 2000, 20_000); // merged frames are far fewer
        Assert.Equal(client.SegmentsOut, sent.Sum(d => d.Packets));
        Assert.Equal(client.BytesSent + (client.SegmentsOut * headers) + MoreHeadersOfASyn, sent.Sum(d => d.Octets));
        Assert.Equal(sent.Sum(d => d.Octets), received.Sum(d => d.Octets));

        // The kernel does not count the SYN+ACK to the socket, which is made later.
        Assert.Equal(server.SegmentsOut + 1, answered.Sum(d => d.Packets));
        var least = server.BytesSent + ((server.SegmentsOut + 1) * headers) + MoreHeadersOfASyn;
        Assert.InRange(answered.Sum(d => d.Octets), least, least + (server.SegmentsOut * MostSackBytes));
        Assert.Equal(0, left.Meter.Totals().Drops + right.Meter.Totals().Drops);
    }

    [Fact]
    public void Read_MoreThanTheRingHolds_EveryDatagramIsCountedOrADrop()
    {
        const int Datagrams = 200_000;
        using var left = new Capture(hosts!.Left, HostPair.LeftInterface, ringBytes: 256 << 10);
        HostPair.In(hosts.Left, () =>
        {
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
            socket.Connect(IPAddress.Parse(HostPair.RightAddress), 9);
            var sent = 0;
            var datagram = new byte[100];
            while (sent < Datagrams)
            {
                try
                {
                    sent += socket.Send(datagram) == 100 ? 1 : 0;
                }
                catch (SocketException exception) when (exception.SocketErrorCode == SocketError.ConnectionRefused)
                {
                    // Nobody listens: the answer to an earlier one. This one was not sent.
                }
            }

            return sent;
        });

        var counted = left.Stop().Where(d => d.Key is { Protocol: 17, Direction: FlowDirection.Egress }).ToList();

        // Of the other frames (who has which address, nobody listens) some may be among the drops.
        var totals = left.Meter.Totals();
        var others = totals.Frames - counted.Sum(d => d.Packets);
        Assert.InRange(counted.Sum(d => d.Packets), Datagrams - totals.Drops, Datagrams);
        Assert.InRange(counted.Sum(d => d.Packets) + totals.Drops, Datagrams, Datagrams + Datagrams / 10 + others);
        Assert.Equal(128 * counted.Sum(d => d.Packets), counted.Sum(d => d.Octets));
    }

    [Fact]
    public void Read_InterfaceWithoutLinkLayer_CountsItsPackets()
    {
        using var tunnel = Tunnel.Open(hosts!.Left, "tun0");
        HostPair.Run("ip", "-n", hosts.Left, "addr", "add", "10.98.0.1/24", "dev", "tun0");
        HostPair.Run("ip", "-n", hosts.Left, "link", "set", "tun0", "up");
        using var capture = new Capture(hosts.Left, "tun0");

        HostPair.In(hosts.Left, () =>
        {
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
            return socket.SendTo(new byte[10], new IPEndPoint(IPAddress.Parse("10.98.0.9"), 5));
        });
        byte[] answer = [0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 98, 0, 9, 10, 98, 0, 1, 0, 5, 0, 6, 0, 12, 0, 0, 1, 2, 3, 4];
        tunnel.Write(answer);

        var deltas = capture.Stop();
        Assert.Contains(deltas, d => d is { Octets: 38, Key: { Protocol: 17, DestinationPort: 5, Direction: FlowDirection.Egress } });
        Assert.Contains(deltas, d => d is { Octets: 32, Key: { SourcePort: 5, DestinationPort: 6, Direction: FlowDirection.Ingress } });
    }

    [Fact]
    public void Loop_InterfaceMadeAnew_CapturesAgain()
    {
        using var left = new Capture(hosts!.Left, HostPair.LeftInterface);
        HostPair.Run("ip", "-n", hosts.Left, "link", "del", HostPair.LeftInterface);
        WaitFor(() => left.Loop.Trouble is not null);
        HostPair.Run("ip", "-n", hosts.Left, "link", "add", HostPair.LeftInterface, "type", "veth", "peer", "name", "spare");
        HostPair.Run("ip", "-n", hosts.Left, "addr", "add", "10.99.0.1/24", "dev", HostPair.LeftInterface);
        HostPair.Run("ip", "-n", hosts.Left, "link", "set", "spare", "up");
        HostPair.Run("ip", "-n", hosts.Left, "link", "set", HostPair.LeftInterface, "up");
        HostPair.Run("ip", "-n", hosts.Left, "neigh", "add", "10.99.0.9", "lladdr", "02:00:00:00:00:09", "dev", HostPair.LeftInterface);
        WaitFor(() => left.Loop.Trouble is null);

        HostPair.In(hosts.Left, () =>
        {
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
            return socket.SendTo(new byte[10], new IPEndPoint(IPAddress.Parse("10.99.0.9"), 5));
        });

        Assert.Contains(left.Stop(), d => d.Key is { Protocol: 17, DestinationPort: 5 } && d.Octets == 38);
    }

    [Fact]
    public void Open_NoSuchInterface_SaysSo() =>
        Assert.Contains("no interface nothere", Assert.Throws<IOException>(() => PacketRing.Open("nothere", 1 << 20)).Message, StringComparison.Ordinal);

    internal static void WaitFor(Func<bool> condition)
    {
        var patience = DateTime.UtcNow.AddSeconds(30);
        while (!condition())
        {
            Assert.True(DateTime.UtcNow < patience, "waited 30 s in vain");
            Thread.Sleep(20);
        }
    }

    // Both ends close in good order, and both are asked when nothing is under way any more.
    private (TcpInfo Client, TcpInfo Server) Transfer(IPAddress address, int bytes)
    {
        using var listener = HostPair.In(hosts!.Right, () =>
        {
            var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(new IPEndPoint(address, 0));
            socket.Listen();
            return socket;
        });
        using var client = HostPair.In(hosts.Left, () => new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp));
        client.Connect(listener.LocalEndPoint!);
        using var server = listener.Accept();
        var receiving = Task.Run(() =>
        {
            var buffer = new byte[65_536];
            while (server.Receive(buffer) > 0)
            {
            }

            server.Shutdown(SocketShutdown.Send);
        });
        var chunk = new byte[100_000];
        for (var sent = 0; sent < bytes; sent += chunk.Length)
        {
            client.Send(chunk);
        }

        client.Shutdown(SocketShutdown.Send);
        Assert.Equal(0, client.Receive(chunk));
        receiving.Wait();
        Thread.Sleep(200);
        return (TcpInfo.Of(client), TcpInfo.Of(server));
    }

    /// <summary>A capture loop in a namespace.</summary>
    internal sealed class Capture : IDisposable
    {
        private readonly List<FlowDelta> deltas = [];

        public Capture(string host, string name, int ringBytes = 2 << 20)
        {
            Loop = new CaptureLoop(name, () => PacketRing.Open(name, ringBytes), Meter, NullLogger.Instance);

            // The loop's thread belongs to the namespace of the thread that starts it.
            HostPair.In(host, () =>
            {
                Loop.Start();
                return Loop.Trouble is null ? true : throw new IOException(Loop.Trouble);
            });
        }

        public FlowMeter Meter { get; } = new(10_000, TimeSpan.FromSeconds(30));

        public CaptureLoop Loop { get; }

        public IReadOnlyList<FlowDelta> Deltas => deltas;

        public List<FlowDelta> Stop()
        {
            Loop.Stop();
            Meter.Collect(CollectScope.Everything, DateTime.UtcNow.Ticks, deltas);
            return deltas;
        }

        public void Dispose() => Loop.Dispose();
    }
}
