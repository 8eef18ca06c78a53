using System.Text.Json;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning;
using MLNet.SDN.Planning.Topology;
using static MLNet.SDN.Tests.Planning.Fabrics;

namespace MLNet.SDN.Tests.Planning;

public class PlannerTests
{
    private static readonly Revision First = new(1, 1);
    private static readonly Revision Second = new(1, 2);

    [Theory]
    [InlineData("direct-single")]
    [InlineData("direct-sharded")]
    [InlineData("rack")]
    [InlineData("binary")]
    [InlineData("optimized")]
    public void Plan_RandomJobsOnRandomFabrics_TreesSpanEveryHostAndPredictionIsWhatTheyLoad(string strategy)
    {
        var random = new Random(20_26);
        for (var round = 0; round < 150; round++)
        {
            var fabric = RandomFabric(random);
            var hosts = HostNames(fabric);
            string[] workers = [.. Enumerable.Range(0, random.Next(1, 14)).Select(_ => hosts[random.Next(hosts.Length)])];
            string[] helpers = [.. hosts.Except(workers).Where(_ => random.Next(2) == 0)];
            var bytes = random.Next(1, 1_000_000_000);
            var job = Job(1, workers, bytes);
            job = job with { Spec = job.Spec with { Helpers = helpers } };

            var plan = Plan(fabric, [job], strategy).Single();

            foreach (var shard in plan.Shards)
            {
                AssertTree(shard, workers, helpers);
            }

            // The prediction, found again from the plan's own edges through the public path model.
            var load = LoadOf(fabric, plan);
            var seconds = load.Select(l => l.Value * bytes * 8 / EvenRate(fabric, l.Key)).DefaultIfEmpty(0).Max();
            Assert.Equal(seconds, plan.PredictedSeconds, seconds * 1e-9);
            Assert.True(plan.PredictedSeconds >= plan.BoundSeconds * (1 - 1e-9), $"{plan.PredictedSeconds} beats the bound {plan.BoundSeconds}");
            foreach (var plain in strategy switch { "rack" => ["direct-sharded"], "optimized" => ["direct-sharded", "rack"], _ => Array.Empty<string>() })
            {
                Assert.True(plan.PredictedSeconds <= Plan(fabric, [job], plain).Single().PredictedSeconds * (1 + 1e-9), $"{strategy} is slower than {plain}");
            }
        }
    }

    [Theory]
    [InlineData("direct-single")]
    [InlineData("direct-sharded")]
    [InlineData("rack")]
    [InlineData("binary")]
    [InlineData("optimized")]
    public void Plan_JobsWithServer_TreesAreRootedThereAtTheCostOfAnAllReduceWithIt(string strategy)
    {
        var random = new Random(7);
        for (var round = 0; round < 60; round++)
        {
            var fabric = RandomFabric(random);
            var hosts = HostNames(fabric);
            string[] workers = [.. Enumerable.Range(0, random.Next(1, 10)).Select(_ => hosts[random.Next(hosts.Length)])];
            var server = hosts[random.Next(hosts.Length)];
            string[] helpers = [.. hosts.Except([.. workers, server]).Where(_ => random.Next(3) == 0)];
            var job = Job(1, workers, 1_000_000);
            job = job with { Spec = job.Spec with { Helpers = helpers, Server = server } };

            var plan = Plan(fabric, [job], strategy).Single();

            Assert.All(plan.Shards, shard => Assert.Equal([server], shard.Roots));
            foreach (var shard in plan.Shards)
            {
                AssertTree(shard, [.. workers, server], helpers, hasSuccessors: false);
            }

            var load = LoadOf(fabric, plan);
            Assert.Equal(load.Select(l => l.Value * 1e6 * 8 / EvenRate(fabric, l.Key)).DefaultIfEmpty(0).Max(), plan.PredictedSeconds, 1e-9);
            if (strategy != "direct-single")
            {
                var reduced = Plan(fabric, [job with { Spec = job.Spec with { Workers = [.. workers, server], Server = null } }], strategy).Single();
                Assert.Equal(reduced.PredictedSeconds, plan.PredictedSeconds, 1e-9);
            }

            // Nothing changed, so nobody gets other trees.
            var again = Planner.Plan(fabric, [job with { Previous = plan }], new() { Strategy = strategy }, PriorityLadder.Standard, Second).Jobs.Single();
            Assert.Equal(Json(plan), Json(again));
        }
    }

