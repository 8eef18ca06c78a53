namespace MLNet.SDN.Aggregation.Memory;

/// <summary>How much of the process's 128 TiB of addresses shared areas may take. Thread-safe.</summary>
/// <remarks>A mapping costs nothing before it is written to, so a worker can ask for any number of the largest. Threads, buffers and the other jobs must still find addresses.</remarks>
internal static class AddressSpace
{
    /// <summary>Bytes of all areas of one worker: sixteen of the largest.</summary>
    public const long MostOfWorker = 4L << 40;

    /// <summary>Bytes of all areas.</summary>
    public const long MostInAll = 64L << 40;

    private static long taken;

    /// <summary>Takes a range. False when too much is taken already.</summary>
    public static bool TryTake(long bytes)
    {
        if (Interlocked.Add(ref taken, bytes) <= MostInAll)
        {
            return true;
        }

        GiveBack(bytes);
        return false;
    }

    /// <summary>Gives back what <see cref="TryTake"/> took.</summary>
    public static void GiveBack(long bytes) => Interlocked.Add(ref taken, -bytes);
}
