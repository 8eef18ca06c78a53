using System.Globalization;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Simulation.Traces;

/// <summary>Puts the jobs of a trace on a fabric: a case to be simulated.</summary>
/// <remarks>
/// One worker to a host, one job to a host. Jobs start in the order of submission, each when enough hosts are free; a job keeps its hosts for as long as its
/// rounds took in the trace, so that start and hosts are the same whatever scheme is simulated. It goes to the rack with the fewest free hosts that has room, or else over
/// racks from the one with the most free hosts on; equal racks in order of their names. In the simulation a round computes for the trace's time of a round without
/// its network part, and then sends the model's bytes over the fabric.
/// Traces run for weeks, which cannot be simulated round by round: the rounds of each job and the times of submission are divided by one factor. What meets on links at a time stays the same.
/// </remarks>
public static class TraceCase
{
    /// <summary>Makes the case.</summary>
    /// <param name="name">What it is called.</param>
    /// <param name="trace">The jobs.</param>
    /// <param name="fabric">Where they run.</param>
    /// <param name="mostRounds">Rounds that all jobs of several workers together may have, ≥ 1: sets the factor, which is at least 1.</param>
    /// <param name="factor">By what rounds and times were divided.</param>
    /// <param name="faults">Jobs that the fabric has too few hosts for, the field being <c>line N</c>; empty when the result is not null.</param>
    public static SimulationCase? Of(string name, IReadOnlyList<TraceJob> trace, Fabric fabric, long mostRounds, out double factor, out IReadOnlyList<FieldFault> faults)
    {
        factor = Math.Max(1, trace.Where(j => j.Workers > 1).Sum(j => (double)j.Rounds) / mostRounds);
        faults = [.. trace.Where(j => j.Workers > fabric.Hosts.Count).Select(j => new FieldFault(
            $"line {j.Line}", j.Workers.ToString(CultureInfo.InvariantCulture), $"The job needs as many hosts and the fabric has {fabric.Hosts.Count}; take a larger topology."))];
        if (faults.Count > 0)
        {
            return null;
        }

        var free = new SortedDictionary<int, SortedSet<string>>();
        foreach (var host in fabric.Hosts.Keys)
        {
            var rack = fabric.Sites.RackOf(fabric.HostNumber(host));
            if (!free.TryGetValue(rack, out var hosts))
            {
                free[rack] = hosts = new(StringComparer.Ordinal);
            }

            hosts.Add(host);
        }

        var running = new PriorityQueue<string[], (double End, int Number)>();
        var jobs = new List<CaseJob>();
        var clock = 0.0;
        foreach (var (number, job) in trace.OrderBy(j => j.SubmitSeconds).ThenBy(j => j.Line).Index())
        {
            clock = Math.Max(clock, job.SubmitSeconds / factor);
            while (running.TryPeek(out var done, out var due) && (due.End <= clock || free.Values.Sum(r => r.Count) < job.Workers))
            {
                clock = Math.Max(clock, due.End);
                running.Dequeue();
                foreach (var host in done)
                {
                    free[fabric.Sites.RackOf(fabric.HostNumber(host))].Add(host);
                }
            }

            var rounds = Math.Max(1, (long)Math.Round(job.Rounds / factor));
            var placed = Take(free, job.Workers);
            running.Enqueue(placed, (clock + (rounds * job.RoundSeconds), number));
            jobs.Add(new(job.Name, placed, job.Bytes, job.RoundSeconds - job.NetworkSeconds, rounds, clock));
        }

        return new() { Name = name, Fabric = fabric, Jobs = [.. jobs.OrderBy(j => j.ArrivalSeconds).ThenBy(j => j.Name, StringComparer.Ordinal)] };
    }

    private static string[] Take(SortedDictionary<int, SortedSet<string>> free, int workers)
    {
        var fitting = free.Where(r => r.Value.Count >= workers).OrderBy(r => r.Value.Count).ThenBy(r => r.Key).Select(r => r.Value).FirstOrDefault();
        var racks = fitting is not null ? [fitting] : free.OrderByDescending(r => r.Value.Count).ThenBy(r => r.Key).Select(r => r.Value);
        string[] taken = [.. racks.SelectMany(r => r).Take(workers)];
        foreach (var rack in free.Values)
        {
            rack.ExceptWith(taken);
        }

        return [.. taken.Order(StringComparer.Ordinal)];
    }
}
