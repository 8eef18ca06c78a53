using System.Globalization;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Rest;
using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Controller.Jobs;

/// <summary>Jobs over REST.</summary>
internal static class JobEndpoints
{
    /// <summary>A job of 10,000 workers has about 200 kB.</summary>
    private const int MaxBodyBytes = 1 << 20;

    private const int StandardPage = 100;
    private const int MaxPage = 1_000;

    /// <summary>Maps <c>/jobs</c>.</summary>
    public static void MapJobs(this RouteGroupBuilder api)
    {
        api.MapPost("/jobs", SubmitAsync)
            .Accepts<JobSpec>("application/json").Produces<JobView>(StatusCodes.Status201Created)
            .ProducesProblem(StatusCodes.Status400BadRequest).ProducesProblem(StatusCodes.Status409Conflict)
            .ProducesProblem(StatusCodes.Status413PayloadTooLarge).ProducesProblem(StatusCodes.Status415UnsupportedMediaType)
            .ProducesProblem(StatusCodes.Status422UnprocessableEntity).ProducesProblem(StatusCodes.Status503ServiceUnavailable)
            .WithTags("jobs").WithName("SubmitJob").WithSummary("Submits a job. With an Idempotency-Key, a repeated request answers with the job of the first one.");
        api.MapGet("/jobs", ListAsync)
            .Produces<List<JobView>>().ProducesProblem(StatusCodes.Status400BadRequest)
            .WithTags("jobs").WithName("ListJobs").WithSummary("Jobs, newest first. The header Link names the next page.");
        api.MapGet("/jobs/{nameOrId}", GetAsync)
            .Produces<JobView>().ProducesProblem(StatusCodes.Status404NotFound)
            .WithTags("jobs").WithName("GetJob").WithSummary("A job by number or name; of several with one name the unfinished one, else the newest. The ETag names the version of its plan.");
        api.MapDelete("/jobs/{nameOrId}", CancelAsync)
            .Produces<JobView>().ProducesProblem(StatusCodes.Status404NotFound).ProducesProblem(StatusCodes.Status412PreconditionFailed)
            .WithTags("jobs").WithName("CancelJob").WithSummary("Withdraws a job. A job that has ended stays as it is.");
    }

    private static async Task<IResult> SubmitAsync(HttpContext context, ControlPlane control, JobViews views, CancellationToken cancellationToken)
    {
        var key = context.Request.Headers["Idempotency-Key"].ToString();
        if (key.Length > 255 || key.Any(c => c is < ' ' or > '~'))
        {
            return Problems.Field(StatusCodes.Status400BadRequest, "The key cannot be used", "Idempotency-Key", "", "must be 1-255 visible ASCII characters.");
        }

        var (spec, body, refusal) = await Problems.ReadBodyAsync(context.Request, ContractsJson.Default.JobSpec, MaxBodyBytes, cancellationToken);
        if (refusal is not null)
        {
            return refusal;
        }

        if (spec!.DiscoveryKey is not null)
        {
            return Problems.Field(StatusCodes.Status422UnprocessableEntity, "The job cannot be run", "discoveryKey", spec.DiscoveryKey, "Only agents discover; leave it out.");
        }

        var outcome = await control.SubmitAsync(spec, ApiGroup.Actor(context), key.Length == 0 ? null : key, PolicyComposer.Hash(body), cancellationToken);
        switch (outcome.Status)
        {
            case SubmitStatus.Created or SubmitStatus.Replayed:
                var job = outcome.Job!;
                var placed = control.Leading().Jobs.GetValueOrDefault(job.Id);
                if (outcome.Status == SubmitStatus.Replayed)
                {
                    context.Response.Headers["Idempotency-Replayed"] = "true";
                }

                Preconditions.SetETag(context, Version(job.Id, placed));
                return TypedResults.Created($"/api/v1/jobs/{job.Id.ToString(CultureInfo.InvariantCulture)}", placed is null ? views.Of(job) : views.Of(placed));
            case SubmitStatus.NameTaken:
                return Problems.Field(StatusCodes.Status409Conflict, "The name is taken", "name", spec!.Name, $"The unfinished job {outcome.Job!.Id} has this name; choose another one, or wait until that job has ended.");
            case SubmitStatus.KeyReused:
                return Problems.Field(StatusCodes.Status422UnprocessableEntity, "The key was used for another request", "Idempotency-Key", key, $"It came with another body before, for job {outcome.Job!.Id}; use a new key for a new job.");
            default:
                return Problems.Fields(StatusCodes.Status422UnprocessableEntity, "The job cannot be run", outcome.Faults);
        }
    }

    private static async Task<IResult> ListAsync(string? limit, string? cursor, HttpContext context, ControlPlane control, JobViews views, IStateStore store, CancellationToken cancellationToken)
    {
        if (!Paging.TryLimit(limit, StandardPage, MaxPage, out var count, out var fault))
        {
            return Problems.Fields(StatusCodes.Status400BadRequest, "The query cannot be read", [fault!]);
        }

        var before = long.MaxValue;
        if (cursor is not null && !long.TryParse(cursor, NumberStyles.None, CultureInfo.InvariantCulture, out before))
        {
            return Problems.Field(StatusCodes.Status400BadRequest, "The query cannot be read", "cursor", cursor, "take it from the Link header of the page before.");
        }

        var state = control.Leading();
        var records = await store.ListJobsAsync(before, count, cancellationToken);
        if (records.Count == count)
        {
            Paging.SetNext(context, records[^1].Id.ToString(CultureInfo.InvariantCulture));
        }

        return TypedResults.Ok(records.Select(r => state.Jobs.TryGetValue(r.Id, out var placed) ? views.Of(placed) : views.Of(r)).ToList());
    }

    private static async Task<IResult> GetAsync(string nameOrId, HttpContext context, ControlPlane control, JobViews views, IStateStore store, CancellationToken cancellationToken)
    {
        if (await views.FindAsync(control.Leading(), store, nameOrId, cancellationToken) is not var (view, placed))
        {
            return Problems.NotFound("job", nameOrId);
        }

        Preconditions.SetETag(context, Version(view.Id, placed));
        return TypedResults.Ok(view);
    }

    private static async Task<IResult> CancelAsync(string nameOrId, HttpContext context, ControlPlane control, JobViews views, IStateStore store, CancellationToken cancellationToken)
    {
        if (await views.FindAsync(control.Leading(), store, nameOrId, cancellationToken) is not var (view, found))
        {
            return Problems.NotFound("job", nameOrId);
        }

        var ifMatch = context.Request.Headers.IfMatch;
        if (found is not null)
        {
            var version = Version(view.Id, found);
            var outcome = await control.EndAsync(view.Id, JobState.Cancelled, ApiGroup.Actor(context), "withdrawn by a user", job => Preconditions.Allow(ifMatch, version = Version(job.Id, job)));
            if (outcome == EndOutcome.VersionDiffers)
            {
                return Preconditions.Failed(ifMatch, version);
            }

            var ended = await store.FindJobAsync(view.Id, cancellationToken);
            view = ended is null ? view : views.Of(ended);
        }
        else if (!Preconditions.Allow(ifMatch, Version(view.Id, null)))
        {
            return Preconditions.Failed(ifMatch, Version(view.Id, null));
        }

        Preconditions.SetETag(context, Version(view.Id, null));
        return TypedResults.Ok(view);
    }

    // An ended job does not change any more.
    private static string Version(long id, PlacedJob? placed) => placed is null ? $"{id}-ended" : $"{id}-{placed.InForceSince}";
}
