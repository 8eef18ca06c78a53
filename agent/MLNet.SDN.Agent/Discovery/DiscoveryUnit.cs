using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace MLNet.SDN.Agent.Discovery;

/// <summary>The process that looks for jobs, apart from the agent because it needs rights that the agent must not have. It looks only while an agent listens.</summary>
internal sealed class DiscoveryUnit
{
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    // Between two looks passes at least so many times what the first one took: on a host with very many processes it looks less often, and costs at most 1 % of a core.
    private const int LeastRest = 99;

    // The agent believes what it was told for DiscoveryListener.Lifetime.
    private static readonly TimeSpan MostRest = DiscoveryListener.Lifetime / 2;

    private readonly string path;
    private readonly TimeSpan interval;
    private readonly ProcessScan scan;
    private readonly TimeProvider time;
    private readonly ILogger logger;
    private string lookedInto = "";
    private int refused;

    /// <summary>Creates a unit that looks at nothing yet.</summary>
    /// <param name="path">Path of the agent's discovery socket.</param>
    /// <param name="interval">From one look to the next.</param>
    /// <param name="scan">Looks at processes.</param>
    /// <param name="time">Clock.</param>
    /// <param name="logger">Gets the audit.</param>
    public DiscoveryUnit(string path, TimeSpan interval, ProcessScan scan, TimeProvider time, ILogger logger) =>
        (this.path, this.interval, this.scan, this.time, this.logger) = (path, interval, scan, time, logger);

    /// <summary>Runs until told to stop.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        var told = "";
        while (!cancellationToken.IsCancellationRequested)
        {
            string reason;
            try
            {
                using var agent = await ConnectAsync(cancellationToken);
                DiscoveryLog.Attached(logger);
                reason = told = "";
                await ServeAsync(agent, cancellationToken);
            }
            catch (Exception exception) when (exception is SocketException or IOException && !cancellationToken.IsCancellationRequested)
            {
                reason = $"{path}: {exception.Message}";
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                reason = $"{path}: the agent does not read";
            }
            catch (OperationCanceledException)
            {
                return;
            }

            if (reason != told)
            {
                DiscoveryLog.Detached(logger, told = reason);
            }

            await Task.Delay(RetryAfter, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task<Socket> ConnectAsync(CancellationToken cancellationToken)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken);
            return PeerCredentials.Of(socket).IsTrusted ? socket : throw new IOException("who listens there is neither root nor this process's user");
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private async Task ServeAsync(Socket agent, CancellationToken cancellationToken)
    {
        using var diagnosis = new SocketDiagnosis();

        // The agent never says anything here: what comes is its end. One that begins anew is to hear of its jobs at once, not an interval later.
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var closed = agent.ReceiveAsync(new byte[1], over.Token).AsTask();
        try
        {
            await ServeAsync(agent, diagnosis, closed, cancellationToken);
        }
        finally
        {
            await over.CancelAsync();
            await ((Task)closed).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task ServeAsync(Socket agent, SocketDiagnosis diagnosis, Task closed, CancellationToken cancellationToken)
    {
        while (true)
        {
            var began = time.GetTimestamp();
            var (trainers, audit) = scan.Look();
            var line = HandOver.Of(trainers, trainers.Count == 0 ? [] : diagnosis.Connections()).Line();
            var rest = Rest(interval, time.GetElapsedTime(began));
            Tell(audit);
            using (var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken))
            {
                patience.CancelAfter(Patience);
                for (ReadOnlyMemory<byte> unsent = line; unsent.Length > 0;)
                {
                    unsent = unsent[await agent.SendAsync(unsent, patience.Token)..];
                }
            }

            await Task.WhenAny(Task.Delay(rest, time, cancellationToken), closed);
            cancellationToken.ThrowIfCancellationRequested();
            if (closed.IsCompleted)
            {
                throw new IOException("the agent has gone");
            }
        }
    }

    /// <summary>How long not to look.</summary>
    /// <param name="interval">As the operator wants it.</param>
    /// <param name="look">How long the last look took.</param>
    internal static TimeSpan Rest(TimeSpan interval, TimeSpan look)
    {
        var least = LeastRest * look < MostRest ? LeastRest * look : MostRest;
        return least > interval ? least : interval;
    }

    // Each change of what is looked into is told; a look that finds the same is not.
    private void Tell(ScanAudit audit)
    {
        var ids = string.Join(' ', audit.LookedInto.Order());
        if (ids != lookedInto)
        {
            DiscoveryLog.LookedInto(logger, audit.LookedInto.Count, lookedInto = ids, audit.Processes, audit.Elsewhere, audit.Read);
        }

        if (audit.Refused > 0 && refused == 0)
        {
            DiscoveryLog.Refused(logger, audit.Refused);
        }

        refused = audit.Refused;
    }
}
