using System.Net.Sockets;
using System.Runtime.InteropServices;
using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Transport;

/// <summary>
/// Writes the frames for one peer to one connection: from a thread of its own, which may wait for room, or from any that has added one, as far as there is room
/// (<see cref="TryWriteNext"/>). One frame at a time, always whole. Nothing is allocated per frame. Thread-safe.
/// </summary>
/// <param name="socket">Established, in blocking mode; closed by its owner after <see cref="Run"/> has returned.</param>
/// <param name="peer">The host at the other end.</param>
/// <param name="life">Drawn by the peer's agent at its start.</param>
/// <param name="engine">The job.</param>
internal sealed unsafe class FrameWriter(Socket socket, string peer, ulong life, JobEngine engine) : IFrameWriter
{
    private readonly FrameQueue _queue = engine.QueueOf(peer);
    private readonly WriterGate _gate = new();

    // Held while a frame is sent; all that follows is read and written under it. Whoever may not wait only tries to take it.
    private readonly Lock _writing = new();
    private readonly byte[] _head = new byte[FrameHeader.Bytes + FrameHeader.MaxContributorBytes];
    private Outgoing _item;
    private int _headBytes;
    private byte* _payload;
    private int _payloadBytes;
    private nuint _sent;
    private bool _underWay;
    private bool _ended;

    /// <summary>Makes <see cref="Run"/> return; a thread that waits for room does so once the socket is shut down too.</summary>
    public void Shut() => _queue.ShutGate(_gate);

    /// <summary>Writes until the connection breaks or is shut.</summary>
    public void Run()
    {
        _queue.Join(this);
        try
        {
            while (_queue.Take(_gate, out var item))
            {
                lock (_writing)
                {
                    if (!TryFinish(0))
                    {
                        GiveBack(item);
                        return;
                    }

                    if (item.Round is not null && TryBegin(item) && !TryFinish(0))
                    {
                        return;
                    }
                }
            }
        }
        finally
        {
            _queue.Leave(this);
            lock (_writing)
            {
                _ended = true;
                End();
            }
        }
    }

    /// <inheritdoc/>
    public bool TryWriteNext()
    {
        if (!_writing.TryEnter())
        {
            return false;
        }

        try
        {
            if (_underWay || _ended || !_queue.TryTake(out var item))
            {
                return false;
            }

            if (!TryBegin(item) || TryFinish(Libc.MessageDontWait))
            {
                return true;
            }

            // There is no room for the rest, or the connection broke, which its own thread then finds.
            _queue.Nudge(_gate);
            return false;
        }
        finally
        {
            _writing.Exit();
        }
    }

    private bool TryBegin(in Outgoing item)
    {
        if (!engine.TryPrepare(item, life, _head, out var frame))
        {
            return false;
        }

        (_item, _headBytes, _payloadBytes, _sent, _underWay) = (item, frame.HeadBytes, frame.PayloadBytes, 0, true);
        _payload = frame.Payload;
        FrameHeader.Seal(_head.AsSpan(0, _headBytes), new ReadOnlySpan<byte>(_payload, _payloadBytes));
        return true;
    }

    /// <summary>Sends what is left of the frame under way. False when the connection broke or, with <see cref="Libc.MessageDontWait"/>, has no room: the frame is then still under way.</summary>
    private bool TryFinish(int flags)
    {
        if (!_underWay)
        {
            return true;
        }

        if (!SendAll(flags))
        {
            return false;
        }

        engine.Sight.Sent(_headBytes + _payloadBytes);
        End();
        return true;
    }

    private void End()
    {
        if (_underWay)
        {
            _underWay = false;
            GiveBack(_item);
            _item = default;
        }
    }

    private void GiveBack(in Outgoing item)
    {
        if (item.Round is not null)
        {
            engine.GiveBack(new PreparedFrame { Item = item });
        }
    }

    /// <summary>Writes header and payload with one call, so that they leave in the same segments.</summary>
    private bool SendAll(int flags)
    {
        fixed (byte* head = _head)
        {
            var vectors = stackalloc IoVector[2];
            var (headBytes, whole) = ((nuint)_headBytes, (nuint)(_headBytes + _payloadBytes));
            while (_sent < whole)
            {
                var message = new MessageHeader { Vectors = vectors };
                if (_sent < headBytes)
                {
                    vectors[message.VectorCount++] = new IoVector { Base = head + _sent, Length = headBytes - _sent };
                }

                var from = _sent > headBytes ? _sent - headBytes : 0;
                vectors[message.VectorCount++] = new IoVector { Base = _payload + from, Length = (nuint)_payloadBytes - from };
                nint n;
                try
                {
                    n = Libc.SendMessage(socket.SafeHandle, &message, Libc.MessageNoSignal | flags);
                }
                catch (ObjectDisposedException)
                {
                    return false;
                }

                if (n >= 0)
                {
                    _sent += (nuint)n;
                }
                else if (Marshal.GetLastPInvokeError() != Libc.Interrupted)
                {
                    return false;
                }
            }
        }

        return true;
    }
}
