using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace MLNet.SDN.Agent.Discovery;

/// <summary>An established TCP connection of this network namespace, seen from its local end.</summary>
/// <param name="Local">Local address; IPv4 in the low 32 bits.</param>
/// <param name="LocalPort">Local port.</param>
/// <param name="Remote">Remote address.</param>
/// <param name="RemotePort">Remote port.</param>
/// <param name="IsIPv6">Family; IPv4 inside IPv6 counts as IPv4.</param>
internal readonly record struct TcpConnection(UInt128 Local, ushort LocalPort, UInt128 Remote, ushort RemotePort, bool IsIPv6);

/// <summary>What the kernel says of a connection.</summary>
/// <param name="Connection">The connection.</param>
/// <param name="Inode">Of its socket; 0 when no process has it any more.</param>
/// <param name="Uid">Its user.</param>
/// <param name="Cookie">Never given twice while the kernel runs, so that a stranger with the same ports is not taken for it.</param>
/// <param name="BytesAcknowledged">tcpi_bytes_acked: payload that the other end has.</param>
/// <param name="Cgroup">Number of the control group in which it was opened; 0 where the kernel does not tell (before Linux 5.9).</param>
internal readonly record struct SocketFacts(TcpConnection Connection, uint Inode, uint Uid, ulong Cookie, long BytesAcknowledged, ulong Cgroup = 0);

/// <summary>Asks the kernel for TCP sockets of the network namespace in which it was made (sock_diag(7)); needs no rights. Not thread-safe.</summary>
internal sealed unsafe partial class SocketDiagnosis : IDisposable
{
    private const int NetlinkFamily = 16;
    private const int DatagramCloseOnExec = 2 | 0x80000;
    private const int SocketDiagnosisProtocol = 4;
    private const ushort ByFamily = 20;
    private const ushort ErrorType = 2;
    private const ushort DoneType = 3;
    private const ushort Request = 1;
    private const ushort Dump = 0x300;
    private const byte IPv4 = 2;
    private const byte IPv6 = 10;
    private const byte Tcp = 6;
    private const int EstablishedMask = 1 << 1;
    private const byte Udp = 17;
    private const int InfoAttribute = 2;
    private const int CgroupAttribute = 21;

    // All but listening and TIME_WAIT, which no process has.
    private const int OpenMask = 0xFFF & ~(1 << 10) & ~(1 << 6);

    private const int HeaderBytes = 16;
    private const int RequestBytes = 56;
    private const int AnswerBytes = 72;
    private const int BytesAckedOffset = 120;
    private const int Interrupted = 4;

    private readonly SafeFileHandle socket;
    private readonly byte[] buffer = new byte[64 << 10];
    private uint sequence;

    /// <summary>Opens the socket.</summary>
    /// <exception cref="IOException">The kernel has none.</exception>
    public SocketDiagnosis()
    {
        var fd = Open(NetlinkFamily, DatagramCloseOnExec, SocketDiagnosisProtocol);
        if (fd < 0)
        {
            throw new IOException($"The kernel does not tell of its sockets (sock_diag): {Marshal.GetLastPInvokeErrorMessage()}");
        }

        socket = new SafeFileHandle(fd, ownsHandle: true);
    }

    /// <summary>All established connections.</summary>
    /// <exception cref="IOException">The kernel does not answer.</exception>
    public List<SocketFacts> Connections() => List(Tcp, EstablishedMask);

    /// <summary>All sockets that send packets of a protocol: connections in any state, and of UDP those without one too, whose remote end is 0.</summary>
    /// <param name="protocol">6 or 17.</param>
    /// <exception cref="IOException">The kernel does not answer.</exception>
    public List<SocketFacts> Sockets(byte protocol) => List(protocol, protocol == Udp ? -1 : OpenMask);

    private List<SocketFacts> List(byte protocol, int states)
    {
        var found = new List<SocketFacts>();
        Span<byte> request = stackalloc byte[RequestBytes];
        foreach (var family in (byte[])[IPv4, IPv6])
        {
            Compose(request, family, protocol, states);
            Send(request, Request | Dump);
            while (!Receive(found, family))
            {
                // The rest of the list is in the next message.
            }
        }

        return found;
    }

    /// <summary>What the kernel says of one connection now.</summary>
    /// <param name="connection">The connection.</param>
    /// <param name="cookie">Its cookie.</param>
    /// <returns>Null when it is closed.</returns>
    /// <exception cref="IOException">The kernel does not answer.</exception>
    public SocketFacts? Find(in TcpConnection connection, ulong cookie)
    {
        Span<byte> request = stackalloc byte[RequestBytes];
        Compose(request, connection.IsIPv6 ? IPv6 : IPv4, Tcp, EstablishedMask);
        BinaryPrimitives.WriteUInt16BigEndian(request[8..], connection.LocalPort);
        BinaryPrimitives.WriteUInt16BigEndian(request[10..], connection.RemotePort);
        if (connection.IsIPv6)
        {
            BinaryPrimitives.WriteUInt128BigEndian(request[12..], connection.Local);
            BinaryPrimitives.WriteUInt128BigEndian(request[28..], connection.Remote);
        }
        else
        {
            BinaryPrimitives.WriteUInt32BigEndian(request[12..], (uint)connection.Local);
            BinaryPrimitives.WriteUInt32BigEndian(request[28..], (uint)connection.Remote);
        }

        MemoryMarshal.Write(request[48..], cookie);
        Send(request, Request);
        var found = new List<SocketFacts>(1);
        while (!Receive(found, 0))
        {
            // An answer to a question that was given up.
        }

        return found.Count == 1 && found[0].Connection == connection ? found[0] : null;
    }

