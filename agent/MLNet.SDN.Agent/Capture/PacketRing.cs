using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Microsoft.Win32.SafeHandles;

namespace MLNet.SDN.Agent.Capture;

/// <summary>Frames of a live interface, both ways, through a ring shared with the kernel (TPACKET_V3). Needs CAP_NET_RAW.</summary>
/// <remarks>
/// Documentation/networking/packet_mmap.rst of the kernel. Frames that this host sends are seen after marking and after the queues, as they leave.
/// Each frame brings the size of the segments that the kernel merged into it (PACKET_VNET_HDR), so that packets are counted, not guessed.
/// </remarks>
internal sealed unsafe class PacketRing : IFrameSource
{
    // Ethernet with two tags (22), IPv6 (40), some extension headers, and the 14 bytes of TCP up to its flags.
    private const int SnapLength = 160;
    private const int BlockBytes = 64 << 10;

    // A block is handed over when it is full or this old: what is reported each second is then at most 50 ms stale.
    private const int RetireMilliseconds = 50;

    private const int BlockStatus = 8;
    private const int BlockPackets = 12;
    private const int BlockFirst = 16;
    private const uint StatusTimedOut = 1 << 5;

    private const int HousekeepingMilliseconds = 250;
    private const int MostPauseMilliseconds = 8;

    private const int FrameNext = 0;
    private const int FrameSeconds = 4;
    private const int FrameNanoseconds = 8;
    private const int FrameSnapped = 12;
    private const int FrameLength = 16;
    private const int FrameMac = 24;
    private const int FrameNetwork = 26;
    private const int FrameHardwareType = 48 + 8;
    private const int FramePacketType = 48 + 10;
    private const int VirtioHeaderBytes = 10;
    private const int VirtioSegmentSize = 4;
    private const ushort HardwareEthernet = 1;
    private const ushort HardwareLoopback = 772;
    private const byte PacketOtherHost = 3;
    private const byte PacketOutgoing = 4;

    private readonly string interfaceName;
    private readonly uint interfaceIndex;
    private readonly SafeFileHandle socket;
    private readonly bool hasSegmentSize;
    private readonly int blockCount;
    private byte* ring;
    private int block;
    private long checkedAt;
    private long pacedAt = Stopwatch.GetTimestamp();
    private int pauseMilliseconds;

    private PacketRing(string interfaceName, uint interfaceIndex, SafeFileHandle socket, bool hasSegmentSize, int blockCount, byte* ring)
    {
        this.interfaceName = interfaceName;
        this.interfaceIndex = interfaceIndex;
        this.socket = socket;
        this.hasSegmentSize = hasSegmentSize;
        this.blockCount = blockCount;
        this.ring = ring;
        checkedAt = Environment.TickCount64;
        Mtu = PacketSocket.InterfaceMtu(socket, interfaceName) ?? 1500;
    }

    /// <inheritdoc />
    public int Mtu { get; private set; }

    /// <inheritdoc />
    public long Drops { get; private set; }

