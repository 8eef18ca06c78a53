using System.CommandLine;
using System.Text.Json;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology.Import;

namespace MLNet.SDN.Cli.Topology;

/// <summary><c>mlnetctl topology FILE</c>: checks a topology of any kind known and writes it as the node-link JSON that the controller loads.</summary>
internal static class TopologyCommand
{
    public static Command Create()
    {
        var file = new Argument<string>("FILE") { Description = "Node-link JSON, Slurm's topology.conf, or a CSV 'ip,DSW,PSW,ASW'." };
        var rates = new RateOptions();
        var command = new Command("topology", "Checks a topology and writes it as the node-link JSON that the controller loads. Files without addresses get made-up ones of 10.0.0.0/8.") { file };
        rates.AddTo(command);
        command.SetAction(parsed =>
        {
            if (TopologyFile.Read(parsed.GetValue(file)!, rates.Of(parsed), out var errors) is not { } fabric)
            {
                foreach (var error in errors)
                {
                    parsed.InvocationConfiguration.Error.WriteLine(error);
                }

                return 1;
            }

            parsed.InvocationConfiguration.Output.WriteLine(JsonSerializer.Serialize(fabric.Source, ContractsJson.Default.Topology));
            return 0;
        });
        return command;
    }
}

/// <summary>Options for topologies whose files hold no rates.</summary>
internal sealed class RateOptions
{
    private readonly Option<double> host = new("--host-mbps") { Description = "Rate of a host's link, Mbit/s, where the topology file has none.", DefaultValueFactory = _ => 10_000 };
    private readonly Option<double> rack = new("--rack-oversubscription") { Description = "Hosts' rate over uplink's rate of a rack, where the topology file has no rates.", DefaultValueFactory = _ => 1 };
    private readonly Option<double> pod = new("--pod-oversubscription") { Description = "The same for higher switches.", DefaultValueFactory = _ => 1 };

    public void AddTo(Command command)
    {
        Require(host, value => new() { HostMbps = value });
        Require(rack, value => new() { RackOversubscription = value });
        Require(pod, value => new() { PodOversubscription = value });
        command.Options.Add(host);
        command.Options.Add(rack);
        command.Options.Add(pod);
    }

    // Here, where the option can be named: the readers of files know fields only.
    private static void Require(Option<double> option, Func<double, ImportRates> with) =>
        option.Require(r => ImportRates.Check(with(r.GetValueOrDefault<double>())) is [var fault, ..] ? $"{option.Name} is {fault.Value}: {fault.Message}" : null);

    public ImportRates Of(ParseResult parsed) => new() { HostMbps = parsed.GetValue(host), RackOversubscription = parsed.GetValue(rack), PodOversubscription = parsed.GetValue(pod) };
}
