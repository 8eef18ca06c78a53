using MLNet.SDN.Planning.FlowModel;
using MLNet.SDN.Planning.Simulation.Failures;
using MLNet.SDN.Planning.Topology;
using MLNet.SDN.Planning.Trees;

namespace MLNet.SDN.Planning.Simulation;

/// <summary>How gradients travel and who goes first: what is compared.</summary>
/// <param name="Strategy">One of <see cref="SchemeComparison.Strategies"/>.</param>
/// <param name="Policy">One of <see cref="SchemeComparison.Policies"/>.</param>
/// <param name="Levels">Levels for the policies that are compressed to levels, ≥ 1.</param>
/// <param name="Floor">Part of every link that each level keeps, 0..1; all levels together at most 1.</param>
/// <param name="ReplanSeconds">Trees of strategy <c>optimized</c> are planned anew when jobs come or finish, but not sooner than this after the last time; null: planned once, before the run.</param>
public sealed record Scheme(string Strategy, string Policy, int Levels = 6, double Floor = 0.05, double? ReplanSeconds = 1);

/// <summary>What a link carried.</summary>
/// <param name="Link">As <c>a->b</c>.</param>
/// <param name="Bytes">Bytes of all jobs.</param>
/// <param name="Utilisation">Those over what it could have carried until the last job finished, 0..1.</param>
public sealed record LinkUse(string Link, double Bytes, double Utilisation);

/// <summary>How a scheme did on a case.</summary>
public sealed record SchemeResult
{
    /// <summary>What was run.</summary>
    public required Scheme Scheme { get; init; }

    /// <summary>Each job, in the order of the case.</summary>
    public required IReadOnlyList<SimulatedFinish> Jobs { get; init; }

    /// <summary>Every link that carried something, in order of names.</summary>
    public required IReadOnlyList<LinkUse> Links { get; init; }

    /// <summary>Part of the gradient bytes that moved at each level, from level 1 (or level 0, where nothing is marked) on.</summary>
    public required IReadOnlyList<double> LevelShares { get; init; }

    /// <summary>Mean time from arrival to finish, seconds.</summary>
    public double MeanSeconds => Jobs.Average(j => j.CompletionSeconds);

    /// <summary>When the last job finished, seconds from the start.</summary>
    public double MakespanSeconds => Jobs.Max(j => j.FinishSeconds);

    /// <summary>A quantile of the times from arrival to finish, by linear interpolation.</summary>
    /// <param name="part">0..1; 0.5 is the median.</param>
    public double QuantileSeconds(double part)
    {
        double[] sorted = [.. Jobs.Select(j => j.CompletionSeconds).Order()];
        var at = part * (sorted.Length - 1);
        var below = (int)at;
        return below + 1 < sorted.Length ? sorted[below] + ((at - below) * (sorted[below + 1] - sorted[below])) : sorted[below];
    }
}

/// <summary>Runs schemes on a case. Pure and deterministic; thread-safe.</summary>
public static class SchemeComparison
{
    /// <summary>Ways to exchange gradients.</summary>
    public static IReadOnlyList<string> Strategies => TrafficStrategies.Names;

    /// <summary>Who goes first. Those with <c>unlimited</c> need more levels or weights than a switch has: yardsticks.</summary>
    public static IReadOnlyList<string> Policies { get; } = ["fair", .. Priorities.PriorityPolicies.Names, "weighted", "srpt-unlimited", "weighted-unlimited"];