    [Fact]
    public void Plan_DemoFabric_MeetsTheBoundAndLeavesEachPodOncePerShard()
    {
        var plans = Plan(Demo, [Job(1, HostNames(Demo), 4_000_000, rounds: 100), Job(2, HostNames(Demo), 1_000_000, rounds: 100)], "rack");
        var direct = Plan(Demo, [Job(1, HostNames(Demo), 4_000_000)], "direct-sharded").Single();

        Assert.All(plans, p => Assert.Equal(p.BoundSeconds, p.PredictedSeconds, 9));
        Assert.Equal(2.0 * 15 / 16 * 4e6 * 8 / 20e6, plans[0].BoundSeconds, 9);
        Assert.Equal(0.125, BetweenPods(plans[0]) / BetweenPods(direct), 9);
        Assert.Equal((2, 1), (plans[0].Level, plans[1].Level));

        static double BetweenPods(JobPlan plan) => LoadOf(Demo, plan).Where(l => l.Key.Source[0] == 'a' && l.Key.Target[0] == 'c').Sum(l => l.Value);
    }

    [Fact]
    public void Plan_RackTrees_SpreadTheSummingEvenly()
    {
        // Narrow uplinks, so that rack trees are chosen; racks of different sizes, so that nothing divides evenly.
        var fabric = Of(LeafSpine.Build(6, 2, 9, 1000, oversubscription: 8));
        var random = new Random(7);
        for (var round = 0; round < 30; round++)
        {
            string[] workers = [.. HostNames(fabric).OrderBy(_ => random.Next()).Take(random.Next(12, 54))];

            var plan = Plan(fabric, [Job(1, workers, 1000)], "rack").Single();

            Assert.StartsWith($"{plan.Shards.Count} shards, rooted in turn", plan.TreeReason, StringComparison.Ordinal);
            Assert.InRange(plan.Shards.Count, 1, 2 * workers.Length);
            var total = plan.Shards.Sum(s => (double)s.Weight);
            foreach (var rack in workers.GroupBy(w => fabric.Hosts[w].Rack))
            {
                double[] received = [.. rack.Select(w => plan.Shards.Sum(s => s.Weight * s.Edges.Count(e => e.Parent == w)) / total)];
                double[] rooted = [.. rack.Select(w => plan.Shards.Where(s => s.Roots[0] == w).Sum(s => s.Weight) / total)];
                Assert.Equal(received.Min(), received.Max(), 1e-4);
                Assert.Equal(rooted.Min(), rooted.Max(), 1e-5);
            }
        }
    }

    [Fact]
    public void Plan_RacksOfDifferentSizes_CarryWhatTheFormulaOfRotatedTreesSays()
    {
        // Racks of 7, 4 and 2 workers; uplinks so narrow that every rack must root the same part.
        var fabric = Of(LeafSpine.Build(3, 1, 7, 1000, oversubscription: 50));
        string[] workers = [.. HostNames(fabric).Where(h => h[1] == '0' || (h[1] == '1' && h[3] < '4') || (h[1] == '2' && h[3] < '2'))];
        Assert.Equal(13, workers.Length);

        var load = LoadOf(fabric, Plan(fabric, [Job(1, workers, 1000)], "rack").Single());

        foreach (var rack in workers.GroupBy(w => fabric.Hosts[w].Rack!))
        {
            var m = rack.Count();
            Assert.Equal(1 + (1.0 / 3), load[(rack.Key, "s0")], 1e-5);
            Assert.All(rack, w => Assert.Equal(1 + ((m - 1.0) / m) + (1.0 / (3 * m)), load[(w, rack.Key)], 1e-5));
        }
    }

