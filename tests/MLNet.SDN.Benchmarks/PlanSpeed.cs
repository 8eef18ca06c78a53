using System.Diagnostics;
using System.Text.Json.Nodes;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Benchmarks;

/// <summary>How long the planner takes for a whole datacentre.</summary>
internal static class PlanSpeed
{
    public static int Run(string state, string[] options)
    {
        if (!Fabric.TryCreate(FatTree.Build(FatTree.Shape(32, 10_000, rackOversubscription: 4, podOversubscription: 2, hostsPerRack: 32)), out var fabric, out var faults))
        {
            throw new InvalidOperationException(string.Join(' ', faults));
        }

        var rows = new JsonArray();
        foreach (var count in new[] { 60, 250, 1000 })
        {
            var jobs = SyntheticJobs.Draw(fabric, count, seed: 1);
            var clock = Stopwatch.StartNew();
            var before = GC.GetTotalAllocatedBytes();
            var set = Planner.Plan(fabric, jobs, new PlanningSettings { Strategy = "optimized" }, PriorityLadder.Standard, new(1, 1));
            var seconds = clock.Elapsed.TotalSeconds;
            Console.Error.WriteLine($"{count} jobs on {fabric.Hosts.Count} hosts: {seconds:0.000} s, {(GC.GetTotalAllocatedBytes() - before) >> 20} MiB allocated, {Process.GetCurrentProcess().PeakWorkingSet64 >> 20} MiB peak, {set.Jobs.Sum(j => j.Shards.Count)} shards");
            rows.Add(new JsonObject { ["jobs"] = count, ["seconds"] = seconds });
        }

        return 0;
    }
}
