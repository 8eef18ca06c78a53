using System.CommandLine;
using MLNet.SDN.Cli.Controllers;
using MLNet.SDN.Cli.Jobs;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Cli.Plans;

/// <summary><c>mlnetctl plan explain JOB</c> and <c>mlnetctl plan preview FILE</c>: questions to a running controller, which change nothing.</summary>
internal static class PlanCommand
{
    public static Command Create()
    {
        var call = new ControllerCall();
        var job = JobArgument.Create("Name or number of a job that runs.");
        var explain = new Command("explain", "Says why a job runs as it does.") { job };
        explain.SetAction((parsed, cancellationToken) => call.AskAsync(
            parsed, client => client.GetAsync($"api/v1/jobs/{JobArgument.Segment(parsed)}/explanation", cancellationToken),
            ContractsJson.Default.PlanExplanation, (e, output) => output.WriteLine(e.Text), cancellationToken));

        var file = new Argument<string>("FILE") { Description = "The job as it would be submitted, JSON; '-' for standard input." };
        var preview = new Command("preview", "Says what would happen if a job were submitted: its plan, its gain, and what others lose.") { file };
        preview.SetAction((parsed, cancellationToken) => call.PostFileAsync(
            parsed, parsed.GetValue(file)!, "api/v1/plans/preview", ContractsJson.Default.PlanPreview, (p, output) => output.WriteLine(p.Text), cancellationToken));

        var command = new Command("plan", "Asks a running controller about its plans.") { explain, preview };
        call.AddTo(command);
        return command;
    }
}
