using Microsoft.Extensions.Logging;

namespace MLNet.SDN.Agent.Discovery;

/// <summary>Event ids 3320-3399: discovery of jobs. Ids are never reused; retire them in place with a comment.</summary>
internal static partial class DiscoveryLog
{
    [LoggerMessage(3320, LogLevel.Information, "Discovery starts: every {Seconds} s, processes of network namespace {Namespace}, variables {Variables}; hands over to {Socket}")]
    public static partial void Starting(ILogger logger, double seconds, string @namespace, string variables, string socket);

    [LoggerMessage(3321, LogLevel.Information, "The agent listens; processes are looked at from now on")]
    public static partial void Attached(ILogger logger);

    [LoggerMessage(3322, LogLevel.Warning, "No agent takes what is discovered: {Reason}. Nothing is looked at meanwhile")]
    public static partial void Detached(ILogger logger, string reason);

    [LoggerMessage(3323, LogLevel.Information, "Looked into {Count} processes of distributed jobs: {ProcessIds}; of {Processes} processes {Elsewhere} are of other network namespaces, {Read} had their variables searched")]
    public static partial void LookedInto(ILogger logger, int count, string processIds, int processes, int elsewhere, int read);

    [LoggerMessage(3324, LogLevel.Warning, "{Refused} processes could not be looked at, not even for their network namespace: discovery needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH to see other users' jobs")]
    public static partial void Refused(ILogger logger, int refused);

    [LoggerMessage(3330, LogLevel.Information, "A discovery unit is attached (process {ProcessId})")]
    public static partial void UnitAttached(ILogger logger, int processId);

    [LoggerMessage(3331, LogLevel.Warning, "The discovery unit is gone: {Reason}. Jobs that it found are dropped in {Seconds} s unless it comes back")]
    public static partial void UnitGone(ILogger logger, string reason, double seconds);

    [LoggerMessage(3332, LogLevel.Warning, "Turned away process {ProcessId} of user {UserId} on the discovery socket: only this agent's user and root may hand over")]
    public static partial void TurnedAway(ILogger logger, int processId, int userId);

    [LoggerMessage(3333, LogLevel.Information, "Rounds of {Job}: {Period:F3} s each, {Bytes} bytes sent from here, bytes flow {Duty:P0} of the time; confidence {Confidence:F2}, {Rounds} rounds")]
    public static partial void Profiled(ILogger logger, string job, double period, long bytes, double duty, double confidence, int rounds);

    [LoggerMessage(3335, LogLevel.Warning, "What was seen of jobs here before cannot be read: {Reason}. Those that ended meanwhile are marked until the controller says that they have")]
    public static partial void SeenUnusable(ILogger logger, string reason);

    [LoggerMessage(3336, LogLevel.Warning, "What is seen of jobs here cannot be saved: {Reason}. The next look tries again")]
    public static partial void SeenNotSaved(ILogger logger, string reason);

    [LoggerMessage(3334, LogLevel.Warning, "Discovery does not work: {Reason}")]
    public static partial void Unavailable(ILogger logger, string reason, Exception? exception = null);
}
