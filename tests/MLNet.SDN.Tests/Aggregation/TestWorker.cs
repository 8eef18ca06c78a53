using System.Net.Sockets;
using System.Runtime.InteropServices;
using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>A round that ended without result.</summary>
internal sealed class RoundFailedException(string code, string message) : Exception(message)
{
    public string Code { get; } = code;
}

/// <summary>A worker as docs/protocol.md describes it, over a real Unix socket and real shared memory.</summary>
internal sealed unsafe class TestWorker : IDisposable
{
    private Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly byte[] _buffer = new byte[WorkerMessage.MaxBytes];
    private readonly Dictionary<uint, Area> _areas = [];
    private readonly Queue<int> _descriptors = new();
    private int _filled;

    private readonly string _path;
    private string _job = "";
    private string? _role;

    private TestWorker(string path)
    {
        _path = path;
        _socket.ReceiveTimeout = 60_000;
        _socket.Connect(new UnixDomainSocketEndPoint(path));
    }

    public int Rank { get; private set; }

    public int WorldSize { get; private set; }

    public static TestWorker Join(string path, string job, int? rank, string? role = null)
    {
        var worker = new TestWorker(path);
        worker._job = job;
        worker._role = role;
        worker.Send(new WorkerMessage { Type = "join", Protocol = WorkerMessage.CurrentProtocol, Job = job, Rank = rank, Role = role });
        while (true)
        {
            var message = worker.Receive();
            switch (message.Type)
            {
                case "joined":
                    worker.Rank = message.Rank!.Value;
                    worker.WorldSize = message.WorldSize!.Value;
                    return worker;
                case "refused":
                    worker.Dispose();
                    throw new RoundFailedException(message.Code!, message.Message!);
                default:
                    Assert.Equal("waiting", message.Type);
                    break;
            }
        }
    }

    /// <summary>Goes on with an agent that was started anew: hands its memory back and asks again for the round given.</summary>
    public void Rejoin(uint stream, ulong? awaited, int elements, string op = "sum")
    {
        _socket.Dispose();
        _filled = 0;
        _socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) { ReceiveTimeout = 60_000 };
        _socket.Connect(new UnixDomainSocketEndPoint(_path));
        Send(new WorkerMessage { Type = "join", Protocol = WorkerMessage.CurrentProtocol, Job = _job, Rank = Rank, Restore = _areas.Count, Role = _role });
        foreach (var (id, area) in _areas)
        {
            var line = new WorkerMessage { Type = "restore", Stream = id, Round = awaited ?? area.Next, Capacity = area.Capacity }.Serialize();
            Assert.True(MLNet.SDN.Aggregation.Workers.WorkerSocket.TrySend(_socket, line, area.Descriptor));
        }

        while (Receive() is { Type: not "joined" } message)
        {
            Assert.Contains(message.Type, new[] { "waiting", "done" });
        }

