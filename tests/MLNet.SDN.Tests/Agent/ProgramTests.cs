using System.Diagnostics;
using System.Text.Json;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;
using MLNet.SDN.Tests.Agent.Policies;

namespace MLNet.SDN.Tests.Agent;

/// <summary>The program as a person calls it. Runs that need capabilities are in the system tests.</summary>
public sealed class ProgramTests
{
    private static readonly string[] Good =
        ["--Agent:Host=h0", "--Agent:Controllers:0=http://127.0.0.1:1", "--Agent:Interface=eth0", "--Agent:DataAddress=10.0.0.2"];

    [Fact]
    public async Task CheckConfig_Good_ExitsWith0() => Assert.Equal((0, "The configuration is good.\n", ""), await RunAsync(["--check-config", .. Good]));

    [Fact]
    public async Task CheckConfig_Faulty_ExitsWith1AndTellsEveryFault()
    {
        var (code, output, error) = await RunAsync(["--check-config", .. Good, "--Agent:DataPort=70000", "--Agent:Interfce=eth1"]);

        Assert.Equal((1, ""), (code, output));
        Assert.Collection(
            error.Split('\n', StringSplitOptions.RemoveEmptyEntries),
            line => Assert.StartsWith("mlnet-agent: Agent:DataPort = '70000': ", line, StringComparison.Ordinal),
            line => Assert.StartsWith("mlnet-agent: Agent:Interfce = 'eth1': ", line, StringComparison.Ordinal));
    }

