using System.Globalization;
using System.Net;
using System.Text.Json;
using Microsoft.Extensions.Configuration;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Configuration;

/// <summary>What the process was asked to do.</summary>
internal enum AgentCommand
{
    /// <summary>Be the host's agent until told to stop.</summary>
    Run,

    /// <summary>Take everything of ours out of nftables and the queues, and leave.</summary>
    Disable,

    /// <summary>Print flows and leave: of a capture file, or those that a running agent sees.</summary>
    Flows,

    /// <summary>Ask a running agent how it is, print it and leave.</summary>
    Status,

    /// <summary>Ask a running agent for the policy in force, print it without secrets and leave.</summary>
    Policy,

    /// <summary>Look for distributed jobs on this host and tell the agent, until told to stop.</summary>
    Discover,
}

/// <summary>The command line, taken apart: <c>mlnet-agent [run|discover|disable|status|policy [--diff|--dry-run FILE]|flows [FILE]] [--config FILE] [--check-config] [--Agent:Key=value ...]</c>.</summary>
internal sealed record CommandLine
{
    /// <summary>Read when it exists and <c>--config</c> names no other.</summary>
    public const string DefaultConfigFile = "/etc/mlnet/agent.json";

    /// <summary>What <c>--help</c> prints.</summary>
    public const string Help = """
        mlnet-agent: captures, marks and aggregates on one host of an MLNet SDN fabric.

        usage: mlnet-agent [run] [options]    be the host's agent until SIGTERM or SIGINT
               mlnet-agent discover [options] look for distributed jobs by their environment and tell the agent
               mlnet-agent disable            take every mark and queue of ours out of this network namespace
               mlnet-agent status [options]   what the running agent says of itself, as JSON
               mlnet-agent policy [options]   the policy that it has in force, without secrets
               mlnet-agent policy --diff FILE [options]
                                              what the policy in the file would change in nftables; changes nothing
               mlnet-agent policy --dry-run FILE [options]
                                              the nftables transaction it would load; changes nothing
               mlnet-agent flows [options]    the flows that it sees now, one JSON record a line
               mlnet-agent flows FILE [--local ADDRESS]... [--mtu BYTES]
                                              count the flows of a pcap or pcapng file, one JSON record a line

        options:
          --config FILE          JSON configuration (default /etc/mlnet/agent.json, if it exists)
          --check-config         of run and discover: read and check the configuration, then leave: 0 good, 1 faulty
          --Agent:KEY=VALUE      one setting; also environment MLNET_AGENT__KEY=VALUE, also in the file
          --version, --help

        settings (command line over environment over file):
          Agent:Host             name of this host in the topology                      required
          Agent:Controllers:0    http(s) address of a controller; :1, :2 ... for more   required
          Agent:Interface        data interface, e.g. eth0; several with commas         required unless Capture=false
          Agent:DataAddress      IP address of the data plane on this host              required unless Aggregate=false
          Agent:DataPort         TCP port of the data plane                             7471
          Agent:StateDirectory   what outlives the process                              /var/lib/mlnet
          Agent:WorkerSocket     Unix socket for workers                                /run/mlnet/HOST.sock
          Agent:ControlSocket    Unix socket for status, policy and flows               beside WorkerSocket
          Agent:Capture, Agent:Mark, Agent:Aggregate,
          Agent:ProbePaths                              switch a part off with false    true
          Agent:Queues           serve the classes of the ladder on the interface       false
          Agent:Discover         take what mlnet-agent discover finds                   false
          Agent:DiscoverySocket, Agent:DiscoveryInterval,
          Agent:DiscoveryVariables                      see docs/configuration.md
          Agent:AllowedDscp      code points that policies may use here, with commas    all but EF, CS6, CS7
          Agent:IpfixCollector   ADDRESS:PORT that gets the flow records as IPFIX       nobody
          Agent:CaptureRingBytes, Agent:FlowTableEntries, Agent:FlowIdleTimeout,
          Agent:ReportInterval, Agent:PendingRecords, Agent:LogLevel                    see docs/configuration.md
        """;

    /// <summary>The verb.</summary>
    public AgentCommand Command { get; init; }

    /// <summary>Only check the configuration.</summary>
    public bool CheckConfig { get; init; }

    /// <summary>Only print the help.</summary>
    public bool ShowHelp { get; init; }

    /// <summary>Only print the version.</summary>
    public bool ShowVersion { get; init; }

    /// <summary>File named by <c>--config</c>.</summary>
    public string? ConfigFile { get; init; }

    /// <summary>Argument of the verb <c>flows</c>.</summary>
    public string? CaptureFile { get; init; }

    /// <summary>Argument of <c>policy --diff</c>: the policy to compare; <c>-</c> for standard input.</summary>
    public string? DiffFile { get; init; }

    /// <summary>Argument of <c>policy --dry-run</c>: the policy to render; <c>-</c> for standard input.</summary>
    public string? DryRunFile { get; init; }

    /// <summary>Addresses given by <c>--local</c>: what they send is egress in a file that does not tell.</summary>
    public IReadOnlyList<IPAddress> LocalAddresses { get; init; } = [];

    /// <summary>Given by <c>--mtu</c>, bytes: longer packets in a file are merged ones.</summary>
    public int Mtu { get; init; } = 1500;

    /// <summary>Settings given by <c>--Agent:Key=value</c>.</summary>
    public IReadOnlyDictionary<string, string?> Settings { get; init; } = new Dictionary<string, string?>();

