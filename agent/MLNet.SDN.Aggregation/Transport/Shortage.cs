using System.Globalization;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Aggregation.Memory;

namespace MLNet.SDN.Aggregation.Transport;

/// <summary>Whether this process has run out of file descriptors, kernel memory or threads: said once when it begins and once when it is over. Thread-safe.</summary>
/// <remarks>Gradients of running jobs pass through this process, so a shortage may refuse newcomers but never end it.</remarks>
internal sealed class Shortage(TimeProvider time, ILogger logger)
{
    /// <summary>A shortage that comes and goes with each connection is one.</summary>
    private static readonly TimeSpan OverAfter = TimeSpan.FromSeconds(10);

    private const int OutOfMemory = 12; // ENOMEM; .NET has no name for it

    private readonly Lock _lock = new();
    private long _last;
    private string? _trouble;

    /// <summary>What to tell the operator; null while there is enough.</summary>
    public string? Trouble => Volatile.Read(ref _trouble);

    /// <summary>Notes a failure if it is one of want.</summary>
    /// <param name="what">What could not be done.</param>
    /// <param name="failure">EMFILE, ENFILE, ENOBUFS and ENOMEM of a socket, or a thread that cannot be started.</param>
    /// <returns>Whether it was one; the caller waits a moment and tries again.</returns>
    public bool Met(string what, Exception failure)
    {
        if (failure is not (OutOfMemoryException
            or SocketException { SocketErrorCode: SocketError.TooManyOpenSockets or SocketError.NoBufferSpaceAvailable }
            or SocketException { NativeErrorCode: OutOfMemory }))
        {
            return false;
        }

        // No stack trace: to read one, the runtime would open files.
        Note(what, failure.Message);
        return true;
    }

    /// <summary>Whether a socket just made leaves enough file descriptors for the process to live; notes it when not, and the caller closes it.</summary>
    public bool Affords(string what, Socket socket)
    {
        var descriptor = (int)socket.Handle;
        if (DescriptorReserve.Spares(descriptor))
        {
            return true;
        }

        Note(what, string.Create(CultureInfo.InvariantCulture, $"{descriptor} of {Libc.DescriptorLimit()} are in use, the rest is kept for the agent itself"));
        return false;
    }

    /// <summary>Notes the end of a shortage. To be called regularly.</summary>
    public void Tick()
    {
        lock (_lock)
        {
            if (_trouble is not null && time.GetElapsedTime(_last) > OverAfter)
            {
                Volatile.Write(ref _trouble, null);
                AggregationLog.ShortageOver(logger);
            }
        }
    }

    private void Note(string what, string reason)
    {
        lock (_lock)
        {
            _last = time.GetTimestamp();
            if (_trouble is null)
            {
                AggregationLog.Shortage(logger, what, reason);
                Volatile.Write(ref _trouble, $"no file descriptors, memory or threads left for {what} ({reason}); running jobs go on, raise the limits of the agent");
            }
        }
    }
}