        if (awaited is { } round)
        {
            Send(new WorkerMessage { Type = "reduce", Stream = stream, Round = round, Bytes = elements * sizeof(float), Dtype = "float32", Op = op });
        }
    }

    public float[] AllReduce(float[] values, string op = "sum", uint stream = 0)
    {
        var round = Submit(values, op, stream);
        return Await(stream, round, values.Length);
    }

    public ulong Submit(float[] values, string op = "sum", uint stream = 0)
    {
        var bytes = values.Length * sizeof(float);
        if (!_areas.TryGetValue(stream, out var area) || area.Capacity < bytes)
        {
            Send(new WorkerMessage { Type = "open", Stream = stream, Bytes = bytes });
            var reply = Next("area", stream);
            if (area is not null)
            {
                area.Unmap();
            }

            area = new Area(_descriptors.Dequeue(), reply.Bytes!.Value, reply.Capacity!.Value, reply.Round!.Value);
            _areas[stream] = area;
        }

        var round = area.Next++;
        values.CopyTo(new Span<float>(area.Base + SharedAreaLayout.Contribution((int)(round % 2), area.Capacity), values.Length));
        Send(new WorkerMessage { Type = "reduce", Stream = stream, Round = round, Bytes = bytes, Dtype = "float32", Op = op });
        return round;
    }

    public float[] Await(uint stream, ulong round, int length)
    {
        while (Next("done", stream).Round != round)
        {
        }

        var area = _areas[stream];
        return new Span<float>(area.Base + SharedAreaLayout.Result((int)(round % 2), area.Capacity), length).ToArray();
    }

    public void Leave() => Send(new WorkerMessage { Type = "leave" });

    public void Send(WorkerMessage message) => SendRaw(message.Serialize());

    public void Send(WorkerMessage message, int descriptor) => Assert.True(MLNet.SDN.Aggregation.Workers.WorkerSocket.TrySend(_socket, message.Serialize(), descriptor));

    /// <summary>Connects and says nothing yet.</summary>
    public static TestWorker Knock(string path) => new(path);

    public void SendRaw(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[_socket.Send(bytes)..];
        }
    }

    /// <summary>The next message of a kind about a stream; those about other streams wait their turn.</summary>
    private WorkerMessage Next(string type, uint stream)
    {
        for (var i = 0; i < _pending.Count; i++)
        {
            if (_pending[i].Stream == stream)
            {
                var early = _pending[i];
                _pending.RemoveAt(i);
                return Check(early, type);
            }
        }

        while (true)
        {
            var message = Receive();
            if (message.Stream is null || message.Stream == stream)
            {
                return Check(message, type);
            }

            _pending.Add(message);
        }
    }

    private readonly List<WorkerMessage> _pending = [];

    private static WorkerMessage Check(WorkerMessage message, string type) =>
        message.Type == type ? message : throw new RoundFailedException(message.Code ?? message.Type, message.Message ?? "");

    public WorkerMessage Receive()
    {
        while (true)
        {
            var end = _buffer.AsSpan(0, _filled).IndexOf((byte)'\n');
            if (end >= 0)
            {
                Assert.True(WorkerMessage.TryParse(_buffer.AsSpan(0, end), out var message));
                _buffer.AsSpan(end + 1, _filled - end - 1).CopyTo(_buffer);
                _filled -= end + 1;
                return message!;
            }

            _filled += ReceiveSome(_buffer.AsSpan(_filled));
        }
    }

    public void Dispose()
    {
        HangUp();
        _socket.Dispose();
        foreach (var area in _areas.Values)
        {
            area.Unmap();
        }

        _areas.Clear();
    }

    private int ReceiveSome(Span<byte> target)
    {
        // Poll keeps the receive timeout in force, which recvmsg on a socket of ours would honour anyway.
        if (!_socket.Poll(TimeSpan.FromSeconds(60), SelectMode.SelectRead))
        {
            throw new TimeoutException($"rank {Rank}: the agent said nothing for a minute");
        }

        fixed (byte* start = target)
        {
            var vector = new IoVector { Base = start, Length = (nuint)target.Length };
            var control = stackalloc byte[64];
            var header = new MessageHeader { Vectors = &vector, VectorCount = 1, Control = control, ControlLength = 64 };
            var n = (int)Libc.ReceiveMessage(_socket.SafeHandle, &header, Libc.MessageCloseOnExec);
            if (n <= 0)
            {
                throw new EndOfStreamException($"rank {Rank}: the agent closed the connection (errno {Marshal.GetLastPInvokeError()})");
            }

            if (header.ControlLength >= 20)
            {
                _descriptors.Enqueue(*(int*)(control + 16));
            }

            return n;
        }
    }

    private sealed class Area(int descriptor, long size, long capacity, ulong next)
    {
        public byte* Base { get; } = Libc.MapShared(descriptor, size);

        public int Descriptor { get; } = descriptor;

        public long Capacity { get; } = capacity;

        public ulong Next { get; set; } = next;

        public void Unmap()
        {
            Libc.Unmap(Base, size);
            _ = Libc.Close(Descriptor);
        }
    }

    /// <summary>As the end of a process does: at once, even while a program that another test starts still holds a copy of the socket.</summary>
    private void HangUp()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // It never was connected, or the agent has hung up first.
        }
    }
}
