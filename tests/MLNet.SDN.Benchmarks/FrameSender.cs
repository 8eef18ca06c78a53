using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace MLNet.SDN.Benchmarks;

/// <summary>Sends small frames of many flows at a fixed rate through a packet socket, past the interface's queue. Needs CAP_NET_RAW.</summary>
/// <remarks>packet(7), PACKET_QDISC_BYPASS; sendmmsg(2). Half TCP, half UDP, every tenth IPv6; flows in turn, so that no two frames in a row are of one flow.</remarks>
internal static unsafe partial class FrameSender
{
    private const int Batch = 32;
    private const int FamilyPacket = 17;
    private const int TypeRaw = 3;
    private const int LevelPacket = 263;
    private const int OptionQueueBypass = 20;

    // mlnet-bench send-frames INTERFACE DESTINATION-MAC PACKETS-PER-SECOND SECONDS FLOWS: prints how many were sent, and in how many seconds.
    public static int Run(string[] arguments)
    {
        var name = arguments[0];
        var mac = Convert.FromHexString(arguments[1].Replace(":", "", StringComparison.Ordinal));
        var rate = double.Parse(arguments[2], CultureInfo.InvariantCulture);
        var seconds = double.Parse(arguments[3], CultureInfo.InvariantCulture);
        var flows = int.Parse(arguments[4], CultureInfo.InvariantCulture);

        // A frame costs its sender far more than its reader: the kernel delivers it in the sender's name. So several senders, each with its part of the rate.
        var parts = new (long Sent, double Seconds)[Math.Max(2, Environment.ProcessorCount / 2)];
        var threads = parts.Select((_, i) => new Thread(() => parts[i] = Send(name, mac, rate / parts.Length, seconds, flows))).ToList();
        threads.ForEach(t => t.Start());
        threads.ForEach(t => t.Join());
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{parts.Sum(p => p.Sent)} {parts.Max(p => p.Seconds)}"));
        return 0;
    }

    /// <summary>A frame of one flow: Ethernet, IP, transport, payload; 98 bytes with IPv4 (a small request), 118 with IPv6.</summary>
    public static byte[] Frame(int flow, ReadOnlySpan<byte> destinationMac)
    {
        var isIPv6 = flow % 10 == 9;
        var isTcp = flow % 2 == 0;
        var ip = isIPv6 ? 40 : 20;
        var frame = new byte[14 + ip + 64];
        destinationMac.CopyTo(frame);
        frame[6] = 2;
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(12), isIPv6 ? (ushort)0x86DD : (ushort)0x0800);
        var packet = frame.AsSpan(14);
        if (isIPv6)
        {
            BinaryPrimitives.WriteUInt32BigEndian(packet, 0x60000000);
            BinaryPrimitives.WriteUInt16BigEndian(packet[4..], 64);
            (packet[6], packet[7]) = (isTcp ? (byte)6 : (byte)17, 64);
            BinaryPrimitives.WriteUInt32BigEndian(packet[8..], 0x20010DB8);
            BinaryPrimitives.WriteUInt32BigEndian(packet[24..], 0x20010DB8);
            BinaryPrimitives.WriteInt32BigEndian(packet[36..], flow);
        }
        else
        {
            packet[0] = 0x45;
            BinaryPrimitives.WriteUInt16BigEndian(packet[2..], 20 + 64);
            (packet[8], packet[9]) = (64, isTcp ? (byte)6 : (byte)17);
            BinaryPrimitives.WriteUInt32BigEndian(packet[12..], 0xC6336401);
            BinaryPrimitives.WriteInt32BigEndian(packet[16..], 0x0A000000 | (flow & 0xFFFFFF));
        }

        var transport = packet[ip..];
        BinaryPrimitives.WriteUInt16BigEndian(transport, (ushort)(1024 + (flow % 50_000)));
        BinaryPrimitives.WriteUInt16BigEndian(transport[2..], 9);
        if (isTcp)
        {
            (transport[12], transport[13]) = (0x50, 0x10);
        }
        else
        {
            BinaryPrimitives.WriteUInt16BigEndian(transport[4..], 64);
        }

        return frame;
    }

    private static (long Sent, double Seconds) Send(string name, byte[] mac, double rate, double seconds, int flows)
    {
        using var socket = new SafeFileHandle(Open(FamilyPacket, TypeRaw, 0), ownsHandle: true);
        var one = 1;
        if (socket.IsInvalid || SetOption(socket, LevelPacket, OptionQueueBypass, &one, sizeof(int)) != 0)
        {
            throw new IOException($"packet socket: {Marshal.GetLastPInvokeErrorMessage()}");
        }

        var address = stackalloc byte[20];
        new Span<byte>(address, 20).Clear();
        *(ushort*)address = FamilyPacket;
        *(int*)(address + 4) = (int)InterfaceIndex(name);
        if (Bind(socket, address, 20) != 0)
        {
            throw new IOException($"{name}: {Marshal.GetLastPInvokeErrorMessage()}");
        }

        var count = Math.Max(flows, Batch);
        var pieces = (Piece*)NativeMemory.AllocZeroed((nuint)count, (nuint)sizeof(Piece));
        var messages = (Message*)NativeMemory.AllocZeroed((nuint)(count + Batch), (nuint)sizeof(Message));
        for (var i = 0; i < count + Batch; i++)
        {
            if (i < count)
            {
                var frame = Frame(i % flows, mac);
                var bytes = (byte*)NativeMemory.Alloc((nuint)frame.Length);
                frame.CopyTo(new Span<byte>(bytes, frame.Length));
                pieces[i] = new Piece { Base = bytes, Length = (nuint)frame.Length };
            }

            messages[i].Pieces = pieces + (i % count);
            messages[i].PieceCount = 1;
        }

        // Batches leave when they are due by the clock; what was late is caught up with.
        long sent = 0;
        var next = 0;
        var clock = Stopwatch.StartNew();
        while (clock.Elapsed.TotalSeconds < seconds)
        {
            if (sent > clock.Elapsed.TotalSeconds * rate)
            {
                // Not busily: the reader needs a processor too.
                Thread.Sleep(1);
                continue;
            }

            var done = SendMany(socket, messages + next, Batch, 0);
            if (done < 0)
            {
                throw new IOException($"sendmmsg: {Marshal.GetLastPInvokeErrorMessage()}");
            }

            sent += done;
            next = (next + done) % count;
        }

        return (sent, clock.Elapsed.TotalSeconds);
    }

    [LibraryImport("libc", EntryPoint = "socket", SetLastError = true)]
    private static partial int Open(int family, int type, int protocol);

    [LibraryImport("libc", EntryPoint = "setsockopt", SetLastError = true)]
    private static partial int SetOption(SafeFileHandle socket, int level, int option, void* value, uint length);

    [LibraryImport("libc", EntryPoint = "bind", SetLastError = true)]
    private static partial int Bind(SafeFileHandle socket, void* address, uint length);

    [LibraryImport("libc", EntryPoint = "sendmmsg", SetLastError = true)]
    private static partial int SendMany(SafeFileHandle socket, Message* messages, uint count, int flags);

    [LibraryImport("libc", EntryPoint = "if_nametoindex", StringMarshalling = StringMarshalling.Utf8)]
    private static partial uint InterfaceIndex(string name);

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Piece
    {
        public byte* Base;
        public nuint Length;
    }

    /// <summary>struct mmsghdr.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Message
    {
        public void* Name;
        public uint NameLength;
        public Piece* Pieces;
        public nuint PieceCount;
        public void* Control;
        public nuint ControlLength;
        public int Flags;
        public uint Sent;
    }
}
