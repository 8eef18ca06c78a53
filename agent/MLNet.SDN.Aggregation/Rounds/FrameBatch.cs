namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>
/// What a thread adds to queues while it handles a frame, and then writes by itself: to wake a connection's own thread for a small frame costs more than to send it, and on a busy host it
/// runs milliseconds later. Belongs to one thread; nothing is allocated for a frame.
/// </summary>
internal sealed class FrameBatch
{
    [ThreadStatic]
    private static FrameBatch? t_open;

    private readonly List<FrameQueue> _queues = [];

    /// <summary>The batch that the calling thread has begun; null outside of one.</summary>
    public static FrameBatch? Open => t_open;

    /// <summary>From now on frames that this thread adds wake nobody, until it calls <see cref="Write"/>, which it must.</summary>
    public void Begin() => t_open = this;

    /// <summary>Notes a queue that got a frame.</summary>
    public void Note(FrameQueue queue)
    {
        if (!_queues.Contains(queue))
        {
            _queues.Add(queue);
        }
    }

    /// <summary>Ends the batch: writes its frames as far as connections take them at once, and leaves the others to their own threads. Not to be called with a lock held.</summary>
    public void Write()
    {
        t_open = null;
        foreach (var queue in _queues)
        {
            queue.WriteNow();
        }

        _queues.Clear();
    }
}

/// <summary>A connection that takes frames from a queue.</summary>
internal interface IFrameWriter
{
    /// <summary>Writes the queue's next frame, if the connection takes it at once and nobody else is writing. Never waits. A frame that was written in part is the connection's own to finish.</summary>
    /// <returns>Whether another may follow.</returns>
    bool TryWriteNext();
}
