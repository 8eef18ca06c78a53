using Microsoft.AspNetCore.Http.HttpResults;
using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Controller.Rest;

/// <summary>What all of <c>/api/v1</c> has in common.</summary>
internal static class ApiGroup
{
    /// <summary>Maps the group; refusals that any endpoint can meet become problem+json here.</summary>
    public static RouteGroupBuilder MapApi(this WebApplication app)
    {
        var api = app.MapGroup("/api/v1");
        api.AddEndpointFilter(async (context, next) =>
        {
            try
            {
                return await next(context);
            }
            catch (NotLeadingException fault)
            {
                return Unavailable(fault.Message);
            }
            catch (LeaseLostException fault)
            {
                return Unavailable($"{fault.Message} Nothing was changed; try again in a moment.");
            }
            catch (StoreUnavailableException fault)
            {
                return Unavailable(fault.MaybeStored
                    ? $"The database went away during the change ({fault.Message}); read again whether it was made."
                    : $"The database cannot be reached ({fault.Message}). Nothing was changed; try again in a moment.");
            }
        });
        return api;
    }

    /// <summary>Who asks, for the audit.</summary>
    public static string Actor(HttpContext context) => $"rest {context.Connection.RemoteIpAddress?.ToString() ?? "?"}";

    /// <summary>What is desired now.</summary>
    /// <exception cref="NotLeadingException">This process does not lead.</exception>
    public static DesiredState Leading(this ControlPlane control) => control.Current ?? throw new NotLeadingException();

    private static ProblemHttpResult Unavailable(string detail) =>
        TypedResults.Problem(detail, statusCode: StatusCodes.Status503ServiceUnavailable, title: "Not now");
}
