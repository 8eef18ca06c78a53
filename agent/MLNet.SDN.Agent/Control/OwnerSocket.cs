using System.Net.Sockets;

namespace MLNet.SDN.Agent.Control;

/// <summary>Unix sockets that only this process's user, and root, may connect to.</summary>
internal static class OwnerSocket
{
    /// <summary>Makes one and listens, in place of what a killed process left there.</summary>
    /// <param name="path">At most 107 bytes; its directory is created when it is missing.</param>
    /// <param name="waiting">Callers that may wait to be accepted.</param>
    /// <param name="setting">The setting that gave the path, for the error.</param>
    /// <exception cref="IOException">It cannot be made.</exception>
    public static Socket Listen(string path, int waiting, string setting)
    {
        Socket? listener = null;
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);

            // Whoever else may write here could do worse.
            File.Delete(path);
            listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            listener.Bind(new UnixDomainSocketEndPoint(path));

            // Nobody can connect before listen(2).
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            listener.Listen(waiting);
            return listener;
        }
        catch (Exception exception) when (exception is SocketException or UnauthorizedAccessException or IOException)
        {
            listener?.Dispose();
            throw new IOException($"{setting} {path}: {exception.Message}", exception);
        }
    }
}
