using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Client;

/// <summary>
/// A worker that has joined a job with a parameter server: it pushes gradients and pulls values. Each worker pushes a gradient of each parameter once a round, in
/// whatever order, and pulls values when it needs them; with a server that waits for nobody (<see cref="Deadline"/>) as often as it likes.
/// </summary>
/// <remarks>
/// Thread-safe: calls for one parameter follow each other, those for different ones run side by side. An error of a round ends the worker's part: every later call
/// throws it again, and the job has to be joined anew. An unknown key, or memory of a wrong length or type, does not, and neither does a call that is cancelled.
/// Whoever is disposed without <see cref="CloseAsync"/>, by an exception as a rule, has failed: the others hear it.
/// </remarks>
public sealed class ParameterWorker : IAsyncDisposable
{
    private const int KeysInMessages = 20;

    private readonly WorkerJob _job;
    private readonly ParameterLayout _layout;
    private readonly ParameterRounds _rounds;
    private int _closed;

    private ParameterWorker(WorkerJob job, ParameterLayout layout, ParameterRounds rounds)
    {
        _job = job;
        _layout = layout;
        _rounds = rounds;
    }

    /// <summary>Name of the job.</summary>
    public string Name => _job.Name;

    /// <summary>This worker's number, 0 to <see cref="WorldSize"/> - 1.</summary>
    public int Rank => _job.Rank;

    /// <summary>Number of workers; the server is none.</summary>
    public int WorldSize => _job.WorldSize;

    /// <summary>Rounds that this worker may be ahead of the slowest, as the server says; 0 is bulk-synchronous.</summary>
    public int Staleness => _layout.Staleness;

    /// <summary>How long the server's updates wait for late workers; null where they wait for all.</summary>
    public TimeSpan? Deadline => _layout.Deadline;

    /// <summary>The parameters, in the server's order.</summary>
    public IReadOnlyList<Parameter> Parameters => _layout.Parameters;

    /// <summary>Joins a job with a parameter server as one of its workers, and waits for the server and the other workers.</summary>
    /// <param name="options">The job; <see cref="WorkerOptions.Timeout"/> is waited for it, and again for its server and the other workers.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="WorkerException">No agent listens, the job is unknown, not everybody is there in time, or this process may not take part; the job has no server, or what it says cannot be understood.</exception>
    public static async Task<ParameterWorker> JoinAsync(WorkerOptions options, CancellationToken cancellationToken = default)
    {
        var job = await WorkerJob.JoinAsync(options, "worker", cancellationToken);
        ParameterRounds? rounds = null;
        try
        {
            var layout = await LayoutAnnouncement.AwaitAsync(job, options.Timeout, cancellationToken);
            rounds = layout.Deadline is null ? new SynchronousRounds(job, layout) : new AsynchronousRounds(job, layout);
            await rounds.BeginAsync(cancellationToken);
            return new ParameterWorker(job, layout, rounds);
        }
        catch (Exception e)
        {
            // Who gives up waiting may come back; anything else is a failure, of which the others are to hear.
            await (e is WorkerException { Error: WorkerError.NotReady } ? job.DisposeAsync() : job.AbandonAsync());
            await (rounds?.DisposeAsync() ?? ValueTask.CompletedTask);
            throw;
        }
    }

    /// <summary>Adds this worker's gradient of a parameter to its next round. Waits only while this worker is further ahead than it may be, and under a deadline never.</summary>
    /// <remarks>
    /// The server gets the sum of all workers' gradients of the round, each exactly once, and applies it (divided by their number, unless it was told otherwise).
    /// Under a deadline those are the gradients that were pushed in time; what was pushed several times between two rounds goes as one sum.
    /// </remarks>
    /// <typeparam name="T"><see cref="float"/> or <see cref="double"/>, as the parameter is.</typeparam>
    /// <param name="key">One of the server's parameters.</param>
    /// <param name="gradient">As many elements as the parameter has. To be left alone until the task ends.</param>
    /// <param name="cancellationToken">Ends the wait; nothing was pushed then.</param>
    /// <exception cref="KeyNotFoundException">The server has no such parameter.</exception>
    /// <exception cref="WorkerException"><see cref="WorkerError.ShapeMismatch"/>: another length or type than the parameter's, and nothing was pushed.
    /// <see cref="WorkerError.RoundFailed"/>: the server, a worker or a host is gone; the message names it. <see cref="WorkerError.JobClosed"/>: the job was withdrawn, or left.</exception>
    public async Task PushAsync<T>(string key, ReadOnlyMemory<T> gradient, CancellationToken cancellationToken = default)
        where T : unmanaged => await _rounds.PushAsync(IndexOf<T>(key, gradient.Length, "gradient"), gradient, cancellationToken);

