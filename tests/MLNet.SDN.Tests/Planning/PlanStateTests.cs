using MLNet.SDN.Contracts;
using MLNet.SDN.Planning;
using MLNet.SDN.Planning.Topology;
using static MLNet.SDN.Tests.Planning.Fabrics;

namespace MLNet.SDN.Tests.Planning;

/// <summary>Planning on from what was planned.</summary>
public class PlanStateTests
{
    private static readonly PlanningSettings Optimized = new() { Strategy = "optimized", Policy = "srpt" };

    // Four pods of four racks of eight hosts, 4:1 and 2:1.
    private static readonly Fabric Datacentre = Of(FatTree.Build(FatTree.Shape(8, 10_000, 4, 2, hostsPerRack: 8, pods: 4)));

    [Fact]
    public void Plan_NothingDifferent_GivesTheSamePlansAgain()
    {
        var jobs = Enumerable.Range(1, 20).Select(id => Draw(id, new Random(id))).ToArray();
        var first = Planner.Plan(Datacentre, jobs, Optimized, PriorityLadder.Standard, new(1, 1));
        var second = Planner.Plan(Datacentre, InForce(jobs, first), Optimized, PriorityLadder.Standard, new(1, 2), first.State);

        Assert.All(first.Jobs.Zip(second.Jobs), p => Assert.Equal(p.First.TreesRevision, p.Second.TreesRevision));
        var third = Planner.Plan(Datacentre, InForce(jobs, second), Optimized, PriorityLadder.Standard, new(1, 3), second.State);
        Assert.All(second.Jobs.Zip(third.Jobs), p => Assert.Same(p.First, p.Second));
    }

    [Fact]
    public void Plan_JobArrivesElsewhere_LeavesTheOthersPlansUntouched()
    {
        var near = Job(1, "e0-0", "e0-1");
        var far = Job(2, "e3-0", "e3-1");
        var first = Planner.Plan(Datacentre, [near], Optimized, PriorityLadder.Standard, new(1, 1));

        var second = Planner.Plan(Datacentre, [.. InForce([near], first), far], Optimized, PriorityLadder.Standard, new(1, 2), first.State);

        Assert.Same(first.Jobs[0], second.Jobs[0]);
    }

    [Fact]
    public void Plan_StateOfAnotherFabricOrStrategy_IsOfNoConsequence()
    {
        var job = Job(1, "e0-0", "e0-1");
        var other = Of(FatTree.Build(FatTree.Shape(8, 10_000, 8, 2, hostsPerRack: 8, pods: 4)));
        var elsewhere = Planner.Plan(other, [job], Optimized, PriorityLadder.Standard, new(1, 1));

        foreach (var settings in new[] { Optimized, new() { Strategy = "rack" } })
        {
            var fresh = Planner.Plan(Datacentre, [job], settings, PriorityLadder.Standard, new(1, 2));
            var onward = Planner.Plan(Datacentre, [job], settings, PriorityLadder.Standard, new(1, 2), elsewhere.State);

            Assert.Equal(System.Text.Json.JsonSerializer.Serialize(fresh.Jobs), System.Text.Json.JsonSerializer.Serialize(onward.Jobs));
        }
    }

    [Fact]
    public void Plan_RandomEventsOneByOne_AsGoodAsPlanningAllAnew()
    {
        var random = new Random(11);
        for (var sequence = 0; sequence < 4; sequence++)
        {
            var (running, state, next) = (new List<PlanningJob>(), default(PlanState), 1);
            var ratios = new List<double>();
            for (var step = 0; step < 60; step++)
            {
                // 1. A job comes, ends, gets on, or turns out to send something else.
                var which = random.Next(running.Count + 1);
                switch (running.Count < 10 ? 0 : random.Next(5))
                {
                    case 0 or 1:
                        running.Add(Draw(next++, random));
                        break;
                    case 2:
                        running.RemoveAt(which % running.Count);
                        break;
                    case 3:
                        running[which % running.Count] = running[which % running.Count] is var on ? on with { RoundsLeft = Math.Max(1, on.RoundsLeft / 3) } : throw new InvalidOperationException();
                        break;
                    default:
                        var measured = running[which % running.Count];
                        running[which % running.Count] = measured with { Spec = measured.Spec with { GradientBytes = measured.Spec.GradientBytes * 2 } };
                        break;
                }

                var onward = Planner.Plan(Datacentre, running, Optimized, PriorityLadder.Standard, new(1, step + 1), state);
                state = onward.State;
                running = [.. InForce(running, onward)];

                // 2. Against all planned anew.
                if (step % 6 == 5)
                {
                    var anew = Planner.Plan(Datacentre, [.. running.Select(j => j with { Previous = null })], Optimized, PriorityLadder.Standard, new(1, 1000));
                    ratios.Add(MeanRound(running, onward) / MeanRound(running, anew));
                }
            }

            Assert.True(ratios.Average() <= 1.02 && ratios.Max() <= 1.05, $"sequence {sequence}: {string.Join(" ", ratios.Select(r => r.ToString("0.000", System.Globalization.CultureInfo.InvariantCulture)))}");
        }
    }

