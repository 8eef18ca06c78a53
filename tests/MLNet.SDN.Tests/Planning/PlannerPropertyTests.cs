using MLNet.SDN.Contracts;
using MLNet.SDN.Planning;

namespace MLNet.SDN.Tests.Planning;

/// <summary>What holds for the plan of any job, on thousands of small instances.</summary>
public class PlannerPropertyTests
{
    [Fact]
    public void Plan_TenThousandSmallInstances_LoadsAreWhatTheTreesPutOnLinksAndNeverWorseThanDirectSharded()
    {
        var random = new Random(10_000);
        string[] strategies = ["rack", "optimized", "binary"];
        for (var instance = 0; instance < 10_000; instance++)
        {
            var (small, job) = Instance(random);
            var strategy = strategies[instance % strategies.Length];

            var plan = Planner.Plan(small.Fabric, [job], new() { Strategy = strategy }, PriorityLadder.Standard, new(1, 1)).Jobs[0];

            AssertSpans(plan, job, instance);
            var seconds = small.Seconds(plan.Shards) * job.Spec.GradientBytes;
            Assert.True(Math.Abs(seconds - plan.PredictedSeconds) <= 1e-9 * seconds, $"instance {instance}: trees need {seconds} s, the plan says {plan.PredictedSeconds}");
            Assert.True(plan.BoundSeconds <= seconds * (1 + 1e-9), $"instance {instance}: {seconds} s beats the bound {plan.BoundSeconds}");

            // Direct sharded: each worker's host is the root of an equal part, and everybody sends straight to it.
            if (strategy != "binary")
            {
                var sharded = small.Seconds(Sharded(job)) * job.Spec.GradientBytes;
                Assert.True(seconds <= sharded * (1 + 1e-9), $"instance {instance}: {strategy} needs {seconds} s, direct sharded {sharded}");
            }
        }
    }

    [Fact]
    public void Plan_UpToSevenWorkers_WithinFivePerCentOfTheBestOfAllForests()
    {
        var random = new Random(7);
        var worst = (Ratio: 0.0, Instance: -1);
        for (var instance = 0; instance < 1500; instance++)
        {
            var (small, job) = Instance(random);
            var plan = Planner.Plan(small.Fabric, [job], new() { Strategy = "optimized" }, PriorityLadder.Standard, new(1, 1)).Jobs[0];
            var seconds = small.Seconds(plan.Shards);

            var bound = AllForests.LowerBound(small, job, enough: seconds / 1.05);

            if (seconds / bound > worst.Ratio)
            {
                worst = (seconds / bound, instance);
            }
        }

        Assert.True(worst.Ratio <= 1.05, $"instance {worst.Instance}: {worst.Ratio} of the best there is");
    }

    private static (SmallFabric Small, PlanningJob Job) Instance(Random random)
    {
        while (true)
        {
            var small = new SmallFabric(random);
            string[] shuffled = [.. small.Hosts.OrderBy(_ => random.Next())];
            string[] workers = [.. shuffled.Take(random.Next(2, Math.Min(8, shuffled.Length + 1)))];
            string[] helpers = [.. shuffled.Skip(workers.Length).Take(random.Next(4))];
            if (workers.Length > 1)
            {
                return (small, new() { JobId = 1, RoundsLeft = 10, Spec = new() { Name = "job", Workers = workers, Helpers = helpers, GradientBytes = random.Next(1, 1_000_000_000), ComputeSeconds = random.NextDouble() } });
            }
        }
    }

    private static ShardTree[] Sharded(PlanningJob job)
    {
        var workers = job.Spec.Workers;
        return [.. workers.Select(root => new ShardTree { Weight = 1, Roots = [root], Edges = [.. workers.Where(w => w != root).Select(w => new TreeEdge(w, root))] })];
    }

    // Every worker's host reaches the root of every shard; helpers stand only where they sum for somebody.
    private static void AssertSpans(JobPlan plan, PlanningJob job, int instance)
    {
        foreach (var shard in plan.Shards)
        {
            var parent = shard.Edges.ToDictionary(e => e.Child, e => e.Parent, StringComparer.Ordinal);
            var members = parent.Keys.Append(shard.Roots[0]).ToHashSet(StringComparer.Ordinal);
            Assert.True(shard.Weight >= 1 && parent.Count == members.Count - 1, $"instance {instance}");
            foreach (var worker in job.Spec.Workers.Concat(members))
            {
                var at = worker;
                for (var steps = 0; at != shard.Roots[0]; steps++)
                {
                    Assert.True(steps <= members.Count && parent.ContainsKey(at), $"instance {instance}: {worker} does not reach {shard.Roots[0]}");
                    at = parent[at];
                }
            }

            Assert.All(members.Except(job.Spec.Workers), h => Assert.True(job.Spec.Helpers!.Contains(h) && shard.Edges.Any(e => e.Parent == h), $"instance {instance}: {h}"));
        }
    }