    /// <summary>Gets the newest values of a parameter that are here, once they are new enough.</summary>
    /// <remarks>
    /// After c pushes of the parameter by this worker they include the pushes of all workers up to round c - <see cref="Staleness"/>; with a staleness of 0 exactly
    /// those of the c rounds, and all workers pull the same bits. Under a deadline they are those of the last round that is over, and this never waits.
    /// </remarks>
    /// <typeparam name="T"><see cref="float"/> or <see cref="double"/>, as the parameter is.</typeparam>
    /// <param name="key">One of the server's parameters.</param>
    /// <param name="values">As many elements as the parameter has; filled when the task ends well.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>How many rounds of pushes the values include; before the first push, 0 rounds and the server's initial values.</returns>
    /// <exception cref="KeyNotFoundException">The server has no such parameter.</exception>
    /// <exception cref="WorkerException">As <see cref="PushAsync{T}"/>.</exception>
    public async Task<long> PullAsync<T>(string key, Memory<T> values, CancellationToken cancellationToken = default)
        where T : unmanaged => await _rounds.PullAsync(IndexOf<T>(key, values.Length, "memory for the values"), values, cancellationToken);

    /// <summary>How many rounds of pushes the values include that <see cref="PullAsync{T}"/> gave last, -1 before the first; under a deadline those that it would give.</summary>
    /// <exception cref="KeyNotFoundException">The server has no such parameter.</exception>
    /// <exception cref="WorkerException">The worker's part has failed or ended.</exception>
    public long Version(string key) => _rounds.Version(IndexOf(key));

    /// <summary>
    /// Says goodbye, and waits for the end of what was pushed and a moment for the others to say it too; under a deadline until all have. When all workers have, the
    /// server ends with everything applied. Idempotent.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait and this worker's part: the others hear that it failed.</param>
    /// <exception cref="WorkerException">The server, a worker or a host is gone that has not said goodbye, or the worker's part failed before; the message says what.</exception>
    public async Task CloseAsync(CancellationToken cancellationToken = default)
    {
        if (Interlocked.Exchange(ref _closed, 1) != 0)
        {
            return;
        }

        try
        {
            await _rounds.SayGoodbyeAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
            await _job.AbandonAsync();
            throw;
        }
        finally
        {
            await _job.DisposeAsync();
            await _rounds.DisposeAsync();
        }
    }

    /// <summary>Ends this worker's part. Without a <see cref="CloseAsync"/> before, the others hear that it failed.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _closed, 1) == 0)
        {
            await _job.AbandonAsync();
            await _rounds.DisposeAsync();
        }
    }

    private int IndexOf(string key) =>
        _layout.TryGetIndex(key, out var index)
            ? index
            : throw new KeyNotFoundException(
                $"the server of job {Name} has no parameter '{key}'; it has {string.Join(", ", Parameters.Select(p => p.Key).Order(StringComparer.Ordinal).Take(KeysInMessages))}");

    private int IndexOf<T>(string key, int length, string what)
        where T : unmanaged
    {
        var index = IndexOf(key);
        var parameter = Parameters[index];
        ElementType? type = typeof(T) == typeof(float) ? ElementType.Float32 : typeof(T) == typeof(double) ? ElementType.Float64 : null;
        return type == parameter.Type && length == parameter.Length
            ? index
            : throw new WorkerException(
                WorkerError.ShapeMismatch, $"the {what} of '{key}' is {(type is { } known ? Elements.Name(known) : typeof(T).Name)} x {length}; the parameter is {parameter}");
    }
}
