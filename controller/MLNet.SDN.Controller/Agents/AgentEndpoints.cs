using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Rest;
using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Controller.Agents;

/// <summary>Agents over REST.</summary>
internal static class AgentEndpoints
{
    /// <summary>Maps <c>/agents</c>.</summary>
    public static void MapAgents(this RouteGroupBuilder api) =>
        api.MapGet("/agents", (ControlPlane control, AgentRegistry registry) =>
            {
                var state = control.Leading();
                return TypedResults.Ok(state.Policies.OrderBy(p => p.Key, StringComparer.Ordinal).Select(p => registry.Status(p.Key).View(p.Value.Policy.Revision)).ToList());
            })
            .Produces<List<AgentView>>()
            .WithTags("agents").WithName("ListAgents").WithSummary("The agent of every host of the topology: what it should hold, what it acknowledged, what it reports of itself.");
}