    /// <summary>A lower bound of the time of any mixture of trees over the workers and any of the helpers, approached by trying all of them.</summary>
    /// <remarks>
    /// For any prices on links that, times rates, add up to one, no forest is faster than the cheapest of all trees. Prices rise where the trees so far
    /// put most (multiplicative weights, S. Plotkin, D. Shmoys and É. Tardos, 1991). Of the trees over a given set of hosts the cheapest is a
    /// minimum spanning tree, an edge costing all links of its path both ways; all sets of helpers are tried.
    /// </remarks>
    private static class AllForests
    {
        private const int Steps = 60_000;

        public static double LowerBound(SmallFabric small, PlanningJob job, double enough)
        {
            string[] hosts = [.. job.Spec.Workers.Concat(job.Spec.Helpers!)];
            var (n, workers) = (hosts.Length, job.Spec.Workers.Count);
            (string, string)[] links = [.. small.Rates.Keys];
            var rates = links.Select(l => small.Rates[l] / 8).ToArray();
            var index = links.Index().ToDictionary(l => l.Item, l => l.Index);
            var crossed = new int[n, n][];
            for (var a = 0; a < n; a++)
            {
                for (var b = 0; b < n; b++)
                {
                    crossed[a, b] = a == b ? [] : [.. small.Path(hosts[a], hosts[b]).Concat(small.Path(hosts[b], hosts[a])).Select(l => index[l])];
                }
            }

            var (load, price, cost, cheapest) = (new double[links.Length], new double[links.Length], new double[n, n], new int[n]);
            var best = 0.0;
            for (var step = 1; step <= Steps && best < enough; step++)
            {
                // 1. Prices: links that are behind cost exponentially more.
                var most = Enumerable.Range(0, links.Length).Max(l => load[l] / rates[l]);
                var eagerness = most <= 0 ? 0 : Math.Sqrt(step) * 4 / most;
                var sum = 0.0;
                for (var l = 0; l < links.Length; l++)
                {
                    price[l] = Math.Exp(eagerness * ((load[l] / rates[l]) - most)) / rates[l];
                    sum += price[l] * rates[l];
                }

                for (var a = 0; a < n; a++)
                {
                    for (var b = 0; b < n; b++)
                    {
                        var total = 0.0;
                        foreach (var l in crossed[a, b])
                        {
                            total += price[l];
                        }

                        cost[a, b] = total / sum;
                    }
                }

                // 2. The cheapest tree over each set of hosts that has all workers.
                var least = double.PositiveInfinity;
                var tree = new int[n];
                for (var set = 0; set < 1 << (n - workers); set++)
                {
                    if (SpanningTree(set, out var of) is var total && total < least)
                    {
                        least = total;
                        of.CopyTo(tree, 0);
                    }
                }

                best = Math.Max(best, least);
                for (var a = 0; a < n; a++)
                {
                    foreach (var l in tree[a] >= 0 ? crossed[a, tree[a]] : [])
                    {
                        load[l]++;
                    }
                }
            }

            return best;

            // R. C. Prim, 1957.
            double SpanningTree(int set, out int[] parent)
            {
                parent = cheapest;
                Array.Fill(parent, -1);
                Span<double> distance = stackalloc double[n];
                Span<bool> inside = stackalloc bool[n];
                distance.Fill(double.PositiveInfinity);
                inside.Clear();
                var (at, total) = (0, 0.0);
                while (true)
                {
                    inside[at] = true;
                    var next = -1;
                    for (var other = 1; other < n; other++)
                    {
                        if (inside[other] || (other >= workers && (set & (1 << (other - workers))) == 0))
                        {
                            continue;
                        }

                        if (cost[at, other] < distance[other])
                        {
                            (distance[other], parent[other]) = (cost[at, other], at);
                        }

                        next = next < 0 || distance[other] < distance[next] ? other : next;
                    }

                    if (next < 0)
                    {
                        return total;
                    }

                    total += distance[next];
                    at = next;
                }
            }
        }
    }
}
