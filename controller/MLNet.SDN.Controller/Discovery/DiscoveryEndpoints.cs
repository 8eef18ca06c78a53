namespace MLNet.SDN.Controller.Discovery;

/// <summary>Discovered jobs over REST.</summary>
internal static class DiscoveryEndpoints
{
    /// <summary>Maps <c>/discovered</c>.</summary>
    public static void MapDiscovery(this RouteGroupBuilder api) =>
        api.MapGet("/discovered", (DiscoveryUpkeep upkeep) => TypedResults.Ok(upkeep.Views.ToList()))
            .WithTags("jobs").WithName("ListDiscovered").WithSummary("Jobs that agents discovered by the environment of their processes: where they run, how their traffic repeats, and why they are not managed if they are not.");
}
