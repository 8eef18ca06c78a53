using MLNet.SDN.Cli;

return await OperatorCommands.RunAsync(args);
