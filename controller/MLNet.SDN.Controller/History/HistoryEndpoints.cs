using System.Globalization;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Rest;

namespace MLNet.SDN.Controller.History;

/// <summary>History over REST.</summary>
internal static class HistoryEndpoints
{
    private const int StandardPage = 500;
    private const int MaxPage = 5_000;

    private static readonly TimeSpan StandardSpan = TimeSpan.FromDays(1);

    /// <summary>Maps <c>/history</c>.</summary>
    public static void MapHistory(this RouteGroupBuilder api) =>
        api.MapGet("/history/flows", ReadAsync)
            .Produces<List<HistoryFlow>>().ProducesProblem(StatusCodes.Status400BadRequest).ProducesProblem(StatusCodes.Status503ServiceUnavailable)
            .WithTags("history").WithName("ListHistoryFlows")
            .WithSummary("Stored flow records, newest first: of a job, from a time (inclusive) to a time (exclusive), ISO 8601; the last day when unset. The header Link names the next page.");

    private static async Task<IResult> ReadAsync(
        string? job, string? from, string? to, string? limit, string? cursor, HttpContext context, TimeProvider time, CancellationToken cancellationToken)
    {
        if (context.RequestServices.GetService<FlowHistoryReader>() is not { } reader)
        {
            return Problems.Field(StatusCodes.Status503ServiceUnavailable, "There is no history", "Controller:Postgres", "", "is not set; set it to an Npgsql connection string to keep flow records.");
        }

        List<FieldFault> faults = [];
        if (!Paging.TryLimit(limit, StandardPage, MaxPage, out var count, out var fault))
        {
            faults.Add(fault!);
        }

        var until = ReadTime("to", to, time.GetUtcNow().AddDays(1), faults);
        var since = ReadTime("from", from, (to is null ? time.GetUtcNow() : until) - StandardSpan, faults);
        if (faults.Count == 0 && since >= until)
        {
            faults.Add(new("from", from ?? "", "must be before 'to'."));
        }

        if (job is { Length: > 63 } || job?.Contains('\0', StringComparison.Ordinal) == true)
        {
            faults.Add(new("job", "", "is no job's name."));
        }

        (DateTimeOffset, long)? before = null;
        if (cursor is not null)
        {
            var parts = cursor.Split('-');
            if (parts.Length == 2 && long.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out var ticks) && ticks <= DateTimeOffset.MaxValue.UtcTicks
                && long.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var id))
            {
                before = (new(ticks, TimeSpan.Zero), id);
            }
            else
            {
                faults.Add(new("cursor", cursor, "take it from the Link header of the page before."));
            }
        }

        if (faults.Count > 0)
        {
            return Problems.Fields(StatusCodes.Status400BadRequest, "The query cannot be read", faults);
        }

        var (flows, next) = await reader.ReadAsync(new(job, since, until, before, count), cancellationToken);
        if (next is { } place)
        {
            Paging.SetNext(context, string.Create(CultureInfo.InvariantCulture, $"{place.Time.UtcTicks}-{place.Id}"));
        }

        return TypedResults.Ok(flows.ToList());
    }

    private static DateTimeOffset ReadTime(string field, string? text, DateTimeOffset standard, List<FieldFault> faults)
    {
        if (text is null)
        {
            return standard;
        }

        // A time without a zone is UTC, as everywhere here. PostgreSQL has no year 0 or 10000.
        if (DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out var value) && value.Year is > 1 and < 9999)
        {
            return value;
        }

        faults.Add(new(field, text, "must be a time such as 2025-06-01T12:00:00Z."));
        return standard;
    }
}
