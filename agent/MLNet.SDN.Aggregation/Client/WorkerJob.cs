using System.Runtime.InteropServices;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Client;

/// <summary>
/// A worker that has joined a job, through the agent of its host. All workers reduce the same streams with messages of the same size and type; each call on a
/// stream is one round. Rounds of one stream never overlap, those of different streams do. An agent that ends and is started anew within
/// <see cref="WorkerOptions.RestartPatience"/> gets the memory of the rounds in progress handed back, and they go on. Thread-safe.
/// </summary>
public sealed partial class WorkerJob : IAsyncDisposable
{
    private static readonly TimeSpan AgentPatience = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan LongestPatience = TimeSpan.FromDays(30);

    private readonly WorkerOptions _options;
    private readonly string? _role;
    private readonly Lock _lock = new();
    private readonly Dictionary<uint, WorkerStream> _streams = [];

    private WorkerJob(AgentConnection connection, WorkerOptions options, string? role, WorkerMessage joined)
    {
        _connection = connection;
        _options = options;
        _role = role;
        Name = joined.Job!;
        Rank = joined.Rank!.Value;
        WorldSize = joined.WorldSize!.Value - (joined.Server is null ? 0 : 1);
        _reader = new Thread(Read) { IsBackground = true, Name = "mlnet-replies" };
        _reader.Start();
    }

    /// <summary>Name of the job.</summary>
    public string Name { get; }

    /// <summary>This worker's number, 0 to <see cref="WorldSize"/> - 1.</summary>
    public int Rank { get; }

    /// <summary>Number of workers of the job; a parameter server is none.</summary>
    public int WorldSize { get; }

    /// <summary>Joins a job as one of its workers; waits until its agent knows it and is connected to the others.</summary>
    /// <exception cref="WorkerException">No agent listens, the job is unknown or not ready in time, or this process may not take part.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><see cref="WorkerOptions.RestartPatience"/> is negative or too long.</exception>
    public static Task<WorkerJob> JoinAsync(WorkerOptions options, CancellationToken cancellationToken = default) => JoinAsync(options, null, cancellationToken);

