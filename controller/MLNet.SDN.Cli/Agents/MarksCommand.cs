using System.CommandLine;
using System.Globalization;
using MLNet.SDN.Cli.Controllers;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Cli.Agents;

/// <summary><c>mlnetctl marks</c>: where marks do not arrive as they were sent, and which switches are suspected.</summary>
internal static class MarksCommand
{
    public static Command Create()
    {
        var call = new ControllerCall();
        var pairs = new Command("pairs", "Lists the pairs of hosts between which marks were changed within the last ten minutes.");
        pairs.SetAction((parsed, cancellationToken) => call.AskAsync(
            parsed, client => client.GetAsync("api/v1/marking-faults", cancellationToken), ContractsJson.Default.ListMarkingFault,
            (faults, output) => TextTable.Print(output, ["from", "to", "sent", "arrived", "octets", "since, UTC"], faults.Select(Row)), cancellationToken));
        var suspects = new Command("suspects", "Lists the switches that may be the cause, by the votes of all flows; those of one fault are alternatives.");
        suspects.SetAction((parsed, cancellationToken) => call.AskAsync(
            parsed, client => client.GetAsync("api/v1/marking-suspects", cancellationToken), ContractsJson.Default.ListMarkingSuspect,
            (found, output) => TextTable.Print(output, ["fault", "switch", "port to", "confidence", "votes"], found.Select(Row)), cancellationToken));
        var command = new Command("marks", "Shows marks that do not arrive as they were sent.") { pairs, suspects };
        call.AddTo(command);
        return command;
    }

    private static string[] Row(MarkingFault fault) =>
    [
        fault.Source, fault.Destination, fault.Sent.ToString(), fault.Arrived.ToString(), fault.Octets.ToString(CultureInfo.InvariantCulture),
        fault.Since.ToUniversalTime().ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture),
    ];

    private static string[] Row(MarkingSuspect suspect) =>
    [
        (suspect.Fault + 1).ToString(CultureInfo.InvariantCulture), suspect.Switch, suspect.Neighbour ?? "", suspect.Confidence.ToString("0%", CultureInfo.InvariantCulture), suspect.Reason,
    ];
}
