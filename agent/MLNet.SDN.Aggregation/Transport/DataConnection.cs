using System.Net.Sockets;
using System.Runtime.InteropServices;
using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Transport;

/// <summary>One established data connection: a thread that reads frames and one that writes them (<see cref="FrameWriter"/>). Nothing is allocated per frame.</summary>
internal sealed unsafe class DataConnection
{
    /// <summary>Largest window that a connection is given, bytes; above it the kernel may do as it likes.</summary>
    public const int LargestWindow = 4 << 20;

    private const int StackBytes = 256 * 1024;

    /// <summary>The window is bounded again after the first frame and each so many, for the kernel may have raised it. A power of two.</summary>
    private const int FramesPerClamp = 256;

    /// <summary>
    /// Up to this size of chunks whoever receives one sends what comes of it. Larger ones are for links on which a wake-up costs little beside a chunk, and the next is to be received while
    /// the one before is sent.
    /// </summary>
    private const int LargestPassedOn = 64 * 1024;

    private readonly Socket _socket;
    private readonly string _peer;
    private readonly JobEngine _engine;
    private readonly NativeBufferPool _pool;
    private readonly FrameWriter _writer;
    private volatile int _window;
    private long _pace;
    private readonly TimeProvider _time;
    private long _lastHeard;

    /// <param name="socket">Established; closed by its owner.</param>
    /// <param name="peer">The host at the other end.</param>
    /// <param name="life">Drawn by the peer's agent at its start.</param>
    /// <param name="engine">The job.</param>
    /// <param name="pool">Buffers for what is received.</param>
    /// <param name="window">What may be under way to this host, bytes; 0 leaves it to the kernel.</param>
    /// <param name="time">The clock.</param>
    public DataConnection(Socket socket, string peer, ulong life, JobEngine engine, NativeBufferPool pool, int window, TimeProvider time)
    {
        _socket = socket;
        _peer = peer;
        _engine = engine;
        _pool = pool;
        _writer = new FrameWriter(socket, peer, life, engine);
        _window = window;
        _time = time;
        _lastHeard = time.GetTimestamp();
        AgentSocket.SetReceiveWindow(socket, window);
        AgentSocket.SetUnsent(socket, engine.MaxChunkBytes);
    }

    public Socket Socket => _socket;

    /// <summary>Timestamp of the last whole frame received.</summary>
    public long LastHeard => Volatile.Read(ref _lastHeard);

    /// <summary>Takes over what the trees in force ask of connections: window and pace, and from the engine the size of chunks. One call at a time.</summary>
    /// <param name="window">What may be under way to this host from now on, bytes; 0 leaves it to the kernel. What has been promised to the peer already stays so.</param>
    /// <param name="bitsPerSecond">What it sends at most; 0: as fast as it goes.</param>
    public void Fit(int window, long bitsPerSecond)
    {
        if (bitsPerSecond != _pace)
        {
            _pace = bitsPerSecond;
            AgentSocket.SetPace(_socket, bitsPerSecond);
        }

        if (window == 0 && _window > 0)
        {
            // A kernel that was told once does not choose by itself again: so as much as it is ever told.
            window = LargestWindow;
        }

        if (window > 0 && window != _window)
        {
            _window = window;
            AgentSocket.SetReceiveWindow(_socket, window);
        }

        AgentSocket.SetUnsent(_socket, _engine.MaxChunkBytes);
    }

    /// <summary>Reads and writes until the connection breaks or is closed; both threads have ended when this returns.</summary>
    public void Run()
    {
        var writer = new Thread(Write, StackBytes) { IsBackground = true, Name = $"mlnet-w {_peer}" };
        writer.Start();
        try
        {
            Read();
        }
        finally
        {
            Close();
            writer.Join();
        }
    }

    /// <summary>Makes both threads end. The socket itself is closed by its owner.</summary>
    public void Close()
    {
        _writer.Shut();
        try
        {
            _socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Broken already.
        }
    }

    private void Write()
    {
        _writer.Run();
        Close();
    }

    private void Read()
    {
        NativeBuffer? buffer = null;
        var batch = new FrameBatch();
        var frames = 0;
        Span<byte> head = stackalloc byte[FrameHeader.Bytes + FrameHeader.MaxContributorBytes];
        try
        {
            while (true)
            {
                if (!ReceiveAll(head[..FrameHeader.Bytes]))
                {
                    return;
                }

                if (!FrameHeader.TryRead(head, out var header) || header.PayloadBytes > _engine.MaxChunkBytes)
                {
                    _engine.Counters.Violation();
                    return;
                }

                // Of the largest size there is: a partial sum of 16-bit numbers grows where it lies.
                if (buffer is null || buffer.Capacity < _engine.MaxChunkBytes)
                {
                    buffer?.Release();
                    buffer = _pool.Rent(_engine.MaxChunkBytes);
                }

                var whole = head[..(FrameHeader.Bytes + header.ContributorBytes)];
                var payload = buffer.Span(header.PayloadBytes);
                if (!ReceiveAll(whole[FrameHeader.Bytes..]) || !ReceiveAll(payload))
                {
                    return;
                }

                if (!header.Verify(whole, payload))
                {
                    _engine.Counters.Violation();
                    return;
                }

                Volatile.Write(ref _lastHeard, _time.GetTimestamp());
                _engine.Sight.Received(whole.Length + payload.Length);
                if (_window is > 0 and var window && (frames++ & (FramesPerClamp - 1)) == 0)
                {
                    AgentSocket.ClampWindow(_socket, window);
                }

                FrameVerdict verdict;
                while ((verdict = Handle(header, whole[FrameHeader.Bytes..], buffer, batch)) == FrameVerdict.Early)
                {
                    Thread.Sleep(1);
                }

                switch (verdict)
                {
                    case FrameVerdict.Taken:
                        buffer = null;
                        break;
                    case FrameVerdict.Violation:
                        return;
                    default:
                        break;
                }
            }
        }
        finally
        {
            buffer?.Release();
        }
    }

    private FrameVerdict Handle(in FrameHeader header, ReadOnlySpan<byte> contributors, NativeBuffer payload, FrameBatch batch)
    {
        if (_engine.MaxChunkBytes > LargestPassedOn)
        {
            return _engine.OnFrame(_peer, header, contributors, payload);
        }

        batch.Begin();
        try
        {
            return _engine.OnFrame(_peer, header, contributors, payload);
        }
        finally
        {
            batch.Write();
        }
    }

    private bool ReceiveAll(Span<byte> target)
    {
        fixed (byte* start = target)
        {
            nuint done = 0;
            while (done < (nuint)target.Length)
            {
                nint n;
                try
                {
                    n = Libc.Receive(_socket.SafeHandle, start + done, (nuint)target.Length - done, Libc.MessageWaitAll);
                }
                catch (ObjectDisposedException)
                {
                    return false;
                }

                if (n > 0)
                {
                    done += (nuint)n;
                }
                else if (n == 0 || Marshal.GetLastPInvokeError() != Libc.Interrupted)
                {
                    return false;
                }
            }
        }

        return true;
    }
}