    [Theory]
    [InlineData("rack", "srpt")]
    [InlineData("optimized", "bssi")]
    [InlineData("direct-single", "gpu-intensity")]
    public void Plan_PermutedInput_IsByteEqual(string strategy, string policy)
    {
        var random = new Random(3);
        var jobs = RandomJobs(Demo, random, 12);
        var settings = new PlanningSettings { Strategy = strategy, Policy = policy };
        var expected = Json(Planner.Plan(Demo, jobs, settings, PriorityLadder.Standard, First));
        for (var round = 0; round < 5; round++)
        {
            var source = Demo.Source;
            var shuffled = Of(source with { Nodes = [.. source.Nodes.OrderBy(_ => random.Next())], Links = [.. source.Links.OrderBy(_ => random.Next()).Select(l => random.Next(2) == 0 ? l : l with { Source = l.Target, Target = l.Source })] });

            Assert.Equal(expected, Json(Planner.Plan(shuffled, [.. jobs.OrderBy(_ => random.Next())], settings, PriorityLadder.Standard, First)));
        }
    }

    [Theory]
    [InlineData("rack")]
    [InlineData("optimized")]
    public void Plan_Again_KeepsTreesTheirRevisionAndLevels(string strategy)
    {
        var jobs = RandomJobs(Demo, new Random(5), 10);
        var before = Planner.Plan(Demo, jobs, new() { Strategy = strategy }, PriorityLadder.Standard, First).Jobs;

        var after = Planner.Plan(Demo, With(jobs, before), new() { Strategy = strategy }, PriorityLadder.Standard, Second).Jobs;

        Assert.Equal(Json(before), Json(after));
    }

    [Fact]
    public void Plan_OtherStrategyOrHosts_MakesNewTreesUnderTheNextRevision()
    {
        PlanningJob[] jobs = [Job(1, HostNames(Demo), 1000, rounds: 5), Job(2, ["h0-0-0", "h0-1-0", "h1-0-0"], 1000, rounds: 5)];
        var before = Planner.Plan(Demo, jobs, new(), PriorityLadder.Standard, First).Jobs;
        var standing = With(jobs, before);

        var restyled = Planner.Plan(Demo, standing, new() { Strategy = "direct-sharded" }, PriorityLadder.Standard, Second).Jobs;
        var moved = Planner.Plan(Demo, [standing[0], standing[1] with { Spec = standing[1].Spec with { Workers = ["h0-0-0", "h0-1-0", "h1-0-1"] } }], new(), PriorityLadder.Standard, Second).Jobs;

        Assert.All(restyled, p => Assert.Equal(Second, p.TreesRevision));
        Assert.Equal([First, Second], moved.Select(p => p.TreesRevision));
    }

    [Fact]
    public void Plan_LinkRateFell_ChangesTreesOnlyWhereItPays()
    {
        // Six hosts in two racks of a fabric whose uplinks are wide: nothing but the hosts' own links counts, and standing direct trees are as good as rack trees.
        string[] workers = ["h0-0", "h0-1", "h0-2", "h1-0", "h1-1", "h1-2"];
        var wide = Of(LeafSpine.Build(2, 2, 3, 100));
        var narrow = Of(LeafSpine.Build(2, 2, 3, 100, oversubscription: 6));
        var before = Plan(wide, [Job(1, workers, 1000)], "direct-sharded").Single() with { Strategy = "rack" };

        var kept = Planner.Plan(wide, [Job(1, workers, 1000) with { Previous = before }], new(), PriorityLadder.Standard, Second).Jobs.Single();
        var changed = Planner.Plan(narrow, [Job(1, workers, 1000) with { Previous = before }], new(), PriorityLadder.Standard, Second).Jobs.Single();

        Assert.Equal((First, Second), (kept.TreesRevision, changed.TreesRevision));
    }

    [Fact]
    public void Plan_TamperedPreviousTrees_AreMadeAnew()
    {
        var job = Job(1, ["h0-0-0", "h0-0-1", "h0-1-0"], 1000);
        var plan = Plan(Demo, [job], "rack").Single();
        var shard = plan.Shards[0];
        var loop = shard with { Edges = [new("h0-0-1", "h0-1-0"), new("h0-1-0", "h0-0-1")], Roots = ["h0-0-0"] };
        var missing = shard with { Edges = [.. shard.Edges.Skip(1)] };
        var stranger = shard with { Edges = [shard.Edges[0], new("h1-1-1", shard.Roots[0])] };

        foreach (var bad in new[] { loop, missing, stranger, shard with { Weight = 0 }, shard with { Roots = [] } })
        {
            var again = Planner.Plan(Demo, [job with { Previous = plan with { Shards = [bad, .. plan.Shards.Skip(1)] } }], new(), PriorityLadder.Standard, Second).Jobs.Single();

            Assert.Equal(Second, again.TreesRevision);
            Assert.Equal(Json(plan.Shards), Json(again.Shards));
        }
    }

