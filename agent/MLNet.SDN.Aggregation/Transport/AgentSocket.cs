using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Transport;

/// <summary>Options and handshake of a TCP connection between agents. Synchronous: data connections stay in blocking mode, in which receiving costs least.</summary>
internal static class AgentSocket
{
    private const int Tcp = 6;
    private const int WindowClamp = 10;
    private const int NotSentLowWatermark = 25;
    private const int SolSocket = 1;
    private const int MaxPacingRate = 47;

    // Leaves room for what the kernel does not count: the headers of Ethernet, and acknowledgements of what comes the other way.
    private const double PartOfLine = 0.98;

    // Faster ones are left alone: at these the kernel's timers cost more than meetings at a port do.
    private const long FastestPaced = 1_000_000_000;
    private const int UserTimeout = 18;

    private const int LeastUnsentBytes = 16 * 1024;
    private const int MostUnsentBytes = 128 * 1024;

    /// <summary>Larger ones are for links on which waking a writer for each costs more than sending it.</summary>
    private const int LargeChunk = 64 * 1024;

    private const int LargeChunksUnsent = 4;

    /// <summary>Sent bytes that nobody acknowledges for so long end the connection. Long enough for a class that lives on its floor.</summary>
    private static readonly TimeSpan Vanished = TimeSpan.FromSeconds(30);

    /// <summary>A handshake takes two round trips; a peer that needs longer than this for the whole of it is not there, or only holds its place.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    public static Socket Create(AddressFamily family, byte dscp)
    {
        var socket = new Socket(family, SocketType.Stream, ProtocolType.Tcp);
        Prepare(socket);
        SetDscp(socket, dscp);
        return socket;
    }

