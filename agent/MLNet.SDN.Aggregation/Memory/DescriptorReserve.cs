namespace MLNet.SDN.Aggregation.Memory;

/// <summary>File descriptors that nothing from outside may take. Thread-safe.</summary>
/// <remarks>
/// The runtime ends the process when it cannot start a thread for want of descriptors, and so at a moment of its choosing. What others make us open (connections, shared memory)
/// must therefore stop short of the limit. The kernel gives the lowest free number, so a number close to the limit says that nearly all are in use.
/// </remarks>
internal static class DescriptorReserve
{
    /// <summary>For threads, capture, the controller's connection, files and child processes.</summary>
    public const int Size = 96;

    /// <summary>Whether enough are left behind this newly made descriptor. If not, it is to be closed at once.</summary>
    public static bool Spares(int descriptor)
    {
        var limit = Libc.DescriptorLimit();
        var bound = limit - Math.Min(Size, limit / 4);
        if (descriptor < bound)
        {
            return true;
        }

        // A call that waits for a connection takes its number before it waits: what that says may be long past.
        var now = Libc.Duplicate(descriptor);
        if (now >= 0)
        {
            _ = Libc.Close(now);
        }

        return now >= 0 && now < bound;
    }
}
