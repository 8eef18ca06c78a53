using MLNet.SDN.Contracts;
using MLNet.SDN.Planning;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Benchmarks;

/// <summary>How far the trees of one job on 1,024 hosts are from the best forest there is.</summary>
internal static class TreesAgainstProgram
{
    // Slowest link of the plan over that of the best forest.
    private const double Limit = 1.05;

    private const int Placements = 20;

    private static readonly int[] Sizes = [8, 16, 24, 32, 48, 64];

    public static int Run(string state, string[] options)
    {
        var cases = Cases().ToArray();
        var ratios = new List<double>();
        var rows = new List<object>();
        var bounds = ForestProgram.Solve(cases.Select(c => ForestProgram.Instance(c.Fabric, c.Workers, c.Helpers)), capSeconds: 60, gap: 1e-3);
        Console.Error.WriteLine($"{"fabric",-34}{"placement",-12}{"workers",8}{"helpers",8}{"plan",10}{"program",10}{"ratio",8}{"sharded",9}{"LP s",8}");
        foreach (var (instance, bound) in cases.Zip(bounds))
        {
            var time = Time(instance, "optimized");
            var sharded = Time(instance, "direct-sharded");

            // Against the lower bound: no forest is faster than that, whether or not the programme was solved to the end.
            ratios.Add(time / bound.Lower);
            rows.Add(new { instance.Name, instance.Placement, workers = instance.Workers.Length, helpers = instance.Helpers.Length, plan = time, lower = bound.Lower, upper = bound.Upper, ratio = ratios[^1], sharded, bound.Columns, bound.Seconds });
            Console.Error.WriteLine($"{instance.Name,-34}{instance.Placement,-12}{instance.Workers.Length,8}{instance.Helpers.Length,8}{time,10:0.0000}{bound.Lower,10:0.0000}{ratios[^1],8:0.000}{sharded / bound.Lower,9:0.00}{bound.Seconds,8:0.0}");
        }

        return new BenchResult
        {
            Bench = "trees-lp",
            Ours = ratios.Max(),
            Peer = 1,
            PeerName = "HiGHS, linear programme over all forests (its lower bound)",
            Ratio = ratios.Average(),
            Unit = "slowest link's time over the least possible",
            Better = "lower",
            Runs = ratios.Count,
            Spread = ratios.Max() - ratios.Min(),
            Worst = ratios.Max() / Limit,
        }.Publish(state, rows);
    }

    // Seconds per gigabit of message, counted from the plan's own edges.
    private static double Time(Case instance, string strategy)
    {
        var job = new PlanningJob { JobId = 1, Spec = new() { Name = "job", Workers = instance.Workers, Helpers = instance.Helpers, GradientBytes = 100_000_000, ComputeSeconds = 0.1 } };
        var plan = Planner.Plan(instance.Fabric, [job], new() { Strategy = strategy }, PriorityLadder.Standard, new(1, 1)).Jobs[0];
        var load = new Dictionary<(string, string), double>();
        var total = plan.Shards.Sum(s => (double)s.Weight);
        foreach (var pair in plan.Shards.SelectMany(s => s.Edges.Select(e => (Edge: e, s.Weight))).GroupBy(e => e.Edge, e => (double)e.Weight))
        {
            instance.Fabric.AddLoad(pair.Key.Child, pair.Key.Parent, pair.Sum() / total, load);
            instance.Fabric.AddLoad(pair.Key.Parent, pair.Key.Child, pair.Sum() / total, load);
        }

        var rate = instance.Fabric.Source.Links.ToDictionary(l => (l.Source, l.Target), l => l.RateBitsPerSecond / 1e9);
        return load.Max(l => l.Value / (rate.TryGetValue(l.Key, out var there) ? there : rate[(l.Key.Item2, l.Key.Item1)]));
    }