    [Fact]
    public void Plan_Fair_MarksNothing() =>
        Assert.All(
            Planner.Plan(Demo, RandomJobs(Demo, new Random(1), 8), new() { Policy = "fair" }, PriorityLadder.Standard, First).Jobs,
            p => Assert.Equal((0, Dscp.Default), (p.Level, p.Dscp)));

    [Fact]
    public void Plan_HostLeftTheTopology_KeepsThePlanAndSaysSo()
    {
        var job = Job(7, ["h0-0-0", "h3-0-0"], 1000);
        var full = Of(FatTree.Build(FatTree.Shape(4, 20)));
        var plan = Plan(full, [job], "rack").Single();

        var set = Planner.Plan(Demo, [job with { Previous = plan }, Job(8, ["h0-0-0", "h0-0-1"], 1000)], new(), PriorityLadder.Standard, Second);

        Assert.Same(plan, set.Jobs[0]);
        Assert.Contains("h3-0-0", Assert.Single(set.Warnings), StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => Planner.Plan(Demo, [job], new(), PriorityLadder.Standard, Second));
    }

    [Fact]
    public void Plan_BytesUnknown_PredictsNothingButPlans()
    {
        var plan = Plan(Demo, [Job(1, HostNames(Demo), 0)], "rack").Single();

        Assert.Equal((0.0, 0.0, null), (plan.PredictedSeconds, plan.BoundSeconds, plan.Bottleneck));
        Assert.Equal(16, plan.Shards.Count);
    }

    [Fact]
    public void Plan_LinkAskedForTooMuch_WarnsOnceForTheJobs()
    {
        var jobs = new[] { 1, 2 }.Select(id => Job(id, HostNames(Demo), 4_000_000, rounds: 10, compute: 0.5)).ToArray();

        var warning = Assert.Single(Planner.Plan(Demo, jobs, new(), PriorityLadder.Standard, First).Warnings);

        Assert.Contains("by jobs job-1, job-2", warning, StringComparison.Ordinal);
        Assert.Empty(Planner.Plan(Demo, [jobs[0]], new(), PriorityLadder.Standard, First).Warnings);
    }

    [Fact]
    public void Plan_SixtyFourJobsOfSixteenWorkers_AllocatesLittleEnoughToRunOnEveryEvent()
    {
        var jobs = RandomJobs(Demo, new Random(9), 64, workers: 16);
        Planner.Plan(Demo, jobs, new(), PriorityLadder.Standard, First);

        var before = GC.GetAllocatedBytesForCurrentThread();
        var set = Planner.Plan(Demo, jobs, new(), PriorityLadder.Standard, First);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.Equal(64, set.Jobs.Count);
        Assert.InRange(allocated, 0, 64L << 20);
    }

    internal static PlanningJob Job(long id, string[] workers, long bytes, long rounds = 0, double compute = 0) =>
        new() { JobId = id, RoundsLeft = rounds, Spec = new() { Name = $"job-{id}", Workers = workers, GradientBytes = bytes, ComputeSeconds = compute } };

    private static IReadOnlyList<JobPlan> Plan(Fabric fabric, IReadOnlyList<PlanningJob> jobs, string strategy) =>
        Planner.Plan(fabric, jobs, new() { Strategy = strategy }, PriorityLadder.Standard, First).Jobs;

    private static PlanningJob[] With(IEnumerable<PlanningJob> jobs, IReadOnlyList<JobPlan> plans) => [.. jobs.Select(j => j with { Previous = plans.Single(p => p.JobId == j.JobId) })];

    private static PlanningJob[] RandomJobs(Fabric fabric, Random random, int count, int? workers = null)
    {
        var hosts = HostNames(fabric);
        return [.. Enumerable.Range(1, count).Select(id => Job(id, [.. hosts.OrderBy(_ => random.Next()).Take(workers ?? random.Next(2, hosts.Length))], random.Next(0, 4) == 0 ? 0 : random.Next(1, 100_000_000), random.Next(0, 100), random.NextDouble()))];
    }

