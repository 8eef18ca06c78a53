using Microsoft.Extensions.Logging;

namespace MLNet.SDN.Agent.Capture;

/// <summary>Keeps a source of frames open and reads it on a thread of its own, so that nothing else in the process delays it.</summary>
internal sealed class CaptureLoop : IDisposable
{
    // Often enough to stop at once by human standards, seldom enough to cost nothing when idle.
    private static readonly TimeSpan Wait = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan ReopenAfter = TimeSpan.FromSeconds(2);

    private readonly string interfaceName;
    private readonly Func<IFrameSource> open;
    private readonly FlowMeter meter;
    private readonly ILogger logger;
    private readonly ManualResetEventSlim stop = new();
    private Thread? thread;
    private volatile string? trouble;
    private long toldDrops;
    private long allocatedBytes;

    /// <summary>Creates a loop that does nothing yet.</summary>
    /// <param name="interfaceName">For the log.</param>
    /// <param name="open">Opens the source; throws <see cref="IOException"/> when it cannot.</param>
    /// <param name="meter">Where frames are counted.</param>
    /// <param name="logger">Where changes are told.</param>
    public CaptureLoop(string interfaceName, Func<IFrameSource> open, FlowMeter meter, ILogger logger)
    {
        this.interfaceName = interfaceName;
        this.open = open;
        this.meter = meter;
        this.logger = logger;
    }

    /// <summary>The interface.</summary>
    public string Interface => interfaceName;

    /// <summary>Why nothing is captured now; null while it is.</summary>
    public string? Trouble => trouble;

    /// <summary>Bytes that the reading thread has allocated on the managed heap so far.</summary>
    public long AllocatedBytes => Volatile.Read(ref allocatedBytes);

    /// <summary>Opens the source, once, and begins to read; when it cannot be opened, goes on trying.</summary>
    public void Start()
    {
        var first = TryOpen();
        thread = new Thread(() => Run(first)) { IsBackground = true, Name = "capture" };
        thread.Start();
    }

    /// <summary>Stops reading, after what has arrived by now was counted.</summary>
    public void Stop()
    {
        stop.Set();
        thread?.Join();
    }

    /// <inheritdoc />
    public void Dispose()
    {
        Stop();
        stop.Dispose();
    }

    private IFrameSource? TryOpen()
    {
        try
        {
            var source = open();
            toldDrops = 0;
            trouble = null;
            CaptureLog.Started(logger, interfaceName);
            return source;
        }
        catch (IOException exception)
        {
            if (trouble != exception.Message)
            {
                CaptureLog.Unavailable(logger, interfaceName, exception.Message);
            }

            trouble = exception.Message;
            return null;
        }
    }

    private void Run(IFrameSource? source)
    {
        while (!stop.IsSet)
        {
            if (source is null)
            {
                stop.Wait(ReopenAfter);
                source = stop.IsSet ? null : TryOpen();
                continue;
            }

            try
            {
                source.Read(meter, Wait);
            }
            catch (IOException exception)
            {
                CaptureLog.Unavailable(logger, interfaceName, exception.Message);
                trouble = exception.Message;
            }

            TellDrops(source);
            Volatile.Write(ref allocatedBytes, GC.GetAllocatedBytesForCurrentThread());
            if (trouble is not null)
            {
                source.Dispose();
                source = null;
            }
        }

        if (source is not null)
        {
            ReadRest(source);
            source.Dispose();
        }
    }

    private void ReadRest(IFrameSource source)
    {
        try
        {
            source.Finish(meter);
        }
        catch (IOException)
        {
            // Gone in the moment of stopping: what was counted stands.
        }

        TellDrops(source);
    }

    private void TellDrops(IFrameSource source)
    {
        if (source.Drops != toldDrops)
        {
            meter.AddDrops(source.Drops - toldDrops);
            toldDrops = source.Drops;
        }
    }
}
