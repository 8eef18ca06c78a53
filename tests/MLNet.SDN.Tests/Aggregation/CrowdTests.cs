using System.Net;
using System.Net.Sockets;
using System.Text;
using MLNet.SDN.Aggregation.Transport;
using MLNet.SDN.Aggregation.Wire;
using MLNet.SDN.Aggregation.Workers;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>Strangers that take places and give nothing.</summary>
public class CrowdTests
{
    [Fact]
    public void PendingHandshakes_FullForAnAddress_OldestOfThatAddressGoes()
    {
        var pending = new PendingHandshakes();
        var other = new Socket(SocketType.Stream, ProtocolType.Tcp);
        Assert.Null(pending.Add(other, IPAddress.Parse("10.0.0.2")));
        var crowd = Sockets(PendingHandshakes.MaxPerAddress + 2);
        foreach (var socket in crowd.SkipLast(2))
        {
            Assert.Null(pending.Add(socket, IPAddress.Parse("10.0.0.1")));
        }

        Assert.Same(crowd[0], pending.Add(crowd[^2], IPAddress.Parse("10.0.0.1")));
        Assert.False(pending.TryRemove(crowd[0]));
        Assert.True(pending.TryRemove(crowd[1]));
        Assert.Null(pending.Add(crowd[^1], IPAddress.Parse("10.0.0.1")));
        Assert.True(pending.TryRemove(other));
    }

    [Fact]
    public void PendingHandshakes_FullInAll_OldestGoes()
    {
        var pending = new PendingHandshakes();
        var crowd = Sockets(PendingHandshakes.MaxInAll + 1);
        for (var i = 0; i < PendingHandshakes.MaxInAll; i++)
        {
            Assert.Null(pending.Add(crowd[i], new IPAddress([10, 0, 0, (byte)(i / 4)])));
        }

        Assert.Same(crowd[0], pending.Add(crowd[^1], IPAddress.Parse("10.0.1.0")));
        Assert.False(pending.TryRemove(crowd[0]));
        Assert.All(crowd.Skip(1), s => Assert.True(pending.TryRemove(s)));
    }

    [Fact]
    public async Task DataPort_HeldBySilentStrangers_AgentsStillConnect()
    {
        await using var cluster = await LoopbackCluster.StartAsync("a", "b");
        var job = cluster.Job("j", 1, ["a", "b"], LoopbackCluster.Direct(["a", "b"]));
        using var strangers = new Strangers();
        foreach (var host in cluster.Hosts.Values)
        {
            for (var i = 0; i < PendingHandshakes.MaxInAll + 20; i++)
            {
                strangers.Dial(host.DataPort).Send([0x4D]); // the first byte of a hello, and no more
            }
        }

        cluster.Apply(job);
        var workers = await cluster.JoinAllAsync(job);

        var results = await Task.WhenAll(workers.Select(w => LoopbackCluster.Start(() => w.AllReduce([1, 2, 3]))));
        Assert.All(results, r => Assert.Equal([2, 4, 6], r));
    }

    [Fact]
    public async Task DataPort_HelloInDrops_IsCutOff()
    {
        await using var cluster = await LoopbackCluster.StartAsync("a");
        using var strangers = new Strangers();
        var socket = strangers.Dial(cluster.Hosts["a"].DataPort);
        var hello = new Hello(ConnectionRole.Data, 0, 1, 1, new string('x', 255), new string('y', 255), new byte[Hello.NonceBytes], 1).Serialize();

        // Each gap is far shorter than what the whole handshake may take, and the whole far longer.
        var sent = 0;
        while (sent < hello.Length && !IsClosed(socket))
        {
            try
            {
                socket.Send(hello.AsSpan(sent++, 1));
            }
            catch (SocketException)
            {
                break;
            }

            await Task.Delay(AgentSocket.Patience / 50, TestContext.Current.CancellationToken);
        }

        Assert.InRange(sent, 1, hello.Length - 1);
        await cluster.UntilAsync(() => cluster.Hosts["a"].RefusedConnections == 1);
    }

    [Fact]
    public async Task WorkerSocket_HeldByASilentUser_RefusesWithWordsAndIsFreeAgainSoon()
    {
        await using var cluster = await LoopbackCluster.StartAsync("a");
        var job = cluster.Job("j", 1, ["a"], LoopbackCluster.Direct(["a"]));
        cluster.Apply(job);
        using var strangers = new Strangers();
        for (var i = 0; i < WorkerListener.MaxIdlePerUser; i++)
        {
            strangers.Dial(cluster.SocketOf("a"));
        }

        await cluster.UntilAsync(() =>
        {
            // Whether one more is taken: it is told why not.
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) { ReceiveTimeout = 200 };
            socket.Connect(new UnixDomainSocketEndPoint(cluster.SocketOf("a")));
            var buffer = new byte[1024];
            try
            {
                return Encoding.UTF8.GetString(buffer, 0, socket.Receive(buffer)).Contains("have not joined a job", StringComparison.Ordinal);
            }
            catch (SocketException)
            {
                return false;
            }
        });

        // Those that never say what they want are closed, and a worker gets in.
        TestWorker? worker = null;
        await cluster.UntilAsync(() =>
        {
            try
            {
                worker = cluster.Join(job, 0);
            }
            catch (Exception e) when (e is RoundFailedException or SocketException)
            {
                // Refused still.
            }

            return worker is not null;
        });
        Assert.Equal([5f], worker!.AllReduce([5]));
        worker.Dispose();
    }

    private static List<Socket> Sockets(int count) => [.. Enumerable.Range(0, count).Select(_ => new Socket(SocketType.Stream, ProtocolType.Tcp))];

    private static bool IsClosed(Socket socket) => socket.Poll(0, SelectMode.SelectRead) && socket.Available == 0;

    private sealed class Strangers : IDisposable
    {
        private readonly List<Socket> _sockets = [];

        public Socket Dial(int port) => Dial(AddressFamily.InterNetwork, new IPEndPoint(IPAddress.Loopback, port));

        public Socket Dial(string path) => Dial(AddressFamily.Unix, new UnixDomainSocketEndPoint(path));

        public void Dispose() => _sockets.ForEach(s => s.Dispose());

        private Socket Dial(AddressFamily family, EndPoint endpoint)
        {
            var socket = new Socket(family, SocketType.Stream, ProtocolType.Unspecified);
            _sockets.Add(socket);
            socket.Connect(endpoint);
            return socket;
        }
    }
}
