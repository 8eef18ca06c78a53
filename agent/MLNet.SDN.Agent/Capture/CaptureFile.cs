using System.Buffers.Binary;

namespace MLNet.SDN.Agent.Capture;

/// <summary>Frames of a capture file: classic pcap (micro- or nanoseconds, either byte order) or pcapng; links Ethernet, raw IP and Linux "cooked".</summary>
/// <remarks>
/// Formats: draft-ietf-opsawg-pcap (classic), draft-ietf-opsawg-pcapng (sections, interfaces, enhanced and simple packet blocks; others are skipped),
/// https://www.tcpdump.org/linktypes.html. Files are untrusted: whatever does not fit is an <see cref="IOException"/> that tells the byte.
/// </remarks>
internal sealed class CaptureFile : IFrameSource
{
    // Frames are at most 256 KiB in any capture program (MAXIMUM_SNAPLEN of libpcap); blocks hold one frame and a few options.
    private const int MaxFrameBytes = 256 << 10;
    private const int MaxBlockBytes = MaxFrameBytes + (64 << 10);
    private const int FramesPerRead = 1024;

    private const uint PcapMicroseconds = 0xA1B2C3D4;
    private const uint PcapNanoseconds = 0xA1B23C4D;
    private const uint SectionHeader = 0x0A0D0D0A;
    private const uint ByteOrderMagic = 0x1A2B3C4D;
    private const uint InterfaceDescription = 1;
    private const uint SimplePacket = 3;
    private const uint EnhancedPacket = 6;
    private const ushort EndOfOptions = 0;
    private const ushort OptionPacketFlags = 2;
    private const ushort OptionTimestampResolution = 9;

    private readonly Stream stream;
    private readonly byte[] buffer = new byte[MaxBlockBytes];
    private readonly List<Interface> interfaces = [];
    private readonly bool isPcapng;
    private readonly bool nanoseconds;
    private bool bigEndian;
    private long position;

    private CaptureFile(Stream stream, int mtu)
    {
        this.stream = stream;
        Mtu = mtu;
        if (!Fill(24, 0, isOptional: true))
        {
            throw Broken("This is no capture file: it is empty.");
        }

        var magic = BinaryPrimitives.ReadUInt32LittleEndian(buffer);
        if (magic == SectionHeader)
        {
            // The first section's header is read again as a block.
            isPcapng = true;
            stream.Position = position = 0;
            return;
        }

        bigEndian = BinaryPrimitives.ReverseEndianness(magic) is PcapMicroseconds or PcapNanoseconds;
        nanoseconds = Read32(0) == PcapNanoseconds;
        if (Read32(0) is not (PcapMicroseconds or PcapNanoseconds))
        {
            throw Broken("This is no capture file: it begins like neither pcap nor pcapng.");
        }

        interfaces.Add(new Interface((int)(Read32(20) & 0xFFFF), nanoseconds ? 1_000_000_000UL : 1_000_000UL));
    }

    /// <inheritdoc />
    public int Mtu { get; }

    /// <inheritdoc />
    public long Drops => 0;

    /// <summary>When the last frame read was seen, UTC ticks; 0 before the first.</summary>
    public long LastTicks { get; private set; }

    /// <summary>Opens a file.</summary>
    /// <param name="path">Its path; it must be seekable.</param>
    /// <param name="mtu">Longest IP packet on the interface, bytes: longer ones are taken for merged segments.</param>
    /// <exception cref="IOException">It cannot be read, or is no capture file.</exception>
    public static CaptureFile Open(string path, int mtu)
    {
        Stream? stream = null;
        try
        {
            stream = new BufferedStream(File.OpenRead(path), 1 << 16);
            return new CaptureFile(stream, mtu);
        }
        catch (Exception exception)
        {
            stream?.Dispose();
            if (exception is UnauthorizedAccessException)
            {
                throw new IOException(exception.Message, exception);
            }

            throw;
        }
    }

    /// <inheritdoc />
    public bool Read(FlowMeter meter, TimeSpan wait)
    {
        using (meter.Batch())
        {
            for (var i = 0; i < FramesPerRead; i++)
            {
                if (!(isPcapng ? ReadBlock(meter) : ReadRecord(meter)))
                {
                    return false;
                }
            }
        }

        return true;
    }

    /// <inheritdoc />
    public void Finish(FlowMeter meter)
    {
        // A file keeps nothing back.
    }

    /// <inheritdoc />
    public void Dispose() => stream.Dispose();

    private static IOException Broken(string message) => new(message);

    private static int Padded(int length) => (length + 3) & ~3;

    private bool ReadRecord(FlowMeter meter)
    {
        if (!Fill(16, 0, isOptional: true))
        {
            return false;
        }

        var units = (Read32(0) * interfaces[0].UnitsPerSecond) + Read32(4);
        var captured = Read32(8);
        var wire = Read32(12);
        if (captured > MaxFrameBytes)
        {
            throw Broken($"The record before byte {position} claims {captured} bytes; no frame is longer than {MaxFrameBytes}.");
        }

        Fill((int)captured, 0, isOptional: false);
        Deliver(meter, interfaces[0], units, buffer.AsSpan(0, (int)captured), wire, FrameOrigin.Unknown);
        return true;
    }