    // Mean over jobs of a round's time, each link slowed by the part of time for which the others keep it busy while the job runs.
    private static double MeanRound(IReadOnlyList<PlanningJob> jobs, PlanSet set)
    {
        var rate = Datacentre.Source.Links.SelectMany(l => new[] { (l.Source, l.Target, l.RateBitsPerSecond), (l.Target, l.Source, l.RateBitsPerSecond) }).ToDictionary(l => (l.Item1, l.Item2), l => (double)l.RateBitsPerSecond);
        var seconds = jobs.OrderBy(j => j.JobId).Zip(set.Jobs).Select(j =>
        {
            var load = new Dictionary<(string, string), double>();
            var total = j.Second.Shards.Sum(s => (double)s.Weight);
            foreach (var pair in j.Second.Shards.SelectMany(s => s.Edges.Select(e => (Edge: e, s.Weight))).GroupBy(e => e.Edge, e => e.Weight))
            {
                Datacentre.AddLoad(pair.Key.Child, pair.Key.Parent, pair.Sum() / total, load);
                Datacentre.AddLoad(pair.Key.Parent, pair.Key.Child, pair.Sum() / total, load);
            }

            return (Job: j.First, OnLink: load.ToDictionary(l => l.Key, l => l.Value * 8 * j.First.Spec.GradientBytes / rate[l.Key]));
        }).ToArray();
        var alone = seconds.Select(s => s.Job.Spec.ComputeSeconds + s.OnLink.Values.Max()).ToArray();
        var users = new Dictionary<(string, string), List<(int Job, double Duty)>>();
        foreach (var (job, (_, onLink)) in seconds.Index())
        {
            foreach (var (link, time) in onLink)
            {
                (users.TryGetValue(link, out var on) ? on : users[link] = []).Add((job, time / alone[job]));
            }
        }

        return seconds.Index().Average(s => s.Item.Job.Spec.ComputeSeconds + s.Item.OnLink.Max(l => l.Value * (1 + users[l.Key].Where(u => u.Job != s.Index).Sum(u => u.Duty * Math.Min(1, Length(u.Job) / Length(s.Index))))));

        double Length(int job) => seconds[job].Job.RoundsLeft * alone[job];
    }

    private static PlanningJob Job(long id, params string[] racks) => new()
    {
        JobId = id,
        RoundsLeft = 100,
        Spec = new() { Name = $"job-{id}", Workers = [.. HostNames(Datacentre).Where(h => racks.Contains(Datacentre.Hosts[h].Rack)).Take(12)], GradientBytes = 400_000_000, ComputeSeconds = 0.2 },
    };

    private static PlanningJob Draw(int id, Random random)
    {
        var racks = HostNames(Datacentre).GroupBy(h => Datacentre.Hosts[h].Rack!).OrderBy(_ => random.Next()).Take(random.Next(1, 5)).ToArray();
        string[] workers = [.. racks.SelectMany(r => r.OrderBy(_ => random.Next()).Take(random.Next(2, 6)))];
        return new()
        {
            JobId = id,
            RoundsLeft = random.Next(10, 500),
            Spec = new()
            {
                Name = $"job-{id}",
                Workers = workers,
                Helpers = [.. racks.SelectMany(r => r).Except(workers).Where(_ => random.Next(2) == 0)],
                GradientBytes = random.Next(50, 1000) * 1_000_000L,
                ComputeSeconds = 0.1 + (random.NextDouble() / 2),
            },
        };
    }

    private static PlanningJob[] InForce(IEnumerable<PlanningJob> jobs, PlanSet set)
    {
        var plans = set.Jobs.ToDictionary(p => p.JobId);
        return [.. jobs.Select(j => j with { Previous = plans[j.JobId] })];
    }
}
