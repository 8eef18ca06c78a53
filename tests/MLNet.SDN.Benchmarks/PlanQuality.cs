using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json;
using MLNet.SDN.Planning.Simulation;
using MLNet.SDN.Planning.Simulation.Workloads;

namespace MLNet.SDN.Benchmarks;

/// <summary>How soon jobs end under our plans and under plain ones, simulated on batches of 1,024 hosts: of each kind two given instances and five drawn.</summary>
/// <remarks>What was found by trial in the planner was tried on other seeds than those drawn here.</remarks>
internal static class PlanQuality
{
    private const string Ours = "both";

    // Six levels; the five below the first keep 5 % of each link together.
    private const double Floor = 0.01;

    // Trees are planned anew at most this often, seconds: jobs last for minutes.
    private const double Replan = 30;

    private static readonly string[] Kinds = ["G-4-pack", "G-16-split", "XL-16-split", "S-4-rand"];
    private static readonly string[] Plain = ["sharded", "ring", "rotated rack"];

    private static readonly (string Name, Scheme Scheme, bool OnlyG)[] Schemes =
    [
        ("sharded", new("direct-sharded", "fair"), false),
        ("ring", new("ring", "fair"), false),
        ("rotated rack", new("rack-star", "fair"), false),
        ("trees only", new("optimized", "fair", ReplanSeconds: Replan), false),
        ("priorities only, ring", new("ring", "srpt", Floor: Floor), false),
        ("priorities only, rack", new("rack-star", "srpt", Floor: Floor), false),
        (Ours, new("optimized", "srpt", Floor: Floor, ReplanSeconds: Replan), false),
        ("both, 5 % each", new("optimized", "srpt", Floor: 0.05, ReplanSeconds: Replan), true),
        ("unlimited SRPT", new("optimized", "srpt-unlimited", ReplanSeconds: Replan), true),
    ];

    public static int Run(string state, string[] options)
    {
        if (options is not ([] or ["--seeds", _]) || !int.TryParse(options.ElementAtOrDefault(1) ?? "5", NumberStyles.None, CultureInfo.InvariantCulture, out var drawn) || drawn > 98)
        {
            Console.Error.WriteLine("Usage: ./run bench plan-quality [--seeds N]; N, 0 to 98, instances of each kind are drawn beside the two given; default 5.");
            return 2;
        }

        // Seeds 1 and 2 are given; 3 and up are ours.
        (string Kind, int Seed)[] instances = [.. Kinds.SelectMany(k => Enumerable.Range(1, 2 + drawn).Select(s => (k, s)))];
        var figures = new ConcurrentDictionary<(string Kind, int Seed, string Scheme), Figures>();
        var done = 0;
        Parallel.ForEach(Partitioner.Create(instances.Reverse().ToArray(), loadBalance: true), new() { MaxDegreeOfParallelism = Environment.ProcessorCount }, instance =>
        {
            var batch = Batch(instance.Kind, instance.Seed);
            double[]? alone = null;
            foreach (var (name, scheme, onlyG) in Schemes.Where(s => !s.OnlyG || instance.Kind[0] == 'G').OrderByDescending(s => s.Name == "ring"))
            {
                var result = SchemeComparison.Run(batch, scheme, default);
                alone ??= [.. result.Jobs.Select(j => j.AloneSeconds)];
                figures[(instance.Kind, instance.Seed, name)] = Figures.Of(result, alone);
            }

            Console.Error.WriteLine($"{Interlocked.Increment(ref done)}/{instances.Length} {instance.Kind}-{instance.Seed}: ring {figures[(instance.Kind, instance.Seed, "ring")].Mean:0.0} s, ours {figures[(instance.Kind, instance.Seed, Ours)].Mean:0.0} s");
        });

        var table = new QualityTable(Kinds, [.. Schemes.Select(s => s.Name)], Enumerable.Range(1, 2 + drawn), figures);
        var limits = Limits(table);
        table.Print(Console.Error);
        Console.Error.WriteLine();
        foreach (var limit in limits)
        {
            Console.Error.WriteLine($"{(limit.Ratio <= 1 ? "holds" : "FAILS")}  {limit.Ratio:0.000}  {limit.Name}: {limit.Figure}");
        }

        var ratio = ConfidenceInterval.Of([.. instances.Select(i => figures[(i.Kind, i.Seed, Ours)].Mean / figures[(i.Kind, i.Seed, "ring")].Mean)]);
        return new BenchResult
        {
            Bench = "plan-quality",
            Ours = instances.Average(i => figures[(i.Kind, i.Seed, Ours)].Mean),
            Peer = instances.Average(i => figures[(i.Kind, i.Seed, "ring")].Mean),
            PeerName = "mean completion time under ring all-reduce in order of hosts, fair",
            Ratio = ratio.Mean,
            Unit = "s",
            Better = "lower",
            Runs = instances.Length,
            Spread = ratio.HalfWidth,
            Worst = limits.Max(l => l.Ratio),
        }.Publish(state, new { Kinds = table.Rows(), Limits = limits, Instances = table.Instances() });
    }

