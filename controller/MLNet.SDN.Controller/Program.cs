using MLNet.SDN.Controller.Hosting;
using MLNet.SDN.Controller.State;

const string CheckOnly = "--check-config";
string[] given = [.. args.Where(a => a != CheckOnly)];
if (given.Any(a => a is "--help" or "-h"))
{
    Console.WriteLine("""
        mlnet-controller: plans training jobs on a fabric, tells agents, keeps history.

          --urls http://0.0.0.0:8080        address to listen on
          --Controller:Topology=FILE        fabric, NetworkX node-link JSON
          --Controller:Postgres=STRING      Npgsql connection string; unset: in memory
          --config FILE                     JSON file with any of the settings
          --check-config                    check all settings, say every fault, exit 0 or 1

        Every setting is described in docs/configuration.md.
        """);
    return 0;
}

try
{
    var builder = ControllerApp.CreateBuilder(given);
    var faults = ConfigurationCheck.FindFaults(builder.Configuration);
    if (faults.Count > 0)
    {
        throw new StartUpException(faults);
    }

    if (args.Contains(CheckOnly))
    {
        Console.WriteLine("The configuration is sound.");
        return 0;
    }

    await using var app = ControllerApp.Build(builder);
    await app.RunAsync();
    return Environment.ExitCode;
}
catch (StartUpException fault)
{
    foreach (var line in fault.Faults)
    {
        await Console.Error.WriteLineAsync(line);
    }

    return 1;
}
catch (Exception fault) when (fault is IOException or InvalidDataException or FormatException)
{
    // The configuration file cannot be read, or the address is in use.
    await Console.Error.WriteLineAsync(fault.InnerException is null ? fault.Message : $"{fault.Message} {fault.InnerException.Message}");
    return 1;
}
