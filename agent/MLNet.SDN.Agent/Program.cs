using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;
using MLNet.SDN.Agent;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Configuration;
using MLNet.SDN.Agent.Control;
using MLNet.SDN.Agent.Discovery;
using MLNet.SDN.Agent.Marking;
using MLNet.SDN.Agent.Queues;
using MLNet.SDN.Contracts;

try
{
    return await ExecuteAsync(args);
}
catch (IOException exception)
{
    // What it prints to is full or gone.
    Console.Error.WriteLine($"mlnet-agent: {exception.Message}");
    return 1;
}

static async Task<int> ExecuteAsync(string[] args)
{
    var line = CommandLine.Parse(args, out var faults);
    if (faults.Count > 0)
    {
        return Refuse(faults);
    }

    if (line.ShowHelp)
    {
        Console.Out.WriteLine(CommandLine.Help);
        return 0;
    }

    if (line.ShowVersion)
    {
        Console.Out.WriteLine(AgentProcess.Version);
        return 0;
    }

    switch (line.Command)
    {
        case AgentCommand.Disable:
            return await DisableAsync();
        case AgentCommand.Flows when line.CaptureFile is not null:
            return CaptureFileReport.Print(line.CaptureFile!, line.LocalAddresses, line.Mtu, Console.Out, Console.Error);
    }

    var configuration = line.Merge(out var fileFaults);

    // Who asks need not know more of the agent than where its socket is.
    var isPreview = line.DiffFile is not null || line.DryRunFile is not null;
    if (line.Command is AgentCommand.Status or AgentCommand.Policy or AgentCommand.Flows && !isPreview && fileFaults.Count == 0 && configuration["Agent:ControlSocket"] is { Length: > 0 } socket)
    {
        return await ControlClient.AskAsync(socket, line.Command.ToString().ToLowerInvariant(), Console.Out, Console.Error);
    }

    var options = AgentOptionsReader.Read(configuration, out var optionFaults);
    if (options is null || fileFaults.Count > 0)
    {
        return Refuse([.. fileFaults, .. optionFaults]);
    }

    if (isPreview)
    {
        return line.DiffFile is { } policyFile
            ? await PolicyPreview.DiffAsync(options, policyFile, Console.Out, Console.Error)
            : await PolicyPreview.DryRunAsync(options, line.DryRunFile!, new SystemProgram("nft"), Console.Out, Console.Error);
    }

    if (line.Command is AgentCommand.Status or AgentCommand.Policy or AgentCommand.Flows)
    {
        return await ControlClient.AskAsync(options.ControlSocket, line.Command.ToString().ToLowerInvariant(), Console.Out, Console.Error);
    }

    if (line.CheckConfig)
    {
        Console.Out.WriteLine("The configuration is good.");
        return 0;
    }

    return await RunAsync(options, line.Command == AgentCommand.Discover);
}

static int Refuse(IReadOnlyList<FieldFault> faults)
{
    foreach (var fault in faults)
    {
        Console.Error.WriteLine(fault.Value.Length > 0 ? $"mlnet-agent: {fault.Field} = '{fault.Value}': {fault.Message}" : $"mlnet-agent: {fault.Field}: {fault.Message}");
    }

    return 1;
}

static async Task<int> DisableAsync()
{
    if (await new Marker(new SystemProgram("nft"), Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance).RemoveAsync(CancellationToken.None) is { } error)
    {
        Console.Error.WriteLine($"mlnet-agent: the marks could not be removed: {error}");
        return 1;
    }

    if (await QueueKeeper.RemoveAllAsync(new SystemProgram("tc"), CancellationToken.None) is { } stuck)
    {
        Console.Error.WriteLine($"mlnet-agent: the marks are gone, but the queues could not be looked at or removed: {stuck}");
        return 1;
    }

    Console.Out.WriteLine("Nothing of ours is in nftables or the queues now. An agent that still runs in this network namespace would put it back within 90 s: stop it first.");
    return 0;
}

static async Task<int> RunAsync(AgentOptions options, bool discover)
{
    using var loggers = LoggerFactory.Create(logging => logging
        .SetMinimumLevel(options.LogLevel)
        .AddFilter("Microsoft", options.LogLevel > LogLevel.Warning ? options.LogLevel : LogLevel.Warning)
        .AddSimpleConsole(console =>
        {
            console.SingleLine = true;
            console.TimestampFormat = "yyyy-MM-ddTHH:mm:ss.fffZ ";
            console.UseUtcTimestamp = true;
            console.ColorBehavior = LoggerColorBehavior.Disabled;
        }));
    using var stop = new CancellationTokenSource();
    void Stop(PosixSignalContext context)
    {
        context.Cancel = true;
        stop.Cancel();
    }

    using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
    using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
    try
    {
        if (discover)
        {
            var logger = loggers.CreateLogger("MLNet.SDN.Agent.Discovery");
            DiscoveryLog.Starting(
                logger, options.DiscoveryInterval.TotalSeconds, new FileInfo("/proc/self/ns/net").LinkTarget ?? "?", string.Join(' ', options.DiscoveryVariables), options.DiscoverySocket);
            await new DiscoveryUnit(options.DiscoverySocket, options.DiscoveryInterval, new ProcessScan(options.DiscoveryVariables), TimeProvider.System, logger).RunAsync(stop.Token);
            return 0;
        }

        await using var agent = new AgentProcess(options, TimeProvider.System, loggers);
        await agent.RunAsync(stop.Token);
        return 0;
    }
    catch (OperationCanceledException) when (stop.IsCancellationRequested)
    {
        return 0;
    }
    catch (Exception exception) when (exception is IOException or SocketException or UnauthorizedAccessException)
    {
        await Console.Error.WriteLineAsync($"mlnet-agent: cannot start: {exception.Message}");
        return 1;
    }
}
