using System.CommandLine;
using MLNet.SDN.Cli.Topology;
using MLNet.SDN.Planning.Simulation;
using MLNet.SDN.Planning.Simulation.Workloads;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Cli.Simulation;

/// <summary>What is simulated: a scenario file, a kind of batch by name or file with seeds, or a trace; on its own topology or another.</summary>
internal sealed class CaseOptions
{
    private readonly Argument<string?> scenario = new("SCENARIO")
    {
        Description = $"Scenario file, file of a kind of batch, or the name of a known kind: {string.Join(", ", WorkloadKinds.All.Select(k => k.Name))}.",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private readonly Option<int> seeds = new("--seeds") { Description = "How many batches of a kind to draw: seeds 1, 2, 3, ...", DefaultValueFactory = _ => 1 };
    private readonly Option<long?> seed = new("--seed") { Description = "The one seed to draw a batch of a kind with, instead." };
    private readonly Option<double> compute = new("--compute-seconds") { Description = "Computation of a round where the scenario does not say.", DefaultValueFactory = _ => 0 };
    private readonly Option<string?> topology = new("--topology") { Description = "Runs the jobs on this topology instead: node-link JSON, Slurm's topology.conf, or a CSV 'ip,DSW,PSW,ASW'." };
    private readonly Option<string?> trace = new("--trace") { Description = "Runs the jobs of a cluster's trace instead of a scenario's: CSV with the columns of Muri's traces. Without --topology on the fabric of G-4-pack." };
    private readonly Option<int?> traceJobs = new("--trace-jobs") { Description = "Only so many jobs of the trace, from the first." };
    private readonly Option<long> traceRounds = new("--trace-rounds")
    {
        Description = "Rounds that the trace's jobs of several workers have together; rounds and times of all are divided by the factor that this takes.",
        DefaultValueFactory = _ => 50_000,
    };

    private readonly RateOptions rates = new();

    public void AddTo(Command command)
    {
        command.Arguments.Add(scenario);
        foreach (var option in new Option[] { seeds, seed, compute, topology, trace, traceJobs, traceRounds })
        {
            command.Options.Add(option);
        }

        rates.AddTo(command);
        command.Validators.Add(r =>
        {
            if ((r.GetValue(scenario) is null) == (r.GetValue(trace) is null))
            {
                r.AddError("Give either a SCENARIO (a file, or the name of a kind of batch) or --trace FILE.");
            }

            if (r.GetResult(seed) is not null && r.GetResult(seeds) is not (null or { Implicit: true }))
            {
                r.AddError("Give --seed or --seeds, not both.");
            }
        });
        Require(seeds, value => value is >= 1 and <= 1000, "1 to 1000");
        Require(compute, value => value is >= 0 and <= 1e6, "0 to 1e6");
        Require(traceJobs, value => value is null or >= 1, "1 or more");
        Require(traceRounds, value => value is >= 1 and <= 100_000_000, "1 to 100000000");

        static void Require<T>(Option<T> option, Func<T?, bool> holds, string range) => option.Require(r => holds(r.GetValueOrDefault<T>()) ? null : $"{option.Name} must be {range}.");
    }

    /// <summary>Files that the command line names to be read; the name of a known kind counts as one.</summary>
    public IEnumerable<string> Inputs(ParseResult parsed) => new[] { parsed.GetValue(scenario), parsed.GetValue(topology), parsed.GetValue(trace) }.OfType<string>().Where(File.Exists);

    /// <summary>Reads what the command line asks for.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="note">What must be said of it beside its results; empty for nothing.</param>
    /// <param name="errors">What is wrong, one line each; empty when the result is not null.</param>
    public IReadOnlyList<SimulationCase>? Read(ParseResult parsed, out string note, out IReadOnlyList<string> errors)
    {
        note = "";
        Fabric? other = null;
        if (parsed.GetValue(topology) is { } file && (other = TopologyFile.Read(file, rates.Of(parsed), out errors)) is null)
        {
            return null;
        }

        if (parsed.GetValue(trace) is { } path)
        {
            other ??= Known(WorkloadKinds.All[0].Topology);
            return TraceFile.Read(path, other, parsed.GetValue(traceJobs), parsed.GetValue(traceRounds), out note, out errors) is { } traced ? [traced] : null;
        }

        var cases = Scenarios(parsed, out errors);
        if (cases is null || other is null)
        {
            return cases;
        }

        var moved = new List<SimulationCase>();
        foreach (var @case in cases)
        {
            if (@case.On(other, out var faults) is not { } there)
            {
                errors = [.. faults.Select(f => $"{parsed.GetValue(topology)}: {f.Value}{(f.Value.Length > 0 ? ": " : "")}{f.Message}")];
                return null;
            }

            moved.Add(there);
        }

        return moved;
    }

    private IReadOnlyList<SimulationCase>? Scenarios(ParseResult parsed, out IReadOnlyList<string> errors)
    {
        var name = parsed.GetValue(scenario)!;
        IReadOnlyList<long> drawn = parsed.GetValue(seed) is { } one ? [one] : [.. Enumerable.Range(1, parsed.GetValue(seeds)).Select(s => (long)s)];
        if (WorkloadKinds.Find(name) is not { } kind || File.Exists(name))
        {
            if (!File.Exists(name))
            {
                errors = [$"{name}: There is no such file, and no kind of batch of that name; known are {string.Join(", ", WorkloadKinds.All.Select(k => k.Name))}."];
                return null;
            }

            return CaseFile.Read(name, parsed.GetValue(compute), drawn, out errors);
        }

        var cases = CaseFile.Draw(kind, drawn, out var faults);
        errors = [.. faults.Select(f => $"{name}: {f.Field}: {f.Message}")];
        return cases;
    }

    private static Fabric Known(LogicalTreeShape shape) =>
        Fabric.TryCreate(LogicalTree.Build(shape), out var fabric, out _) ? fabric : throw new InvalidOperationException("The fabric of a known kind is sound.");
}
