using System.Globalization;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Simulation.Failures;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Simulation;

/// <summary>A job to be simulated.</summary>
/// <param name="Name">What it is called; need not be unique.</param>
/// <param name="Workers">Host of each worker; a ring runs in this order.</param>
/// <param name="GradientBytes">Bytes of gradient per round, ≥ 0.</param>
/// <param name="ComputeSeconds">Computation per round, seconds, ≥ 0.</param>
/// <param name="Rounds">Rounds to train, ≥ 1.</param>
/// <param name="ArrivalSeconds">When it arrives, seconds from the start, ≥ 0.</param>
public sealed record CaseJob(string Name, IReadOnlyList<string> Workers, double GradientBytes, double ComputeSeconds, long Rounds, double ArrivalSeconds);

/// <summary>Jobs on a fabric: what schemes are compared on.</summary>
public sealed record SimulationCase
{
    // Inputs and outputs of the emulation's perceptron: 28 x 28 pixels and ten kinds of clothing.
    private const long Pixels = 784;
    private const long Kinds = 10;

    /// <summary>What it is called.</summary>
    public required string Name { get; init; }

    /// <summary>The fabric.</summary>
    public required Fabric Fabric { get; init; }

    /// <summary>The jobs, by arrival: in an order that does not depend on that of the file.</summary>
    public required IReadOnlyList<CaseJob> Jobs { get; init; }

    /// <summary>
    /// Whether rounds are to take what they take in chunks (<see cref="Trees.Pipeline"/>), as in the emulation, or move like a fluid, as schemes are compared.
    /// </summary>
    public bool InChunks { get; init; }

    /// <summary>What is away when.</summary>
    public IReadOnlyList<ScheduledFailure> Failures { get; init; } = [];

    /// <summary>Makes a case of a batch.</summary>
    /// <returns>Null when there are faults.</returns>
    public static SimulationCase? Of(BatchScenario scenario, out IReadOnlyList<FieldFault> faults)
    {
        faults = BatchScenario.Check(scenario);
        if (faults.Count > 0 || !Fabric.TryCreate(LogicalTree.Build(scenario.Topology), out var fabric, out faults))
        {
            return null;
        }

        faults = [.. FailureRules.Check(scenario.Failures ?? [], fabric)];
        return faults.Count > 0 ? null : new()
        {
            Name = scenario.Seed == 0 ? scenario.Name : $"{scenario.Name}-{scenario.Seed}",
            Fabric = fabric,
            Failures = scenario.Failures ?? [],
            Jobs = [.. scenario.Jobs
                .OrderBy(j => j.ArrivalSeconds).ThenBy(j => j.Model, StringComparer.Ordinal).ThenBy(j => j.Iterations).ThenBy(j => j.Bytes).ThenBy(j => j.ComputeSeconds)
                .ThenBy(j => string.Join(' ', j.Workers), StringComparer.Ordinal)
                .Select((j, i) => new CaseJob($"{i}-{j.Model}", [.. j.Workers.Select(LogicalTree.HostName)], j.Bytes, j.ComputeSeconds, j.Iterations, j.ArrivalSeconds))],
        };
    }

    /// <summary>The same jobs on another fabric: the n-th host takes the place of the n-th, hosts counted rack by rack in ordinal order of names.</summary>
    /// <returns>Null when the fabric has too few hosts.</returns>
    public SimulationCase? On(Fabric fabric, out IReadOnlyList<FieldFault> faults)
    {
        var own = InOrder(Fabric).Index().ToDictionary(h => h.Item, h => h.Index, StringComparer.Ordinal);
        var other = InOrder(fabric);
        var needed = Jobs.SelectMany(j => j.Workers).Max(w => own[w]) + 1;
        faults = needed <= other.Length ? [] : [new("topology", $"{other.Length} hosts", $"The jobs of {Name} need {needed} hosts; take a larger topology.")];
        if (faults.Count == 0 && Failures.Count > 0)
        {
            faults = [new("failures", "", "What fails is named for the scenario's own topology; leave the failures out, or take no other topology.")];
        }

        return faults.Count > 0 ? null : this with { Fabric = fabric, Jobs = [.. Jobs.Select(j => j with { Workers = [.. j.Workers.Select(w => other[own[w]])] })] };

        static string[] InOrder(Fabric of) => [.. of.Hosts.Keys.OrderBy(h => of.Sites.RackOf(of.HostNumber(h))).ThenBy(h => h, StringComparer.Ordinal)];
    }

