using System.Net.Sockets;
using System.Runtime.InteropServices;
using MLNet.SDN.Aggregation.Memory;

namespace MLNet.SDN.Aggregation.Workers;

/// <summary>What a Unix socket can do beyond bytes: tell who is at the other end, and pass file descriptors.</summary>
internal static unsafe class WorkerSocket
{
    private const int SolSocket = 1;
    private const int PeerCredentials = 17;
    private const int Rights = 1;

    /// <summary>Process and user at the other end (SO_PEERCRED), as of its connect.</summary>
    public static (int ProcessId, int UserId) PeerOf(Socket socket)
    {
        Span<byte> credentials = stackalloc byte[12];
        _ = socket.GetRawSocketOption(SolSocket, PeerCredentials, credentials);
        var words = MemoryMarshal.Cast<byte, int>(credentials);
        return (words[0], words[1]);
    }

    /// <summary>Sends without waiting. False when the peer does not take it: it has died or does not read.</summary>
    /// <param name="socket">The socket.</param>
    /// <param name="bytes">A whole message.</param>
    /// <param name="descriptor">A descriptor to pass along; -1 for none.</param>
    public static bool TrySend(Socket socket, ReadOnlySpan<byte> bytes, int descriptor)
    {
        try
        {
            // A short write would cut a message in two; with so little outstanding it means a peer that does not read.
            return Send(socket, bytes, descriptor, Libc.MessageNoSignal | Libc.MessageDontWait) == bytes.Length;
        }
        catch (ObjectDisposedException)
        {
            return false;
        }
    }

    /// <summary>Sends bytes with a descriptor, and waits until the peer has room.</summary>
    /// <param name="socket">The socket; blocking.</param>
    /// <param name="bytes">A message.</param>
    /// <param name="descriptor">Passed along.</param>
    /// <returns>How many bytes went, at least 1; the descriptor went with them.</returns>
    /// <exception cref="SocketException">The connection broke.</exception>
    /// <exception cref="ObjectDisposedException">The socket was closed at this end.</exception>
    public static int Send(Socket socket, ReadOnlySpan<byte> bytes, int descriptor)
    {
        while (true)
        {
            var n = Send(socket, bytes, descriptor, Libc.MessageNoSignal);
            if (n > 0)
            {
                return (int)n;
            }

            var error = Marshal.GetLastPInvokeError();
            if (error != Libc.Interrupted)
            {
                throw new SocketException(error);
            }
        }
    }

    /// <summary>Receives bytes, and at most one descriptor with them. 0 when the peer went.</summary>
    /// <param name="socket">The socket; blocking.</param>
    /// <param name="buffer">Where bytes go; not empty.</param>
    /// <param name="descriptor">The caller's from now on; -1 when none came.</param>
    /// <exception cref="SocketException">The connection broke.</exception>
    public static int Receive(Socket socket, Span<byte> buffer, out int descriptor)
    {
        descriptor = -1;
        fixed (byte* start = buffer)
        {
            while (true)
            {
                var vector = new IoVector { Base = start, Length = (nuint)buffer.Length };
                var control = stackalloc byte[24];
                var header = new MessageHeader { Vectors = &vector, VectorCount = 1, Control = control, ControlLength = 24 };
                var n = Libc.ReceiveMessage(socket.SafeHandle, &header, Libc.MessageCloseOnExec);
                if (n < 0 && Marshal.GetLastPInvokeError() == Libc.Interrupted)
                {
                    continue;
                }

                if (n < 0)
                {
                    throw new SocketException(Marshal.GetLastPInvokeError());
                }

                // More than one descriptor does not fit; the kernel closes the rest and says so in a flag that changes nothing here.
                if (header.ControlLength >= 20 && *(int*)(control + 8) == SolSocket && *(int*)(control + 12) == Rights)
                {
                    descriptor = *(int*)(control + 16);
                }

                return (int)n;
            }
        }
    }

    private static nint Send(Socket socket, ReadOnlySpan<byte> bytes, int descriptor, int flags)
    {
        fixed (byte* start = bytes)
        {
            var vector = new IoVector { Base = start, Length = (nuint)bytes.Length };
            var message = new MessageHeader { Vectors = &vector, VectorCount = 1 };

            // struct cmsghdr: length (8), level (4), type (4), then the descriptor, padded to 8.
            var control = stackalloc byte[24];
            if (descriptor >= 0)
            {
                *(ulong*)control = 20;
                *(int*)(control + 8) = SolSocket;
                *(int*)(control + 12) = Rights;
                *(int*)(control + 16) = descriptor;
                *(int*)(control + 20) = 0;
                message.Control = control;
                message.ControlLength = 24;
            }

            return Libc.SendMessage(socket.SafeHandle, &message, flags);
        }
    }
}
