using System.CommandLine;
using System.CommandLine.Invocation;
using MLNet.SDN.Cli.Agents;
using MLNet.SDN.Cli.Controllers;
using MLNet.SDN.Cli.Jobs;
using MLNet.SDN.Cli.Plans;
using MLNet.SDN.Cli.Simulation;
using MLNet.SDN.Cli.Topology;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Cli;

/// <summary><c>mlnetctl</c>: every command, and what becomes of one that fails.</summary>
internal static class OperatorCommands
{
    // As the shell has it: 128 and SIGINT.
    private const int Interrupted = 130;

    /// <summary>Runs a command line.</summary>
    /// <param name="args">Without the program's name.</param>
    /// <param name="output">Gets the answer; null for standard output.</param>
    /// <param name="error">Gets what is wrong; null for standard error.</param>
    /// <returns>Exit code: 0 done, 1 refused or failed, 130 interrupted. Never throws: what no command foresaw is one line as well.</returns>
    public static async Task<int> RunAsync(string[] args, TextWriter? output = null, TextWriter? error = null)
    {
        try
        {
            var parsed = Root().Parse(args);
            if (parsed.Action is ParseErrorAction wrong)
            {
                // The error, not a page of help that it scrolls away with.
                wrong.ShowHelp = false;
            }

            return await parsed.InvokeAsync(new() { EnableDefaultExceptionHandler = false, Output = output ?? Console.Out, Error = error ?? Console.Error });
        }
        catch (OperationCanceledException)
        {
            return Interrupted;
        }
        catch (Exception fault)
        {
            // A full disk behind standard output ends here too, and standard error may be as full.
            TryTell(error ?? Console.Error, $"mlnetctl: {PrintableText.Of(fault is IOException or UnauthorizedAccessException ? fault.Message : $"{fault.GetType().Name}: {fault.Message}")}");
            return ControllerCall.Failed;
        }
    }

    private static RootCommand Root() => new("MLNet SDN: plans and watches training jobs on a shared fabric.")
    {
        SimulateCommand.Create(), TopologyCommand.Create(), PlanCommand.Create(), JobCommand.Create(), AgentsCommand.Create(), MarksCommand.Create(),
    };

    private static void TryTell(TextWriter error, string line)
    {
        try
        {
            error.WriteLine(line);
        }
        catch (IOException)
        {
            // Nobody can be told; the exit code still says it.
        }
    }
}
