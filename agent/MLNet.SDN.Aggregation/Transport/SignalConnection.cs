using System.Buffers.Binary;
using System.Net.Sockets;
using System.Threading.Channels;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Transport;

/// <summary>An established signalling connection: JSON messages behind their length. A ping goes out whenever nothing else does.</summary>
internal sealed class SignalConnection(Socket socket, TimeProvider time) : IDisposable
{
    /// <summary>How often something is said.</summary>
    public static readonly TimeSpan PingInterval = TimeSpan.FromSeconds(1);

    /// <summary>Messages that may wait for a slow peer; everything is level-triggered, so a peer that falls behind is cut off and starts afresh.</summary>
    private const int MaxQueued = 4096;

    private static readonly byte[] Ping = Frame(new SignalMessage { Type = SignalMessage.Types.Ping });

    private readonly Channel<byte[]> _outgoing = Channel.CreateBounded<byte[]>(new BoundedChannelOptions(MaxQueued) { SingleReader = true });
    private readonly CancellationTokenSource _stop = new();
    private long _lastHeard = time.GetTimestamp();

    /// <summary>Timestamp of the last bytes received.</summary>
    public long LastHeard => Volatile.Read(ref _lastHeard);

    /// <summary>Enqueues a message; never blocks.</summary>
    public void Send(SignalMessage message)
    {
        if (!_outgoing.Writer.TryWrite(Frame(message)))
        {
            Close();
        }
    }

    public void Close()
    {
        try
        {
            // Not here and now: whoever waits for the socket would go on inside of our caller's lock.
            _ = _stop.CancelAsync();
            socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Broken already.
        }
    }

    /// <summary>Reads and writes until the connection breaks, is closed, or the peer says something that no honest peer says.</summary>
    /// <param name="onMessage">Takes a message; false ends the connection.</param>
    public async Task RunAsync(Func<SignalMessage, bool> onMessage)
    {
        var writing = WriteAsync();
        try
        {
            await ReadAsync(onMessage);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // The connection ended.
        }
        finally
        {
            Close();
            await writing;
        }
    }

    /// <summary>To be called once nothing is sent any more.</summary>
    public void Dispose() => _stop.Dispose();

    private async Task ReadAsync(Func<SignalMessage, bool> onMessage)
    {
        var length = new byte[sizeof(uint)];
        while (await ReceiveAsync(length))
        {
            var size = BinaryPrimitives.ReadUInt32LittleEndian(length);
            if (size is 0 or > SignalMessage.MaxBytes)
            {
                return;
            }

            var body = new byte[size];
            if (!await ReceiveAsync(body) || !SignalMessage.TryParse(body, out var message) || !onMessage(message!))
            {
                return;
            }
        }
    }

    private async Task<bool> ReceiveAsync(Memory<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            var n = await socket.ReceiveAsync(buffer, _stop.Token);
            if (n == 0)
            {
                return false;
            }

            Volatile.Write(ref _lastHeard, time.GetTimestamp());
            buffer = buffer[n..];
        }

        return true;
    }

    private async Task WriteAsync()
    {
        try
        {
            while (!_stop.IsCancellationRequested)
            {
                byte[] next;
                using (var patience = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token))
                {
                    patience.CancelAfter(PingInterval);
                    try
                    {
                        next = await _outgoing.Reader.ReadAsync(patience.Token);
                    }
                    catch (OperationCanceledException) when (!_stop.IsCancellationRequested)
                    {
                        next = Ping;
                    }
                }

                for (ReadOnlyMemory<byte> rest = next; !rest.IsEmpty;)
                {
                    rest = rest[await socket.SendAsync(rest, _stop.Token)..];
                }
            }
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            Close();
        }
    }

    private static byte[] Frame(SignalMessage message)
    {
        var body = message.Serialize();
        var frame = new byte[sizeof(uint) + body.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(frame, (uint)body.Length);
        body.CopyTo(frame, sizeof(uint));
        return frame;
    }
}
