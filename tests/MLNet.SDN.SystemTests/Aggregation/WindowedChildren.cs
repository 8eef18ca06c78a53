using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Transport;
using MLNet.SDN.Aggregation.Wire;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.SystemTests.Aggregation;

/// <summary>
/// The children of one host that is the root of every shard, made at the level of docs/protocol.md: each sends its whole window ahead, as fast as it is taken, and moves on
/// only with the results. The last of them is slow, so that all that the others are allowed to send ahead lies at the root.
/// </summary>
internal sealed class WindowedChildren : IDisposable
{
    private const ulong Life = 1;

    private readonly HostJob _job;
    private readonly string _root;
    private readonly IPEndPoint _agent;
    private readonly long _messageBytes;
    private readonly bool _fixedOrder;
    private TcpListener? _anchor;
    private readonly Socket[] _sockets;
    private readonly byte[] _payload;
    private readonly byte[] _sum;
    private long _results;

    /// <param name="job">Ranks 0 and up are the children, in the order of the members.</param>
    /// <param name="root">The agent's host.</param>
    /// <param name="agent">Where it listens.</param>
    /// <param name="messageBytes">Of the model, as every frame says.</param>
    /// <param name="fixedOrder">The flag of every frame.</param>
    public WindowedChildren(HostJob job, string root, IPEndPoint agent, long messageBytes, bool fixedOrder)
    {
        _job = job;
        _root = root;
        _agent = agent;
        _messageBytes = messageBytes;
        _fixedOrder = fixedOrder;
        _sockets = new Socket[job.Members.Count];
        _payload = Filled(job.ChunkBytes, 1);
        _sum = Filled(job.ChunkBytes, job.Members.Count);
    }

    /// <summary>Results that the children hold, of all shards.</summary>
    public long Results => Interlocked.Read(ref _results);

    /// <summary>Dials for every child and answers the agent's signalling. To be called in the agent's network namespace.</summary>
    public bool Connect(TimeSpan patience)
    {
        var endpoint = _job.Endpoints.Single(e => e.Host == _job.Members[0].Host);
        _anchor = new TcpListener(IPAddress.Parse(endpoint.Address), endpoint.Port);
        _anchor.Start();
        Start(() => Anchor(_anchor));
        var until = DateTime.UtcNow + patience;
        for (var i = 0; i < _sockets.Length; i++)
        {
            while (Dial(_job.Members[i].Host) is var socket)
            {
                if (socket is not null)
                {
                    _sockets[i] = socket;
                    break;
                }

                if (DateTime.UtcNow > until)
                {
                    return false;
                }

                Thread.Sleep(50);
            }
        }

        return true;
    }

    /// <summary>The first chunks of every shard, once. Throws what went wrong with a child.</summary>
    public async Task RoundAsync(int chunksPerShard, TimeSpan pauseOfTheSlow)
    {
        var children = _sockets.SelectMany((socket, rank) => Child(socket, rank, chunksPerShard, rank == _sockets.Length - 1 ? pauseOfTheSlow : TimeSpan.Zero)).ToArray();
        for (var left = children.ToList(); left.Count > 0;)
        {
            // The first fault is the cause; the others would only wait.
            var ended = await Task.WhenAny(left);
            left.Remove(ended);
            await ended;
        }
    }

    public void Dispose()
    {
        foreach (var socket in _sockets)
        {
            socket?.Dispose();
        }

        _anchor?.Dispose();
    }

    private static byte[] Filled(int bytes, float value)
    {
        var payload = new byte[bytes];
        MemoryMarshal.Cast<byte, float>(payload.AsSpan()).Fill(value);
        return payload;
    }

    private static Task Start(Action call) => Task.Factory.StartNew(call, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private Socket? Dial(string name)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            socket.Connect(_agent);
            var hello = new Hello(ConnectionRole.Data, 0, 1, _job.JobId, name, _root, RandomNumberGenerator.GetBytes(Hello.NonceBytes), Life);
            if (AgentSocket.Introduce(socket, hello, Convert.FromBase64String(_job.Secret), out _))
            {
                AgentSocket.Established(socket);
                return socket;
            }
        }
        catch (SocketException)
        {
            // The agent is starting.
        }

