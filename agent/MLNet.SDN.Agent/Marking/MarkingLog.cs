using Microsoft.Extensions.Logging;

namespace MLNet.SDN.Agent.Marking;

/// <summary>Event ids 3200-3299: marking. Ids are never reused; retire them in place with a comment.</summary>
internal static partial class MarkingLog
{
    [LoggerMessage(3200, LogLevel.Information, "Marking rules replaced; the kernel holds {Hash}")]
    public static partial void Loaded(ILogger logger, string hash);

    [LoggerMessage(3201, LogLevel.Warning, "Selected flows are not marked: {Reason}")]
    public static partial void Unavailable(ILogger logger, string reason);

    [LoggerMessage(3202, LogLevel.Warning, "Somebody changed table inet mlnet_sdn; it was put back as the policy wants it")]
    public static partial void DriftRepaired(ILogger logger);

    [LoggerMessage(3203, LogLevel.Error, "Table inet mlnet_sdn is not as the policy wants it and could not be put back: {Reason}")]
    public static partial void RepairFailed(ILogger logger, string reason);

    [LoggerMessage(3204, LogLevel.Information, "Job {JobId} has no process on this host any more: its selectors mark nothing until a policy brings it with new trees")]
    public static partial void Withdrawn(ILogger logger, long jobId);

    [LoggerMessage(3205, LogLevel.Information, "There is no control group {Path} on this host: what its selectors name is marked once there is")]
    public static partial void CgroupAbsent(ILogger logger, string path);
}
