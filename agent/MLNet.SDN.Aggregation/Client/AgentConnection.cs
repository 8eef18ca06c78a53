using System.Net.Sockets;
using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Wire;
using MLNet.SDN.Aggregation.Workers;

namespace MLNet.SDN.Aggregation.Client;

/// <summary>The Unix socket to the agent: one JSON object per line, memory passed as a file descriptor. One thread at a time reads, and one sends.</summary>
internal sealed class AgentConnection : IDisposable
{
    private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly byte[] _buffer = new byte[WorkerMessage.MaxBytes];
    private readonly Queue<int> _descriptors = new();
    private int _filled;

    private AgentConnection(string path) => Path = path;

    /// <summary>Of the socket.</summary>
    public string Path { get; }

    /// <summary>Connects; an agent that is just starting is waited for.</summary>
    /// <exception cref="WorkerException">Nobody listens there in time.</exception>
    public static async Task<AgentConnection> OpenAsync(string path, TimeSpan patience, CancellationToken cancellationToken)
    {
        var begun = TimeProvider.System.GetTimestamp();
        while (true)
        {
            AgentConnection? connection = null;
            try
            {
                connection = new AgentConnection(path);
                connection._socket.Connect(new UnixDomainSocketEndPoint(path));
                return connection;
            }
            catch (Exception e) when (e is SocketException or ArgumentException)
            {
                connection?.Dispose();
                if (e is not SocketException { SocketErrorCode: SocketError.ConnectionRefused or SocketError.AddressNotAvailable })
                {
                    throw new WorkerException(WorkerError.AgentUnavailable, $"the agent's socket {path} cannot be used: {e.Message}", e);
                }

                if (TimeProvider.System.GetElapsedTime(begun) >= patience)
                {
                    throw new WorkerException(
                        WorkerError.AgentUnavailable,
                        $"no agent listens on {path} ({e.Message}): start mlnet-agent on this host, or name its socket in MLNET_AGENT_SOCKET",
                        e);
                }
            }

            await Task.Delay(100, cancellationToken);
        }
    }

    /// <param name="message">What is sent.</param>
    /// <param name="descriptor">Passed along; -1 for none. Stays the caller's.</param>
    /// <exception cref="WorkerException">The agent is gone.</exception>
    public void Send(WorkerMessage message, int descriptor = -1)
    {
        var bytes = message.Serialize();
        try
        {
            for (var sent = descriptor < 0 ? 0 : WorkerSocket.Send(_socket, bytes, descriptor); sent < bytes.Length;)
            {
                sent += _socket.Send(bytes.AsSpan(sent), SocketFlags.None);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            throw Gone(e);
        }
    }

    /// <summary>Waits for the next message.</summary>
    /// <param name="descriptor">What came with it; -1 for nothing. Belongs to the caller.</param>
    /// <exception cref="WorkerException">The agent is gone, or says what is no message.</exception>
    public WorkerMessage Receive(out int descriptor)
    {
        descriptor = -1;
        while (true)
        {
            var end = _buffer.AsSpan(0, _filled).IndexOf((byte)'\n');
            if (end >= 0)
            {
                var understood = WorkerMessage.TryParse(_buffer.AsSpan(0, end), out var message);
                _buffer.AsSpan(end + 1, _filled - end - 1).CopyTo(_buffer);
                _filled -= end + 1;
                if (!understood)
                {
                    throw new WorkerException(WorkerError.Other, $"the agent on {Path} sent something that is no message");
                }

                if (message!.Type == "area" && !_descriptors.TryDequeue(out descriptor))
                {
                    throw new WorkerException(WorkerError.Other, $"the agent on {Path} named shared memory but passed none; has this process too many open files?");
                }

                return message;
            }

            if (_filled == _buffer.Length)
            {
                throw new WorkerException(WorkerError.Other, $"the agent on {Path} sent a message longer than {WorkerMessage.MaxBytes} bytes");
            }

            _filled += ReceiveSome(_buffer.AsSpan(_filled));
        }
    }

    /// <summary>Makes <see cref="Receive"/> end.</summary>
    public void Shutdown()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Gone already.
        }
    }

    public void Dispose()
    {
        _socket.Dispose();
        while (_descriptors.TryDequeue(out var left))
        {
            _ = Libc.Close(left);
        }
    }

    private int ReceiveSome(Span<byte> target)
    {
        int received;
        int descriptor;
        try
        {
            received = WorkerSocket.Receive(_socket, target, out descriptor);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            throw Gone(e);
        }

        if (descriptor >= 0)
        {
            _descriptors.Enqueue(descriptor);
        }

        return received > 0 ? received : throw Gone(null);
    }

    private WorkerException Gone(Exception? cause) =>
        new(WorkerError.AgentUnavailable, $"the agent on {Path} closed the connection: it ended or was restarted; join again once it runs", cause);
}
