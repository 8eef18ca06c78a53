namespace MLNet.SDN.Aggregation.Client;

/// <summary>One stream of a <see cref="WorkerJob"/>, whose lock guards what changes here unless something else is said.</summary>
internal sealed class WorkerStream
{
    /// <summary>One round at a time.</summary>
    public SemaphoreSlim Turn { get; } = new(1, 1);

    /// <summary>Held while bytes go to or from <see cref="Memory"/>, which is not to vanish meanwhile.</summary>
    public Lock Copying { get; } = new();

    /// <summary>Null before the stream is open, and when the job has ended.</summary>
    public StreamMemory? Memory { get; set; }

    public ulong Next { get; set; }

    /// <summary>Ends when the agent has opened the stream.</summary>
    public TaskCompletionSource? Opening { get; set; }

    /// <summary>Ends with the round under way.</summary>
    public TaskCompletionSource? Round { get; set; }

    public void Unmap()
    {
        lock (Copying)
        {
            Memory?.Dispose();
            Memory = null;
        }
    }
}
