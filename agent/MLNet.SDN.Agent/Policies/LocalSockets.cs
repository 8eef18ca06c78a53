using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;

namespace MLNet.SDN.Agent.Policies;

/// <summary>A TCP or UDP socket that a process of this network namespace has open.</summary>
/// <param name="Local">Local address; IPv4 in the low 32 bits, 0 for any.</param>
/// <param name="LocalPort">Local port.</param>
/// <param name="Remote">Remote address; 0 where it is not connected.</param>
/// <param name="RemotePort">0 where it is not connected.</param>
/// <param name="Protocol">6 or 17.</param>
/// <param name="IsIPv6">Family of the addresses; an IPv4 address inside an IPv6 socket counts as IPv4.</param>
/// <param name="Uid">Its owner.</param>
internal readonly record struct LocalSocket(UInt128 Local, ushort LocalPort, UInt128 Remote, ushort RemotePort, byte Protocol, bool IsIPv6, uint Uid);

/// <summary>Reads the kernel's lists of sockets, which everybody may read: <c>/proc/net/tcp</c> and its siblings (proc(5)).</summary>
internal static class LocalSockets
{
    private static readonly (string Name, byte Protocol)[] Lists = [("tcp", 6), ("tcp6", 6), ("udp", 17), ("udp6", 17)];

    /// <summary>Lists the sockets of this thread's network namespace that a process has open.</summary>
    /// <param name="directory">Where the lists are.</param>
    /// <exception cref="IOException">They cannot be read.</exception>
    public static List<LocalSocket> Read(string directory = "/proc/thread-self/net")
    {
        var sockets = new List<LocalSocket>();
        foreach (var (name, protocol) in Lists)
        {
            var path = Path.Combine(directory, name);
            if (File.Exists(path))
            {
                sockets.AddRange(File.ReadLines(path).Skip(1).Select(line => Parse(line, protocol)).OfType<LocalSocket>());
            }
        }

        return sockets;
    }

    // "sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...". No inode: no process has it any more (TIME_WAIT, orphans).
    private static LocalSocket? Parse(string line, byte protocol)
    {
        var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (words.Length < 10 || words[9] == "0" || !uint.TryParse(words[7], NumberStyles.None, CultureInfo.InvariantCulture, out var uid)
            || !TryParse(words[1], out var local, out var localPort, out var isIPv6) || !TryParse(words[2], out var remote, out var remotePort, out _))
        {
            return null;
        }

        return new LocalSocket(local, localPort, remote, remotePort, protocol, isIPv6, uid);
    }

    // Words of four bytes as the processor has them in memory, in hexadecimal; then the port.
    private static bool TryParse(string text, out UInt128 address, out ushort port, out bool isIPv6)
    {
        (address, port, isIPv6) = (UInt128.Zero, 0, text.Length == 37);
        if (text.Length is not (13 or 37) || text[^5] != ':' || !ushort.TryParse(text.AsSpan(text.Length - 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out port))
        {
            return false;
        }

        Span<byte> bytes = stackalloc byte[16];
        bytes.Clear();
        for (var i = 0; i < text.Length / 8; i++)
        {
            if (!uint.TryParse(text.AsSpan(8 * i, 8), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var word))
            {
                return false;
            }

            MemoryMarshal.Write(bytes[(isIPv6 ? 4 * i : 12)..], word);
        }

        address = BinaryPrimitives.ReadUInt128BigEndian(bytes);
        if (isIPv6 && address >> 32 == 0xFFFF)
        {
            (address, isIPv6) = ((uint)address, false);
        }

        return true;
    }
}
