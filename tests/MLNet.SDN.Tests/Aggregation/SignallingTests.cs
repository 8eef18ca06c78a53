using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Transport;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>An anchor whose members' signalling connections break and come again; the test is the member.</summary>
public sealed class SignallingTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Fact(Timeout = 120_000)]
    public async Task MemberConnectsAgainWhileItsLastConnectionEnds_TheAnchorTalksToTheNewOne()
    {
        await using var cluster = await LoopbackCluster.StartAsync("a");
        var job = cluster.Job("j", 1, ["a", "b"], LoopbackCluster.Direct(["a", "b"]));
        job = job with { Endpoints = [.. job.Endpoints, new Endpoint("b", new IPEndPoint(IPAddress.Loopback, 1), null)] };
        cluster.Apply(job);
        var random = new Random(1);
        var connection = Connect(cluster, job);
        for (var i = 0; i < 100; i++)
        {
            // What ends is noticed while what comes is let in, a little earlier or later every time.
            var last = connection;
            var ending = LoopbackCluster.Start(() =>
            {
                Thread.SpinWait(random.Next(20_000));
                last.Dispose();
            });
            connection = Connect(cluster, job);
            await ending;
            while (!await IsAnsweredAsync(connection, job))
            {
                // The older one was let in last, and took its place. An agent would dial again, too.
                connection.Dispose();
                connection = Connect(cluster, job);
            }
        }

        connection.Dispose();
    }

    /// <summary>Asks where a stream begins, which an anchor tells hosts that are connected. False when it closes the connection.</summary>
    private static async Task<bool> IsAnsweredAsync(Socket socket, AggregationJob job)
    {
        using var end = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        end.CancelAfter(Patience);
        await using var stream = new NetworkStream(socket);
        try
        {
            await SendAsync(stream, new SignalMessage { Type = SignalMessage.Types.State, Boot = "b", Revisions = [job.TreesRevision], Workers = [], Streams = [] }, end.Token);
            await SendAsync(stream, new SignalMessage { Type = SignalMessage.Types.Open, Rank = 1, Stream = 0 }, end.Token);
            while (true)
            {
                var length = new byte[sizeof(uint)];
                await stream.ReadExactlyAsync(length, end.Token);
                var body = new byte[BinaryPrimitives.ReadUInt32LittleEndian(length)];
                await stream.ReadExactlyAsync(body, end.Token);
                Assert.True(SignalMessage.TryParse(body, out var message));
                if (message!.Type == SignalMessage.Types.Opened)
                {
                    return true;
                }
            }
        }
        catch (IOException)
        {
            return false;
        }
        catch (OperationCanceledException)
        {
            throw new TimeoutException($"The anchor keeps the connection, and has not answered for {Patience.TotalSeconds} s.");
        }
    }

    private static async Task SendAsync(NetworkStream stream, SignalMessage message, CancellationToken cancellationToken)
    {
        var body = message.Serialize();
        var frame = new byte[sizeof(uint) + body.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(frame, (uint)body.Length);
        body.CopyTo(frame, sizeof(uint));
        await stream.WriteAsync(frame, cancellationToken);
    }

    private static Socket Connect(LoopbackCluster cluster, AggregationJob job)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Connect(IPAddress.Loopback, cluster.Hosts["a"].DataPort);
        Assert.True(AgentSocket.Introduce(socket, new Hello(ConnectionRole.Signal, 0, 1, job.JobId, "b", "a", new byte[Hello.NonceBytes], 1), job.Secret.Span, out _));
        return socket;
    }
}
