using System.CommandLine;
using MLNet.SDN.Cli.Agents;
using MLNet.SDN.Cli.Jobs;
using MLNet.SDN.Cli.Plans;
using MLNet.SDN.Cli.Simulation;
using MLNet.SDN.Cli.Topology;

var root = new RootCommand("MLNet SDN: plans and watches training jobs on a shared fabric.") { SimulateCommand.Create(), TopologyCommand.Create(), PlanCommand.Create(), JobCommand.Create(), AgentsCommand.Create() };
return await root.Parse(args).InvokeAsync();
