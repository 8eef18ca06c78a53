using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Client;

/// <summary>One stream of a <see cref="WorkerJob"/>, whose lock guards what changes here unless something else is said.</summary>
internal sealed class WorkerStream
{
    private TaskCompletionSource? _answered;

    /// <summary>One round at a time.</summary>
    public SemaphoreSlim Turn { get; } = new(1, 1);

    /// <summary>Held while bytes go to or from <see cref="Memory"/>, which is not to vanish meanwhile.</summary>
    public Lock Copying { get; } = new();

    /// <summary>Null before the stream is open, and when the job has ended.</summary>
    public StreamMemory? Memory { get; private set; }

    /// <summary>The memory before that, until a round in the newer one is done: an agent that is started anew may need what others have not had of it.</summary>
    public StreamMemory? Previous { get; private set; }

    /// <summary>Number of the round that is begun next.</summary>
    public ulong Next { get; private set; }

    /// <summary>The <c>open</c> or <c>reduce</c> that the agent has not answered yet.</summary>
    public WorkerMessage? Request { get; private set; }

    /// <summary>The first round whose outcome this worker does not know.</summary>
    public ulong Unknown => Request?.Round ?? Next;

    /// <summary>Notes a request; the task ends with its answer.</summary>
    public Task Asked(WorkerMessage request)
    {
        _answered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Request = request;
        Next = request.Round + 1 ?? Next;
        return _answered.Task;
    }

    /// <summary>The request is answered.</summary>
    /// <returns>To be completed; null when nothing was asked.</returns>
    public TaskCompletionSource? Answered()
    {
        var answered = _answered;
        (_answered, Request) = (null, null);
        return answered;
    }

    /// <summary>Rounds go through another memory.</summary>
    public void Replace(StreamMemory memory, ulong first)
    {
        lock (Copying)
        {
            Previous?.Dispose();
            (Previous, Memory, Next) = (Memory, memory, first);
        }
    }

    /// <summary>A round in <see cref="Memory"/> is done.</summary>
    public void ForgetPrevious()
    {
        Previous?.Dispose();
        Previous = null;
    }

    public void Unmap()
    {
        lock (Copying)
        {
            ForgetPrevious();
            Memory?.Dispose();
            Memory = null;
        }
    }
}
