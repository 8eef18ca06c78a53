namespace MLNet.SDN.Planning.Simulation.Workloads;

/// <summary>Places jobs one after the other by the rule of a kind.</summary>
internal sealed class WorkloadPlacer
{
    private readonly WorkloadPlacement placement;
    private readonly SeededRandom random;
    private readonly int hostsPerRack;
    private readonly int usablePerRack;
    private readonly int[] jobsOnHost;
    private readonly int racks;

    public WorkloadPlacer(WorkloadKind kind, SeededRandom random)
    {
        placement = kind.Placement;
        this.random = random;
        racks = kind.Topology.Racks;
        hostsPerRack = kind.Topology.HostsPerRack;
        usablePerRack = placement.HostsPerRack ?? hostsPerRack;
        jobsOnHost = new int[racks * hostsPerRack];
    }

    /// <summary>Hosts of every job, ascending; null when one found no room.</summary>
    public int[][]? Place(int[] workers)
    {
        var placed = new int[workers.Length][];
        for (var job = 0; job < workers.Length; job++)
        {
            var hosts = placement.Rule switch
            {
                PlacementRule.Packed => Packed(workers[job]),
                PlacementRule.Split => Split(workers[job]),
                _ => Drawn(Enumerable.Range(0, racks).SelectMany(Free), workers[job]),
            };
            if (hosts is null)
            {
                return null;
            }

            foreach (var host in hosts)
            {
                jobsOnHost[host]++;
            }

            Array.Sort(hosts);
            placed[job] = hosts;
        }

        return placed;
    }

    private int[]? Packed(int workers)
    {
        // 1. Into one rack: the fullest that has room; equally full ones by lot.
        int[][] free = [.. Enumerable.Range(0, racks).Select(r => Free(r).ToArray())];
        int[] fitting = [.. Enumerable.Range(0, racks).Where(r => free[r].Length >= workers)];
        if (workers <= usablePerRack)
        {
            if (fitting.Length == 0)
            {
                return null;
            }

            var least = fitting.Min(r => free[r].Length);
            int[] fullest = [.. fitting.Where(r => free[r].Length == least)];
            return Drawn(free[fullest[random.NextBelow(fullest.Length)]], workers);
        }

        // 2. Rack after rack, all free hosts of each.
        int[] hosts = [.. free.SelectMany(r => r).Take(workers)];
        return hosts.Length == workers ? hosts : null;
    }

    private int[]? Split(int workers)
    {
        // 1. On how many racks: few, but more when the parts would not fit.
        var parts = Math.Clamp(workers / placement.LeastPart, placement.LeastRacks, placement.MostRacks);
        parts = Math.Min(workers, Math.Max(parts, (workers + usablePerRack - 1) / usablePerRack));

        // 2. Racks that have room for the largest part, drawn; then hosts of each.
        var largest = (workers + parts - 1) / parts;
        int[] roomy = [.. Enumerable.Range(0, racks).Where(r => Free(r).Count() >= largest)];
        if (roomy.Length < parts)
        {
            return null;
        }

        random.Draw<int>(roomy, parts);
        return [.. Enumerable.Range(0, parts).SelectMany(p => Drawn(Free(roomy[p]), (workers / parts) + (p < workers % parts ? 1 : 0))!)];
    }

    private int[]? Drawn(IEnumerable<int> from, int count)
    {
        int[] hosts = [.. from];
        if (hosts.Length < count)
        {
            return null;
        }

        random.Draw<int>(hosts, count);
        return hosts[..count];
    }

    private IEnumerable<int> Free(int rack) => Enumerable.Range(rack * hostsPerRack, usablePerRack).Where(h => jobsOnHost[h] < placement.JobsPerHost);
}
