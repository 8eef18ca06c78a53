using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Transport;
using MLNet.SDN.Aggregation.Wire;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Benchmarks;

/// <summary>
/// The children and the parent of one aggregator, as far as docs/protocol.md asks it of them. Each child sends the same payload again and again, and its frames'
/// checksums are put together from that of the payload, so that sending costs little more than it costs iperf3.
/// </summary>
internal sealed class FrameChildren : IDisposable
{
    private const ulong Life = 1;

    private readonly HostJob _job;
    private readonly IPEndPoint _agent;
    private readonly long _messageBytes;
    private readonly int _chunks;
    private readonly byte[] _payload;
    private readonly byte[] _sumPayload;
    private readonly Socket[] _children;
    private readonly TcpListener _anchor;
    private readonly PayloadChecksum _ofPayload;
    private readonly PayloadChecksum _ofSum;
    private Socket? _parent;
    private ulong _round;

    public FrameChildren(HostJob job, int fanIn, long messageBytes, IPEndPoint agent, int anchorPort)
    {
        _job = job;
        _agent = agent;
        _messageBytes = messageBytes;
        _chunks = (int)(messageBytes / job.ChunkBytes);
        _payload = Filled(job.ChunkBytes, 1);
        _sumPayload = Filled(job.ChunkBytes, fanIn);
        _ofPayload = new PayloadChecksum(_payload);
        _ofSum = new PayloadChecksum(_sumPayload);
        _children = new Socket[fanIn];
        _anchor = new TcpListener(IPAddress.Loopback, anchorPort);
    }

    /// <summary>Dials the agent for every child and the parent, and answers its signalling.</summary>
    public void Connect(TimeSpan patience)
    {
        _anchor.Start();
        new Thread(Anchor) { IsBackground = true }.Start();
        var begun = Stopwatch.GetTimestamp();
        for (var i = 0; i < _children.Length; i++)
        {
            _children[i] = Dial($"child{i}", begun, patience);
            var child = _children[i];
            new Thread(() => Drain(child)) { IsBackground = true }.Start();
        }

        _parent = Dial("parent", begun, patience);
    }

    /// <summary>One round. Returns the seconds from the first byte that a child sends to the last sum that reaches the parent.</summary>
    public double Round()
    {
        using var ready = new Barrier(_children.Length + 1);
        var senders = _children.Select((socket, rank) => new Thread(() =>
        {
            ready.SignalAndWait();
            Send(socket, FrameType.Partial, 1 << rank, _payload, _ofPayload);
        })).ToArray();
        foreach (var sender in senders)
        {
            sender.Start();
        }

        ready.SignalAndWait();
        var begun = Stopwatch.GetTimestamp();
        ReceiveSums();
        var seconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
        foreach (var sender in senders)
        {
            sender.Join();
        }

        // Ends the round, so that the agent lets go of the sums; not measured.
        Send(_parent!, FrameType.Result, (1 << _children.Length) - 1, _sumPayload, _ofSum);
        _round++;
        return seconds;
    }

    public void Dispose()
    {
        foreach (var socket in _children.Append(_parent))
        {
            socket?.Dispose();
        }

        _anchor.Dispose();
    }

    private static byte[] Filled(int bytes, float value)
    {
        var payload = new byte[bytes];
        MemoryMarshal.Cast<byte, float>(payload.AsSpan()).Fill(value);
        return payload;
    }

    private Socket Dial(string name, long begun, TimeSpan patience)
    {
        while (true)
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                socket.Connect(_agent);
                var hello = new Hello(ConnectionRole.Data, 0, 1, _job.JobId, name, "sums", RandomNumberGenerator.GetBytes(Hello.NonceBytes), Life);
                if (AgentSocket.Introduce(socket, hello, Convert.FromBase64String(_job.Secret), out _))
                {
                    AgentSocket.Established(socket);
                    return socket;
                }
            }
            catch (SocketException) when (Stopwatch.GetElapsedTime(begun) < patience)
            {
                // The agent is starting.
            }