    [Fact]
    public async Task CheckConfig_Environment_IsRead()
    {
        var (code, _, error) = await RunAsync(["--check-config", .. Good[1..]], ("MLNET_AGENT__HOST", "from/environment"), ("MLNET_AGENT_SOCKET", "/no/setting/of/ours"));

        Assert.Equal(1, code);
        Assert.StartsWith("mlnet-agent: Agent:Host = 'from/environment'", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Help_NamesEveryVerb()
    {
        var (code, output, _) = await RunAsync(["--help"]);

        Assert.Equal(0, code);
        Assert.All(["disable", "flows", "status", "policy", "--check-config", "Agent:StateDirectory"], word => Assert.Contains(word, output, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Run_DataAddressOfAnotherHost_ExitsWith1AndSaysWhy()
    {
        var directory = Directory.CreateTempSubdirectory("mlnet-program-").FullName;
        try
        {
            var (code, _, error) = await RunAsync(
                [.. Good[..2], "--Agent:Capture=false", "--Agent:Mark=false", "--Agent:DataAddress=192.0.2.1", $"--Agent:StateDirectory={directory}", $"--Agent:WorkerSocket={directory}/w"]);

            Assert.Equal(1, code);
            Assert.StartsWith("mlnet-agent: cannot start: ", error, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public async Task Policy_DiffAndDryRun_TellWhatWouldChangeAndChangeNothing()
    {
        var directory = Directory.CreateTempSubdirectory("mlnet-program-").FullName;
        try
        {
            string[] options = [.. Good[1..], $"--Agent:Host={PolicySamples.Host}", $"--Agent:StateDirectory={directory}/state"];
            var store = new PolicyStore($"{directory}/state", PolicySamples.Host);
            FlowSelector One(int port) => new() { Protocol = "tcp", DestinationPortFrom = port, DestinationPortTo = port };
            store.Save(PolicySamples.Policy(3, PolicySamples.Job(1, "a", selectors: [One(1000)])));
            var (saved, file) = (await File.ReadAllTextAsync(store.FilePath), $"{directory}/next.json");
            async Task Write(HostPolicy policy) => await File.WriteAllTextAsync(file, JsonSerializer.Serialize(policy, ContractsJson.Default.HostPolicy));

            await Write(PolicySamples.Policy(4, PolicySamples.Job(1, "a", selectors: [One(1000)])));
            Assert.Equal((0, "Nothing would change.\n", ""), await RunAsync(["policy", "--diff", file, .. options]));

            await Write(PolicySamples.Policy(4, PolicySamples.Job(1, "a", selectors: [One(2000)])));
            var (code, output, error) = await RunAsync(["policy", "--diff", file, .. options]);
            Assert.Equal((0, ""), (code, error));
            var lines = output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
            Assert.All(lines, line => Assert.Contains(line[..2], new[] { "- ", "+ " }));
            Assert.Contains(lines, line => line.StartsWith("- ", StringComparison.Ordinal) && line.Contains("1000", StringComparison.Ordinal));
            Assert.Contains(lines, line => line.StartsWith("+ ", StringComparison.Ordinal) && line.Contains("2000", StringComparison.Ordinal));

            (_, output, _) = await RunAsync(["policy", "--dry-run", file, .. options]);
            Assert.StartsWith("table inet mlnet_sdn {", output, StringComparison.Ordinal);
            Assert.Contains("2000", output, StringComparison.Ordinal);

            await Write(PolicySamples.Policy(2, PolicySamples.Job(1, "a")));
            (code, output, error) = await RunAsync(["policy", "--diff", file, .. options]);
            Assert.Equal((1, ""), (code, output));
            Assert.Contains("is older than", error, StringComparison.Ordinal);

            await File.WriteAllTextAsync(file, "{");
            (code, output, error) = await RunAsync(["policy", "--dry-run", file, .. options]);
            Assert.Equal((1, ""), (code, output));
            Assert.Contains("the policy cannot be read", error, StringComparison.Ordinal);

            Assert.Equal(saved, await File.ReadAllTextAsync(store.FilePath));
            Assert.Equal([store.FilePath], Directory.GetFiles($"{directory}/state"));
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Theory]
    [InlineData("{\"host", "cannot be read")]
    [InlineData("{\"host\": null, \"revision\": {}, \"jobs\": null}", "")]
    public async Task Policy_DiffWithDamagedSavedPolicy_BlamesTheSavedOne(string saved, string expected)
    {
        var directory = Directory.CreateTempSubdirectory("mlnet-program-").FullName;
        try
        {
            var (file, store) = ($"{directory}/next.json", new PolicyStore(directory, PolicySamples.Host));
            await File.WriteAllTextAsync(file, JsonSerializer.Serialize(PolicySamples.Policy(4), ContractsJson.Default.HostPolicy));
            await File.WriteAllTextAsync(store.FilePath, saved);

            var (code, output, error) = await RunAsync(["policy", "--diff", file, .. Good[1..], $"--Agent:Host={PolicySamples.Host}", $"--Agent:StateDirectory={directory}"]);

            Assert.Equal((1, ""), (code, output));
            Assert.StartsWith($"mlnet-agent: {store.FilePath}: the saved policy", Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
            Assert.Contains(expected, error, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Theory]
    [InlineData("this is a directory", "policy", "--dry-run", "/")]
    [InlineData("cannot be read", "policy", "--diff", "")]
    [InlineData("there is no such socket", "status", "--Agent:ControlSocket=/tmp/mlnet-no-such.sock")]
    [InlineData("there is no such socket", "policy", "--Agent:ControlSocket=/no/such/directory/a.sock")]
    [InlineData("nobody listens there", "flows", "--Agent:ControlSocket=/dev/null")]
    [InlineData("no path of a socket", "status", "--Agent:ControlSocket=/tmp/01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789.sock")]
    [InlineData("--check-config", "disable", "--config", "nope", "--check-config")]
    [InlineData("--check-config", "policy", "--check-config")]
    public async Task Verb_ThatCannotBeDone_IsOneLineThatSaysWhy(string expected, params string[] arguments)
    {
        var (code, output, error) = await RunAsync([.. arguments, .. arguments[0] == "disable" ? [] : Good, "--Agent:StateDirectory=/tmp/mlnet-no-such"]);

        Assert.Equal((1, ""), (code, output));
        Assert.Contains(expected, Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
    }

    private static async Task<(int Code, string Output, string Error)> RunAsync(string[] arguments, params (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "mlnet-agent"), arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync();
        var output = await process.StandardOutput.ReadToEndAsync().WaitAsync(TimeSpan.FromSeconds(60));
        await process.WaitForExitAsync();
        return (process.ExitCode, output, await error);
    }
}
