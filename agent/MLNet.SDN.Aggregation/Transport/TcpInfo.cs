using System.Buffers.Binary;
using System.Net.Sockets;

namespace MLNet.SDN.Aggregation.Transport;

/// <summary>What the kernel counted for a TCP socket (struct tcp_info of linux/tcp.h).</summary>
internal readonly record struct TcpInfo(long BytesSent, long BytesRetransmitted, long SegmentsSent)
{
    private const int Tcp = 6;
    private const int InfoOption = 11;
    private const int SegmentsSentOffset = 136;
    private const int BytesSentOffset = 200;
    private const int BytesRetransmittedOffset = 208;

    /// <summary>Reads it; all zero when the socket is closed.</summary>
    public static TcpInfo Read(Socket socket)
    {
        Span<byte> info = stackalloc byte[256];
        try
        {
            var length = socket.GetRawSocketOption(Tcp, InfoOption, info);
            return length < BytesRetransmittedOffset + 8
                ? default
                : new TcpInfo(
                    BinaryPrimitives.ReadInt64LittleEndian(info[BytesSentOffset..]),
                    BinaryPrimitives.ReadInt64LittleEndian(info[BytesRetransmittedOffset..]),
                    BinaryPrimitives.ReadUInt32LittleEndian(info[SegmentsSentOffset..]));
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            return default;
        }
    }

    public static TcpInfo operator +(TcpInfo a, TcpInfo b) =>
        new(a.BytesSent + b.BytesSent, a.BytesRetransmitted + b.BytesRetransmitted, a.SegmentsSent + b.SegmentsSent);
}
