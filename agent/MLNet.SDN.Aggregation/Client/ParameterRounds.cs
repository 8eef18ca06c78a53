namespace MLNet.SDN.Aggregation.Client;

/// <summary>
/// What every way of pushing and pulling has. Parameters are named by their index in the layout; that elements have their type and number is checked before.
/// Thread-safe. The first error of a round ends the worker's part: rounds of other parameters may be half-way, and a server that comes back is another one.
/// </summary>
internal abstract class ParameterRounds(WorkerJob job, ParameterLayout layout) : IAsyncDisposable
{
    private volatile WorkerException? _failed;

    protected WorkerJob Job { get; } = job;

    protected ParameterLayout Layout { get; } = layout;

    /// <summary>Asks for the first values.</summary>
    public abstract Task BeginAsync(CancellationToken cancellationToken);

    /// <inheritdoc cref="ParameterWorker.PushAsync{T}"/>
    public abstract Task PushAsync<T>(int index, ReadOnlyMemory<T> gradient, CancellationToken cancellationToken)
        where T : unmanaged;

    /// <inheritdoc cref="ParameterWorker.PullAsync{T}"/>
    public abstract Task<long> PullAsync<T>(int index, Memory<T> values, CancellationToken cancellationToken)
        where T : unmanaged;

    /// <inheritdoc cref="ParameterWorker.Version"/>
    public abstract long Version(int index);

    /// <summary>Takes no pushes any more, and waits until every earlier one lies with the server or all workers have said goodbye. Once.</summary>
    /// <exception cref="WorkerException">The worker's part failed, now or before.</exception>
    public abstract Task SayGoodbyeAsync(CancellationToken cancellationToken);

    /// <summary>Waits until nothing goes on in the background; to be called once the job has ended.</summary>
    public abstract ValueTask DisposeAsync();

    protected void ThrowIfFailed()
    {
        if (_failed is { } failed)
        {
            throw failed;
        }
    }

    /// <summary>Notes an error; the first one stays.</summary>
    /// <returns>The first one.</returns>
    protected WorkerException Fail(WorkerException error) => Interlocked.CompareExchange(ref _failed, error, null) ?? error;
}
