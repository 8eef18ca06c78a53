using System.CommandLine;
using MLNet.SDN.Cli.Simulation;

var root = new RootCommand("MLNet SDN: plans and watches training jobs on a shared fabric.") { SimulateCommand.Create() };
return await root.Parse(args).InvokeAsync();