        socket.Dispose();
        return null;
    }

    /// <summary>The agent of rank 0, which has nothing to say but that it lives.</summary>
    private void Anchor(TcpListener listener)
    {
        using var socket = listener.AcceptSocket();
        Assert.NotNull(AgentSocket.Welcome(socket, Life, _ => Convert.FromBase64String(_job.Secret)));
        AgentSocket.Established(socket);
        byte[] ping = [.. new byte[4], .. new SignalMessage { Type = SignalMessage.Types.Ping }.Serialize()];
        BinaryPrimitives.WriteInt32LittleEndian(ping, ping.Length - 4);
        var heard = new byte[1 << 16];
        try
        {
            while (true)
            {
                socket.Send(ping);
                while (socket.Poll(TimeSpan.FromSeconds(1), SelectMode.SelectRead) && socket.Receive(heard) > 0)
                {
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The end.
        }
    }

    private Task[] Child(Socket socket, int rank, int chunks, TimeSpan pause)
    {
        var have = new int[_job.Shards.Count];
        var more = new SemaphoreSlim(0);
        return [Start(() => Send(socket, rank, chunks, pause, have, more)), Start(() => Receive(socket, rank, chunks, have, more))];
    }

    private void Send(Socket socket, int rank, int chunks, TimeSpan pause, int[] have, SemaphoreSlim more)
    {
        var head = new byte[FrameHeader.Bytes + ((_job.Members.Count + 7) / 8)];
        head[FrameHeader.Bytes + (rank / 8)] = (byte)(1 << (rank % 8));
        var parts = new List<ArraySegment<byte>> { head, _payload };
        var next = new int[have.Length];
        for (var left = chunks * have.Length; left > 0;)
        {
            var any = false;
            for (var shard = 0; shard < have.Length; shard++)
            {
                if (next[shard] < chunks && next[shard] < Volatile.Read(ref have[shard]) + _job.WindowChunks)
                {
                    if (pause > TimeSpan.Zero)
                    {
                        Thread.Sleep(pause);
                    }

                    var revision = new TreesRevision(_job.TreesRevision.Term, _job.TreesRevision.Generation);
                    new FrameHeader
                    {
                        Type = FrameType.Partial, ElementType = ElementType.Float32, Operation = ReduceOperation.Sum, JobId = _job.JobId, Stream = 0, Shard = (ushort)shard,
                        ContributorBytes = (ushort)(head.Length - FrameHeader.Bytes), Round = 0, MessageBytes = _messageBytes, Chunk = (uint)next[shard], PayloadBytes = _payload.Length,
                        Epoch = new Epoch(revision, 0), PayloadType = ElementType.Float32, FixedOrder = _fixedOrder, Next = new Epoch(revision, 0),
                    }.Write(head);
                    FrameHeader.Seal(head, _payload);
                    Assert.Equal(head.Length + _payload.Length, socket.Send(parts));
                    next[shard]++;
                    left--;
                    any = true;
                }
            }

            if (!any)
            {
                Assert.True(more.Wait(TimeSpan.FromMinutes(1)), $"rank {rank}: no result for a minute");
            }
        }
    }

    private void Receive(Socket socket, int rank, int chunks, int[] have, SemaphoreSlim more)
    {
        var frame = new byte[FrameHeader.Bytes + ((_job.Members.Count + 7) / 8) + _payload.Length];
        for (var i = 0; i < chunks * have.Length; i++)
        {
            for (var filled = 0; filled < frame.Length;)
            {
                var n = socket.Receive(frame.AsSpan(filled));
                Assert.True(n > 0, $"rank {rank}: the agent closed the connection");
                filled += n;
            }

            Assert.True(FrameHeader.TryRead(frame, out var header) && header.Type == FrameType.Result);
            Assert.Equal(have[header.Shard], (int)header.Chunk); // one connection, in order
            Assert.True(frame.AsSpan(frame.Length - _sum.Length).SequenceEqual(_sum), $"rank {rank}: a wrong sum");
            Volatile.Write(ref have[header.Shard], have[header.Shard] + 1);
            Interlocked.Increment(ref _results);
            more.Release();
        }
    }
}
