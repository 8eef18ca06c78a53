using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Rest;

namespace MLNet.SDN.Controller.Flows;

/// <summary>Live flows over REST.</summary>
internal static class FlowEndpoints
{
    private const int StandardPage = 500;
    private const int MaxPage = 5_000;

    /// <summary>Maps <c>/flows</c>, <c>/marking-faults</c> and <c>/marking-suspects</c>.</summary>
    public static void MapFlows(this RouteGroupBuilder api)
    {
        api.MapGet("/flows", List)
            .Produces<List<LiveFlow>>().ProducesProblem(StatusCodes.Status400BadRequest)
            .WithTags("flows").WithName("ListFlows").WithSummary("Flows seen now, fastest first. 'job' and 'host' narrow it.");
        api.MapGet("/marking-faults", (PathVerification paths) => TypedResults.Ok(paths.Faults.ToList()))
            .WithTags("flows").WithName("ListMarkingFaults").WithSummary("Pairs of hosts between which marks do not arrive as sent, within the last ten minutes.");
        api.MapGet("/marking-suspects", (RemarkingSwitches switches) => TypedResults.Ok(switches.Suspects.ToList()))
            .WithTags("flows").WithName("ListMarkingSuspects").WithSummary("Switches that may be what changes these marks, by the votes of all flows, likeliest first.");
    }

    private static IResult List(string? job, string? host, string? limit, LiveFlows flows)
    {
        if (!Paging.TryLimit(limit, StandardPage, MaxPage, out var count, out var fault))
        {
            return Problems.Fields(StatusCodes.Status400BadRequest, "The query cannot be read", [fault!]);
        }

        var (kept, _) = LiveClient.Select(flows.Snapshot().Flows, new() { Job = job, Host = host, MaxFlows = count });
        return TypedResults.Ok(kept.Values.OrderByDescending(f => f.RateBitsPerSecond).ThenBy(f => f.Key, StringComparer.Ordinal).ToList());
    }
}
