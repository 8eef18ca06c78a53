using MLNet.SDN.Planning.Simulation;
using Spectre.Console;

namespace MLNet.SDN.Cli.Simulation;

/// <summary>All results of one scheme, a case each.</summary>
internal sealed record SchemeRun(Scheme Scheme, IReadOnlyList<SchemeResult> Results);

/// <summary>Runs every scheme on every case, over the processor's cores.</summary>
internal static class SchemeRuns
{
    /// <summary>Runs them.</summary>
    /// <param name="cases">The cases.</param>
    /// <param name="schemes">The schemes.</param>
    /// <param name="progress">Told of each run that has ended: a bar on a terminal, else a line each.</param>
    /// <param name="cancellationToken">Stops the runs.</param>
    /// <returns>In the order of the schemes, each in the order of the cases, whatever ended first.</returns>
    public static async Task<IReadOnlyList<SchemeRun>> RunAsync(IReadOnlyList<SimulationCase> cases, IReadOnlyList<Scheme> schemes, TextWriter progress, CancellationToken cancellationToken)
    {
        // Case by case, so that the schemes of one case, which take about as long, run beside each other.
        (int Case, int Scheme)[] runs = [.. from c in Enumerable.Range(0, cases.Count) from s in Enumerable.Range(0, schemes.Count) select (c, s)];
        var results = new SchemeResult[cases.Count, schemes.Count];
        await WithProgressAsync(runs.Length, progress, async done => await Parallel.ForEachAsync(
            runs,
            new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount, CancellationToken = cancellationToken },
            (run, stop) =>
            {
                results[run.Case, run.Scheme] = SchemeComparison.Run(cases[run.Case], schemes[run.Scheme], stop);
                done($"{cases[run.Case].Name}: {schemes[run.Scheme].Strategy} / {schemes[run.Scheme].Policy}");
                return ValueTask.CompletedTask;
            }));
        return [.. schemes.Select((scheme, s) => new SchemeRun(scheme, [.. Enumerable.Range(0, cases.Count).Select(c => results[c, s])]))];
    }

    private static async Task WithProgressAsync(int runs, TextWriter progress, Func<Action<string>, Task> work)
    {
        if (Console.IsErrorRedirected || !ReferenceEquals(progress, Console.Error))
        {
            var ended = 0;
            var lines = TextWriter.Synchronized(progress);
            await work(what => lines.WriteLine($"[{Interlocked.Increment(ref ended)}/{runs}] {what}"));
            return;
        }

        var console = AnsiConsole.Create(new() { Out = new AnsiConsoleOutput(Console.Error) });
        await console.Progress().AutoClear(true).StartAsync(async context =>
        {
            var task = context.AddTask("simulating", maxValue: runs);
            await work(what =>
            {
                task.Description = Markup.Escape(what);
                task.Increment(1);
            });
        });
    }
}
