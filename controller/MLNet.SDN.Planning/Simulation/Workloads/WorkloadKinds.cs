using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Simulation.Workloads;

/// <summary>The kinds that are known by name, on 1,024 hosts: 32 racks in 8 pods, 10 Gbit/s, one logical uplink for each rack and pod.</summary>
/// <remarks>
/// Sizes are those of float32 gradients as published for each model; computation per round is of the order measured on one GPU. Rounds have a heavy
/// tail, as traces of clusters do: most jobs are short, few take most of the time.
/// </remarks>
public static class WorkloadKinds
{
    private static readonly WorkloadModel[] Models =
    [
        new() { Name = "vgg16", Bytes = 553e6, ComputeSeconds = 0.148 },
        new() { Name = "resnet50", Bytes = 102e6, ComputeSeconds = 0.2 },
        new() { Name = "resnet152", Bytes = 241e6, ComputeSeconds = 0.3 },
        new() { Name = "bert-base", Bytes = 440e6, ComputeSeconds = 0.167 },
        new() { Name = "bert-large", Bytes = 1.36e9, ComputeSeconds = 0.5 },
        new() { Name = "gpt2", Bytes = 500e6, ComputeSeconds = 0.42 },
    ];

    private static readonly WeightedWorkers[] Mixed = [new(8, 3), new(16, 3), new(24, 2), new(32, 2), new(48, 1), new(64, 1)];
    private static readonly WeightedWorkers[] Large = [new(32, 1), new(48, 1), new(64, 2)];

    /// <summary>All of them.</summary>
    public static IReadOnlyList<WorkloadKind> All { get; } =
    [
        // Jobs crowd on a quarter of the hosts; the other three quarters may help.
        Crowded("G-4-pack", 4, 90, new() { Rule = PlacementRule.Packed, HostsPerRack = 8, JobsPerHost = 8 }),
        Crowded("G-16-split", 16, 60, new() { Rule = PlacementRule.Split, HostsPerRack = 8, JobsPerHost = 8 }),

        // Few large jobs, each alone on its hosts.
        Spread("XL-16-split", 16, 16, Large, 940, new() { Rule = PlacementRule.Split }),

        // Hosts shared by up to four jobs, no rack left idle.
        Spread("S-4-rand", 4, 120, Mixed, 3760, new() { Rule = PlacementRule.Random, JobsPerHost = 4 }),
        Spread("S-4-pack", 4, 120, Mixed, 3760, new() { Rule = PlacementRule.Packed, JobsPerHost = 4 }),
    ];

    /// <summary>The kind of a name, or null.</summary>
    public static WorkloadKind? Find(string name) => All.FirstOrDefault(k => string.Equals(k.Name, name, StringComparison.OrdinalIgnoreCase));

    private static WorkloadKind Crowded(string name, int oversubscription, int jobs, WorkloadPlacement placement) => Kind(name, oversubscription, jobs, Mixed, 1900, 1.5, placement);

    private static WorkloadKind Spread(string name, int oversubscription, int jobs, WeightedWorkers[] workers, int most, WorkloadPlacement placement) =>
        Kind(name, oversubscription, jobs, workers, most, 1.0, placement);

    private static WorkloadKind Kind(string name, int oversubscription, int jobs, WeightedWorkers[] workers, int mostWorkers, double sigma, WorkloadPlacement placement) => new()
    {
        Name = name,
        Topology = new()
        {
            Racks = 32,
            HostsPerRack = 32,
            Pods = 8,
            RacksPerPod = 4,
            HostBytesPerSecond = 1.25e9,
            RackUplinkBytesPerSecond = 32 * 1.25e9 / oversubscription,
            PodUplinkBytesPerSecond = 4 * 32 * 1.25e9 / oversubscription,
        },
        Jobs = jobs,
        WorkersPerJob = workers,
        Models = Models,
        Rounds = new() { Median = 80, Sigma = sigma, Least = 10, Most = 2000 },
        Arrivals = new() { ComputeFactor = 2 },
        Placement = placement,
        MostWorkers = mostWorkers,
    };
}
