using System.Buffers.Binary;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Flows;

/// <summary>Writes IPFIX messages (RFC 7011 §3): templates 256 (IPv4) and 257 (IPv6), and their records. Pure; the caller owns the buffer.</summary>
/// <remarks>
/// Code points go as <c>ipDiffServCodePoint</c> and <c>postIpDiffServCodePoint</c>; <c>ipClassOfService</c>, which collectors show as "ToS", holds the
/// whole byte, so there the code point stands in the upper six bits. The templates are constant; a collector may have them from an earlier start.
/// </remarks>
internal ref struct IpfixMessage
{
    /// <summary>Longest message: a UDP packet of 1,400 bytes passes every path without fragments.</summary>
    public const int MaxBytes = 1372;

    private const int HeaderBytes = 16;
    private const int SetHeaderBytes = 4;
    private const ushort Version = 10;
    private const ushort TemplateSet = 2;
    private const ushort FirstTemplate = 256;

    // Information elements of RFC 7012's registry and their lengths, in the order in which records hold them.
    private static readonly (ushort Element, ushort Length)[] Common =
        [(152, 8), (153, 8), (7, 2), (11, 2), (4, 1), (5, 1), (195, 1), (98, 1), (61, 1), (136, 1), (1, 8), (2, 8)];

    private static readonly (ushort Element, ushort Length)[][] Addresses = [[(8, 4), (12, 4)], [(27, 16), (28, 16)]];

    private readonly Span<byte> buffer;
    private int length = HeaderBytes;
    private int openSet;
    private int setStart;

    /// <summary>Begins a message.</summary>
    /// <param name="buffer">At least <see cref="MaxBytes"/>.</param>
    public IpfixMessage(Span<byte> buffer) => this.buffer = buffer[..MaxBytes];

    /// <summary>Data records in the message.</summary>
    public int Records { get; private set; }

    /// <summary>Adds both templates; first of a message.</summary>
    public void AddTemplates()
    {
        var start = length;
        length += SetHeaderBytes;
        for (var family = 0; family < Addresses.Length; family++)
        {
            (ushort Element, ushort Length)[] fields = [.. Addresses[family], .. Common];
            Put16((ushort)(FirstTemplate + family));
            Put16((ushort)fields.Length);
            foreach (var (element, bytes) in fields)
            {
                Put16(element);
                Put16(bytes);
            }
        }

        BinaryPrimitives.WriteUInt16BigEndian(buffer[start..], TemplateSet);
        BinaryPrimitives.WriteUInt16BigEndian(buffer[(start + 2)..], (ushort)(length - start));
    }

    /// <summary>Adds a record.</summary>
    /// <param name="delta">The flow.</param>
    /// <param name="expected">What the policy says it should carry.</param>
    /// <returns>False when the message is full: finish it, and begin another.</returns>
    public bool TryAdd(in FlowDelta delta, Dscp expected)
    {
        var key = delta.Key;
        var template = FirstTemplate + (key.IsIPv6 ? 1 : 0);
        var bytes = 42 + (key.IsIPv6 ? 32 : 8);
        if (length + bytes + (openSet == template ? 0 : SetHeaderBytes) > MaxBytes)
        {
            return false;
        }

        if (openSet != template)
        {
            CloseSet();
            (openSet, setStart) = (template, length);
            length += SetHeaderBytes;
        }

        PutAddress(key.Source, key.IsIPv6);
        PutAddress(key.Destination, key.IsIPv6);
        Put64(Milliseconds(delta.FirstTicks));
        Put64(Milliseconds(delta.LastTicks));
        Put16(key.SourcePort);
        Put16(key.DestinationPort);
        ReadOnlySpan<byte> small = [key.Protocol, (byte)(key.Dscp << 2), key.Dscp, expected.Value, (byte)key.Direction, (byte)delta.Reason];
        small.CopyTo(buffer[length..]);
        length += small.Length;
        Put64((ulong)delta.Octets);
        Put64((ulong)delta.Packets);
        Records++;
        return true;
    }

    /// <summary>Writes the header and gives the whole message.</summary>
    /// <param name="now">Export time.</param>
    /// <param name="sequence">Data records sent before this message, modulo 2^32.</param>
    /// <param name="domain">Observation domain.</param>
    public ReadOnlySpan<byte> Finish(DateTimeOffset now, uint sequence, uint domain)
    {
        CloseSet();
        BinaryPrimitives.WriteUInt16BigEndian(buffer, Version);
        BinaryPrimitives.WriteUInt16BigEndian(buffer[2..], (ushort)length);
        BinaryPrimitives.WriteUInt32BigEndian(buffer[4..], (uint)now.ToUnixTimeSeconds());
        BinaryPrimitives.WriteUInt32BigEndian(buffer[8..], sequence);
        BinaryPrimitives.WriteUInt32BigEndian(buffer[12..], domain);
        return buffer[..length];
    }

    private static ulong Milliseconds(long ticks) => (ulong)Math.Max(0, (ticks - DateTime.UnixEpoch.Ticks) / TimeSpan.TicksPerMillisecond);

    private void CloseSet()
    {
        if (openSet != 0)
        {
            BinaryPrimitives.WriteUInt16BigEndian(buffer[setStart..], (ushort)openSet);
            BinaryPrimitives.WriteUInt16BigEndian(buffer[(setStart + 2)..], (ushort)(length - setStart));
            openSet = 0;
        }
    }

    private void PutAddress(UInt128 address, bool isIPv6)
    {
        if (isIPv6)
        {
            BinaryPrimitives.WriteUInt128BigEndian(buffer[length..], address);
        }
        else
        {
            BinaryPrimitives.WriteUInt32BigEndian(buffer[length..], (uint)address);
        }

        length += isIPv6 ? 16 : 4;
    }

    private void Put16(ushort value)
    {
        BinaryPrimitives.WriteUInt16BigEndian(buffer[length..], value);
        length += 2;
    }

    private void Put64(ulong value)
    {
        BinaryPrimitives.WriteUInt64BigEndian(buffer[length..], value);
        length += 8;
    }
}
