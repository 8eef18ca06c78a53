using System.Diagnostics;
using MLNet.SDN.Controller.Hosting;
using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Tests.Controller.Hosting;

public sealed class ConfigurationTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("mlnet-config-").FullName;

    [Fact]
    public void Defaults_WithATopology_AreSound() => Assert.Empty(Faults(Topology()));

    [Fact]
    public void Faults_OfEverySection_AreSaidAtOnce()
    {
        var faults = Faults("--Planning:ChunkBytes=65530", "--Planning:Stripes=0", "--Planning:Policy=fastest", "--History:RetentionDays=0", "--Controller:Instance=a b", "--Controller:Topology=/nowhere.json");

        foreach (var named in (string[])["Planning:ChunkBytes", "Planning:Stripes", "Planning:Policy 'fastest'", "History:RetentionDays", "Controller:Instance", "/nowhere.json"])
        {
            Assert.Contains(faults, f => f.Contains(named, StringComparison.Ordinal));
        }
    }

    [Fact]
    public void Keys_ThatNothingReads_AreFaults()
    {
        var faults = Faults(Topology(), "--Controller:Postgress=x", "--Planing:Stripes=2", "--Planning:Stripes=two", "--History:RetentionDays:Days=3");

        Assert.Equal(4, faults.Count);
        Assert.Contains(faults, f => f.StartsWith("Controller:Postgress is no setting; Controller has ", StringComparison.Ordinal));
        Assert.Contains(faults, f => f.StartsWith("Planing is no setting", StringComparison.Ordinal));
        Assert.Contains("Planning:Stripes 'two' is no whole number.", faults);
        Assert.Contains("History:RetentionDays must be one value.", faults);
    }

    [Fact]
    public void Topology_WithFaults_HasEachOfThemNamed()
    {
        var path = Path.Combine(_folder, "bad.json");
        File.WriteAllText(path, """
            {"nodes":[{"id":"h1","kind":"host","address":"10.0.0.1","rack":"r"},{"id":"h1","kind":"host","address":"10.0.0.2","rack":"r"},{"id":"s","kind":"switch"}],
             "links":[{"source":"h1","target":"s","rateBitsPerSecond":0},{"source":"h1","target":"x","rateBitsPerSecond":5}]}
            """);
        var faults = Faults($"--Controller:Topology={path}");
        Assert.True(faults.Count >= 3, string.Join('\n', faults));
        Assert.All(faults, f => Assert.StartsWith(path, f, StringComparison.Ordinal));
        Assert.Contains(faults, f => f.Contains("links[0].rateBitsPerSecond", StringComparison.Ordinal));

        File.WriteAllText(path, """{"nodes":[{"id":"h1","kind":"router"}],"links":[]}""");
        Assert.Contains("nodes[0].kind", Assert.Single(Faults($"--Controller:Topology={path}")), StringComparison.Ordinal);
        File.WriteAllText(path, "{ nodes");
        Assert.Contains("line 1, byte 3", Assert.Single(Faults($"--Controller:Topology={path}")), StringComparison.Ordinal);
    }

    [Fact]
    public void Topology_FromNetworkx_MayHoldWhatWeDoNotKnow()
    {
        var path = Path.Combine(_folder, "nx.json");
        File.WriteAllText(path, """
            {"directed":false,"multigraph":false,"graph":{},"nodes":[{"id":"h1","kind":"host","address":"10.0.0.1","rack":"r","x":1.5},{"id":"h2","kind":"host","address":"10.0.0.2","rack":"r","colour":"red"},{"id":"s","kind":"switch","rack":"r"}],
             "links":[{"source":"h1","target":"s","rateBitsPerSecond":1000,"key":0},{"source":"h2","target":"s","rateBitsPerSecond":1000,"weight":2}]}
            """);
        Assert.Empty(Faults($"--Controller:Topology={path}"));
    }

    [Fact]
    public async Task CheckConfig_OfTheBinary_AnswersByExitCodeAndNamesFaults()
    {
        var (good, said) = await RunAsync(Topology(), "--check-config");
        Assert.Equal((0, "The configuration is sound."), (good, said.Trim()));

        var (bad, complained) = await RunAsync(Topology(), "--check-config", "--Planning:Stripes=99", "--History:BatchRecords=0");
        Assert.Equal(1, bad);
        Assert.Contains("Planning:Stripes", complained, StringComparison.Ordinal);
        Assert.Contains("History:BatchRecords", complained, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_PostgresFaulty_IsRefusedWithoutItsPassword()
    {
        var (code, said) = await RunAsync(Topology(), "--Controller:Postgres=Host=db;Pasword=secret123");

        Assert.Equal(1, code);
        Assert.Contains("Controller:Postgres", said, StringComparison.Ordinal);
        Assert.DoesNotContain("secret123", said, StringComparison.Ordinal);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static IReadOnlyList<string> Faults(params string[] args) => ConfigurationCheck.FindFaults(ControllerApp.CreateBuilder(args).Configuration);

    private string Topology()
    {
        var path = Path.Combine(_folder, "topology.json");
        File.WriteAllText(path, System.Text.Json.JsonSerializer.Serialize(ControllerProcess.Topology, MLNet.SDN.Contracts.ContractsJson.Default.Topology));
        return $"--Controller:Topology={path}";
    }

    private static async Task<(int Code, string Output)> RunAsync(params string[] args)
    {
        using var process = Process.Start(new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "mlnet-controller"), args) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        var errors = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (process.ExitCode, await output + await errors);
    }
}
