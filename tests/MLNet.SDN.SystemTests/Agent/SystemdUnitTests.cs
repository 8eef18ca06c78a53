using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace MLNet.SDN.SystemTests.Agent;

/// <summary>What systemd itself says of our units.</summary>
public sealed class SystemdUnitTests : IDisposable
{
    private readonly DirectoryInfo directory = Directory.CreateTempSubdirectory("mlnet-units-");

    public void Dispose() => directory.Delete(recursive: true);

    [Theory]
    [InlineData("mlnet-agent", "CAP_NET_ADMIN CAP_NET_RAW", 2.4)]
    [InlineData("mlnet-discover", "CAP_SYS_PTRACE CAP_DAC_READ_SEARCH", 2.0)]
    public void Unit_IsSoundAndHoldsWhatItNeedsAndNothingElse(string name, string capabilities, double exposure)
    {
        Prerequisites.Require(File.Exists("/usr/bin/systemd-analyze"), "systemd-analyze is missing: apt-get install systemd.");
        var text = File.ReadAllText(Path.Combine(Prerequisites.Root, "agent", "systemd", $"{name}.service"));
        var unit = Path.Combine(directory.FullName, $"{name}.service");

        // The program that a host would have there.
        File.WriteAllText(unit, text.Replace("/usr/lib/mlnet/mlnet-agent", Path.Combine(AppContext.BaseDirectory, "mlnet-agent"), StringComparison.Ordinal));

        var (code, said) = Analyze("verify", "--man=no", unit);
        Assert.True(code == 0 && said.Length == 0, said); // an unknown setting is told and is no failure to it

        foreach (var setting in new[] { "AmbientCapabilities", "CapabilityBoundingSet" })
        {
            Assert.Equal(capabilities.Split(' ').Order(), Regex.Match(text, $"^{setting}=(.*)$", RegexOptions.Multiline).Groups[1].Value.Split(' ').Order());
        }

        Assert.Contains("\nNoNewPrivileges=yes\n", text, StringComparison.Ordinal);
        Assert.Contains("\nProtectSystem=strict\n", text, StringComparison.Ordinal);
        (code, said) = Analyze("security", "--no-pager", "--offline=true", $"--threshold={(exposure * 10).ToString("0", CultureInfo.InvariantCulture)}", unit);
        Assert.True(code == 0, said);
    }

    private (int Code, string Said) Analyze(params string[] arguments)
    {
        var start = new ProcessStartInfo("systemd-analyze", arguments) { RedirectStandardOutput = true, RedirectStandardError = true };

        // Ours first, then the system's own, which ours name.
        start.Environment["SYSTEMD_UNIT_PATH"] = $"{directory.FullName}:";
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, error.Result + output);
    }
}
