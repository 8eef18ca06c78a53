using System.CommandLine;
using System.CommandLine.Invocation;
using MLNet.SDN.Cli.Agents;
using MLNet.SDN.Cli.Jobs;
using MLNet.SDN.Cli.Plans;
using MLNet.SDN.Cli.Simulation;
using MLNet.SDN.Cli.Topology;

var root = new RootCommand("MLNet SDN: plans and watches training jobs on a shared fabric.") { SimulateCommand.Create(), TopologyCommand.Create(), PlanCommand.Create(), JobCommand.Create(), AgentsCommand.Create(), MarksCommand.Create() };
var parsed = root.Parse(args);
if (parsed.Action is ParseErrorAction wrong)
{
    // The error, not a page of help that it scrolls away with.
    wrong.ShowHelp = false;
}

return await parsed.InvokeAsync();
