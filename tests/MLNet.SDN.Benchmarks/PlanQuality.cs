using System.Text.Json;
using MLNet.SDN.Planning.Simulation;

namespace MLNet.SDN.Benchmarks;

/// <summary>How soon jobs end under our plans and under plain ones, on batches of 1,024 hosts.</summary>
internal static class PlanQuality
{
    public static int Run(string state, string[] options)
    {
        var rows = new List<object>();
        var (ours, ring) = (new List<double>(), new List<double>());
        foreach (var file in Directory.EnumerateFiles(Path.Combine(AppContext.BaseDirectory, "golden", "scenarios"), "*.json").Order(StringComparer.Ordinal))
        {
            using var stream = File.OpenRead(file);
            var batch = SimulationCase.Of(JsonSerializer.Deserialize(stream, BatchScenarioJson.Default.BatchScenario)!, out _)!;
            ring.Add(SchemeComparison.Run(batch, new("ring", "fair"), default).MeanSeconds);
            ours.Add(SchemeComparison.Run(batch, new("optimized", "srpt"), default).MeanSeconds);
            rows.Add(new { batch.Name, ring = ring[^1], ours = ours[^1] });
            Console.Error.WriteLine($"{batch.Name}: aligned ring {ring[^1]:0.0} s, ours {ours[^1]:0.0} s");
        }

        double[] ratios = [.. ours.Zip(ring, (o, r) => o / r)];
        return new BenchResult
        {
            Bench = "plan-quality",
            Ours = ours.Average(),
            Peer = ring.Average(),
            PeerName = "ring in order of hosts, fair",
            Ratio = ratios.Average(),
            Unit = "s",
            Better = "lower",
            Runs = ratios.Length,
            Spread = ratios.Max() - ratios.Min(),
            Worst = ratios.Max(),
        }.Publish(state, rows);
    }
}