    private static SimulationCase Batch(string kind, int seed)
    {
        BatchScenario? scenario;
        if (seed <= 2)
        {
            using var stream = File.OpenRead(Path.Combine(AppContext.BaseDirectory, "golden", "scenarios", $"{kind}-{seed}.json"));
            scenario = JsonSerializer.Deserialize(stream, BatchScenarioJson.Default.BatchScenario);
        }
        else
        {
            scenario = WorkloadGenerator.Generate(WorkloadKinds.Find(kind)!, seed, out _);
        }

        return SimulationCase.Of(scenario!, out var faults) ?? throw new InvalidOperationException(faults[0].Message);
    }

    // Each turned so that at most 1 holds.
    private static List<Limit> Limits(QualityTable table)
    {
        var limits = new List<Limit>
        {
            Below("G-4-pack", "ring", 0.50, f => f.Mean, "mean"),
            Below("G-4-pack", "ring", 0.40, f => f.P99, "p99"),
            Below("G-16-split", "sharded", 0.78, f => f.Mean, "mean"),
            Below("G-16-split", "ring", 0.45, f => f.Mean, "mean"),
            Below("XL-16-split", "sharded", 0.86, f => f.Mean, "mean"),
            Below("S-4-rand", "ring", 0.05, f => f.Mean, "mean"),
        };
        foreach (var kind in Kinds)
        {
            var (seed, worst) = table.Seeds.Select(s => (s, table[kind, s, Ours].Mean / Plain.Min(p => table[kind, s, p].Mean))).MaxBy(s => s.Item2);
            limits.Add(new($"{kind}: on no instance a worse mean than the best plain way", string.Create(CultureInfo.InvariantCulture, $"{worst:0.000} of it on seed {seed}"), worst));
        }

        foreach (var kind in Kinds.Where(k => k[0] == 'G'))
        {
            var levels = table.Seeds.Average(s => table[kind, s, Ours].Mean / table[kind, s, "unlimited SRPT"].Mean);
            limits.Add(new($"{kind}: six levels within 2 % of unlimited SRPT", string.Create(CultureInfo.InvariantCulture, $"{levels:0.000} of it"), levels / 1.02));
            foreach (var fair in new[] { "ring", "sharded", "trees only" })
            {
                var (seed, slowdown) = table.Seeds.Select(s => (s, table[kind, s, Ours].WorstSlowdown / table[kind, s, fair].WorstSlowdown)).MaxBy(s => s.Item2);
                limits.Add(new($"{kind}: worst slowdown not above that of fair with {fair}", string.Create(CultureInfo.InvariantCulture, $"{slowdown:0.000} of it on seed {seed}"), slowdown));
            }
        }

        return limits;

        Limit Below(string kind, string than, double cut, Func<Figures, double> figure, string what)
        {
            var found = ConfidenceInterval.Of([.. table.Seeds.Select(s => 1 - (figure(table[kind, s, Ours]) / figure(table[kind, s, than])))]);
            return new(
                string.Create(CultureInfo.InvariantCulture, $"{kind}: {what} at least {cut * 100:0} % below {than}"),
                string.Create(CultureInfo.InvariantCulture, $"{found.Mean * 100:0.0} ± {found.HalfWidth * 100:0.0} %"),
                (1 - found.Mean) / (1 - cut));
        }
    }

    private sealed record Limit(string Name, string Figure, double Ratio);
}
