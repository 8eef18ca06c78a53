using System.CommandLine;
using System.Globalization;
using MLNet.SDN.Cli.Controllers;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Cli.Jobs;

/// <summary><c>mlnetctl job submit|list|show|cancel</c>: jobs of a running controller.</summary>
internal static class JobCommand
{
    public static Command Create()
    {
        var call = new ControllerCall();
        var file = new Argument<string>("FILE") { Description = "The job, JSON; '-' for standard input." };
        var submit = new Command("submit", "Submits a job.") { file };
        submit.SetAction((parsed, cancellationToken) =>
            call.PostFileAsync(parsed, parsed.GetValue(file)!, "api/v1/jobs", ContractsJson.Default.JobView, (j, output) => output.Write(JobText.Of(j)), cancellationToken));

        var count = new Option<int>("--count") { Description = "At most so many, the newest.", DefaultValueFactory = _ => 100 };
        count.Require(r => r.GetValue(count) is < 1 or > 1_000 ? "--count must be from 1 to 1000." : null);
        var list = new Command("list", "Lists jobs, newest first.") { count };
        list.SetAction((parsed, cancellationToken) => call.AskAsync(
            parsed, client => client.GetAsync(string.Create(CultureInfo.InvariantCulture, $"api/v1/jobs?limit={parsed.GetValue(count)}"), cancellationToken),
            ContractsJson.Default.ListJobView, (jobs, output) => TextTable.Print(output, JobText.Heads, jobs.Select(JobText.Row)), cancellationToken));

        var show = new Command("show", "Shows a job: how far it is, its plan, and what is wrong with it.") { Job() };
        show.SetAction((parsed, cancellationToken) =>
            call.AskAsync(parsed, client => client.GetAsync(Path(parsed), cancellationToken), ContractsJson.Default.JobView, (j, output) => output.Write(JobText.Of(j)), cancellationToken));

        var cancel = new Command("cancel", "Withdraws a job; its workers hear of it at once.") { Job() };
        cancel.SetAction((parsed, cancellationToken) =>
            call.AskAsync(parsed, client => client.DeleteAsync(Path(parsed), cancellationToken), ContractsJson.Default.JobView, (j, output) => output.Write(JobText.Of(j)), cancellationToken));

        var command = new Command("job", "Submits, shows and withdraws jobs of a running controller.") { submit, list, show, cancel };
        call.AddTo(command);
        return command;
    }

    private static Argument<string> Job() => JobArgument.Create("Name or number of the job.");

    private static string Path(ParseResult parsed) => $"api/v1/jobs/{JobArgument.Segment(parsed)}";
}
