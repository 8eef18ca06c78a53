using System.CommandLine;
using System.Globalization;
using MLNet.SDN.Cli.Topology;
using MLNet.SDN.Planning.Simulation;
using MLNet.SDN.Planning.Topology.Import;
using Spectre.Console;

namespace MLNet.SDN.Cli.Simulation;

/// <summary><c>mlnetctl simulate SCENARIO</c>: runs schemes on a scenario, offline, and compares them.</summary>
internal static class SimulateCommand
{
    private const int Failed = 1;

    public static Command Create()
    {
        var scenario = new Argument<string>("SCENARIO") { Description = "Scenario file: a batch of jobs with 'topology', or an emulation's with 'fabric'." };
        var strategies = new Option<string[]>("--strategy")
        {
            Description = $"How gradients travel: {string.Join(", ", SchemeComparison.Strategies)}. May stand several times.",
            AllowMultipleArgumentsPerToken = true,
            DefaultValueFactory = _ => ["direct-sharded", "ring", "rack", "optimized"],
        };
        strategies.AcceptOnlyFromAmong([.. SchemeComparison.Strategies]);
        var policies = new Option<string[]>("--policy")
        {
            Description = $"Who goes first: {string.Join(", ", SchemeComparison.Policies)}. May stand several times.",
            AllowMultipleArgumentsPerToken = true,
            DefaultValueFactory = _ => ["fair", "srpt"],
        };
        policies.AcceptOnlyFromAmong([.. SchemeComparison.Policies]);
        var levels = new Option<int>("--levels") { Description = "Levels that the fabric has for jobs.", DefaultValueFactory = _ => 6 };
        var floor = new Option<double>("--floor") { Description = "Part of a link that each level keeps, 0 to 1.", DefaultValueFactory = _ => 0.05 };
        var compute = new Option<double>("--compute-seconds") { Description = "Computation of a round where the scenario does not say.", DefaultValueFactory = _ => 0 };
        var topology = new Option<string?>("--topology") { Description = "Runs the jobs on this topology instead: node-link JSON, Slurm's topology.conf, or a CSV 'ip,DSW,PSW,ASW'." };
        var rates = new RateOptions();
        var json = new Option<string?>("--json") { Description = "Writes everything found to this file: jobs, links, levels." };
        var csv = new Option<string?>("--csv") { Description = "Writes one line per job and scheme to this file." };
        floor.Validators.Add(r =>
        {
            if (r.GetValue(levels) is < 1 or > 64 || r.GetValue(floor) is not (>= 0 and <= 1) || r.GetValue(floor) * r.GetValue(levels) > 1)
            {
                r.AddError("--levels must be 1 to 64, and --floor 0 or more and together over all levels at most 1.");
            }
        });
        compute.Validators.Add(r =>
        {
            if (r.GetValue(compute) is not (>= 0 and <= 1e6))
            {
                r.AddError("--compute-seconds must be 0 to 1e6.");
            }
        });

        var command = new Command("simulate", "Runs a scenario in the flow-level simulator, under each strategy with each policy, and compares them.")
        {
            scenario, strategies, policies, levels, floor, compute, topology, json, csv,
        };
        rates.AddTo(command);
        command.SetAction((parsed, cancellationToken) =>
        {
            Scheme[] schemes = [.. from s in parsed.GetValue(strategies)!.Distinct() from p in parsed.GetValue(policies)!.Distinct() select new Scheme(s, p, parsed.GetValue(levels), parsed.GetValue(floor))];
            return RunAsync(Read(parsed.GetValue(scenario)!, parsed.GetValue(compute), parsed.GetValue(topology), rates.Of(parsed)), schemes, parsed.GetValue(json), parsed.GetValue(csv), cancellationToken);
        });
        return command;
    }

