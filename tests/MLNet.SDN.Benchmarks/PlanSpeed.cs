using System.Diagnostics;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Benchmarks;

/// <summary>How long the planner takes for a whole datacentre, for one job that arrives there, and for a job alone against a linear programme.</summary>
/// <remarks>Times are of the processor, all threads and collections counted: what else the machine does changes them little.</remarks>
internal static class PlanSpeed
{
    private const int Few = 250;
    private const int Many = 1000;
    private const int Arrivals = 20;
    private const int Repetitions = 3;

    // Limits: growth beyond that of the number of jobs, an arrival's part of the full time, our time over the programme's.
    private const double GrowthLimit = 1.3 * Many / Few;
    private const double ArrivalLimit = 0.02;
    private const double PeerLimit = 0.1;

    private static readonly PlanningSettings Settings = new() { Strategy = "optimized", Policy = "srpt" };

    public static int Run(string state, string[] options)
    {
        if (!Fabric.TryCreate(FatTree.Build(FatTree.Shape(32, 10_000, rackOversubscription: 4, podOversubscription: 2, hostsPerRack: 32)), out var fabric, out var faults))
        {
            throw new InvalidOperationException(string.Join(' ', faults));
        }

        // 1. All jobs at once. The first plans, and arrivals after them, warm up: a controller runs for months.
        var early = SyntheticJobs.Draw(fabric, Few, seed: 2);
        Arrive(fabric, early, Plan(fabric, early), Arrivals, seed: 4);
        var times = new Dictionary<int, List<double>>();
        var full = default(PlanSet);
        var jobs = Array.Empty<PlanningJob>();
        foreach (var count in new[] { Few, Many })
        {
            jobs = SyntheticJobs.Draw(fabric, count, seed: 1);
            times[count] = [.. Enumerable.Range(0, Repetitions).Select(_ => Seconds(() => full = Plan(fabric, jobs)))];
            Console.Error.WriteLine($"{count,5} jobs on {fabric.Hosts.Count} hosts: {string.Join(", ", times[count].Select(t => $"{t:0.00}"))} s; memory {Process.GetCurrentProcess().PeakWorkingSet64 >> 20} MiB at most");
        }

        var memory = Process.GetCurrentProcess().PeakWorkingSet64;
        var growth = times[Many].Min() / times[Few].Min();

        // 2. One more after the other.
        Arrive(fabric, jobs, full!, 3 * Arrivals, seed: 5);
        var arrivals = Arrive(fabric, jobs, full!, Arrivals, seed: 3);
        var arrival = arrivals.Average() / times[Many].Average();
        Console.Error.WriteLine($"one arrival among {Many}: mean {arrivals.Average() * 1000:0.0} ms, {arrival:0.0 %} of planning all; slowest {arrivals.Max() * 1000:0.0} ms");

        // 3. Single jobs, beside the best forest by linear programming.
        var single = new[] { 16, 24, 32, 48, 64 }.Select((size, i) => jobs.First(j => j.Spec.Workers.Count == size) with { JobId = 1 + i }).ToArray();
        string[] instances = [.. single.Select(j => ForestProgram.Instance(fabric, j.Spec.Workers, j.Spec.Helpers!))];
        var wholes = ForestProgram.Solve(instances, capSeconds: 60, gap: 1e-3, whole: true).ToArray();
        var byColumns = ForestProgram.Solve(instances, capSeconds: 60, gap: 1e-3).ToArray();
        var peers = new List<(double Ours, double Theirs)>();
        var rows = new List<object>();
        foreach (var (job, whole, columns) in single.Zip(wholes, byColumns))
        {
            const int Times = 20;
            var ours = Seconds(() =>
            {
                for (var i = 0; i < Times; i++)
                {
                    Plan(fabric, [job]);
                }
            }) / Times;
            peers.Add((ours, whole.Seconds));
            rows.Add(new { workers = job.Spec.Workers.Count, helpers = job.Spec.Helpers!.Count, ours, whole.Seconds, whole.HighsSeconds, whole.Columns, secondsByColumns = columns.Seconds });
            Console.Error.WriteLine($"{job.Spec.Workers.Count,3} workers, {job.Spec.Helpers!.Count,2} helpers alone: {ours * 1000:0.00} ms; linear programme over rack stars {whole.Seconds * 1000:0} ms, of which HiGHS {whole.HighsSeconds * 1000:0} ms; over all trees by columns {columns.Seconds * 1000:0} ms");
        }

        double[] ratios = [.. peers.Select(p => p.Ours / p.Theirs)];
        return new BenchResult
        {
            Bench = "plan-speed",
            Ours = peers.Average(p => p.Ours),
            Peer = peers.Average(p => p.Theirs),
            PeerName = "HiGHS, linear programme over the parts that each host sums and roots, single jobs of 16 to 64 workers",
            Ratio = ratios.Average(),
            Unit = "s",
            Better = "lower",
            Runs = peers.Count,
            Spread = ratios.Max() - ratios.Min(),
            Worst = new[] { growth / GrowthLimit, arrival / ArrivalLimit, ratios.Max() / PeerLimit }.Max(),
        }.Publish(state, new
        {
            hosts = fabric.Hosts.Count,
            secondsFor250 = times[Few],
            secondsFor1000 = times[Many],
            growth,
            growthLimit = GrowthLimit,
            peakMemoryBytes = memory,
            arrivalSeconds = arrivals,
            arrival,
            arrivalLimit = ArrivalLimit,
            single = rows,
            peerLimit = PeerLimit,
        });
    }

    // Seconds that each of some jobs takes which arrive one after the other.
    private static List<double> Arrive(Fabric fabric, PlanningJob[] running, PlanSet set, int count, int seed)
    {
        var seconds = new List<double>();
        foreach (var job in SyntheticJobs.Draw(fabric, count, seed))
        {
            PlanningJob[] next = [.. InForce(running, set), job with { JobId = Many + job.JobId, Spec = job.Spec with { Name = $"late-{job.JobId}" } }];
            seconds.Add(Seconds(() => set = Planner.Plan(fabric, next, Settings, PriorityLadder.Standard, new(1, 1 + job.JobId), set.State)));
            running = next;
        }

        return seconds;
    }

    private static PlanSet Plan(Fabric fabric, PlanningJob[] jobs) => Planner.Plan(fabric, jobs, Settings, PriorityLadder.Standard, new(1, 1));

    private static IEnumerable<PlanningJob> InForce(PlanningJob[] jobs, PlanSet set)
    {
        var plans = set.Jobs.ToDictionary(p => p.JobId);
        return jobs.Select(j => j with { Previous = plans[j.JobId] });
    }

    private static double Seconds(Action work)
    {
        GC.Collect();
        using var process = Process.GetCurrentProcess();
        var before = process.TotalProcessorTime;
        work();
        process.Refresh();
        return (process.TotalProcessorTime - before).TotalSeconds;
    }
}
