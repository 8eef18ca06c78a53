namespace MLNet.SDN.Controller.Hosting;

/// <summary>Event ids 1000-1049: the process. Ids are never reused; retire them in place with a comment.</summary>
internal static partial class HostLog
{
    [LoggerMessage(1000, LogLevel.Error, "A request failed: {Method} {Path}")]
    public static partial void RequestFailed(ILogger logger, string method, string path, Exception? fault);
}
