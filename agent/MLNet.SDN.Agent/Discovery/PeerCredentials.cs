using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace MLNet.SDN.Agent.Discovery;

/// <summary>Who is at the other end of a Unix socket (SO_PEERCRED, unix(7)).</summary>
/// <param name="ProcessId">The process.</param>
/// <param name="UserId">Its user.</param>
internal readonly partial record struct PeerCredentials(int ProcessId, int UserId)
{
    private const int SolSocket = 1;
    private const int PeerCredentialsOption = 17;

    /// <summary>This process's user.</summary>
    public static int OwnUser { get; } = EffectiveUser();

    /// <summary>Whether it is root or this process's user: anybody else could be lying.</summary>
    public bool IsTrusted => UserId == 0 || UserId == OwnUser;

    /// <summary>Asks the kernel.</summary>
    /// <param name="socket">A connected Unix socket.</param>
    public static PeerCredentials Of(Socket socket)
    {
        Span<int> words = stackalloc int[3];
        _ = socket.GetRawSocketOption(SolSocket, PeerCredentialsOption, MemoryMarshal.AsBytes(words));
        return new(words[0], words[1]);
    }

    [LibraryImport("libc", EntryPoint = "geteuid")]
    private static partial int EffectiveUser();
}
