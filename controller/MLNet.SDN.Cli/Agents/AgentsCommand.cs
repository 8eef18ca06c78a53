using System.CommandLine;
using System.Globalization;
using MLNet.SDN.Cli.Controllers;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Cli.Agents;

/// <summary><c>mlnetctl agents</c>: the agent of every host, as a running controller sees it.</summary>
internal static class AgentsCommand
{
    public static Command Create()
    {
        var call = new ControllerCall();
        var command = new Command("agents", "Lists the agent of every host: whether it is there, what it should hold and what it holds, and what is wrong.");
        call.AddTo(command);
        command.SetAction((parsed, cancellationToken) => call.AskAsync(
            parsed, client => client.GetAsync("api/v1/agents", cancellationToken), ContractsJson.Default.ListAgentView,
            (agents, output) => TextTable.Print(output, ["host", "state", "last seen, UTC", "version", "should hold", "holds", "wrong"], agents.Select(Row)), cancellationToken));
        return command;
    }

    private static string[] Row(AgentView agent) =>
    [
        agent.Host, agent.State, agent.LastSeen?.ToUniversalTime().ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture) ?? "", agent.Version ?? "",
        agent.Desired == Revision.None ? "" : agent.Desired.ToString(), agent.Acknowledged == agent.Desired ? "the same" : agent.Acknowledged == Revision.None ? "" : agent.Acknowledged.ToString(),
        string.Join("; ", agent.Troubles.Concat(agent.Error is { } error ? [error] : [])),
    ];
}
