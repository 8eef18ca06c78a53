using Microsoft.AspNetCore.SignalR;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.Flows;

/// <summary>Where dashboards and <c>mlnetctl --watch</c> connect.</summary>
internal sealed class LiveHub(LiveBroadcast broadcast, IHubContext<LiveHub> hub) : Hub
{
    private const int MaxFlows = 5_000;
    private const int MaxName = 255;

    /// <inheritdoc cref="LiveHubMethods.Subscribe"/>
    [HubMethodName(LiveHubMethods.Subscribe)]
    public void Subscribe(LiveFilter? filter)
    {
        if (filter is null)
        {
            throw new HubException("Subscribe needs one argument, the filter.");
        }

        if (filter.MaxFlows is < 1 or > MaxFlows)
        {
            throw new HubException($"maxFlows {filter.MaxFlows} must be between 1 and {MaxFlows}.");
        }

        if (filter.Job?.Length > MaxName || filter.Host?.Length > MaxName)
        {
            throw new HubException($"job and host must have at most {MaxName} characters.");
        }

        if (!broadcast.Subscribe(Context.ConnectionId, hub.Clients.Client(Context.ConnectionId), filter, Context.ConnectionAborted))
        {
            throw new HubException($"More than {LiveBroadcast.MaxClients} watch already.");
        }
    }

    /// <inheritdoc />
    public override Task OnDisconnectedAsync(Exception? exception)
    {
        broadcast.Unsubscribe(Context.ConnectionId);
        return base.OnDisconnectedAsync(exception);
    }
}
