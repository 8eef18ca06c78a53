using Microsoft.Extensions.Logging;

namespace MLNet.SDN.Agent.Capture;

/// <summary>Event ids 3100-3199: capture. Ids are never reused; retire them in place with a comment.</summary>
internal static partial class CaptureLog
{
    [LoggerMessage(3100, LogLevel.Information, "Capturing on {Interface}")]
    public static partial void Started(ILogger logger, string @interface);

    [LoggerMessage(3101, LogLevel.Warning, "Not capturing on {Interface}: {Reason}. Flows of this host are neither shown nor recorded; trying again")]
    public static partial void Unavailable(ILogger logger, string @interface, string reason);

    [LoggerMessage(3102, LogLevel.Warning, "The kernel dropped {Count} frames on {Interface} before they were counted; raise Agent:CaptureRingBytes")]
    public static partial void Dropped(ILogger logger, long count, string @interface);

    [LoggerMessage(3103, LogLevel.Warning, "The flow table is full: {Count} flows made room for others; raise Agent:FlowTableEntries")]
    public static partial void Evicted(ILogger logger, long count);
}