    /// <inheritdoc />
    public void Dispose() => socket.Dispose();

    [LibraryImport("libc", EntryPoint = "socket", SetLastError = true)]
    private static partial int Open(int family, int type, int protocol);

    [LibraryImport("libc", EntryPoint = "send", SetLastError = true)]
    private static partial nint Send(SafeFileHandle socket, byte* bytes, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "recv", SetLastError = true)]
    private static partial nint Receive(SafeFileHandle socket, byte* bytes, nuint length, int flags);

    // struct inet_diag_req_v2: family, protocol, attributes wanted, padding, states; then the socket's addresses.
    private static void Compose(Span<byte> request, byte family, byte protocol, int states)
    {
        request.Clear();
        (request[0], request[1], request[2]) = (family, protocol, 1 << (InfoAttribute - 1));
        MemoryMarshal.Write(request[4..], states);
    }

    private void Send(ReadOnlySpan<byte> request, ushort flags)
    {
        Span<byte> message = stackalloc byte[HeaderBytes + RequestBytes];
        message.Clear();
        MemoryMarshal.Write(message, message.Length);
        MemoryMarshal.Write(message[4..], ByFamily);
        MemoryMarshal.Write(message[6..], flags);
        MemoryMarshal.Write(message[8..], ++sequence);
        request.CopyTo(message[HeaderBytes..]);
        fixed (byte* start = message)
        {
            if (Send(socket, start, (nuint)message.Length, 0) != message.Length)
            {
                throw new IOException($"sock_diag: {Marshal.GetLastPInvokeErrorMessage()}");
            }
        }
    }

    // True when the answer is complete. With a family, a socket of another is passed over.
    private bool Receive(List<SocketFacts> found, byte family)
    {
        nint got;
        fixed (byte* start = buffer)
        {
            do
            {
                got = Receive(socket, start, (nuint)buffer.Length, 0);
            }
            while (got < 0 && Marshal.GetLastPInvokeError() == Interrupted);
        }

        if (got < 0)
        {
            throw new IOException($"sock_diag: {Marshal.GetLastPInvokeErrorMessage()}");
        }

        for (var rest = buffer.AsSpan(0, (int)got); rest.Length >= HeaderBytes;)
        {
            var length = MemoryMarshal.Read<int>(rest);
            if (length < HeaderBytes || length > rest.Length)
            {
                throw new IOException("sock_diag: the kernel's message is cut short.");
            }

            // Of an earlier question that was given up: passed over.
            var type = MemoryMarshal.Read<uint>(rest[8..]) == sequence ? MemoryMarshal.Read<ushort>(rest[4..]) : (ushort)0;
            if (type is DoneType or ErrorType)
            {
                // ENOENT of a single socket says that it is closed; of a list, that the kernel has no such family.
                return true;
            }

            if (type == ByFamily && length >= HeaderBytes + AnswerBytes && Parse(rest[HeaderBytes..length]) is { } facts)
            {
                found.Add(facts);
                if (family == 0)
                {
                    return true;
                }
            }

            rest = rest[Math.Min(rest.Length, (length + 3) & ~3)..];
        }

        return false;
    }

    // struct inet_diag_msg: family, state, timer, retransmits; addresses (48); expires, queues, uid, inode; then attributes.
    private static SocketFacts? Parse(ReadOnlySpan<byte> answer)
    {
        var isIPv6 = answer[0] == IPv6;
        var (local, remote) = isIPv6
            ? (BinaryPrimitives.ReadUInt128BigEndian(answer[8..]), BinaryPrimitives.ReadUInt128BigEndian(answer[24..]))
            : ((UInt128)BinaryPrimitives.ReadUInt32BigEndian(answer[8..]), (UInt128)BinaryPrimitives.ReadUInt32BigEndian(answer[24..]));
        if (isIPv6 && local >> 32 == 0xFFFF && (remote >> 32 == 0xFFFF || remote == 0))
        {
            (local, remote, isIPv6) = ((uint)local, (uint)remote, false);
        }

        var (bytes, group) = (0L, 0UL);
        for (var rest = answer[AnswerBytes..]; rest.Length >= 4;)
        {
            var length = MemoryMarshal.Read<ushort>(rest);
            if (length < 4 || length > rest.Length)
            {
                return null;
            }

            if (MemoryMarshal.Read<ushort>(rest[2..]) == InfoAttribute && length >= 4 + BytesAckedOffset + 8)
            {
                bytes = MemoryMarshal.Read<long>(rest[(4 + BytesAckedOffset)..]);
            }
            else if (MemoryMarshal.Read<ushort>(rest[2..]) == CgroupAttribute && length >= 4 + 8)
            {
                group = MemoryMarshal.Read<ulong>(rest[4..]);
            }

            rest = rest[Math.Min(rest.Length, (length + 3) & ~3)..];
        }

        var connection = new TcpConnection(
            local, BinaryPrimitives.ReadUInt16BigEndian(answer[4..]), remote, BinaryPrimitives.ReadUInt16BigEndian(answer[6..]), isIPv6);
        return new SocketFacts(connection, MemoryMarshal.Read<uint>(answer[68..]), MemoryMarshal.Read<uint>(answer[64..]), MemoryMarshal.Read<ulong>(answer[44..]), bytes, group);
    }
}
