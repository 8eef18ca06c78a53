using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Agent.Control;

namespace MLNet.SDN.Agent.Discovery;

/// <summary>Takes what the discovery unit hands over, on a Unix socket that only this process's user and root may use. <see cref="Jobs"/> is safe to read from any thread.</summary>
internal sealed class DiscoveryListener : IAsyncDisposable
{
    /// <summary>What was discovered counts for so long after it was last said: an upgrade of the unit takes less.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(30);

    /// <summary>A unit that is there finds a listener within this time of its start, and says what there is. The controller waits a little longer for it.</summary>
    public static readonly TimeSpan FirstWord = TimeSpan.FromSeconds(10);

    private const int MaxWaiting = 4;

    private static readonly TimeSpan RetryAfter = TimeSpan.FromMilliseconds(250);

    private readonly string path;
    private readonly TimeProvider time;
    private readonly ILogger logger;
    private readonly CancellationTokenSource stop = new();
    private volatile Heard? heard;
    private readonly long born;
    private Socket? listener;
    private Task serving = Task.CompletedTask;

    /// <summary>Creates a listener that listens to nothing yet.</summary>
    /// <param name="path">Path of the socket, at most 107 bytes.</param>
    /// <param name="time">Clock.</param>
    /// <param name="logger">Where failures are told.</param>
    public DiscoveryListener(string path, TimeProvider time, ILogger logger) =>
        (this.path, this.time, this.logger, born) = (path, time, logger, time.GetTimestamp());

    /// <summary>
    /// Jobs with processes here; none when the unit has been silent for <see cref="Lifetime"/>. Null as long as nobody can know: a unit has said nothing yet, and still may within
    /// <see cref="FirstWord"/>.
    /// </summary>
    public IReadOnlyList<LocalJob>? Jobs =>
        heard is { } last ? time.GetElapsedTime(last.At) < Lifetime ? last.Jobs : [] : time.GetElapsedTime(born) < FirstWord ? null : [];

    /// <summary>Why nothing is discovered; null when a unit is at work.</summary>
    public string? Trouble => listener is null ? "the discovery socket could not be made" : heard is { } last && time.GetElapsedTime(last.At) < Lifetime ? null : "no discovery unit is attached";

    /// <summary>Begins to listen.</summary>
    /// <exception cref="IOException">The socket cannot be made.</exception>
    public void Start()
    {
        listener = OwnerSocket.Listen(path, MaxWaiting, "Agent:DiscoverySocket");
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
            try
            {
                using var unit = await listener!.AcceptAsync(stop.Token);
                var peer = PeerCredentials.Of(unit);
                if (!peer.IsTrusted)
                {
                    DiscoveryLog.TurnedAway(logger, peer.ProcessId, peer.UserId);
                    continue;
                }

                DiscoveryLog.UnitAttached(logger, peer.ProcessId);
                DiscoveryLog.UnitGone(logger, await ReadAsync(unit), Lifetime.TotalSeconds);
            }
            catch (Exception exception)
            {
                if (exception is not (SocketException or OperationCanceledException or ObjectDisposedException))
                {
                    DiscoveryLog.Unavailable(logger, exception.Message, exception);
                }

                // A unit that died in the middle, no descriptors left, or told to stop.
                await Task.Delay(RetryAfter, time, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    // Until it goes or says what is no hand-over; the answer is why it ended.
    private async Task<string> ReadAsync(Socket unit)
    {
        var buffer = new byte[16 << 10];
        var length = 0;
        while (true)
        {
            // A unit that is silent for so long hangs; one behind it may not.
            using var patience = new CancellationTokenSource(Lifetime, time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(stop.Token, patience.Token);
            int got;
            try
            {
                got = await unit.ReceiveAsync(buffer.AsMemory(length), either.Token);
            }
            catch (OperationCanceledException) when (!stop.IsCancellationRequested)
            {
                return "it is silent";
            }

            if (got == 0)
            {
                return "it closed the connection";
            }

            // Of several lines the last says all.
            length += got;
            var end = buffer.AsSpan(0, length).LastIndexOf((byte)'\n');
            if (end >= 0)
            {
                var start = buffer.AsSpan(0, end).LastIndexOf((byte)'\n') + 1;
                if (HandOver.Read(buffer.AsSpan(start, end - start)) is not { } read)
                {
                    return "it said something else than what it found; is it of another version?";
                }

                heard = new Heard(read.Jobs, time.GetTimestamp());
                buffer.AsSpan(end + 1, length - end - 1).CopyTo(buffer);
                length -= end + 1;
            }
            else if (length == buffer.Length && length >= HandOver.MaxBytes)
            {
                return $"it said more than {HandOver.MaxBytes} bytes at once";
            }
            else if (length == buffer.Length)
            {
                Array.Resize(ref buffer, 2 * buffer.Length);
            }
        }
    }

    private sealed record Heard(IReadOnlyList<LocalJob> Jobs, long At);
}
