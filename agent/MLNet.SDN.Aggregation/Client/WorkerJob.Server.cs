using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Client;

/// <summary>Rounds with the job's parameter server, which go on while the worker does something else.</summary>
public sealed partial class WorkerJob
{
    /// <summary>Waits until a stream has room and no round under way.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="operation">What its next round does.</param>
    /// <param name="type">Type of its elements.</param>
    /// <param name="length">Their number, at least 1; also where this worker has nothing to say or hears nothing.</param>
    /// <param name="cancellationToken">Ends the wait; no round has begun then.</param>
    /// <exception cref="WorkerException">The job has ended, or the stream cannot be opened.</exception>
    internal async Task<RoundTurn> EnterAsync(uint stream, ReduceOperation operation, ElementType type, int length, CancellationToken cancellationToken)
    {
        var shape = new MessageShape((long)length * Elements.Bytes(type), type, operation, _options.Deterministic);
        return new RoundTurn(this, await EnterAsync(stream, shape.Bytes, cancellationToken, cancellationToken), stream, shape);
    }

    /// <summary>Begins a round of a stream as soon as it can.</summary>
    /// <inheritdoc cref="EnterAsync(uint, ReduceOperation, ElementType, int, CancellationToken)"/>
    internal async Task<BegunRound> BeginAsync(uint stream, ReduceOperation operation, ElementType type, int length, ReadOnlyMemory<byte> contribution, CancellationToken cancellationToken) =>
        (await EnterAsync(stream, operation, type, length, cancellationToken)).Begin(contribution.Span);

    /// <exception cref="WorkerException">The job has ended.</exception>
    internal void ThrowIfEnded()
    {
        lock (_lock)
        {
            if (_ended is not null)
            {
                throw _ended;
            }
        }
    }

    /// <summary>A stream's turn: to be used once, for a round or to give it up.</summary>
    internal readonly struct RoundTurn(WorkerJob job, WorkerStream state, uint stream, MessageShape shape)
    {
        /// <summary>Hands this worker's part to the agent.</summary>
        /// <param name="contribution">As long as the message; empty where what lies in the memory is not read.</param>
        /// <exception cref="WorkerException">The job has ended.</exception>
        public BegunRound Begin(ReadOnlySpan<byte> contribution)
        {
            var over = Task.CompletedTask;
            try
            {
                over = job.Submit(state, stream, shape, contribution, out var round);
                return new BegunRound(job, state, round, over);
            }
            finally
            {
                Exit(state, over);
            }
        }

        public void GiveUp() => state.Turn.Release();
    }

    /// <summary>A round under way, or over. Its result is to be read before the second next round of its stream begins.</summary>
    internal sealed class BegunRound(WorkerJob job, WorkerStream state, ulong round, Task over)
    {
        /// <summary>Ends with the round.</summary>
        public Task Over => over;

        /// <summary>Copies a part of the result out; for a round that is over.</summary>
        /// <param name="result">Filled.</param>
        /// <param name="offset">Byte of the result that it begins with.</param>
        /// <exception cref="WorkerException">The job has ended.</exception>
        public void Read(Span<byte> result, long offset = 0) => job.Collect(state, round, result, offset);
    }
}
