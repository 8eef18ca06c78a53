using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.Flows;

/// <summary>Event ids 2200-2249: live flows. Ids are never reused; retire them in place with a comment.</summary>
internal static partial class FlowLog
{
    [LoggerMessage(2200, LogLevel.Warning, "Marks sent from {Source} do not arrive at {Destination}: {Octets} octets left as {Sent} and arrived as {Arrived}. A switch on the way re-marks them; look at its trust and QoS settings")]
    public static partial void MarksDoNotArrive(ILogger logger, string source, string destination, Dscp sent, Dscp arrived, long octets);

    [LoggerMessage(2201, LogLevel.Information, "Marks from {Source} to {Destination} have not been changed on the way for a while")]
    public static partial void MarksArriveAgain(ILogger logger, string source, string destination);

    [LoggerMessage(2202, LogLevel.Warning, "{Count} flow records had impossible fields and were left out, the last from {Host}; the agent there may be of another version")]
    public static partial void BadRecords(ILogger logger, string host, long count);

    [LoggerMessage(2203, LogLevel.Error, "The live view failed; it goes on at the next turn")]
    public static partial void LiveFailed(ILogger logger, Exception fault);

    [LoggerMessage(2204, LogLevel.Information, "{Watchers} watch the live view")]
    public static partial void Watchers(ILogger logger, int watchers);

    [LoggerMessage(2205, LogLevel.Warning, "Switch {Switch} probably changes marks ({Percent} % of what explains the fault): {Reason}. Look at its trust and QoS settings")]
    public static partial void SwitchSuspected(ILogger logger, string @switch, int percent, string reason);

    [LoggerMessage(2206, LogLevel.Information, "Switch {Switch} is no longer suspected of changing marks")]
    public static partial void SwitchCleared(ILogger logger, string @switch);
}
