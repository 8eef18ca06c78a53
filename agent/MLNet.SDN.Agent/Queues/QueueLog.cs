using Microsoft.Extensions.Logging;

namespace MLNet.SDN.Agent.Queues;

/// <summary>Event ids 3300-3319: queues of the host's egress. Ids are never reused; retire them in place with a comment.</summary>
internal static partial class QueueLog
{
    [LoggerMessage(3300, LogLevel.Information, "{Interface} serves the classes of the ladder (HTB)")]
    public static partial void Loaded(ILogger logger, string @interface);

    [LoggerMessage(3301, LogLevel.Warning, "No queues by class on this host: {Reason}")]
    public static partial void Unavailable(ILogger logger, string reason);
}
