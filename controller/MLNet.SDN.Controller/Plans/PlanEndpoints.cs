using System.Globalization;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Hosting;
using MLNet.SDN.Controller.Rest;
using MLNet.SDN.Controller.State;
using MLNet.SDN.Planning;

namespace MLNet.SDN.Controller.Plans;

/// <summary>Planning settings, topology, policies and the audit over REST.</summary>
internal static class PlanEndpoints
{
    private const int MaxSettingsBytes = 16_384;
    private const int MaxTopologyBytes = 16 << 20;
    private const int StandardPage = 100;
    private const int MaxPage = 1_000;

    /// <summary>Maps <c>/planning</c>, <c>/topology</c>, <c>/policies</c> and <c>/events</c>.</summary>
    public static void MapPlans(this RouteGroupBuilder api)
    {
        api.MapGet("/planning", (HttpContext context, ControlPlane control) =>
            {
                var state = control.Leading();
                Preconditions.SetETag(context, state.SettingsSince.ToString());
                return TypedResults.Ok(state.Settings);
            })
            .WithTags("plans").WithName("GetPlanning").WithSummary("How jobs are planned.");
        api.MapPut("/planning", PutPlanningAsync)
            .Accepts<PlanningSettings>("application/json").Produces<PlanningSettings>()
            .ProducesProblem(StatusCodes.Status400BadRequest).ProducesProblem(StatusCodes.Status412PreconditionFailed).ProducesProblem(StatusCodes.Status422UnprocessableEntity)
            .WithTags("plans").WithName("SetPlanning").WithSummary("Changes how jobs are planned, and plans all unfinished ones anew.");
        api.MapGet("/topology", (HttpContext context, ControlPlane control) =>
            {
                var state = control.Leading();
                Preconditions.SetETag(context, state.FabricSince.ToString());
                return TypedResults.Ok(state.Fabric.Source);
            })
            .WithTags("plans").WithName("GetTopology").WithSummary("The fabric, in NetworkX node-link form.");
        api.MapPut("/topology", PutTopologyAsync)
            .Accepts<Topology>("application/json").Produces<Topology>()
            .ProducesProblem(StatusCodes.Status400BadRequest).ProducesProblem(StatusCodes.Status412PreconditionFailed).ProducesProblem(StatusCodes.Status422UnprocessableEntity)
            .WithTags("plans").WithName("SetTopology").WithSummary("Replaces the fabric, and plans all unfinished jobs anew. It lasts until the controller starts with a changed topology file.");
        api.MapGet("/policies/{host}", GetPolicy)
            .Produces<HostPolicy>().ProducesProblem(StatusCodes.Status404NotFound)
            .WithTags("plans").WithName("GetPolicy").WithSummary("What a host is to hold. Secrets are left out.");
        api.MapGet("/events", ListEventsAsync)
            .Produces<List<EventView>>().ProducesProblem(StatusCodes.Status400BadRequest)
            .WithTags("plans").WithName("ListEvents").WithSummary("The audit: who changed what, and why; newest first. The header Link names the next page.");
    }

    private static async Task<IResult> PutPlanningAsync(HttpContext context, ControlPlane control, CancellationToken cancellationToken)
    {
        var (settings, _, refusal) = await Problems.ReadBodyAsync(context.Request, ContractsJson.Default.PlanningSettings, MaxSettingsBytes, cancellationToken);
        if (refusal is not null)
        {
            return refusal;
        }

        var faults = PlanningSettingsRules.Check(settings!);
        if (faults.Count > 0)
        {
            return Problems.Fields(StatusCodes.Status422UnprocessableEntity, "Jobs cannot be planned like this", faults);
        }

        var ifMatch = context.Request.Headers.IfMatch;
        if (!await control.SetPlanningAsync(settings!, ApiGroup.Actor(context), s => Preconditions.Allow(ifMatch, s.SettingsSince.ToString())))
        {
            return Preconditions.Failed(ifMatch, control.Leading().SettingsSince.ToString());
        }

        Preconditions.SetETag(context, control.Leading().SettingsSince.ToString());
        return TypedResults.Ok(control.Leading().Settings);
    }

    private static async Task<IResult> PutTopologyAsync(HttpContext context, ControlPlane control, CancellationToken cancellationToken)
    {
        if (!context.Request.HasJsonContentType())
        {
            return Problems.Field(StatusCodes.Status415UnsupportedMediaType, "The body must be JSON", "Content-Type", context.Request.ContentType ?? "", "Send 'Content-Type: application/json'.");
        }

        var body = await Problems.ReadLimitedAsync(context.Request.Body, MaxTopologyBytes, cancellationToken);
        if (body is null)
        {
            return Problems.Field(StatusCodes.Status413PayloadTooLarge, "The body is too large", "$", "", $"At most {MaxTopologyBytes} bytes are read.");
        }

        if (!TopologyFile.TryParse(body, out var fabric, out var faults))
        {
            return Problems.Fields(StatusCodes.Status422UnprocessableEntity, "The topology has faults", faults);
        }

        var ifMatch = context.Request.Headers.IfMatch;
        var missing = await control.SetTopologyAsync(fabric!, null, ApiGroup.Actor(context), s => Preconditions.Allow(ifMatch, s.FabricSince.ToString()));
        if (missing is null)
        {
            return Preconditions.Failed(ifMatch, control.Leading().FabricSince.ToString());
        }

        if (missing.Count > 0)
        {
            return Problems.Fields(StatusCodes.Status422UnprocessableEntity, "Unfinished jobs need hosts that the topology lacks", missing);
        }

        Preconditions.SetETag(context, control.Leading().FabricSince.ToString());
        return TypedResults.Ok(control.Leading().Fabric.Source);
    }

    private static IResult GetPolicy(string host, ControlPlane control)
    {
        if (!control.Leading().Policies.TryGetValue(host, out var desired))
        {
            return Problems.NotFound("host", host);
        }

        return TypedResults.Ok(desired.Policy with { Jobs = [.. desired.Policy.Jobs.Select(j => j with { Secret = "" })] });
    }

    private static async Task<IResult> ListEventsAsync(string? limit, string? cursor, HttpContext context, IStateStore store, CancellationToken cancellationToken)
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

        var events = await store.ListEventsAsync(before, count, cancellationToken);
        if (events.Count == count)
        {
            Paging.SetNext(context, events[^1].Id.ToString(CultureInfo.InvariantCulture));
        }

        return TypedResults.Ok(events.Select(e => new EventView(e.Id, e.Time, e.Revision, e.Event.Actor, e.Event.Action, e.Event.Subject, e.Event.Reason)).ToList());
    }
}

/// <summary>A line of the audit as REST shows it.</summary>
/// <param name="Id">Ascending.</param>
/// <param name="Time">UTC.</param>
/// <param name="Revision">Revision that the change made.</param>
/// <param name="Actor">Who.</param>
/// <param name="Action">What was done.</param>
/// <param name="Subject">To what.</param>
/// <param name="Reason">Why.</param>
public sealed record EventView(long Id, DateTimeOffset Time, Revision Revision, string Actor, string Action, string Subject, string Reason);