    private static (SimulationCase? Case, IReadOnlyList<string> Errors) Read(string path, double computeSeconds, string? topology, ImportRates rates)
    {
        var @case = CaseFile.Read(path, computeSeconds, out var errors);
        if (@case is null || topology is null)
        {
            return (@case, errors);
        }

        if (TopologyFile.Read(topology, rates, out errors) is not { } fabric)
        {
            return (null, errors);
        }

        return (@case.On(fabric, out var faults), [.. faults.Select(f => $"{topology}: {f.Value}: {f.Message}")]);
    }

    private static async Task<int> RunAsync((SimulationCase? Case, IReadOnlyList<string> Errors) read, Scheme[] schemes, string? json, string? csv, CancellationToken cancellationToken)
    {
        if (read.Case is not { } @case)
        {
            foreach (var error in read.Errors)
            {
                await Console.Error.WriteLineAsync(error);
            }

            return Failed;
        }

        var results = new List<SchemeResult>();
        var progress = AnsiConsole.Create(new() { Ansi = Console.IsErrorRedirected ? AnsiSupport.No : AnsiSupport.Detect, Out = new AnsiConsoleOutput(Console.Error) });
        await progress.Progress().AutoClear(true).StartAsync(async context =>
        {
            var task = context.AddTask($"{@case.Jobs.Count} jobs on {@case.Fabric.Hosts.Count} hosts", maxValue: schemes.Length);
            foreach (var scheme in schemes)
            {
                task.Description = $"{scheme.Strategy} / {scheme.Policy}";
                results.Add(await Task.Run(() => SchemeComparison.Run(@case, scheme, cancellationToken), cancellationToken));
                task.Increment(1);
            }
        });

        Print(@case, results);
        try
        {
            if (json is not null)
            {
                await ResultFiles.WriteJsonAsync(json, @case, results, cancellationToken);
            }

            if (csv is not null)
            {
                await ResultFiles.WriteCsvAsync(csv, @case, results, cancellationToken);
            }
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            await Console.Error.WriteLineAsync($"The results could not be written: {fault.Message}");
            return Failed;
        }

        return 0;
    }

    private static void Print(SimulationCase @case, List<SchemeResult> results)
    {
        // A file or a pipe has no width and wants no colours.
        var console = Console.IsOutputRedirected ? AnsiConsole.Create(new() { Ansi = AnsiSupport.No, Out = new AnsiConsoleOutput(Console.Out) }) : AnsiConsole.Console;
        if (Console.IsOutputRedirected)
        {
            console.Profile.Width = 160;
        }

        var table = new Table()
            .Title(Markup.Escape($"{@case.Name}: {@case.Jobs.Count} jobs on {@case.Fabric.Hosts.Count} hosts"))
            .Caption("seconds from arrival to finish; slowdown: over the same job alone under the same strategy; cut: of the mean, against the first row")
            .AddColumn("strategy").AddColumn("policy");
        foreach (var column in new[] { "mean", "cut", "median", "p95", "p99", "last end", "worst slowdown", "busiest link" })
        {
            table.AddColumn(new TableColumn(column).RightAligned());
        }

        foreach (var result in results)
        {
            var busiest = result.Links.Count == 0 ? null : result.Links.MaxBy(l => l.Utilisation);
            table.AddRow(
                result.Scheme.Strategy,
                result.Scheme.Policy,
                Seconds(result.MeanSeconds),
                string.Create(CultureInfo.InvariantCulture, $"{(1 - (result.MeanSeconds / results[0].MeanSeconds)) * 100:0.0} %"),
                Seconds(result.QuantileSeconds(0.5)),
                Seconds(result.QuantileSeconds(0.95)),
                Seconds(result.QuantileSeconds(0.99)),
                Seconds(result.MakespanSeconds),
                result.Jobs.Max(j => j.Slowdown).ToString("0.00", CultureInfo.InvariantCulture),
                busiest is null ? "" : Markup.Escape(string.Create(CultureInfo.InvariantCulture, $"{busiest.Link} {busiest.Utilisation * 100:0} %")));
        }

        console.Write(table);
    }

    private static string Seconds(double seconds) => seconds.ToString(seconds < 100 ? "0.00" : "0.0", CultureInfo.InvariantCulture);
}