    private static Fabric RandomFabric(Random random) => random.Next(3) switch
    {
        0 => Of(FatTree.Build(FatTree.Shape(4, 1000, random.Next(1, 9), random.Next(1, 4), hostsPerRack: random.Next(1, 5)))),
        1 => Of(LeafSpine.Build(random.Next(1, 6), random.Next(1, 4), random.Next(1, 6), 1000, random.Next(1, 9))),
        _ => RandomGraph(random),
    };

    // Switches in a ring with chords and parallel links of different rates, hosts on any of them: nothing of a Clos.
    private static Fabric RandomGraph(Random random)
    {
        var switches = random.Next(1, 7);
        var nodes = Enumerable.Range(0, switches).Select(s => Switch($"s{s}", pod: random.Next(2) == 0 ? $"p{s % 2}" : null)).ToList();
        var links = Enumerable.Range(1, switches - 1).Select(s => Link($"s{s - 1}", $"s{s}", random.Next(1, 100))).ToList();
        for (var chord = random.Next(5); chord > 0 && switches > 2; chord--)
        {
            var a = random.Next(switches);
            links.Add(Link($"s{a}", $"s{(a + 1 + random.Next(switches - 1)) % switches}", random.Next(1, 100)));
        }

        for (var host = 0; host < random.Next(2, 15); host++)
        {
            nodes.Add(Host($"h{host}", $"10.0.{host}.1", random.Next(4) == 0 ? $"r{random.Next(3)}" : null, random.Next(4) == 0 ? $"p{random.Next(2)}" : null));
            links.Add(Link($"h{host}", $"s{random.Next(switches)}", random.Next(1, 100)));
        }

        return Of(new() { Multigraph = true, Nodes = nodes, Links = links });
    }

    // Spans every worker's host, and helpers only where they sum for somebody; no cycle; one parent each.
    private static void AssertTree(ShardTree shard, string[] workers, string[] helpers, bool hasSuccessors = true)
    {
        var parent = shard.Edges.ToDictionary(e => e.Child, e => e.Parent, StringComparer.Ordinal);
        Assert.Equal(shard.Edges.Count, parent.Count);
        var members = parent.Keys.Append(shard.Roots[0]).ToHashSet(StringComparer.Ordinal);
        Assert.Equal(parent.Count + 1, members.Count);
        Assert.Superset(workers.ToHashSet(StringComparer.Ordinal), members);
        Assert.All(members.Except(workers), h => Assert.True(helpers.Contains(h) && shard.Edges.Any(e => e.Parent == h), h));
        Assert.All(members, member =>
        {
            var at = member;
            for (var steps = 0; at != shard.Roots[0]; steps++)
            {
                Assert.True(steps < members.Count, "cycle");
                at = parent[at];
            }
        });
        Assert.Equal(hasSuccessors ? Math.Min(4, members.Count) : 1, shard.Roots.Count);
        Assert.Equal(shard.Roots.Count, shard.Roots.Distinct().Count());
        Assert.All(shard.Roots, r => Assert.Contains(r, members));
        Assert.True(shard.Weight >= 1);
    }

    private static Dictionary<(string Source, string Target), double> LoadOf(Fabric fabric, JobPlan plan)
    {
        var load = new Dictionary<(string Source, string Target), double>();
        var total = plan.Shards.Sum(s => (double)s.Weight);
        foreach (var shard in plan.Shards)
        {
            foreach (var edge in shard.Edges)
            {
                fabric.AddLoad(edge.Child, edge.Parent, shard.Weight / total, load);
                fabric.AddLoad(edge.Parent, edge.Child, shard.Weight / total, load);
            }
        }

        return load;
    }

    private static double EvenRate(Fabric fabric, (string Source, string Target) link)
    {
        var members = fabric.Source.Links.Where(l => (l.Source, l.Target) == link || (l.Target, l.Source) == link).ToArray();
        return members.Min(l => l.RateBitsPerSecond) * (double)members.Length;
    }

    private static string Json<T>(T value) => JsonSerializer.Serialize(value);
}