    /// <summary>Runs one scheme.</summary>
    /// <exception cref="ArgumentException">The scheme names no known strategy or policy, or its levels or floor are out of range.</exception>
    public static SchemeResult Run(SimulationCase @case, Scheme scheme, CancellationToken cancellationToken)
    {
        if (scheme.Levels < 1 || !(scheme.Floor >= 0) || scheme.Floor * scheme.Levels > 1)
        {
            throw new ArgumentException($"{scheme.Levels} levels with {scheme.Floor} each cannot be given: there must be at least one level, and together at most the whole link.", nameof(scheme));
        }

        var fabric = @case.Fabric;
        var rates = fabric.Graph.Links.Select(l => l.EvenRateBitsPerSecond / 8.0).ToArray();
        var trees = scheme.Strategy == "optimized" ? new ReplannedTrees(@case, scheme.ReplanSeconds ?? double.PositiveInfinity) : null;
        var failing = trees is null && @case.Failures.Count > 0 ? new FailingTraffic(@case, scheme.Strategy) : null;
        TrafficPlan? plan = trees is not null ? trees : failing;
        SimulatedJob[] jobs = [.. @case.Jobs.Select((job, i) =>
        {
            var traffic = trees?.Traffic(i) ?? failing?.Traffic(i) ?? Plain(job, scheme.Strategy, fabric);
            return new SimulatedJob
            {
                Name = job.Name,
                ArrivalSeconds = job.ArrivalSeconds,
                ComputeSeconds = job.ComputeSeconds + (@case.InChunks ? FillSeconds(traffic) : 0),
                Rounds = job.Rounds,
                Links = traffic.Links,
                Bytes = traffic.Bytes,
                Workers = job.Workers.Count,
            };
        })];

        var moved = new SortedDictionary<int, double>();
        var carried = new double[rates.Length];
        var finishes = Simulator.Run(rates, jobs, DisciplineOf(scheme), Count, plan, carried, cancellationToken);

        // Of links that always carry the same the first was counted for all; where some go away, none do always.
        for (var link = 0; link < carried.Length && @case.Failures.Count == 0; link++)
        {
            carried[link] = carried[fabric.Classes.Representative[link]];
        }

        var end = finishes.Max(f => f.FinishSeconds);
        var total = moved.Values.Sum();
        return new()
        {
            Scheme = scheme,
            Jobs = finishes,
            Links = [.. Enumerable.Range(0, carried.Length).Where(l => carried[l] > 0).Select(l => new LinkUse(fabric.LinkName(l), carried[l], end > 0 ? carried[l] / (rates[l] * end) : 0))],
            LevelShares = [.. Enumerable.Range(moved.Keys.FirstOrDefault(), moved.Count == 0 ? 0 : moved.Keys.Last() - moved.Keys.First() + 1).Select(l => moved.GetValueOrDefault(l) / total)],
        };

        // What a round takes besides its bytes is the same however busy links are: it counts as computation.
        double FillSeconds(JobTraffic traffic)
        {
            var slowest = traffic.Links.Index().MaxBy(l => traffic.Bytes[l.Index] / rates[l.Item]);
            var seconds = traffic.Links.Length == 0 ? 0 : traffic.Bytes[slowest.Index] / rates[slowest.Item];
            if (seconds <= 0)
            {
                return 0;
            }

            var (part, fill) = Pipeline.Overhead(seconds, fabric.Graph.Links[slowest.Item].RateBitsPerSecond);
            return (part * seconds) + fill;
        }

        void Count(double from, double to, ReadOnlySpan<int> sending, ReadOnlySpan<double> share, ReadOnlySpan<int> level, ReadOnlySpan<double> roundSeconds)
        {
            foreach (var job in sending)
            {
                moved[level[job]] = moved.GetValueOrDefault(level[job]) + (share[job] * (to - from) / roundSeconds[job] * @case.Jobs[job].GradientBytes);
            }
        }
    }

    private static JobTraffic Plain(CaseJob job, string strategy, Fabric fabric) =>
        JobTraffic.Of(TrafficStrategies.Load(strategy, [.. job.Workers.Distinct(StringComparer.Ordinal).Select(fabric.HostNumber)], fabric), job.GradientBytes);

    private static Discipline DisciplineOf(Scheme scheme) => scheme.Policy switch
    {
        "fair" => new FairDiscipline(),
        "srpt-unlimited" => new UnlimitedSrptDiscipline(FlowModel.Floor.None),
        "weighted" => new WeightedDiscipline(scheme.Levels),
        "weighted-unlimited" => new UnlimitedWeightDiscipline(),
        var policy when Priorities.PriorityPolicies.Names.Contains(policy) => new LevelDiscipline(policy, scheme.Levels, scheme.Floor > 0 ? new(FloorKind.PerLevel, scheme.Floor) : FlowModel.Floor.None),
        var policy => throw new ArgumentException($"Unknown policy {policy}.", nameof(scheme)),
    };
}
