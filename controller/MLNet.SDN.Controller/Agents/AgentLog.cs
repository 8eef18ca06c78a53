using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.Agents;

/// <summary>Event ids 2000-2099: agents. Ids are never reused; retire them in place with a comment.</summary>
internal static partial class AgentLog
{
    [LoggerMessage(2000, LogLevel.Information, "Agent of {Host} connected from {Endpoint}, version {Version}, holds revision {Installed}")]
    public static partial void Connected(ILogger logger, string host, string endpoint, string version, Revision installed);

    [LoggerMessage(2001, LogLevel.Warning, "Agent of {Host} is gone; its host keeps marks and trees until it returns")]
    public static partial void Disconnected(ILogger logger, string host);

    [LoggerMessage(2002, LogLevel.Warning, "Refused an agent at {Endpoint}: {Reason}")]
    public static partial void Refused(ILogger logger, string endpoint, string reason);

    [LoggerMessage(2003, LogLevel.Information, "Agent of {Host} at {Former} is replaced by the one at {Endpoint}")]
    public static partial void Replaced(ILogger logger, string host, string former, string endpoint);

    [LoggerMessage(2004, LogLevel.Error, "Two agents run as {Host}: {Endpoint} is refused while {Current} is connected")]
    public static partial void TwoAgents(ILogger logger, string host, string endpoint, string current);

    [LoggerMessage(2005, LogLevel.Error, "Agent of {Host} could not apply revision {Revision}: {Error}")]
    public static partial void NotApplied(ILogger logger, string host, Revision revision, string error);

    [LoggerMessage(2006, LogLevel.Debug, "Agent of {Host} applied revision {Revision}")]
    public static partial void Applied(ILogger logger, string host, Revision revision);

    [LoggerMessage(2007, LogLevel.Warning, "Message of the agent of {Host} was refused: {Reason}")]
    public static partial void MessageRefused(ILogger logger, string host, string reason);

    [LoggerMessage(2008, LogLevel.Warning, "What the agent of {Host} said could not be stored ({Reason}); it is asked again at its next Hello")]
    public static partial void NotStored(ILogger logger, string host, string reason);

    [LoggerMessage(2009, LogLevel.Error, "Agent of {Host} holds the policy but cannot take part in job {JobId} as planned: {Reason}")]
    public static partial void PlanRefused(ILogger logger, string host, long jobId, string reason);

    [LoggerMessage(2010, LogLevel.Warning, "A connection of an agent from {Endpoint} was turned away: {Reason} ({Count} so far)")]
    public static partial void TurnedAway(ILogger logger, string endpoint, string reason, long count);

    [LoggerMessage(2011, LogLevel.Warning, "No Controller:AgentToken or Controller:AgentTokenFile is set: agents do not prove who they are, and whoever says Hello as a host gets the secrets of its jobs. {Consequence}")]
    public static partial void NoToken(ILogger logger, string consequence);
}
