using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Transport;

/// <summary>Listens for other agents and finds out which job they belong to.</summary>
internal sealed class Acceptor(IPEndPoint listen, ulong life, Func<long, JobRuntime?> find, Shortage shortage, ILogger logger) : IDisposable
{
    private const int StackBytes = 256 * 1024;

    private readonly Socket _socket = new(listen.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
    private readonly PendingHandshakes _handshakes = new();
    private volatile bool _stopped;
    private long _refused;

    public int Port => ((IPEndPoint)_socket.LocalEndPoint!).Port;

    /// <summary>Connections refused since the start: wrong secret, unknown job, or no handshake at all.</summary>
    public long Refused => Interlocked.Read(ref _refused);

    public void Start()
    {
        _socket.Bind(listen);
        _socket.Listen(1024);
        new Thread(Accept, StackBytes) { IsBackground = true, Name = "mlnet-accept" }.Start();
    }

    /// <summary>Stops listening; established connections stay.</summary>
    public void Dispose()
    {
        _stopped = true;
        _socket.Dispose();
    }

    private void Accept()
    {
        while (!_stopped)
        {
            Socket socket;
            try
            {
                socket = _socket.Accept();
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                if (!_stopped)
                {
                    if (!shortage.Met("connections from other agents", e))
                    {
                        AggregationLog.Fault(logger, "accepting a connection", e);
                    }

                    Thread.Sleep(100);
                }

                continue;
            }

            if (!shortage.Affords("connections from other agents", socket))
            {
                Refuse(socket);
                continue;
            }

            var address = (TryEndpoint(socket) as IPEndPoint)?.Address ?? IPAddress.None;
            if (_handshakes.Add(socket, address) is { } evicted)
            {
                // Its own thread notices, and closes it.
                Shutdown(evicted);
            }

            try
            {
                new Thread(() => Serve(socket), StackBytes) { IsBackground = true, Name = "mlnet-r" }.Start();
            }
            catch (OutOfMemoryException e)
            {
                _ = shortage.Met("connections from other agents", e);
                _ = _handshakes.TryRemove(socket);
                Refuse(socket);
                Thread.Sleep(100);
            }
        }
    }

    private void Serve(Socket socket)
    {
        Hello? hello = null;
        Hello? early = null;
        var inTime = false;
        try
        {
            AgentSocket.Prepare(socket);
            hello = AgentSocket.Welcome(socket, life, h =>
            {
                var job = find(h.JobId);
                early = job is null ? h : null;
                return job is not null && job.Admits(h) ? job.Engine.Job.Secret : null;
            });
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Went away during the handshake.
        }
        finally
        {
            inTime = _handshakes.TryRemove(socket);
        }

        if (!inTime || hello is null || find(hello.JobId) is not { } runtime)
        {
            Refuse(socket, early);
            return;
        }

        try
        {
            runtime.Accept(socket, hello);
        }
        catch (Exception e)
        {
            AggregationLog.Fault(logger, $"connection from {hello.From}", e);
            socket.Dispose();
        }
    }

    private void Refuse(Socket socket, Hello? early = null)
    {
        var refused = Interlocked.Increment(ref _refused);
        if (early is not null)
        {
            // Nothing wrong: hosts hear of a job at different times, and of its end.
            AggregationLog.TooEarly(logger, TryEndpoint(socket), early.From, early.JobId);
        }
        else if (System.Numerics.BitOperations.IsPow2(refused))
        {
            AggregationLog.ConnectionRefused(logger, TryEndpoint(socket), refused);
        }

        socket.Dispose();
    }

    private static void Shutdown(Socket socket)
    {
        try
        {
            socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Gone already.
        }
    }

    private static EndPoint? TryEndpoint(Socket socket)
    {
        try
        {
            return socket.RemoteEndPoint;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            return null;
        }
    }
}