    /// <summary>Begins to capture.</summary>
    /// <param name="interfaceName">Kernel name of the interface.</param>
    /// <param name="ringBytes">Size of the ring; rounded down to whole blocks of 64 KiB, at least two.</param>
    /// <exception cref="IOException">It is not possible; the message says why and what to do.</exception>
    public static PacketRing Open(string interfaceName, int ringBytes)
    {
        // Protocol 0 first: nothing of other interfaces gets in before the socket is bound.
        var socket = new SafeFileHandle(PacketSocket.Open(PacketSocket.AddressFamily, PacketSocket.RawCloseOnExec, 0), ownsHandle: true);
        try
        {
            if (socket.IsInvalid)
            {
                throw Failure(Marshal.GetLastPInvokeError() == 1
                    ? "this process may not capture: give it CAP_NET_RAW"
                    : $"packet socket: {LastError()}");
            }

            var index = PacketSocket.InterfaceIndex(interfaceName);
            if (index == 0)
            {
                throw Failure($"there is no interface {interfaceName}");
            }

            SetOption(socket, PacketSocket.LevelPacket, PacketSocket.OptionVersion, PacketSocket.Version3, "TPACKET_V3");

            // Kernels before 6.2 cannot describe merged UDP segments this way and would drop them from the ring.
            var hasSegmentSize = Environment.OSVersion.Version >= new Version(6, 2);
            if (hasSegmentSize)
            {
                SetOption(socket, PacketSocket.LevelPacket, PacketSocket.OptionVirtioHeader, 1, "PACKET_VNET_HDR");
            }

            Truncate(socket);
            var blocks = Math.Max(2, ringBytes / BlockBytes);
            var ring = MapRing(socket, blocks);
            try
            {
                var address = new PacketSocket.LinkLayerAddress
                {
                    Family = PacketSocket.AddressFamily,
                    ProtocolBigEndian = PacketSocket.AllProtocolsBigEndian,
                    InterfaceIndex = (int)index,
                };
                if (PacketSocket.Bind(socket, &address, (uint)sizeof(PacketSocket.LinkLayerAddress)) != 0)
                {
                    throw Failure($"cannot bind to {interfaceName}: {LastError()}");
                }
            }
            catch
            {
                _ = PacketSocket.Unmap((nint)ring, (nuint)blocks * BlockBytes);
                throw;
            }

            return new PacketRing(interfaceName, index, socket, hasSegmentSize, blocks, ring);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <inheritdoc />
    public bool Read(FlowMeter meter, TimeSpan wait)
    {
        ObjectDisposedException.ThrowIf(ring == null, this);
        var now = Environment.TickCount64;
        if (now - checkedAt >= HousekeepingMilliseconds)
        {
            CheckInterface(now);
        }

        if (!IsReady(block))
        {
            Wait(wait);
        }

        var full = 0;
        while (IsReady(block) && full < blockCount)
        {
            var start = ring + ((nint)block * BlockBytes);
            using (meter.Batch())
            {
                ReadBlock(start, meter);
            }

            full += (Volatile.Read(ref *(uint*)(start + BlockStatus)) & StatusTimedOut) == 0 ? 1 : 0;
            Volatile.Write(ref *(uint*)(start + BlockStatus), 0);
            block = (block + 1) % blockCount;
        }

        Pace(full);
        return true;
    }

    /// <inheritdoc />
    public void Finish(FlowMeter meter)
    {
        // Frames wait in a block until it is full or retired.
        Thread.Sleep(RetireMilliseconds + 10);
        for (var i = 0; i < blockCount && IsReady(block); i++)
        {
            pauseMilliseconds = 0;
            Read(meter, TimeSpan.Zero);
        }

        ReadStatistics();
    }

    /// <inheritdoc />
    public void Dispose()
    {
        if (ring != null)
        {
            _ = PacketSocket.Unmap((nint)ring, (nuint)blockCount * BlockBytes);
            ring = null;
        }

        socket.Dispose();
    }

    private static void SetOption(SafeFileHandle socket, int level, int option, int value, string what)
    {
        if (PacketSocket.SetOption(socket, level, option, &value, sizeof(int)) != 0)
        {
            throw Failure($"{what}: {LastError()}");
        }
    }

    private static void Truncate(SafeFileHandle socket)
    {
        // One instruction, "ret #SnapLength": take every frame, copy only its head into the ring.
        var instruction = new PacketSocket.FilterInstruction { Code = 0x06, Operand = SnapLength };
        var program = new PacketSocket.FilterProgram { Length = 1, Instructions = &instruction };
        if (PacketSocket.SetOption(socket, PacketSocket.LevelSocket, PacketSocket.OptionAttachFilter, &program, (uint)sizeof(PacketSocket.FilterProgram)) != 0)
        {
            throw Failure($"SO_ATTACH_FILTER: {LastError()}");
        }
    }

    private static byte* MapRing(SafeFileHandle socket, int blocks)
    {
        const int FrameBytes = 2048;
        var request = new PacketSocket.RingRequest
        {
            BlockSize = BlockBytes,
            BlockCount = (uint)blocks,
            FrameSize = FrameBytes,
            FrameCount = (uint)(BlockBytes / FrameBytes * blocks),
            RetireMilliseconds = RetireMilliseconds,
        };
        if (PacketSocket.SetOption(socket, PacketSocket.LevelPacket, PacketSocket.OptionReceiveRing, &request, (uint)sizeof(PacketSocket.RingRequest)) != 0)
        {
            throw Failure($"a capture ring of {blocks * BlockBytes} bytes: {LastError()}");
        }

        var address = PacketSocket.Map(0, (nuint)blocks * BlockBytes, PacketSocket.ProtectReadWrite, PacketSocket.MapShared, socket, 0);
        return address != -1 ? (byte*)address : throw Failure($"mapping the capture ring: {LastError()}");
    }

    private static string LastError() => new Win32Exception(Marshal.GetLastPInvokeError()).Message;

    private static IOException Failure(string message) => new(message);

    private bool IsReady(int index) => (Volatile.Read(ref *(uint*)(ring + ((nint)index * BlockBytes) + BlockStatus)) & 1) != 0;

    private void Wait(TimeSpan wait)
    {
        if (pauseMilliseconds > 0 && wait > TimeSpan.Zero)
        {
            Thread.Sleep(pauseMilliseconds);
            return;
        }

        var entry = new PacketSocket.PollEntry
        {
            Descriptor = (int)socket.DangerousGetHandle(),
            Events = PacketSocket.PollIn | PacketSocket.PollError,
        };
        if (PacketSocket.Poll(&entry, 1, (int)wait.TotalMilliseconds) > 0 && (entry.Results & PacketSocket.PollError) != 0)
        {
            // Reading the error clears it. An interface that went down reports it once and carries on when it is up again.
            int error;
            var length = (uint)sizeof(int);
            _ = PacketSocket.GetOption(socket, PacketSocket.LevelSocket, PacketSocket.OptionError, &error, &length);
            CheckInterface(Environment.TickCount64);
        }
    }

    // Being woken costs as much as reading a hundred frames. When blocks fill faster than one a millisecond, sleep until about a quarter of the ring is
    // full instead: traffic may then grow fourfold within a moment before anything is lost.
    private void Pace(int fullBlocks)
    {
        var now = Stopwatch.GetTimestamp();
        var elapsed = Stopwatch.GetElapsedTime(pacedAt, now).TotalMilliseconds;
        pacedAt = now;
        var quarter = fullBlocks > 0 ? blockCount / 4.0 * elapsed / fullBlocks : double.PositiveInfinity;
        pauseMilliseconds = fullBlocks > 0 && quarter < MostPauseMilliseconds * 2 ? (int)Math.Min(quarter, MostPauseMilliseconds) : 0;
    }

    private void CheckInterface(long now)
    {
        checkedAt = now;
        ReadStatistics();
        if (PacketSocket.InterfaceIndex(interfaceName) != interfaceIndex)
        {
            throw Failure($"interface {interfaceName} is gone or was made anew");
        }

        Mtu = PacketSocket.InterfaceMtu(socket, interfaceName) ?? Mtu;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ReadBlock(byte* start, FlowMeter meter)
    {
        var count = *(uint*)(start + BlockPackets);
        var frame = start + *(uint*)(start + BlockFirst);
        for (var i = 0u; i < count; i++)
        {
            // The kernel wrote them on another processor: the lines of the frame after the next come while this one is counted.
            var ahead = frame + (2 * *(uint*)(frame + FrameNext));
            if (Sse.IsSupported)
            {
                Sse.Prefetch0(ahead);
                Sse.Prefetch0(ahead + 64);
                Sse.Prefetch0(ahead + 128);
            }

            var mac = frame + *(ushort*)(frame + FrameMac);
            var isEthernet = *(ushort*)(frame + FrameHardwareType) is HardwareEthernet or HardwareLoopback;
            var origin = frame[FramePacketType] switch
            {
                PacketOutgoing => FrameOrigin.Sent,
                PacketOtherHost => FrameOrigin.Foreign,
                _ => FrameOrigin.Received,
            };
            var ticks = DateTime.UnixEpoch.Ticks + (*(uint*)(frame + FrameSeconds) * TimeSpan.TicksPerSecond)
                + (*(uint*)(frame + FrameNanoseconds) / TimeSpan.NanosecondsPerTick);
            var segment = hasSegmentSize ? *(ushort*)(mac - VirtioHeaderBytes + VirtioSegmentSize) : 0;

            // Other links (tunnels, IP over InfiniBand) have headers of their own, or none: the kernel tells where the packet begins.
            var skip = isEthernet ? 0 : Math.Min(*(ushort*)(frame + FrameNetwork) - *(ushort*)(frame + FrameMac), *(int*)(frame + FrameSnapped));
            meter.Add(
                new FrameInfo(ticks, *(int*)(frame + FrameLength) - skip, origin, segment),
                new ReadOnlySpan<byte>(mac + skip, *(int*)(frame + FrameSnapped) - skip), isEthernet ? LinkLayer.Ethernet : LinkLayer.RawIP, Mtu);
            frame += *(uint*)(frame + FrameNext);
        }
    }

    private void ReadStatistics()
    {
        PacketSocket.Statistics statistics;
        var length = (uint)sizeof(PacketSocket.Statistics);
        if (PacketSocket.GetOption(socket, PacketSocket.LevelPacket, PacketSocket.OptionStatistics, &statistics, &length) == 0)
        {
            Drops += statistics.Drops;
        }
    }
}
