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
        return descriptor < limit - Math.Min(Size, limit / 4);
    }
}
