using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Agent.Session;

namespace MLNet.SDN.Agent.Control;

/// <summary>Answers what is asked on a Unix socket that only this process's user (and root) may use: a word and a line feed in, text out, the end.</summary>
internal sealed class ControlServer : IAsyncDisposable
{
    private const int MaxQuestionBytes = 256;
    private const int MaxWaiting = 8;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan RetryAfter = TimeSpan.FromMilliseconds(250);

    private readonly string path;
    private readonly Func<string, TextWriter, bool> answer;
    private readonly TimeProvider time;
    private readonly ILogger logger;
    private readonly CancellationTokenSource stop = new();
    private Socket? listener;
    private Task serving = Task.CompletedTask;

    /// <summary>Creates a server that listens to nothing yet.</summary>
    /// <param name="path">Path of the socket, at most 107 bytes.</param>
    /// <param name="answer">Writes the answer to a word; false when it does not know it. Called one at a time.</param>
    /// <param name="time">Clock for patience with a silent caller.</param>
    /// <param name="logger">Where failures are told.</param>
    public ControlServer(string path, Func<string, TextWriter, bool> answer, TimeProvider time, ILogger logger) =>
        (this.path, this.answer, this.time, this.logger) = (path, answer, time, logger);

    /// <summary>Begins to answer.</summary>
    /// <exception cref="IOException">The socket cannot be made.</exception>
    public void Start()
    {
        listener = OwnerSocket.Listen(path, MaxWaiting, "Agent:ControlSocket");
        serving = ServeAsync();
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        listener?.Dispose();
        await serving;
        if (listener is not null)
        {
            File.Delete(path);
        }

        stop.Dispose();
    }

    private async Task ServeAsync()
    {
        while (!stop.IsCancellationRequested)
        {
            var accepted = false;
            try
            {
                using var caller = await listener!.AcceptAsync(stop.Token);
                accepted = true;
                using var patience = new CancellationTokenSource(Patience, time);
                using var either = CancellationTokenSource.CreateLinkedTokenSource(stop.Token, patience.Token);
                await AnswerAsync(caller, either.Token);
            }
            catch (Exception exception) when (exception is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                // A caller that went away or said nothing, or told to stop. Out of descriptors, though, the next attempt would fail at once too.
                await Task.Delay(accepted ? TimeSpan.Zero : RetryAfter, time, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (Exception exception)
            {
                // A question is not worth the end of a process that gradients pass through.
                SessionLog.TaskFailed(logger, exception.Message, exception);
            }
        }
    }

    private async Task AnswerAsync(Socket caller, CancellationToken cancellationToken)
    {
        var question = new byte[MaxQuestionBytes];
        var length = 0;
        while (length < question.Length && !question.AsSpan(0, length).Contains((byte)'\n'))
        {
            var got = await caller.ReceiveAsync(question.AsMemory(length), cancellationToken);
            if (got == 0)
            {
                break;
            }

            length += got;
        }

        var word = Encoding.UTF8.GetString(question, 0, length).Trim();
        using var text = new StringWriter();
        if (!answer(word, text))
        {
            text.Write($"error: there is no question '{word}'\n");
        }

        for (ReadOnlyMemory<byte> rest = Encoding.UTF8.GetBytes(text.ToString()); rest.Length > 0;)
        {
            rest = rest[await caller.SendAsync(rest, cancellationToken)..];
        }
    }
}
