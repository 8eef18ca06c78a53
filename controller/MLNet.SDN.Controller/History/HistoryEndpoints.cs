using MLNet.SDN.Controller.Rest;

namespace MLNet.SDN.Controller.History;

/// <summary>History over REST.</summary>
internal static class HistoryEndpoints
{
    /// <summary>Maps <c>/history</c>.</summary>
    public static void MapHistory(this RouteGroupBuilder api) =>
        api.MapGet("/history/flows", () => Problems.Field(
            StatusCodes.Status503ServiceUnavailable, "There is no history", "Controller:Postgres", "", "is not set; set it to an Npgsql connection string to keep flow records."));
}
