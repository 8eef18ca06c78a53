using System.Globalization;
using System.Text.Json;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.SystemTests.Aggregation;

/// <summary>PyTorch's DistributedDataParallel on four hosts, its gradients reduced by Gloo and by MLNet.</summary>
[Collection(nameof(AgentFabric))]
public sealed class DistributedDataParallelTests
{
    private const int Workers = 4;
    private const int Steps = 12;

    private static string Program => File.ReadAllText(Path.Combine(Prerequisites.Root, "tests/MLNet.SDN.SystemTests/Aggregation/ddp_training.py"));

    [Fact]
    public async Task ConvolutionalNetwork_ThroughTheHook_LearnsAsWithGlooAndADeathIsAClearError()
    {
        RequireTorch();
        await using var fabric = await StartAsync("death");
        await fabric.UntilAsync(() => Said(fabric, "weights").Count == Workers, "every rank has trained twice");

        var reports = Said(fabric, "weights");
        Assert.Single(reports.Select(r => r.GetProperty("weights").GetString()).Distinct());
        foreach (var report in reports)
        {
            var (gloo, mlnet) = (Losses(report, "gloo"), Losses(report, "mlnet"));
            Assert.Equal(Steps, mlnet.Length);

            // The first loss is before any reduction; then each bracketing of the sums rounds in its own way.
            Assert.Equal(gloo[0], mlnet[0]);
            Assert.All(gloo.Zip(mlnet), pair => Assert.Equal(pair.First, pair.Second, 1e-4 * (1 + Math.Abs(pair.First))));
            Assert.True(mlnet[^1] < mlnet[0], $"the network learned nothing: {string.Join(' ', mlnet)}");
            Assert.True(report.GetProperty("rounds").GetInt32() >= 3 * Steps, "there are too few buckets for this test to mean anything");
            Assert.True(report.GetProperty("underWay").GetInt32() > 1, "buckets went one after the other");
        }

        await fabric.UntilAsync(() => Said(fabric, "death").Count == Workers - 1, "every other rank hears of the death");
        Assert.All(Said(fabric, "death"), r => Assert.Contains("rank 1", r.GetProperty("death").GetString(), StringComparison.Ordinal));
    }

    [Fact]
    public async Task Register_WithoutAgent_IsOneClearErrorWithinFiveSeconds()
    {
        RequireTorch();
        await using var fabric = await StartAsync("without-agent");
        await fabric.UntilAsync(() => Said(fabric, "error").Count == Workers, "every rank has got its error");

        Assert.All(Said(fabric, "error"), r =>
        {
            Assert.Equal("AgentUnavailable", r.GetProperty("error").GetString());
            Assert.Matches("no agent listens on .*[.]missing .*: start mlnet-agent on this host, or name its socket in MLNET_AGENT_SOCKET", r.GetProperty("text").GetString());
            Assert.InRange(r.GetProperty("seconds").GetDouble(), 0, 5);
        });
    }

    private static void RequireTorch() => Prerequisites.Require(
        Directory.Exists("/usr/lib/python3/dist-packages/torch"), "PyTorch is missing for /usr/bin/python3: apt-get install python3-torch.");

    private static async Task<AgentFabric> StartAsync(string mode)
    {
        var fabric = await AgentFabric.StartAsync(Workers, Workers, hosts =>
            [.. hosts.Select(root => new ShardTree { Weight = 1, Roots = [root], Edges = [.. hosts.Where(h => h != root).Select(h => new TreeEdge(h, root))] })]);
        for (var rank = 0; rank < Workers; rank++)
        {
            fabric.StartWorker(rank, Program, Workers.ToString(CultureInfo.InvariantCulture), AgentFabric.DataAddress(0), mode);
        }

        return fabric;
    }

    private static double[] Losses(JsonElement report, string of) => [.. report.GetProperty(of).EnumerateArray().Select(v => v.GetDouble())];

    /// <summary>Reports that have a field of the given name.</summary>
    private static List<JsonElement> Said(AgentFabric fabric, string field)
    {
        var found = new List<JsonElement>();
        foreach (var line in fabric.Output())
        {
            if (line.IndexOf(": {", StringComparison.Ordinal) is var at and > 0 && line.EndsWith('}'))
            {
                var report = JsonDocument.Parse(line[(at + 2)..]).RootElement;
                if (report.TryGetProperty(field, out _))
                {
                    found.Add(report);
                }
            }
        }

        return found;
    }
}