            socket.Dispose();
            Thread.Sleep(50);
        }
    }

    /// <summary>The agent of rank 0, which has nothing to say but that it lives.</summary>
    private void Anchor()
    {
        using var socket = _anchor.AcceptSocket();
        if (AgentSocket.Welcome(socket, Life, _ => Convert.FromBase64String(_job.Secret)) is null)
        {
            return;
        }

        AgentSocket.Established(socket);
        new Thread(() => Drain(socket)) { IsBackground = true }.Start();
        byte[] ping = [.. new byte[4], .. new SignalMessage { Type = SignalMessage.Types.Ping }.Serialize()];
        BinaryPrimitives.WriteInt32LittleEndian(ping, ping.Length - 4);
        try
        {
            while (true)
            {
                socket.Send(ping);
                Thread.Sleep(1000);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The end.
        }
    }

    private static void Drain(Socket socket)
    {
        var buffer = new byte[1 << 20];
        try
        {
            while (socket.Receive(buffer) > 0)
            {
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The end.
        }
    }

    private void Send(Socket socket, FrameType type, int contributors, byte[] payload, PayloadChecksum checksum)
    {
        var head = new byte[FrameHeader.Bytes + 1];
        var parts = new List<ArraySegment<byte>> { head, payload };
        for (var chunk = 0; chunk < _chunks; chunk++)
        {
            var revision = new TreesRevision(_job.TreesRevision.Term, _job.TreesRevision.Generation);
            new FrameHeader
            {
                Type = type, ElementType = ElementType.Float32, Operation = ReduceOperation.Sum, JobId = _job.JobId, Stream = 0, Shard = 0, ContributorBytes = 1, Round = _round,
                MessageBytes = _messageBytes, Chunk = (uint)chunk, PayloadBytes = payload.Length, Epoch = new Epoch(revision, 0), PayloadType = ElementType.Float32, FixedOrder = false, Next = new Epoch(revision, 0),
            }.Write(head);
            head[FrameHeader.Bytes] = (byte)contributors;
            checksum.Seal(head);
            var sent = socket.Send(parts);
            if (sent != head.Length + payload.Length)
            {
                throw new InvalidOperationException("A blocking socket took a part of a frame.");
            }
        }
    }

    private void ReceiveSums()
    {
        var frame = new byte[FrameHeader.Bytes + 1 + _job.ChunkBytes];
        for (var i = 0; i < _chunks; i++)
        {
            for (var filled = 0; filled < frame.Length;)
            {
                var n = _parent!.Receive(frame.AsSpan(filled));
                filled += n > 0 ? n : throw new InvalidOperationException("The agent closed the connection; its log lies in .run/log/bench-reduce-agent.log.");
            }

            if (!FrameHeader.TryRead(frame, out var header) || header.Round != _round || !frame.AsSpan(FrameHeader.Bytes + 1).SequenceEqual(_sumPayload))
            {
                throw new InvalidOperationException("The agent sent a sum that is wrong.");
            }
        }
    }

    /// <summary>Checksums of frames with one payload: a CRC is linear, so that of the header is carried over the payload by table.</summary>
    private sealed class PayloadChecksum
    {
        private readonly uint[] _shifted = new uint[4 * 256];
        private readonly uint _payload;

        public PayloadChecksum(byte[] payload)
        {
            _payload = Crc32C.Append(0, payload);
            var zeros = new byte[payload.Length];
            var ofBit = Enumerable.Range(0, 32).Select(bit => Crc32C.Append(1u << bit, zeros)).ToArray();
            for (var i = 0; i < _shifted.Length; i++)
            {
                for (var bit = 0; bit < 8; bit++)
                {
                    _shifted[i] ^= (i >> bit & 1) == 0 ? 0 : ofBit[(i / 256 * 8) + bit];
                }
            }
        }

        public void Seal(Span<byte> head)
        {
            const int Offset = 88;
            BinaryPrimitives.WriteUInt32LittleEndian(head[Offset..], 0);
            var s = Crc32C.Append(Crc32C.Start, head);
            var sum = _shifted[s & 255] ^ _shifted[256 + (s >> 8 & 255)] ^ _shifted[512 + (s >> 16 & 255)] ^ _shifted[768 + (s >> 24)] ^ _payload;
            BinaryPrimitives.WriteUInt32LittleEndian(head[Offset..], Crc32C.Finish(sum));
        }
    }
}
