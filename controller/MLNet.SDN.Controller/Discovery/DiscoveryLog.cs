namespace MLNet.SDN.Controller.Discovery;

/// <summary>Event ids 2150-2199: discovered jobs. Ids are never reused; retire them in place with a comment.</summary>
internal static partial class DiscoveryLog
{
    [LoggerMessage(2150, LogLevel.Warning, "Discovered job {Job} is left alone: {Reason}")]
    public static partial void NotPlaced(ILogger logger, string job, string reason);

    [LoggerMessage(2151, LogLevel.Error, "Discovered jobs could not be looked after; the next turn tries again")]
    public static partial void TurnFailed(ILogger logger, Exception exception);
}
