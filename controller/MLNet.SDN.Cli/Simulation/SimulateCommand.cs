using System.CommandLine;
using MLNet.SDN.Planning.Simulation;

namespace MLNet.SDN.Cli.Simulation;

/// <summary><c>mlnetctl simulate SCENARIO</c>: runs schemes on a scenario, offline, and compares them.</summary>
internal static class SimulateCommand
{
    private const int Failed = 1;

    public static Command Create()
    {
        var cases = new CaseOptions();
        var strategies = new Option<string[]>("--strategy")
        {
            Description = $"How gradients travel: {string.Join(", ", SchemeComparison.Strategies)}. May stand several times.",
            AllowMultipleArgumentsPerToken = true,
            DefaultValueFactory = _ => ["direct-sharded", "ring", "rack", "optimized"],
        };
        Among(strategies, [.. SchemeComparison.Strategies]);
        var policies = new Option<string[]>("--policy")
        {
            Description = $"Who goes first: {string.Join(", ", SchemeComparison.Policies)}. May stand several times.",
            AllowMultipleArgumentsPerToken = true,
            DefaultValueFactory = _ => ["fair", "srpt"],
        };
        Among(policies, [.. SchemeComparison.Policies]);
        var levels = new Option<int>("--levels") { Description = "Levels that the fabric has for jobs.", DefaultValueFactory = _ => 6 };
        var floor = new Option<double>("--floor") { Description = "Part of a link that each level keeps, 0 to 1.", DefaultValueFactory = _ => 0.05 };
        var json = new Option<string?>("--json") { Description = "Writes everything found to this file: jobs, links, levels." };
        var csv = new Option<string?>("--csv") { Description = "Writes a line per job and scheme to this file, and beside it, to .links and .levels, a line per link and per level." };
        var figures = new Option<string?>("--figures") { Description = "Draws completion times to this directory as SVG: cdf.svg, their distribution, and means.svg." };
        floor.Require(r => r.GetValue(levels) is < 1 or > 64 || r.GetValue(floor) is not (>= 0 and <= 1) || r.GetValue(floor) * r.GetValue(levels) > 1
            ? "--levels must be 1 to 64, and --floor 0 or more and together over all levels at most 1."
            : null);

        var command = new Command("simulate", "Runs a scenario in the flow-level simulator, under each strategy with each policy, and compares them.")
        {
            strategies, policies, levels, floor, json, csv, figures,
        };
        cases.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var (output, errorOutput) = (parsed.InvocationConfiguration.Output, parsed.InvocationConfiguration.Error);
            var files = ResultFiles.Prepare(parsed.GetValue(json), parsed.GetValue(csv), parsed.GetValue(figures), [.. cases.Inputs(parsed)], out var errors);
            if (files is null || cases.Read(parsed, out var note, out errors) is not { } read)
            {
                foreach (var error in errors)
                {
                    await errorOutput.WriteLineAsync(error);
                }

                return Failed;
            }

            Scheme[] schemes = [.. from s in parsed.GetValue(strategies)!.Distinct() from p in parsed.GetValue(policies)!.Distinct() select new Scheme(s, p, parsed.GetValue(levels), parsed.GetValue(floor))];
            var runs = await SchemeRuns.RunAsync(read, schemes, errorOutput, cancellationToken);
            ResultTable.Print(read, runs, output);
            if (note.Length > 0)
            {
                await output.WriteLineAsync(note);
            }

            try
            {
                await files.WriteAsync(read, runs, cancellationToken);
            }
            catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
            {
                await errorOutput.WriteLineAsync($"The results could not be written: {fault.Message}");
                return Failed;
            }

            return 0;
        });
        return command;
    }

    // In one line, where the library's own rule takes one for each name known.
    private static void Among(Option<string[]> option, string[] known)
    {
        option.CompletionSources.Add(known);
        option.Require(r => r.Tokens.Select(t => t.Value).Except(known).FirstOrDefault() is { } other ? $"{option.Name}: there is no {other}; known are {string.Join(", ", known)}." : null);
    }
}
