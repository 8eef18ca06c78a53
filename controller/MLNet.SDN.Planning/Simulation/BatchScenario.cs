using System.Globalization;
using System.Text.Json.Serialization;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Simulation;

/// <summary>A job of a <see cref="BatchScenario"/>.</summary>
public sealed record BatchJob
{
    /// <summary>What is trained, e.g. <c>bert-large</c>; a name for people.</summary>
    public required string Model { get; init; }

    /// <summary>Number of each worker's host, 0-based.</summary>
    public required IReadOnlyList<int> Workers { get; init; }

    /// <summary>Bytes of gradient per round.</summary>
    public required double Bytes { get; init; }

    /// <summary>Computation per round, seconds.</summary>
    public required double ComputeSeconds { get; init; }

    /// <summary>Rounds to train.</summary>
    public required long Iterations { get; init; }

    /// <summary>When it arrives, seconds from the start.</summary>
    public required double ArrivalSeconds { get; init; }
}

/// <summary>A batch of jobs on a <see cref="LogicalTree"/>: what a simulation is run on.</summary>
public sealed record BatchScenario
{
    /// <summary>What the scenario is called.</summary>
    public required string Name { get; init; }

    /// <summary>Seed it was drawn with.</summary>
    public long Seed { get; init; }

    /// <summary>The fabric.</summary>
    public required LogicalTreeShape Topology { get; init; }

    /// <summary>The jobs.</summary>
    public required IReadOnlyList<BatchJob> Jobs { get; init; }

    /// <summary>What is away when; hosts are named <c>h0000</c>..., racks <c>r000</c>..., pods <c>p000</c>..., the core <c>core</c>. Null for nothing.</summary>
    public IReadOnlyList<ScheduledFailure>? Failures { get; init; }

    /// <summary>Everything wrong with it; empty when it can be run.</summary>
    public static IReadOnlyList<FieldFault> Check(BatchScenario scenario)
    {
        var faults = LogicalTree.Check(scenario.Topology).Select(f => f with { Field = $"topology.{f.Field}" }).ToList();
        if (scenario.Jobs.Count == 0)
        {
            faults.Add(new("jobs", "", "There is no job; add at least one."));
        }

        var hosts = (long)scenario.Topology.Racks * scenario.Topology.HostsPerRack;
        for (var i = 0; i < scenario.Jobs.Count; i++)
        {
            if (scenario.Jobs[i] is not { } job)
            {
                faults.Add(new($"jobs[{i}]", "null", "A job is an object; remove the null."));
                continue;
            }

            if (job.Workers.Count == 0)
            {
                faults.Add(new($"jobs[{i}].workers", "", "A job needs at least one worker; give the number of each worker's host."));
            }

            for (var w = 0; w < job.Workers.Count; w++)
            {
                if (job.Workers[w] < 0 || job.Workers[w] >= hosts)
                {
                    faults.Add(new($"jobs[{i}].workers[{w}]", Text(job.Workers[w]), $"The fabric has hosts 0 to {hosts - 1}."));
                }
            }

            Finite($"jobs[{i}].bytes", job.Bytes);
            Finite($"jobs[{i}].computeSeconds", job.ComputeSeconds);
            Finite($"jobs[{i}].arrivalSeconds", job.ArrivalSeconds);
            if (job.Iterations < 1)
            {
                faults.Add(new($"jobs[{i}].iterations", Text(job.Iterations), "A job must have at least one round."));
            }
        }

        return faults;

        void Finite(string field, double value)
        {
            if (!(value >= 0) || !double.IsFinite(value))
            {
                faults.Add(new(field, value.ToString(CultureInfo.InvariantCulture), "The number must be finite and 0 or more."));
            }
        }
    }

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);
}

/// <summary>JSON of scenarios for the simulator.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(BatchScenario))]
public sealed partial class BatchScenarioJson : JsonSerializerContext;