    /// <summary>Takes arguments apart.</summary>
    /// <param name="arguments">Without the program's name.</param>
    /// <param name="faults">Everything that is not understood.</param>
    public static CommandLine Parse(IReadOnlyList<string> arguments, out IReadOnlyList<FieldFault> faults)
    {
        var found = new List<FieldFault>();
        var settings = new Dictionary<string, string?>(StringComparer.OrdinalIgnoreCase);
        var line = new CommandLine { Settings = settings };
        var (verbSeen, mtuSeen) = (false, false);
        for (var i = 0; i < arguments.Count; i++)
        {
            var argument = arguments[i];
            switch (argument)
            {
                case "--help" or "-h" or "help":
                    line = line with { ShowHelp = true };
                    break;
                case "--version":
                    line = line with { ShowVersion = true };
                    break;
                case "--check-config":
                    line = line with { CheckConfig = true };
                    break;
                case "--config" when line.ConfigFile is null && i + 1 < arguments.Count && arguments[i + 1].Length > 0 && !arguments[i + 1].StartsWith("--", StringComparison.Ordinal):
                    line = line with { ConfigFile = arguments[++i] };
                    break;
                case "--diff" when line is { Command: AgentCommand.Policy, DiffFile: null, DryRunFile: null } && i + 1 < arguments.Count:
                    line = line with { DiffFile = arguments[++i] };
                    break;
                case "--dry-run" when line is { Command: AgentCommand.Policy, DiffFile: null, DryRunFile: null } && i + 1 < arguments.Count:
                    line = line with { DryRunFile = arguments[++i] };
                    break;
                case "--local" when i + 1 < arguments.Count && IPAddress.TryParse(arguments[i + 1], out var address):
                    line = line with { LocalAddresses = [.. line.LocalAddresses, address] };
                    i++;
                    break;
                case "--mtu" when i + 1 < arguments.Count && int.TryParse(arguments[i + 1], NumberStyles.None, CultureInfo.InvariantCulture, out var mtu) && mtu >= 576:
                    mtuSeen = true;
                    line = line with { Mtu = mtu };
                    i++;
                    break;
                case "run" or "discover" or "disable" or "flows" or "status" or "policy" when !verbSeen:
                    verbSeen = true;
                    line = line with { Command = Enum.Parse<AgentCommand>(argument, ignoreCase: true) };
                    break;
                case var _ when argument.StartsWith("--Agent:", StringComparison.OrdinalIgnoreCase):
                    var equals = argument.IndexOf('=', StringComparison.Ordinal);
                    if (equals < 0 && (i + 1 >= arguments.Count || arguments[i + 1].StartsWith("--", StringComparison.Ordinal)))
                    {
                        found.Add(new FieldFault(argument[2..], "", "A value is missing; write --Agent:Key=value."));
                        break;
                    }

                    settings[equals < 0 ? argument[2..] : argument[2..equals]] = equals < 0 ? arguments[++i] : argument[(equals + 1)..];
                    break;
                case var _ when line is { Command: AgentCommand.Flows, CaptureFile: null } && !argument.StartsWith('-'):
                    line = line with { CaptureFile = argument };
                    break;
                case "--config":
                    found.Add(new FieldFault("command line", argument, "It names one file, once: --config FILE."));
                    break;
                default:
                    found.Add(new FieldFault("command line", argument, "Not understood; see mlnet-agent --help."));
                    break;
            }
        }

        if (line is { CheckConfig: true, Command: not (AgentCommand.Run or AgentCommand.Discover) })
        {
            // Who asks only to check must not have anything done.
            found.Add(new FieldFault("command line", "--check-config", $"It goes with run and discover; {line.Command.ToString().ToLowerInvariant()} has nothing to check."));
        }

        if ((line.LocalAddresses.Count > 0 || mtuSeen) && line.CaptureFile is null)
        {
            found.Add(new FieldFault("command line", mtuSeen ? "--mtu" : "--local", "It goes with flows FILE only."));
        }

        faults = found;
        return line;
    }

    /// <summary>Merges file, environment (<c>MLNET_AGENT__KEY</c>) and command line, the latter over the former.</summary>
    /// <param name="faults">A file that is missing, is no JSON, or holds another section than <c>Agent</c>.</param>
    public IConfiguration Merge(out IReadOnlyList<FieldFault> faults)
    {
        var found = new List<FieldFault>();
        faults = found;
        var builder = new ConfigurationBuilder();
        if (LoadFile(found) is { } file)
        {
            builder.AddConfiguration(file);
        }

        return builder.AddEnvironmentVariables("MLNET_").AddInMemoryCollection(Settings).Build();
    }

    private IConfigurationRoot? LoadFile(List<FieldFault> faults)
    {
        var path = Path.GetFullPath(ConfigFile ?? DefaultConfigFile);
        if (ConfigFile is null && !File.Exists(path))
        {
            return null;
        }

        try
        {
            var file = new ConfigurationBuilder().AddJsonFile(source =>
            {
                source.Path = path;
                source.Optional = false;
                source.ReloadOnChange = false;
                source.ResolveFileProvider();
            }).Build();
            foreach (var section in file.GetChildren().Where(s => !s.Key.Equals("Agent", StringComparison.OrdinalIgnoreCase)))
            {
                faults.Add(new FieldFault($"{path}: {section.Key}", section.Value ?? "", "There is no such section; settings go under Agent."));
            }

            return file;
        }
        catch (Exception exception) when (exception is IOException or InvalidDataException or UnauthorizedAccessException or JsonException)
        {
            faults.Add(new FieldFault("--config", path, $"The file cannot be read: {exception.InnerException?.Message ?? exception.Message}"));
            return null;
        }
    }
}
