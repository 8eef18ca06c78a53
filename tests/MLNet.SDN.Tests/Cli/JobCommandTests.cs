using System.CommandLine;
using MLNet.SDN.Cli;
using MLNet.SDN.Cli.Agents;
using MLNet.SDN.Cli.Jobs;
using MLNet.SDN.Contracts;
using MLNet.SDN.Tests.Controller;

namespace MLNet.SDN.Tests.Cli;

public sealed class JobCommandTests : IDisposable
{
    private readonly string file = Path.Combine(Path.GetTempPath(), $"mlnet-job-{Guid.NewGuid():N}.json");

    public void Dispose() => File.Delete(file);

    [Fact]
    public async Task Job_SubmittedListedShownAndCancelled_IsSaidInWords()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await File.WriteAllTextAsync(file, """{"name": "bert", "workers": ["h0-0-0", "h1-1-1"], "gradientBytes": 1000000, "rounds": 100}""", TestContext.Current.CancellationToken);

        Assert.Matches(@"^bert \(\d+\): pending, submitted .* UTC\nworkers 0/2, rounds 0/100\nLevel 1: .*\nrack: .*\nwaits for the agents of h0-0-0, h1-1-1\n$", await RunAsync(controller, 0, "submit", file));
        Assert.Matches(@"number +name +state .*\n.*─.*\n +\d+ +bert +pending +0/2 +0/100 +1 AF41 +rack", await RunAsync(controller, 0, "list"));
        Assert.Contains("\"gradientBytes\":1000000", await RunAsync(controller, 0, "show", "bert", "--json"), StringComparison.Ordinal);
        Assert.Matches(@"^bert \(\d+\): pending", await RunAsync(controller, 0, "show", "bert"));
        Assert.Matches(@"^bert \(\d+\): cancelled, submitted .*, ended .* UTC\n", await RunAsync(controller, 0, "cancel", "bert"));
    }

    [Fact]
    public async Task Job_ThatIsRefusedOrUnknown_IsOneLineThatNamesTheField()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await File.WriteAllTextAsync(file, """{"name": "bert", "workers": ["h0-0-0", "nowhere"]}""", TestContext.Current.CancellationToken);

        Assert.Contains("nowhere", Assert.Single((await RunAsync(controller, 1, "submit", file)).TrimEnd().Split('\n')), StringComparison.Ordinal);
        Assert.Contains("bert", Assert.Single((await RunAsync(controller, 1, "show", "bert")).TrimEnd().Split('\n')), StringComparison.Ordinal);
        Assert.StartsWith($"{file}.lacks: ", await RunAsync(controller, 1, "submit", $"{file}.lacks"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("job", "cancel", "")]
    [InlineData("job", "show", ".")]
    [InlineData("job", "show", "..")]
    [InlineData("plan", "explain", " ")]
    public async Task Job_ThatIsNoName_IsRefusedWithoutAsking(params string[] args)
    {
        using var error = new StringWriter();
        Assert.Equal(1, await OperatorCommands.RunAsync([.. args, "--controller", "http://127.0.0.1:9"], TextWriter.Null, error));
        Assert.Contains("is no job's name or number", Assert.Single(error.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Agents_OfEveryHost_AreListed()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");

        var text = await RunAsync(AgentsCommand.Create(), controller, 0);

        Assert.Matches(@"h0-0-0 +connected", text);
        Assert.Matches(@"h1-1-1 +never", text);
    }

    [Fact]
    public void Text_OfTroubles_StaysOnItsLine()
    {
        var job = new JobView
        {
            Id = 7, Spec = new() { Name = "bert", Workers = ["a"] }, State = JobState.Placed, SubmittedAt = DateTimeOffset.UnixEpoch, RoundsDone = 4, WorkersJoined = 1,
            Troubles = ["round 5 waits\u001b[2J\nfor a"], WaitingFor = [.. Enumerable.Range(1, 12).Select(i => $"h{i}")],
        };

        Assert.Equal(
            "bert (7): placed, submitted 1970-01-01 00:00:00 UTC\nworkers 1/1, rounds 5\nwaits for the agents of h1, h2, h3, h4, h5, h6, h7, h8 and 4 more\nwrong: round 5 waits [2J for a\n",
            JobText.Of(job));
    }

    private static Task<string> RunAsync(ControllerProcess controller, int code, params string[] args) => RunAsync(JobCommand.Create(), controller, code, args);

    /// <summary>What the command prints, on either output.</summary>
    private static async Task<string> RunAsync(Command command, ControllerProcess controller, int code, params string[] args)
    {
        using var output = new StringWriter();
        Assert.Equal(code, await command.Parse([.. args, "--controller", controller.Address.ToString()]).InvokeAsync(new() { Output = output, Error = output }, TestContext.Current.CancellationToken));
        return output.ToString();
    }
}
