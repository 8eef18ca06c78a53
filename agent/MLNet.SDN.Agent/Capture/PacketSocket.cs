using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace MLNet.SDN.Agent.Capture;

/// <summary>System calls and constants of packet(7), netdevice(7) and poll(2), as Linux x86-64 and arm64 have them.</summary>
internal static unsafe partial class PacketSocket
{
    public const int AddressFamily = 17;
    public const int RawCloseOnExec = 3 | 0x80000;
    public const int AllProtocolsBigEndian = 0x0300;
    public const int LevelPacket = 263;
    public const int LevelSocket = 1;
    public const int OptionError = 4;
    public const int OptionAttachFilter = 26;
    public const int OptionReceiveRing = 5;
    public const int OptionStatistics = 6;
    public const int OptionVersion = 10;
    public const int OptionVirtioHeader = 15;
    public const int Version3 = 2;
    public const short PollIn = 1;
    public const short PollError = 8;
    public const int ProtectReadWrite = 3;
    public const int MapShared = 1;
    private const nuint GetMtu = 0x8921;

    [LibraryImport("libc", EntryPoint = "socket", SetLastError = true)]
    public static partial int Open(int family, int type, int protocol);

    [LibraryImport("libc", EntryPoint = "setsockopt", SetLastError = true)]
    public static partial int SetOption(SafeFileHandle socket, int level, int option, void* value, uint length);

    [LibraryImport("libc", EntryPoint = "getsockopt", SetLastError = true)]
    public static partial int GetOption(SafeFileHandle socket, int level, int option, void* value, uint* length);

    [LibraryImport("libc", EntryPoint = "bind", SetLastError = true)]
    public static partial int Bind(SafeFileHandle socket, LinkLayerAddress* address, uint length);

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    public static partial nint Map(nint address, nuint length, int protection, int flags, SafeFileHandle file, nint offset);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    public static partial int Unmap(nint address, nuint length);

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    public static partial int Poll(PollEntry* entries, nuint count, int milliseconds);

    [LibraryImport("libc", EntryPoint = "if_nametoindex", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial uint InterfaceIndex(string name);

    /// <summary>MTU of an interface, or null when it cannot be asked. /sys is no help: it shows the interfaces of the namespace in which it was mounted.</summary>
    public static int? InterfaceMtu(SafeFileHandle socket, string name)
    {
        // struct ifreq: 16 bytes of name, then a union that begins with the number asked for.
        Span<byte> request = stackalloc byte[40];
        request.Clear();
        System.Text.Encoding.ASCII.GetBytes(name, request[..15]);
        fixed (byte* pointer = request)
        {
            return Control(socket, GetMtu, pointer) == 0 ? *(int*)(pointer + 16) : null;
        }
    }

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static partial int Control(SafeFileHandle socket, nuint request, void* argument);

    /// <summary>struct sockaddr_ll.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct LinkLayerAddress
    {
        public ushort Family;
        public ushort ProtocolBigEndian;
        public int InterfaceIndex;
        public ushort HardwareType;
        public byte PacketType;
        public byte AddressLength;
        public ulong Address;
    }

    /// <summary>struct pollfd.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct PollEntry
    {
        public int Descriptor;
        public short Events;
        public short Results;
    }

    /// <summary>struct tpacket_req3.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct RingRequest
    {
        public uint BlockSize;
        public uint BlockCount;
        public uint FrameSize;
        public uint FrameCount;
        public uint RetireMilliseconds;
        public uint PrivateSize;
        public uint Features;
    }

    /// <summary>struct tpacket_stats_v3; the kernel sets it to zero when it is read.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Statistics
    {
        public uint Packets;
        public uint Drops;
        public uint Freezes;
    }

    /// <summary>struct sock_filter.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct FilterInstruction
    {
        public ushort Code;
        public byte IfTrue;
        public byte IfFalse;
        public uint Operand;
    }

    /// <summary>struct sock_fprog.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct FilterProgram
    {
        public ushort Length;
        public FilterInstruction* Instructions;
    }
}
