using System.Net.Sockets;
using System.Text;

namespace MLNet.SDN.Agent.Control;

/// <summary>Asks a running agent; see <see cref="ControlServer"/>.</summary>
internal static class ControlClient
{
    private const string ErrorPrefix = "error: ";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>Asks and prints the answer.</summary>
    /// <param name="path">Path of the agent's control socket.</param>
    /// <param name="word">The question.</param>
    /// <param name="output">Gets the answer.</param>
    /// <param name="error">Gets what went wrong.</param>
    /// <returns>Exit code: 1 when there was no answer.</returns>
    public static async Task<int> AskAsync(string path, string word, TextWriter output, TextWriter error)
    {
        using var patience = new CancellationTokenSource(Patience);
        using var answer = new MemoryStream();
        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), patience.Token);
            await socket.SendAsync(Encoding.UTF8.GetBytes(word + "\n"), patience.Token);
            await using var stream = new NetworkStream(socket);
            await stream.CopyToAsync(answer, patience.Token);
        }
        catch (Exception exception) when (exception is SocketException or IOException or ArgumentException)
        {
            // By the file: the runtime tells a missing one as an address that cannot be assigned.
            var why = exception switch
            {
                ArgumentException => "that is no path of a socket, which has at most 107 bytes",
                _ when !File.Exists(path) => "there is no such socket, so no agent of that name runs here, or this user may not look there. Start the agent, or name the socket of one that runs: --Agent:ControlSocket=PATH",
                SocketException { SocketErrorCode: SocketError.ConnectionRefused } => "nobody listens there: the agent that made it has ended. Start it again",
                SocketException { SocketErrorCode: SocketError.AccessDenied } => "this user may not ask it. Ask as its user or as root",
                _ => $"{exception.Message}. Does it run, and is this its user or root?",
            };
            await error.WriteLineAsync($"mlnet-agent: no agent answers on {path}: {why}");
            return 1;
        }
        catch (OperationCanceledException)
        {
            await error.WriteLineAsync($"mlnet-agent: the agent on {path} does not answer within {Patience.TotalSeconds} s");
            return 1;
        }

        var text = Encoding.UTF8.GetString(answer.GetBuffer(), 0, (int)answer.Length);
        if (text.Length == 0 || text.StartsWith(ErrorPrefix, StringComparison.Ordinal))
        {
            await error.WriteLineAsync($"mlnet-agent: {(text.Length == 0 ? "the agent hung up" : text[ErrorPrefix.Length..].Trim())}");
            return 1;
        }

        await output.WriteAsync(text);
        return 0;
    }
}