    private static IEnumerable<Case> Cases()
    {
        var fabrics = Fabrics().ToArray();
        var random = new Random(1);
        for (var placement = 0; placement < Placements; placement++)
        {
            var (name, fabric) = fabrics[placement % fabrics.Length];
            var racks = fabric.Hosts.Values.GroupBy(h => h.Rack!, StringComparer.Ordinal).OrderBy(g => g.Key, StringComparer.Ordinal).Select(g => g.Select(h => h.Id).Order(StringComparer.Ordinal).ToArray()).ToArray();
            var size = Sizes[random.Next(Sizes.Length)];

            // In turn: over the whole fabric, over two to four racks, into as few racks as hold it.
            var kind = (placement / fabrics.Length) % 3;
            var chosen = racks.OrderBy(_ => random.Next()).Take(kind == 0 ? racks.Length : kind == 1 ? random.Next(2, 5) : 1 + (size / 32)).ToArray();
            string[] workers = [.. chosen.SelectMany(r => r).OrderBy(_ => random.Next()).Take(size)];
            string[] idle = [.. fabric.Hosts.Keys.Except(workers).Order(StringComparer.Ordinal)];
            string[] helpers = [.. idle.OrderBy(_ => random.Next()).Take(random.Next(3) switch { 0 => size / 2, 1 => size, _ => idle.Length })];
            var words = kind switch { 0 => "scattered", 1 => "few racks", _ => "packed" };
            yield return new(name, words, fabric, workers, []);
            yield return new(name, words, fabric, workers, helpers);
        }
    }

    private static IEnumerable<(string Name, Fabric Fabric)> Fabrics()
    {
        yield return ("rack 4:1", Tree(4, 1, _ => 32, _ => 10));
        yield return ("rack 4:1, pod 4:1", Tree(4, 4, _ => 32, _ => 10));
        yield return ("rack 1:1, pod 8:1", Tree(1, 8, _ => 32, _ => 10));
        yield return ("rack 4:1, pod 2:1, racks 8 to 56", Tree(4, 2, rack => 8 + (48 * (rack % 4) / 3), _ => 10));
        yield return ("rack 2:1, hosts 10 and 25 Gbit/s", Tree(2, 2, _ => 32, host => host % 3 == 0 ? 25 : 10));
    }

    // 32 racks in 8 pods, uplinks by the number of hosts at 10 Gbit/s.
    private static Fabric Tree(double rackOversubscription, double podOversubscription, Func<int, int> hosts, Func<int, double> gigabits)
    {
        var topology = LogicalTree.Build(new() { Racks = 32, HostsPerRack = 56, Pods = 8, RacksPerPod = 4, HostBytesPerSecond = 1.25e9, RackUplinkBytesPerSecond = 1e9, PodUplinkBytesPerSecond = 1e9 });
        var kept = topology.Nodes.Where(n => n.Kind == NodeKind.Switch || Number(n.Id) % 56 < hosts(Number(n.Id) / 56)).ToDictionary(n => n.Id, StringComparer.Ordinal);
        TopologyLink[] links = [.. topology.Links.Where(l => kept.ContainsKey(l.Source)).Select(l => l with
        {
            RateBitsPerSecond = (long)(1e9 * kept[l.Source] switch
            {
                { Kind: NodeKind.Host } host => gigabits(Number(host.Id)),
                { Tier: "edge" } rack => 10 * hosts(Number(rack.Id)) / rackOversubscription,
                var pod => 10 * Enumerable.Range(0, 4).Sum(r => hosts((Number(pod.Id) * 4) + r)) / (rackOversubscription * podOversubscription),
            }),
        })];
        return Fabric.TryCreate(new() { Nodes = [.. kept.Values], Links = links }, out var fabric, out var faults) ? fabric : throw new InvalidOperationException(string.Join(' ', faults));

        static int Number(string name) => name == "core" ? 0 : int.Parse(name.AsSpan(1), System.Globalization.CultureInfo.InvariantCulture);
    }

    private sealed record Case(string Name, string Placement, Fabric Fabric, string[] Workers, string[] Helpers);
}
