using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Jobs;
using MLNet.SDN.Controller.Rest;
using MLNet.SDN.Controller.State;
using MLNet.SDN.Planning;
using MLNet.SDN.Planning.Explanation;
using MLNet.SDN.Planning.Jobs;

namespace MLNet.SDN.Controller.Plans;

/// <summary>Questions about plans over REST. They change nothing.</summary>
internal static class InquiryEndpoints
{
    private const int MaxBodyBytes = 1 << 20;

    // For thousands of workers an answer takes seconds of a processor: the controller's other work must not wait for many of them at once.
    private static readonly SemaphoreSlim One = new(1, 1);

    /// <summary>Maps <c>/plans/preview</c> and <c>/jobs/{nameOrId}/explanation</c>.</summary>
    public static void MapInquiries(this RouteGroupBuilder api)
    {
        api.MapPost("/plans/preview", PreviewAsync)
            .Accepts<JobSpec>("application/json").Produces<PlanPreview>()
            .ProducesProblem(StatusCodes.Status400BadRequest).ProducesProblem(StatusCodes.Status413PayloadTooLarge)
            .ProducesProblem(StatusCodes.Status415UnsupportedMediaType).ProducesProblem(StatusCodes.Status422UnprocessableEntity)
            .WithTags("plans").WithName("PreviewPlan").WithSummary("What would happen if this job were submitted: its plan, what it gains, and what each other job loses. Changes nothing.");
        api.MapGet("/jobs/{nameOrId}/explanation", ExplainAsync)
            .Produces<PlanExplanation>().ProducesProblem(StatusCodes.Status404NotFound).ProducesProblem(StatusCodes.Status409Conflict)
            .WithTags("plans").WithName("ExplainPlan").WithSummary("Why a job runs as it does: its level, its trees, the link it waits for, who shares that, and what a further helper would bring.");
    }

    private static async Task<IResult> PreviewAsync(HttpContext context, ControlPlane control, JobProgress progress, PolicyComposer composer, CancellationToken cancellationToken)
    {
        var (spec, _, refusal) = await Problems.ReadBodyAsync(context.Request, ContractsJson.Default.JobSpec, MaxBodyBytes, cancellationToken);
        if (refusal is not null)
        {
            return refusal;
        }

        var state = control.Leading();
        var faults = JobRules.Check(spec!, state.Fabric, [.. state.Jobs.Values.Select(j => j.Record.Spec)]);
        if (faults.Count > 0)
        {
            return Problems.Fields(StatusCodes.Status422UnprocessableEntity, "The job cannot be run", faults);
        }

        return TypedResults.Ok(await AskAsync(() => PlanInquiry.Preview(spec!, Unfinished(state, progress), state.Fabric, state.Settings, composer.Ladder, cancellationToken), cancellationToken));
    }

    private static async Task<IResult> ExplainAsync(
        string nameOrId, ControlPlane control, JobProgress progress, JobViews views, PolicyComposer composer, IStateStore store, CancellationToken cancellationToken)
    {
        var state = control.Leading();
        if (await views.FindAsync(state, store, nameOrId, cancellationToken) is not var (view, _))
        {
            return Problems.NotFound("job", nameOrId);
        }

        return await AskAsync(() => PlanInquiry.Explain(view.Id, Unfinished(state, progress), state.Fabric, state.Settings, composer.Ladder, cancellationToken), cancellationToken) is { } explanation
            ? TypedResults.Ok(explanation)
            : Problems.Field(StatusCodes.Status409Conflict, "The job has no plan", "job", nameOrId, "It has ended, or its hosts have left the topology; only jobs that run have a plan.");
    }

    private static async Task<T> AskAsync<T>(Func<T> question, CancellationToken cancellationToken)
    {
        await One.WaitAsync(cancellationToken);
        try
        {
            return question();
        }
        finally
        {
            One.Release();
        }
    }

    private static List<PlanningJob> Unfinished(DesiredState state, JobProgress progress) =>
        [.. state.Jobs.Values.Select(j => new PlanningJob { JobId = j.Record.Id, Spec = j.Record.Spec, RoundsLeft = progress.RoundsLeft(j.Record), Slowdown = progress.Slowdown(j.Record), Previous = j.Plan })];
}
