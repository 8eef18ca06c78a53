using System.Runtime.InteropServices;

namespace MLNet.SDN.Aggregation.Client;

/// <summary>How a worker hears from the server which parameters there are: two pulls of the control stream, the head and the description.</summary>
internal static class LayoutAnnouncement
{
    /// <summary>Before asking again: as long as somebody is gone, every answer is the same.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    /// <summary>Waits for the server and all workers.</summary>
    /// <param name="job">Joined as a worker of a job with a server.</param>
    /// <param name="timeout">How long to wait.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="WorkerException">Not everybody began in time (<see cref="WorkerError.NotReady"/>), the job ended, or what the server says is no layout.</exception>
    public static async Task<ParameterLayout> AwaitAsync(WorkerJob job, TimeSpan timeout, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(timeout);
        while (true)
        {
            try
            {
                var head = new byte[ParameterLayout.HeadWords * sizeof(long)];
                await PullAsync(job, ElementType.Int64, ParameterLayout.HeadWords, head, patience.Token);
                if (!ParameterLayout.TryReadHead(MemoryMarshal.Cast<byte, long>(head), out var bytes, out var fault))
                {
                    throw Faulty(job, fault);
                }

                var description = new byte[bytes];
                await PullAsync(job, ElementType.Int32, (bytes + sizeof(int) - 1) / sizeof(int), description, patience.Token);
                return ParameterLayout.TryParse(description, out var layout, out fault) ? layout! : throw Faulty(job, fault);
            }
            catch (WorkerException e) when (e.Error == WorkerError.RoundFailed && !patience.IsCancellationRequested)
            {
                // A worker that had asked gave up waiting; all that are there, and it when it is back, ask again.
                await Task.Delay(Pause, cancellationToken);
            }
            catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
            {
                throw new WorkerException(
                    WorkerError.NotReady,
                    $"job {job.Name}: after {timeout.TotalSeconds:0.##} s its server does not serve yet, or some worker has not asked it: start mlnet.serve() and all workers",
                    e);
            }
        }
    }

    /// <param name="job">The job.</param>
    /// <param name="type">Type of the message.</param>
    /// <param name="length">Its elements.</param>
    /// <param name="result">Gets its first bytes.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    private static async Task PullAsync(WorkerJob job, ElementType type, int length, Memory<byte> result, CancellationToken cancellationToken)
    {
        var pull = await job.BeginAsync(ParameterLayout.Control, ReduceOperation.Pull, type, length, default, cancellationToken);
        await pull.Over.WaitAsync(cancellationToken);
        pull.Read(result.Span);
    }

    private static WorkerException Faulty(WorkerJob job, string fault) => new(WorkerError.Other, $"the server of job {job.Name} cannot be worked with: {fault}");
}
