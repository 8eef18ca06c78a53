using System.Buffers.Binary;
using System.Net.Sockets;

namespace MLNet.SDN.SystemTests.Agent;

/// <summary>The kernel's own count of a connection: struct tcp_info of linux/tcp.h.</summary>
internal sealed record TcpInfo(long BytesSent, long SegmentsOut, long SegmentsIn)
{
    public static TcpInfo Of(Socket socket)
    {
        Span<byte> info = stackalloc byte[232];
        Assert.Equal(232, socket.GetRawSocketOption(6, 11, info));
        return new TcpInfo(
            BytesSent: (long)BinaryPrimitives.ReadUInt64LittleEndian(info[200..]),
            SegmentsOut: BinaryPrimitives.ReadUInt32LittleEndian(info[136..]),
            SegmentsIn: BinaryPrimitives.ReadUInt32LittleEndian(info[140..]));
    }
}
