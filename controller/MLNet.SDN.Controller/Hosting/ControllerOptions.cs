using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;
using MLNet.SDN.Contracts;
using Npgsql;

namespace MLNet.SDN.Controller.Hosting;

/// <summary>What the process is and where its state lives. Section <c>Controller</c>.</summary>
public sealed class ControllerOptions
{
    /// <summary>Path of the topology, NetworkX node-link JSON. Required without a database; with one, the topology stored there is used when this is unset.</summary>
    public string? Topology { get; set; }

    /// <summary>Npgsql connection string. Unset: state is in memory, jobs are forgotten at exit and there is no history.</summary>
    public string? Postgres { get; set; }

    /// <summary>Names this controller among those on one database. A process that starts under the name of the lease's holder takes the lease at once. Default: the machine's name.</summary>
    [Required, RegularExpression("^[A-Za-z0-9._-]{1,63}$", ErrorMessage = "must be 1-63 characters of letters, digits, '.', '_' and '-'.")]
    public string Instance { get; set; } = Environment.MachineName;

    /// <summary>How long a controller that fell silent keeps others from leading. Default 15 s.</summary>
    [Range(typeof(TimeSpan), "00:00:02", "00:10:00")]
    public TimeSpan LeaseTime { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>What agents prove themselves with: 16-512 printable ASCII characters without spaces. Prefer <see cref="AgentTokenFile"/>: command line and environment are easier to read for others.</summary>
    public string? AgentToken { get; set; }

    /// <summary>Path of a file that holds the token; nobody but its owner may read it.</summary>
    public string? AgentTokenFile { get; set; }

    /// <summary>Serve agents on addresses other than loopback without any token. Default: no.</summary>
    public bool AllowUnauthenticatedAgents { get; set; }

    /// <summary>Folder of the dashboard's build output. Default: <c>wwwroot</c> beside the binary.</summary>
    public string? WebRoot { get; set; }
}

/// <summary>Field rules of <see cref="ControllerOptions"/>, made by the source generator.</summary>
[OptionsValidator]
public sealed partial class ControllerOptionsFieldRules : IValidateOptions<ControllerOptions>;

/// <summary>Rules that need more than one field or a parser.</summary>
public sealed class ControllerOptionsCrossRules : IValidateOptions<ControllerOptions>
{
    /// <inheritdoc />
    public ValidateOptionsResult Validate(string? name, ControllerOptions options)
    {
        List<string> faults = [];
        if (string.IsNullOrWhiteSpace(options.Topology) && string.IsNullOrWhiteSpace(options.Postgres))
        {
            faults.Add("Controller:Topology is not set; without Controller:Postgres it must be the path of a node-link JSON file.");
        }

        if (!string.IsNullOrWhiteSpace(options.Topology) && !File.Exists(options.Topology))
        {
            faults.Add($"Controller:Topology '{options.Topology}' does not exist; give the path of a node-link JSON file.");
        }

        if (!string.IsNullOrWhiteSpace(options.WebRoot) && !Directory.Exists(options.WebRoot))
        {
            faults.Add($"Controller:WebRoot '{options.WebRoot}' is no folder; give the dashboard's build output, or leave it unset.");
        }

        if (!string.IsNullOrEmpty(options.AgentToken) && !string.IsNullOrEmpty(options.AgentTokenFile))
        {
            faults.Add("Controller:AgentToken and Controller:AgentTokenFile are both set; keep the file.");
        }
        else if (!string.IsNullOrEmpty(options.AgentToken) && BearerToken.FindFault(options.AgentToken) is { } badToken)
        {
            faults.Add($"Controller:AgentToken {badToken}");
        }
        else if (!string.IsNullOrEmpty(options.AgentTokenFile) && BearerToken.Read(options.AgentTokenFile, out _) is { } badFile)
        {
            faults.Add($"Controller:AgentTokenFile '{options.AgentTokenFile}' {badFile}");
        }

        if (!string.IsNullOrWhiteSpace(options.Postgres))
        {
            try
            {
                var parsed = new NpgsqlConnectionStringBuilder(options.Postgres);
                if (string.IsNullOrEmpty(parsed.Host))
                {
                    faults.Add("Controller:Postgres names no Host; e.g. 'Host=/run/postgresql;Database=mlnet;Username=mlnet'.");
                }
            }
            catch (ArgumentException fault)
            {
                // The message of the parser names the keyword, never a value, so no password leaks.
                faults.Add($"Controller:Postgres is no Npgsql connection string: {fault.Message}");
            }
        }

        return faults.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults);
    }
}
