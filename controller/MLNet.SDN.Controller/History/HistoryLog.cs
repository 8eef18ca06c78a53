namespace MLNet.SDN.Controller.History;

/// <summary>Event ids 2250-2299: flow history. Ids are never reused; retire them in place with a comment.</summary>
internal static partial class HistoryLog
{
    [LoggerMessage(2250, LogLevel.Error, "Flow records cannot be written ({Reason}); they wait in memory and are tried again")]
    public static partial void Away(ILogger logger, string reason);

    [LoggerMessage(2251, LogLevel.Information, "Flow records are written again")]
    public static partial void Back(ILogger logger);

    [LoggerMessage(2252, LogLevel.Error, "{Dropped} flow records were dropped so far: more than {Capacity} would have waited for the database (History:QueueRecords)")]
    public static partial void Dropped(ILogger logger, long dropped, int capacity);

    [LoggerMessage(2253, LogLevel.Error, "The database refused a report of {Host} for good ({Reason}); it is dropped")]
    public static partial void Refused(ILogger logger, string host, string reason);

    [LoggerMessage(2254, LogLevel.Warning, "A flow record of {Host} is dated {Time}, before retention or in the future, and was left out; look at the clock of that host")]
    public static partial void OutsideTime(ILogger logger, string host, DateTimeOffset time);

    [LoggerMessage(2255, LogLevel.Information, "{Dropped} days of flow records before {First} were dropped (History:RetentionDays)")]
    public static partial void Retired(ILogger logger, int dropped, DateOnly first);

    [LoggerMessage(2256, LogLevel.Warning, "Upkeep of flow history is postponed: {Reason}")]
    public static partial void UpkeepPostponed(ILogger logger, string reason);

    [LoggerMessage(2257, LogLevel.Warning, "The process ends with about {Records} flow records unwritten")]
    public static partial void Unwritten(ILogger logger, long records);
}