    private bool ReadBlock(FlowMeter meter)
    {
        var start = position;
        if (!Fill(12, 0, isOptional: true))
        {
            return false;
        }

        if (Read32(0) == SectionHeader)
        {
            // Byte order may change with each section, and interfaces are counted anew.
            bigEndian = BinaryPrimitives.ReadUInt32BigEndian(buffer.AsSpan(8)) == ByteOrderMagic;
            interfaces.Clear();
            if (Read32(8) != ByteOrderMagic)
            {
                throw Broken($"The section at byte {start} has no byte-order magic.");
            }
        }

        var type = Read32(0);
        var length = Read32(4);
        if (length < 12 || length % 4 != 0 || length > MaxBlockBytes)
        {
            throw Broken($"The block at byte {start} has length {length}; a multiple of 4 from 12 to {MaxBlockBytes} is needed.");
        }

        Fill((int)length - 12, 12, isOptional: false);
        var body = buffer.AsSpan(8, (int)length - 12);
        switch (type)
        {
            case InterfaceDescription when body.Length >= 8:
                interfaces.Add(new Interface(Read16(body, 0), UnitsPerSecond(body[8..])));
                break;
            case EnhancedPacket when body.Length >= 20:
                ReadEnhancedPacket(meter, body, start);
                break;
            case SimplePacket when body.Length >= 4 && interfaces.Count > 0:
                var wire = Read32(body, 0);
                Deliver(meter, interfaces[0], 0, body[4..][..(int)Math.Min(wire, (uint)body.Length - 4)], wire, FrameOrigin.Unknown);
                break;
            case InterfaceDescription or EnhancedPacket or SimplePacket:
                throw Broken($"The block at byte {start} is too short or has no interface.");
        }

        return true;
    }

    private void ReadEnhancedPacket(FlowMeter meter, ReadOnlySpan<byte> body, long start)
    {
        var number = Read32(body, 0);
        var units = ((ulong)Read32(body, 4) << 32) | Read32(body, 8);
        var captured = Read32(body, 12);
        if (number >= interfaces.Count || captured > body.Length - 20)
        {
            throw Broken($"The packet at byte {start} names interface {number} and {captured} bytes, but there are {interfaces.Count} and {body.Length - 20}.");
        }

        var options = body[Math.Min(body.Length, 20 + Padded((int)captured))..];
        var flags = FindOption(options, OptionPacketFlags, out var value) && value.Length >= 4 ? Read32(value, 0) & 3 : 0;
        var origin = flags switch { 1 => FrameOrigin.Received, 2 => FrameOrigin.Sent, _ => FrameOrigin.Unknown };
        Deliver(meter, interfaces[(int)number], units, body.Slice(20, (int)captured), Read32(body, 16), origin);
    }

    private void Deliver(FlowMeter meter, Interface from, ulong units, ReadOnlySpan<byte> frame, uint wire, FrameOrigin origin)
    {
        var seconds = units / from.UnitsPerSecond;
        var fraction = (double)(units % from.UnitsPerSecond) / from.UnitsPerSecond;
        var sinceEpoch = (long)Math.Min(seconds, (ulong)uint.MaxValue) * TimeSpan.TicksPerSecond;
        LastTicks = Math.Max(LastTicks, DateTime.UnixEpoch.Ticks + sinceEpoch + (long)(fraction * TimeSpan.TicksPerSecond));

        // Cooked links put a header of their own before IP, which also tells the direction.
        var (skip, packetType) = (from.LinkType, frame.Length) switch
        {
            (113, >= 16) => (16, frame[1]),
            (276, >= 20) => (20, frame[10]),
            _ => (0, byte.MaxValue),
        };
        if (skip > 0)
        {
            origin = packetType switch { 4 => FrameOrigin.Sent, 3 => FrameOrigin.Foreign, _ => FrameOrigin.Received };
        }

        var link = from.LinkType == 1 ? LinkLayer.Ethernet : LinkLayer.RawIP;
        var wireBytes = (int)Math.Min(Math.Max(wire, (uint)frame.Length), int.MaxValue) - skip;
        meter.Add(new FrameInfo(LastTicks, wireBytes, origin, 0), frame[skip..], link, Mtu);
    }

    private ulong UnitsPerSecond(ReadOnlySpan<byte> options)
    {
        if (!FindOption(options, OptionTimestampResolution, out var value) || value.Length < 1)
        {
            return 1_000_000;
        }

        // The high bit chooses between negative powers of 2 and of 10; more than 10^-18 or 2^-60 s is beyond any clock.
        var exponent = value[0] & 0x7F;
        return (value[0] & 0x80) != 0 ? 1UL << Math.Min(exponent, 60) : (ulong)Math.Pow(10, Math.Min(exponent, 18));
    }

    private bool FindOption(ReadOnlySpan<byte> options, ushort wanted, out ReadOnlySpan<byte> value)
    {
        while (options.Length >= 4)
        {
            var code = Read16(options, 0);
            var length = Read16(options, 2);
            if (code == EndOfOptions || options.Length < 4 + length)
            {
                break;
            }

            if (code == wanted)
            {
                value = options.Slice(4, length);
                return true;
            }

            options = options[Math.Min(options.Length, 4 + Padded(length))..];
        }

        value = default;
        return false;
    }

    private bool Fill(int count, int offset, bool isOptional)
    {
        var read = stream.ReadAtLeast(buffer.AsSpan(offset, count), count, throwOnEndOfStream: false);
        position += read;
        if (read == count)
        {
            return true;
        }

        return isOptional && read == 0 ? false : throw Broken($"The file ends within a record, at byte {position}.");
    }

    private uint Read32(int offset) => Read32(buffer, offset);

    private uint Read32(ReadOnlySpan<byte> from, int offset) =>
        bigEndian ? BinaryPrimitives.ReadUInt32BigEndian(from[offset..]) : BinaryPrimitives.ReadUInt32LittleEndian(from[offset..]);

    private ushort Read16(ReadOnlySpan<byte> from, int offset) =>
        bigEndian ? BinaryPrimitives.ReadUInt16BigEndian(from[offset..]) : BinaryPrimitives.ReadUInt16LittleEndian(from[offset..]);

    private readonly record struct Interface(int LinkType, ulong UnitsPerSecond);
}
