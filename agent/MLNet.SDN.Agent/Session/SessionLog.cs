using Microsoft.Extensions.Logging;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Session;

/// <summary>Event ids 3000-3099: the agent's process, its policy and its session with the controller. Ids are never reused; retire them in place with a comment.</summary>
internal static partial class SessionLog
{
    [LoggerMessage(3000, LogLevel.Information, "Agent of {Host} starts: version {Version}, boot {Boot}")]
    public static partial void Starting(ILogger logger, string host, string version, Guid boot);

    [LoggerMessage(3001, LogLevel.Information, "Agent stops; marks stay until the next policy or mlnet-agent disable")]
    public static partial void Stopping(ILogger logger);

    [LoggerMessage(3002, LogLevel.Information, "Connected to controller {Controller}")]
    public static partial void Connected(ILogger logger, Uri controller);

    [LoggerMessage(EventId = 3003, Message = "No session with controller {Controller}: {Reason}. The policy in force stays; next attempt in {DelayMs} ms")]
    public static partial void Disconnected(ILogger logger, LogLevel level, Uri controller, string reason, long delayMs);

    // 3004, retired: refusal of the host; now a reason of 3003.
    [LoggerMessage(3010, LogLevel.Information, "Policy {Revision} in force: {Jobs} jobs, {Selectors} selectors")]
    public static partial void PolicyInstalled(ILogger logger, Revision revision, int jobs, int selectors);

    [LoggerMessage(3011, LogLevel.Warning, "Policy {Revision} not applied, {Installed} stays: {Reason}")]
    public static partial void PolicyRefused(ILogger logger, Revision revision, Revision installed, string reason);

    [LoggerMessage(3012, LogLevel.Error, "Policy {Revision} is in force but could not be saved: {Reason}. After a restart the agent would begin with the one before")]
    public static partial void PolicyNotSaved(ILogger logger, Revision revision, string reason);

    [LoggerMessage(3013, LogLevel.Error, "The saved policy {Path} cannot be used: {Reason}. The agent starts without and waits for a controller")]
    public static partial void SavedPolicyUnusable(ILogger logger, string path, string reason);

    [LoggerMessage(3014, LogLevel.Error, "The controller sent a policy that cannot be read, {Installed} stays: {Reason}")]
    public static partial void PolicyUnreadable(ILogger logger, Revision installed, string reason);

    [LoggerMessage(3020, LogLevel.Warning, "A background task failed and goes on: {Reason}")]
    public static partial void TaskFailed(ILogger logger, string reason, Exception exception);

    [LoggerMessage(3021, LogLevel.Warning, "{Reports} flow reports could not be delivered before the agent stopped")]
    public static partial void ReportsUndelivered(ILogger logger, int reports);

    [LoggerMessage(3022, LogLevel.Warning, "mlnet-agent status, policy and flows will find no answer: {Reason}")]
    public static partial void ControlUnavailable(ILogger logger, string reason);
}
