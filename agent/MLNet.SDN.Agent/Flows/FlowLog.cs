using System.Net;
using Microsoft.Extensions.Logging;

namespace MLNet.SDN.Agent.Flows;

/// <summary>Event ids 3050-3059: what becomes of flow records. Ids are never reused; retire them in place with a comment.</summary>
internal static partial class FlowLog
{
    [LoggerMessage(3050, LogLevel.Warning, "Flow records cannot be sent to the IPFIX collector {Collector}: {Reason}. They are lost to it until that is mended; the controller gets them all the same")]
    public static partial void ExportFailed(ILogger logger, IPEndPoint collector, string reason);
}
