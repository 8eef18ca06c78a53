using System.Runtime.InteropServices;

namespace MLNet.SDN.Aggregation.Memory;

/// <summary>The system calls that .NET has no word for. Numbers are those of Linux on x86-64 and arm64, which agree here.</summary>
internal static unsafe partial class Libc
{
    internal const int MessageNoSignal = 0x4000;
    internal const int MessageDontWait = 0x40;
    internal const int MessageWaitAll = 0x100;
    internal const int MessageCloseOnExec = 0x40000000;
    internal const int Interrupted = 4;

    private const uint MemfdCloseOnExec = 1;
    private const uint MemfdAllowSealing = 2;
    private const int AddSeals = 1033;
    private const int GetSeals = 1034;
    private const int SeekEnd = 2;

    /// <summary>F_SEAL_SEAL, F_SEAL_SHRINK and F_SEAL_GROW: nobody may cut the file under a mapping of it.</summary>
    internal const int AreaSeals = 0x1 | 0x2 | 0x4;

    [LibraryImport("libc", EntryPoint = "memfd_create", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int MemfdCreate(string name, uint flags);

    [LibraryImport("libc", EntryPoint = "ftruncate", SetLastError = true)]
    private static partial int Truncate(int fd, long length);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int Control(int fd, int command, int argument);

    [LibraryImport("libc", EntryPoint = "lseek", SetLastError = true)]
    private static partial long Seek(int fd, long offset, int whence);

    [LibraryImport("libc", EntryPoint = "dup", SetLastError = true)]
    internal static partial int Duplicate(int fd);

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int fd, long offset);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    private static partial int Unmap(nint address, nuint length);

    [LibraryImport("libc", EntryPoint = "getrlimit", SetLastError = true)]
    private static partial int GetLimit(int resource, ResourceLimit* limit);

    [LibraryImport("libc", EntryPoint = "close")]
    internal static partial int Close(int fd);

    [LibraryImport("libc", EntryPoint = "sendmsg", SetLastError = true)]
    internal static partial nint SendMessage(SafeHandle socket, MessageHeader* message, int flags);

    [LibraryImport("libc", EntryPoint = "recvmsg", SetLastError = true)]
    internal static partial nint ReceiveMessage(SafeHandle socket, MessageHeader* message, int flags);

    [LibraryImport("libc", EntryPoint = "recv", SetLastError = true)]
    internal static partial nint Receive(SafeHandle socket, void* buffer, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    private static partial int Poll(PollDescriptor* descriptors, nuint count, int milliseconds);

    /// <summary>Whether the other end of a Unix socket is closed, whatever it has sent is read or not (POLLHUP).</summary>
    internal static bool HasHungUp(SafeHandle socket)
    {
        const short HangUp = 0x10;
        var held = false;
        try
        {
            socket.DangerousAddRef(ref held);
            var descriptor = new PollDescriptor { Descriptor = (int)socket.DangerousGetHandle() };
            return Poll(&descriptor, 1, 0) > 0 && (descriptor.Returned & HangUp) != 0;
        }
        catch (ObjectDisposedException)
        {
            return true;
        }
        finally
        {
            if (held)
            {
                socket.DangerousRelease();
            }
        }
    }

    /// <summary>Most file descriptors of this process now; others may change it while it runs.</summary>
    internal static long DescriptorLimit()
    {
        const int OpenFiles = 7;
        ResourceLimit limit;
        return GetLimit(OpenFiles, &limit) == 0 && limit.Current <= long.MaxValue ? (long)limit.Current : long.MaxValue;
    }

    /// <summary>Makes an anonymous file of the given size, sealed against shrinking, growing and further sealing.</summary>
    /// <exception cref="IOException">The kernel refuses it.</exception>
    internal static int CreateSealedMemory(string name, long bytes)
    {
        var fd = MemfdCreate(name, MemfdCloseOnExec | MemfdAllowSealing);
        if (fd < 0)
        {
            throw new IOException($"memfd_create failed with errno {Marshal.GetLastPInvokeError()}.");
        }

        if (Truncate(fd, bytes) < 0 || Control(fd, AddSeals, AreaSeals) < 0)
        {
            var errno = Marshal.GetLastPInvokeError();
            _ = Close(fd);
            throw new IOException($"A shared area of {bytes} bytes was refused with errno {errno}.");
        }

        return fd;
    }

    /// <summary>Whether a descriptor from somebody else is an anonymous file of the given size with exactly our seals: nobody can cut it under a mapping, nor keep us from writing.</summary>
    internal static bool IsSealedMemory(int fd, long bytes) => Control(fd, GetSeals, 0) == AreaSeals && Seek(fd, 0, SeekEnd) == bytes;

    /// <summary>Maps a whole file, shared, for reading and writing.</summary>
    internal static byte* MapShared(int fd, long bytes) => MapOrThrow((nuint)bytes, 0x01, fd);

    /// <summary>Maps zeroed private memory that goes back to the kernel when it is unmapped.</summary>
    internal static byte* MapAnonymous(long bytes) => MapOrThrow((nuint)bytes, 0x02 | 0x20, -1);

    internal static void Unmap(byte* address, long bytes) => _ = Unmap((nint)address, (nuint)bytes);

    private static byte* MapOrThrow(nuint bytes, int flags, int fd)
    {
        const int ReadWrite = 0x1 | 0x2;
        var address = Map(0, bytes, ReadWrite, flags, fd, 0);
        return address != -1
            ? (byte*)address
            : throw new IOException($"Mapping {bytes} bytes failed with errno {Marshal.GetLastPInvokeError()}.");
    }
}

/// <summary>struct pollfd.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PollDescriptor
{
    public int Descriptor;
    public short Events;
    public short Returned;
}

/// <summary>struct rlimit.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ResourceLimit
{
    public ulong Current;
    public ulong Maximum;
}

/// <summary>struct iovec.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct IoVector
{
    public void* Base;
    public nuint Length;
}

/// <summary>struct msghdr of 64-bit Linux.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct MessageHeader
{
    public void* Name;
    public uint NameLength;
    public IoVector* Vectors;
    public nuint VectorCount;
    public void* Control;
    public nuint ControlLength;
    public int Flags;
}
