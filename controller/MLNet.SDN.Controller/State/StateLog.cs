using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.State;

/// <summary>Event ids 1050-1099 (leadership) and 2100-2149 (desired state). Ids are never reused; retire them in place with a comment.</summary>
internal static partial class StateLog
{
    [LoggerMessage(1050, LogLevel.Information, "Leading with term {Term}: {Jobs} unfinished jobs, {Hosts} hosts")]
    public static partial void Leading(ILogger logger, long term, int jobs, int hosts);

    [LoggerMessage(1051, LogLevel.Information, "Standing by: controller {Holder} leads, its lease ends in {FreeIn} unless it renews")]
    public static partial void StandingBy(ILogger logger, string holder, TimeSpan freeIn);

    [LoggerMessage(1052, LogLevel.Error, "The database cannot be reached ({Reason}); trying again in {Delay}. Agents keep what they have")]
    public static partial void StoreAway(ILogger logger, string reason, TimeSpan delay);

    [LoggerMessage(1053, LogLevel.Error, "Another process took the lease of term {Term}; this one steps back and reads anew what is stored")]
    public static partial void LeaseLost(ILogger logger, long term);

    [LoggerMessage(1054, LogLevel.Critical, "A second process runs as instance '{Instance}'. This one stops, since each would take the lease from the other; give one of them another Controller:Instance")]
    public static partial void SameInstance(ILogger logger, string instance);

    [LoggerMessage(1055, LogLevel.Warning, "No Controller:Postgres is set: state is in memory, jobs are forgotten when this process ends, and there is no history")]
    public static partial void InMemory(ILogger logger);

    [LoggerMessage(1056, LogLevel.Critical, "This controller cannot lead: {Fault}")]
    public static partial void CannotLead(ILogger logger, string fault);

    [LoggerMessage(2100, LogLevel.Information, "Revision {Revision}: {Actor} {Action} {Subject}: {Reason}")]
    public static partial void Changed(ILogger logger, Revision revision, string actor, string action, string subject, string reason);

    [LoggerMessage(2101, LogLevel.Error, "The planner failed; the other jobs keep their plans")]
    public static partial void PlannerFailed(ILogger logger, Exception fault);

    [LoggerMessage(2102, LogLevel.Error, "A change could not be stored; nothing was changed here")]
    public static partial void CommitFailed(ILogger logger, Exception fault);

    [LoggerMessage(2103, LogLevel.Warning, "Figures of jobs could not be stored ({Reason}); they are kept and tried again")]
    public static partial void FiguresNotStored(ILogger logger, string reason);

    [LoggerMessage(2104, LogLevel.Error, "Job upkeep failed; it goes on at the next turn")]
    public static partial void UpkeepFailed(ILogger logger, Exception fault);
}