    /// <summary>Joins; with the role <c>worker</c> a job that has a parameter server, without one a job that has none.</summary>
    internal static async Task<WorkerJob> JoinAsync(WorkerOptions options, string? role, CancellationToken cancellationToken)
    {
        if (options.RestartPatience < TimeSpan.Zero || options.RestartPatience > LongestPatience)
        {
            throw new ArgumentOutOfRangeException(nameof(options), options.RestartPatience, $"RestartPatience must be 0 to {LongestPatience.TotalDays} days.");
        }

        var connection = await AgentConnection.OpenAsync(options.Socket, options.Timeout < AgentPatience ? options.Timeout : AgentPatience, cancellationToken);
        try
        {
            connection.Send(new WorkerMessage { Type = "join", Protocol = WorkerMessage.CurrentProtocol, Job = options.Job, Rank = options.Rank, Role = role, Workers = options.WorldSize });
            var joined = await Task.Factory.StartNew(() => Admitted(connection, options.Timeout, cancellationToken), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            return new WorkerJob(connection, options, role, joined);
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <summary>Reduces a message over all workers, in place; every worker gets the same bits.</summary>
    /// <inheritdoc cref="ReduceAsync{T}(ReadOnlyMemory{T}, Memory{T}, ReduceOperation, uint, bool?, ElementType?, CancellationToken)"/>
    public Task ReduceAsync<T>(Memory<T> values, ReduceOperation operation = ReduceOperation.Sum, uint stream = 0, bool? deterministic = null, ElementType? type = null, CancellationToken cancellationToken = default)
        where T : unmanaged => ReduceAsync(values, values, operation, stream, deterministic, type, cancellationToken);

    /// <summary>Reduces a message over all workers; every worker gets the same bits.</summary>
    /// <typeparam name="T"><see cref="float"/>, <see cref="double"/>, <see cref="Half"/>, <see cref="int"/> or <see cref="long"/>; <see cref="ushort"/> for the bits of bfloat16.</typeparam>
    /// <param name="contribution">This worker's part. Read before the first wait for others; to be left alone until then.</param>
    /// <param name="result">As long; filled when the task ends well. May be the same memory.</param>
    /// <param name="operation">What is done. Sums of integers wrap around, their means are cut towards zero; 16-bit floats are added as float and rounded once.</param>
    /// <param name="stream">Rounds of different streams are independent of each other.</param>
    /// <param name="deterministic">Add in a fixed order; null as the job was joined. The same at all workers.</param>
    /// <param name="type"><see cref="ElementType.BFloat16"/> for <see cref="ushort"/>; null otherwise.</param>
    /// <param name="cancellationToken">Ends the wait. The round goes on, and the stream's next call waits for its end.</param>
    /// <exception cref="ArgumentException">The lengths differ, the message is empty, or <typeparamref name="T"/> cannot be reduced.</exception>
    /// <exception cref="WorkerException">The round failed; the message says why. After <see cref="WorkerError.ShapeMismatch"/> and
    /// <see cref="WorkerError.RoundFailed"/> the job goes on with the next round.</exception>
    public async Task ReduceAsync<T>(
        ReadOnlyMemory<T> contribution, Memory<T> result, ReduceOperation operation = ReduceOperation.Sum, uint stream = 0, bool? deterministic = null, ElementType? type = null, CancellationToken cancellationToken = default)
        where T : unmanaged
    {
        var shape = ShapeOf<T>(contribution.Length, result.Length, operation, deterministic, type);

        // Whoever has the turn takes part in the round, so that the workers' rounds stay the same ones.
        var state = await EnterAsync(stream, shape.Bytes, cancellationToken, CancellationToken.None);
        var over = Task.CompletedTask;
        try
        {
            over = Submit(state, stream, shape, MemoryMarshal.AsBytes(contribution.Span), out var round);
            await over.WaitAsync(cancellationToken);
            Collect(state, round, MemoryMarshal.AsBytes(result.Span));
        }
        finally
        {
            Exit(state, over);
        }
    }

    /// <summary>As <see cref="ReduceAsync{T}(ReadOnlyMemory{T}, Memory{T}, ReduceOperation, uint, bool?, ElementType?, CancellationToken)"/>, for a thread of a trainer that has nothing else to do meanwhile.</summary>
    /// <inheritdoc cref="ReduceAsync{T}(ReadOnlyMemory{T}, Memory{T}, ReduceOperation, uint, bool?, ElementType?, CancellationToken)"/>
    public void Reduce<T>(ReadOnlySpan<T> contribution, Span<T> result, ReduceOperation operation = ReduceOperation.Sum, uint stream = 0, bool? deterministic = null, ElementType? type = null)
        where T : unmanaged
    {
        var shape = ShapeOf<T>(contribution.Length, result.Length, operation, deterministic, type);
        var state = EnterAsync(stream, shape.Bytes, CancellationToken.None, CancellationToken.None).GetAwaiter().GetResult();
        try
        {
            Submit(state, stream, shape, MemoryMarshal.AsBytes(contribution), out var round).GetAwaiter().GetResult();
            Collect(state, round, MemoryMarshal.AsBytes(result));
        }
        finally
        {
            Exit(state, Task.CompletedTask);
        }
    }

    /// <summary>Says goodbye, so that the others do not take this worker for dead, and waits until nothing of it is left. Rounds under way end with an error.</summary>
    public async ValueTask DisposeAsync()
    {
        Send(new WorkerMessage { Type = "leave" });
        await EndAsync(HasLeft());
    }

    /// <summary>Ends this worker's part without a goodbye: the others hear that it failed. Waits until nothing of it is left.</summary>
    internal ValueTask AbandonAsync() =>
        EndAsync(new WorkerException(WorkerError.JobClosed, $"this worker's part in job {Name} ended before it said goodbye; join it again"));

    /// <summary>What a call gets after the goodbye.</summary>
    internal WorkerException HasLeft() => new(WorkerError.JobClosed, $"this worker has left job {Name}; join it again");

    private static ElementType TypeOf<T>(ElementType? named)
    {
        ElementType? own =
            typeof(T) == typeof(float) ? ElementType.Float32
            : typeof(T) == typeof(double) ? ElementType.Float64
            : typeof(T) == typeof(Half) ? ElementType.Float16
            : typeof(T) == typeof(ushort) && named == ElementType.BFloat16 ? ElementType.BFloat16
            : typeof(T) == typeof(int) ? ElementType.Int32
            : typeof(T) == typeof(long) ? ElementType.Int64
            : null;
        return own is { } type && (named ?? type) == type
            ? type
            : throw new ArgumentException($"Elements of {typeof(T).Name} cannot be reduced{(named is { } n ? $" as {Elements.Name(n)}" : "")}; use float, double, Half, int, long, or ushort as bfloat16.", nameof(named));
    }

    private WorkerStream StreamOf(uint stream)
    {
        lock (_lock)
        {
            if (_ended is not null)
            {
                throw _ended;
            }

            if (!_streams.TryGetValue(stream, out var state))
            {
                _streams[stream] = state = new WorkerStream();
            }

            return state;
        }
    }

    private MessageShape ShapeOf<T>(int length, int resultLength, ReduceOperation operation, bool? deterministic, ElementType? type)
        where T : unmanaged
    {
        if (length != resultLength || length == 0)
        {
            throw new ArgumentException($"The contribution has {length} elements and the result {resultLength}; give both the same length, at least 1.");
        }

        if (!Elements.IsKnown(operation) || Elements.NeedsServer(operation))
        {
            throw new ArgumentOutOfRangeException(nameof(operation), operation, "Use Sum, Mean, Min or Max; pushes and pulls are those of a ParameterWorker.");
        }

        var element = TypeOf<T>(type);
        var bytes = (long)length * Elements.Bytes(element);
        return bytes <= int.MaxValue
            ? new MessageShape(bytes, element, operation, deterministic ?? _options.Deterministic)
            : throw new ArgumentException($"A message of {bytes} bytes is longer than {int.MaxValue}; reduce it in parts, on several streams.");
    }

    /// <summary>Waits for the stream's turn and sees that it has room.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="bytes">Bytes of a message.</param>
    /// <param name="cancellationToken">Ends the wait for the turn.</param>
    /// <param name="untilOpen">Ends the wait for room.</param>
    private async Task<WorkerStream> EnterAsync(uint stream, long bytes, CancellationToken cancellationToken, CancellationToken untilOpen)
    {
        var state = StreamOf(stream);
        await state.Turn.WaitAsync(cancellationToken);
        var open = OpenAsync(state, stream, bytes);
        try
        {
            await open.WaitAsync(untilOpen);
            return state;
        }
        catch
        {
            // After a cancelled wait the agent's answer is still to come, and it is one for this stream's turn.
            Exit(state, open);
            throw;
        }
    }

    /// <summary>Hands a contribution to the agent; the task ends with the round.</summary>
    private Task Submit(WorkerStream state, uint stream, MessageShape shape, ReadOnlySpan<byte> contribution, out ulong round)
    {
        lock (state.Copying)
        {
            (state.Memory ?? throw Ended()).Write(state.Next, contribution);
        }

        round = state.Next;
        return Ask(state, new WorkerMessage
        {
            Type = "reduce", Stream = stream, Round = round, Bytes = shape.Bytes, Dtype = Elements.Name(shape.Type), Op = Elements.Name(shape.Operation), Deterministic = shape.FixedOrder ? true : null,
        });
    }

    private void Collect(WorkerStream state, ulong round, Span<byte> result, long offset = 0)
    {
        lock (state.Copying)
        {
            (state.Memory ?? throw Ended()).Read(round, result, offset);
        }
    }

    /// <summary>Gives the turn on, as soon as the round, or the opening of the stream, is over.</summary>
    private static void Exit(WorkerStream state, Task over) => over.ContinueWith(
        ended =>
        {
            // Seen: nobody waits for what was cancelled, or a push whose worker has failed otherwise.
            _ = ended.Exception;
            state.Turn.Release();
        },
        CancellationToken.None,
        TaskContinuationOptions.ExecuteSynchronously,
        TaskScheduler.Default);

    private WorkerException Ended()
    {
        lock (_lock)
        {
            return _ended!;
        }
    }

    private Task OpenAsync(WorkerStream state, uint stream, long bytes) =>
        state.Memory is { } memory && memory.Capacity >= bytes ? Task.CompletedTask : Ask(state, new WorkerMessage { Type = "open", Stream = stream, Bytes = bytes });
}