    /// <summary>Makes a case of an emulation's scenario.</summary>
    /// <param name="scenario">As the emulation reads it.</param>
    /// <param name="computeSeconds">Computation of a round of the jobs that train, which the emulation finds only by running it.</param>
    /// <param name="faults">Everything wrong with it.</param>
    /// <returns>Null when there are faults.</returns>
    public static SimulationCase? Of(Scenario scenario, double computeSeconds, out IReadOnlyList<FieldFault> faults)
    {
        var found = FatTree.Check(scenario.Fabric).Select(f => f with { Field = $"fabric.{f.Field}" }).ToList();
        faults = found;
        if (found.Count > 0 || !Fabric.TryCreate(FatTree.Build(scenario.Fabric), out var fabric, out faults))
        {
            return null;
        }

        if (scenario.Jobs.Count == 0)
        {
            found.Add(new("jobs", "", "There is no job; add at least one."));
        }

        string[] all = [.. fabric.Hosts.Keys.Order(StringComparer.Ordinal)];
        var jobs = new List<CaseJob>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < scenario.Jobs.Count; i++)
        {
            if (scenario.Jobs[i] is not { } job)
            {
                found.Add(new($"jobs[{i}]", "null", "A job is an object; remove the null."));
                continue;
            }

            for (var w = 0; w < (job.Workers?.Count ?? 0); w++)
            {
                if (job.Workers![w] is not { } host || !fabric.Hosts.ContainsKey(host))
                {
                    found.Add(new($"jobs[{i}].workers[{w}]", job.Workers[w] ?? "", "The fabric has no such host; name one of its hosts."));
                }
            }

            Require(names.Add(job.Name), "name", job.Name, "An earlier job has this name; each job needs its own.");
            Require(job.Workers is null or { Count: > 0 }, "workers", "", "A job needs at least one worker; leave the field out for one on every host.");
            Require(job.Hidden is null != job.GradientBytes is null, "hidden", $"{job.Hidden}", "A job has either 'hidden', and trains, or 'gradientBytes', and is replayed.");
            Require(job.Hidden is null or (>= 1 and <= 65_536), "hidden", $"{job.Hidden}", "The width of the hidden layer must be 1 to 65536.");
            Require(job.GradientBytes is null or > 0, "gradientBytes", $"{job.GradientBytes}", "The gradient must have a byte at least.");
            Require(job.ComputeSeconds is null or (>= 0 and <= 1e6), "computeSeconds", string.Create(CultureInfo.InvariantCulture, $"{job.ComputeSeconds}"), "The computation of a round must take 0 to 1e6 seconds.");
            Require(job.Rounds >= 1, "rounds", $"{job.Rounds}", "A job must have at least one round.");
            Require(job.StartSeconds >= 0 && double.IsFinite(job.StartSeconds), "startSeconds", $"{job.StartSeconds}", "The start must be finite and 0 or more.");
            jobs.Add(new(job.Name, job.Workers ?? all, WireBytes(job), job.GradientBytes is null ? computeSeconds : job.ComputeSeconds ?? 0, job.Rounds, job.StartSeconds));

            void Require(bool holds, string field, string value, string message)
            {
                if (!holds)
                {
                    found.Add(new($"jobs[{i}].{field}", value, message));
                }
            }
        }

        found.AddRange(FailureRules.Check(scenario.Failures ?? [], fabric));
        faults = found;
        return found.Count > 0 ? null : new()
        {
            Name = scenario.Name,
            Fabric = fabric,
            InChunks = true,
            Failures = scenario.Failures ?? [],
            Jobs = [.. jobs.OrderBy(j => j.ArrivalSeconds).ThenBy(j => j.Name, StringComparer.Ordinal)],
        };

        static double WireBytes(ScenarioJob job) => WireCost.OfGradient(job.GradientBytes ?? (4 * (((job.Hidden ?? 0) * (Pixels + 1 + Kinds)) + Kinds)));
    }
}