    /// <summary>Sets what holds for dialled and accepted sockets alike.</summary>
    public static void Prepare(Socket socket)
    {
        socket.NoDelay = true;
        socket.SendTimeout = (int)Patience.TotalMilliseconds;
        socket.ReceiveTimeout = (int)Patience.TotalMilliseconds;

        // A peer that vanished without a word is noticed whether we are sending or not.
        socket.SetRawSocketOption(Tcp, UserTimeout, BitConverter.GetBytes((int)Vanished.TotalMilliseconds));
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, 10);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 5);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 4);
    }

    /// <summary>
    /// Bounds what waits unsent in the kernel, in proportion to chunks, which follow the rate of links: enough to keep the line busy while the next chunk is
    /// fetched; little enough that what matters more overtakes it in our own queue, and that the connection which is ready first gets the next chunk.
    /// </summary>
    public static void SetUnsent(Socket socket, int chunkBytes)
    {
        try
        {
            // The kernel wakes a writer when half of it is left.
            var bytes = chunkBytes > LargeChunk ? LargeChunksUnsent * chunkBytes : Math.Clamp(2 * chunkBytes, LeastUnsentBytes, MostUnsentBytes);
            socket.SetRawSocketOption(Tcp, NotSentLowWatermark, BitConverter.GetBytes(bytes));
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Closed meanwhile.
        }
    }

    /// <summary>Bounds the rate at which the kernel sends over a connection, bit/s, headers of IP and TCP included; 0 ends the bound.</summary>
    public static void SetPace(Socket socket, long bitsPerSecond)
    {
        try
        {
            socket.SetRawSocketOption(SolSocket, MaxPacingRate, BitConverter.GetBytes(bitsPerSecond is <= 0 or > FastestPaced ? ulong.MaxValue : (ulong)(bitsPerSecond / 8.0 * PartOfLine)));
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Closed meanwhile.
        }
    }

    /// <summary>
    /// Bounds what the peer may have under way to this host over the connection. To be called once the connection stands; 0 leaves it to the kernel, which lets
    /// a window grow until the queues on the way overflow.
    /// </summary>
    public static void SetReceiveWindow(Socket socket, int bytes)
    {
        if (bytes <= 0)
        {
            return;
        }

        try
        {
            // With a buffer of a fixed size the kernel does not raise the window again. Twice the window: what a segment takes in memory is more than its bytes.
            socket.ReceiveBufferSize = 2 * bytes;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Closed meanwhile.
        }

        ClampWindow(socket, bytes);
    }

    /// <summary>
    /// Bounds the window again. Once the kernel has seen how large the peer's segments are, which is with the first full one, it sets the bound anew by the size of
    /// the buffer, and forgets ours (Linux 6.6 and later): to be called when data has come.
    /// </summary>
    public static void ClampWindow(Socket socket, int bytes)
    {
        try
        {
            socket.SetRawSocketOption(Tcp, WindowClamp, BitConverter.GetBytes(bytes));
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Closed meanwhile.
        }
    }

    /// <summary>Ends the time limits of the handshake.</summary>
    public static void Established(Socket socket)
    {
        socket.SendTimeout = 0;
        socket.ReceiveTimeout = 0;
    }

    /// <summary>Marks the socket's packets; the two ECN bits stay the kernel's.</summary>
    public static void SetDscp(Socket socket, byte dscp)
    {
        try
        {
            if (socket.AddressFamily == AddressFamily.InterNetworkV6)
            {
                socket.SetRawSocketOption(41, 67, BitConverter.GetBytes(dscp << 2)); // IPPROTO_IPV6, IPV6_TCLASS
                if (!socket.DualMode)
                {
                    return;
                }
            }

            socket.SetSocketOption(SocketOptionLevel.IP, SocketOptionName.TypeOfService, dscp << 2);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Closed meanwhile: nothing is sent on it any more.
        }
    }

    /// <summary>Shows the peer that we hold the secret and checks that it does. False when it does not answer as a holder would.</summary>
    /// <param name="socket">Connected.</param>
    /// <param name="hello">The first words.</param>
    /// <param name="secret">The job's.</param>
    /// <param name="life">The number that the peer drew at its start.</param>
    /// <exception cref="SocketException">The connection broke, or the peer took longer than <see cref="Patience"/>.</exception>
    public static bool Introduce(Socket socket, Hello hello, ReadOnlySpan<byte> secret, out ulong life)
    {
        life = 0;
        var begun = Stopwatch.GetTimestamp();
        var helloBytes = hello.Serialize();
        socket.Send(helloBytes);
        Span<byte> nonce = stackalloc byte[Hello.NonceBytes];
        Span<byte> answer = stackalloc byte[Handshake.AnswerBytes];
        if (!TryReceive(socket, nonce, begun))
        {
            return false;
        }

        socket.Send(Handshake.DiallerProof(secret, helloBytes, nonce));
        return TryReceive(socket, answer, begun) && Handshake.IsAnswer(secret, helloBytes, nonce, answer, out life);
    }

    /// <summary>Takes an introduction. Whoever does not hold a secret gets a random nonce and a closed connection, whatever the reason.</summary>
    /// <param name="socket">The accepted socket.</param>
    /// <param name="life">Drawn at the start of this agent.</param>
    /// <param name="find">Names the secret for a hello; null when the job, the peer or the role is unknown.</param>
    /// <returns>The hello; null when the dialler did not prove itself.</returns>
    /// <exception cref="SocketException">The connection broke, or the peer took longer than <see cref="Patience"/>.</exception>
    public static Hello? Welcome(Socket socket, ulong life, Func<Hello, ReadOnlyMemory<byte>?> find)
    {
        var begun = Stopwatch.GetTimestamp();
        Span<byte> fixedPart = stackalloc byte[Hello.FixedBytes];
        if (!TryReceive(socket, fixedPart, begun) || Hello.NameBytes(fixedPart) is not { } names)
        {
            return null;
        }

        var helloBytes = new byte[Hello.FixedBytes + names];
        fixedPart.CopyTo(helloBytes);
        if (!TryReceive(socket, helloBytes.AsSpan(Hello.FixedBytes), begun) || !Hello.TryParse(helloBytes, out var hello))
        {
            return null;
        }

        Span<byte> nonce = stackalloc byte[Hello.NonceBytes];
        RandomNumberGenerator.Fill(nonce);
        socket.Send(nonce);
        Span<byte> proof = stackalloc byte[Handshake.ProofBytes];
        if (!TryReceive(socket, proof, begun))
        {
            return null;
        }

        var known = find(hello!);
        var secret = known ?? RandomNumberGenerator.GetBytes(32);
        if (!CryptographicOperations.FixedTimeEquals(proof, Handshake.DiallerProof(secret.Span, helloBytes, nonce)) || known is null)
        {
            return null;
        }

        socket.Send(Handshake.AcceptorAnswer(secret.Span, helloBytes, nonce, life));
        return hello;
    }

    private static bool TryReceive(Socket socket, Span<byte> buffer, long begun)
    {
        while (!buffer.IsEmpty)
        {
            // One limit for all of it: a peer that sends a byte now and then gets no more time than a silent one.
            var left = (int)(Patience - Stopwatch.GetElapsedTime(begun)).TotalMilliseconds;
            if (left <= 0)
            {
                throw new SocketException((int)SocketError.TimedOut);
            }

            socket.ReceiveTimeout = left;
            var n = socket.Receive(buffer);
            if (n == 0)
            {
                return false;
            }

            buffer = buffer[n..];
        }

        return true;
    }
}
