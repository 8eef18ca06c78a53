using System.Net;
using System.Net.Sockets;
using MLNet.SDN.Aggregation.Transport;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation;

public class HandshakeTests
{
    private static readonly byte[] Secret = [1, 2, 3, 4];

    private static readonly Hello Sample = new(ConnectionRole.Data, 1, 2, 42, "host-a", "hôst-b", [.. Enumerable.Range(0, 32).Select(i => (byte)i)], 77);

    [Fact]
    public async Task BothHoldTheSecret_BothAreSure()
    {
        var (welcomed, introduced) = await RunAsync(Secret, Secret);

        Assert.True(introduced);
        Assert.Equal(Sample with { Nonce = welcomed!.Nonce }, welcomed);
        Assert.Equal(Sample.Nonce, welcomed.Nonce);
    }

    [Fact]
    public async Task WrongSecret_NeitherIsSure()
    {
        var (welcomed, introduced) = await RunAsync(Secret, [1, 2, 3, 5]);

        Assert.False(introduced);
        Assert.Null(welcomed);
    }

    [Fact]
    public async Task UnknownJob_LooksLikeAWrongSecret()
    {
        var (welcomed, introduced) = await RunAsync(Secret, null);

        Assert.False(introduced);
        Assert.Null(welcomed);
    }

    [Fact]
    public async Task AcceptorWithoutTheSecret_IsNotBelieved()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var impostor = Task.Run(() =>
        {
            using var socket = listener.AcceptSocket();
            socket.Send(new byte[Hello.NonceBytes]);
            socket.Receive(new byte[1024]);
            socket.Send(new byte[Handshake.AnswerBytes]);
        }, TestContext.Current.CancellationToken);
        using var dialler = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        dialler.Connect(listener.LocalEndpoint);

        Assert.False(AgentSocket.Introduce(dialler, Sample, Secret, out _));
        await impostor;
    }

    [Fact]
    public void ProofOfOneSide_IsNoProofOfTheOther() =>
        Assert.NotEqual(Handshake.DiallerProof(Secret, [1], [2]), Handshake.AcceptorAnswer(Secret, [1], [2], 0)[..Handshake.ProofBytes]);

    [Fact]
    public void TryParse_MutatedAndCutHellos_NeverThrow()
    {
        var original = Sample.Serialize();
        Assert.True(Hello.TryParse(original, out var parsed));
        Assert.Equal("hôst-b", parsed!.To);
        var random = new Random(4);
        for (var i = 0; i < 50_000; i++)
        {
            var bytes = original.AsSpan(0, random.Next(original.Length + 1)).ToArray();
            for (var n = random.Next(4); n > 0 && bytes.Length > 0; n--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            if (Hello.TryParse(bytes, out var hello))
            {
                Assert.True(hello!.Stripe < hello.Stripes);
            }
        }
    }

    [Fact]
    public void JsonMessages_MutatedAndCut_NeverThrow()
    {
        byte[][] samples =
        [
            new SignalMessage { Type = SignalMessage.Types.State, Boot = "b", Revisions = [new(1, 2)], Workers = [new() { Rank = 1, Session = 2, Joined = true, Last = [new(0, 5)] }], Streams = [new(0, -1, [new(3, new(new(1, 2), 1))])] }.Serialize(),
            new SignalMessage { Type = SignalMessage.Types.Roster, Roster = [new(0, true), new(1, false, "gone")], Lost = [new("h", "r")], Away = [new("i", "r")], Missing = ["x"], Revision = new(1, 2), Revisions = [] }.Serialize(),
            new SignalMessage { Type = SignalMessage.Types.Failed, Stream = 1, First = 2, Round = 3, Code = "c", Text = "t", Epoch = new(new(1, 1), 0) }.Serialize(),
            new SignalMessage { Type = SignalMessage.Types.Stuck, Stream = 1, Round = 3, Text = "t", Epoch = new(new(1, 1), 2) }.Serialize(),
            new WorkerMessage { Type = "reduce", Stream = 1, Round = 2, Bytes = 3, Dtype = "float32", Op = "sum" }.Serialize(),
        ];
        var random = new Random(6);
        foreach (var sample in samples)
        {
            Assert.True(SignalMessage.TryParse(sample, out _) || WorkerMessage.TryParse(sample, out _));
            for (var i = 0; i < 5_000; i++)
            {
                var bytes = sample.AsSpan(0, random.Next(sample.Length + 1)).ToArray();
                for (var n = random.Next(1, 4); n > 0 && bytes.Length > 0; n--)
                {
                    bytes[random.Next(bytes.Length)] = (byte)"0123456789-{}[]\",:nullabc\0\u00ff"[random.Next(26)];
                }

                _ = SignalMessage.TryParse(bytes, out _);
                _ = WorkerMessage.TryParse(bytes, out _);
            }
        }
    }

    private static async Task<(Hello? Welcomed, bool Introduced)> RunAsync(byte[] diallersSecret, byte[]? acceptorsSecret)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var acceptor = Task.Run(() =>
        {
            using var socket = listener.AcceptSocket();
            return AgentSocket.Welcome(socket, 88, _ => acceptorsSecret);
        }, TestContext.Current.CancellationToken);
        using var dialler = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        dialler.Connect(listener.LocalEndpoint);
        var introduced = AgentSocket.Introduce(dialler, Sample, diallersSecret, out var life);
        Assert.Equal(introduced, life == 88);
        return (await acceptor, introduced);
    }
}
