using System.Diagnostics;
using MLNet.SDN.Cli;

namespace MLNet.SDN.Tests.Cli;

/// <summary>Command lines that are wrong, and outputs that fail: one line and exit code 1, whatever it is.</summary>
public sealed class OperatorCommandsTests
{
    [Theory]
    [InlineData("--seeds", "simulate", "G-4-pack", "--seeds", "abc")]
    [InlineData("--seeds", "simulate", "G-4-pack", "--seeds", "99999999999999999999")]
    [InlineData("--seed", "simulate", "G-4-pack", "--seed", "1.5")]
    [InlineData("--floor", "simulate", "G-4-pack", "--floor", "abc")]
    [InlineData("--floor", "simulate", "G-4-pack", "--floor", "NaN")]
    [InlineData("--levels", "simulate", "G-4-pack", "--levels", "abc")]
    [InlineData("--compute-seconds", "simulate", "G-4-pack", "--compute-seconds", "abc")]
    [InlineData("--compute-seconds", "simulate", "G-4-pack", "--compute-seconds", "1e999")]
    [InlineData("--trace-rounds", "simulate", "--trace", "x", "--trace-rounds", "abc")]
    [InlineData("--trace-jobs", "simulate", "--trace", "x", "--trace-jobs", "abc")]
    [InlineData("--strategy", "simulate", "G-4-pack", "--strategy", "best")]
    [InlineData("--seeds", "simulate", "G-4-pack", "--seeds", "1", "--seeds", "2")]
    [InlineData("--count", "job", "list", "--count", "abc")]
    [InlineData("--count", "job", "list", "--count", "0")]
    [InlineData("--host-mbps", "topology", "/dev/null", "--host-mbps", "0")]
    [InlineData("--host-mbps", "topology", "/dev/null", "--host-mbps", "abc")]
    [InlineData("--pod-oversubscription", "topology", "/dev/null", "--pod-oversubscription", "NaN")]
    [InlineData("--controller", "agents", "--controller", "nowhere")]
    [InlineData("/", "job", "submit", "/")]
    [InlineData("empty name", "plan", "preview", "")]
    [InlineData("cannot be reached", "marks", "pairs", "--controller", "http://127.0.0.1:1")]
    public async Task Run_WrongArgument_IsOneLineThatNamesIt(string named, params string[] args)
    {
        using var error = new StringWriter();

        Assert.Equal(1, await OperatorCommands.RunAsync(args, TextWriter.Null, error));

        Assert.Contains(named, Assert.Single(error.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Run_OutputThatFails_IsOneLineAndExitCode1()
    {
        var topology = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(topology, "SwitchName=s Nodes=a[1-5]", TestContext.Current.CancellationToken);
            using var process = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", "exec \"$0\" topology \"$1\" >/dev/full", Path.Combine(AppContext.BaseDirectory, "mlnetctl"), topology]) { RedirectStandardError = true })!;
            var error = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
            await process.WaitForExitAsync(TestContext.Current.CancellationToken);

            Assert.Equal(1, process.ExitCode);
            Assert.StartsWith("mlnetctl: No space left on device", Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(topology);
        }
    }
}
