using System.Globalization;

namespace MLNet.SDN.Aggregation.Client;

/// <summary>Which job a worker joins, and through which agent.</summary>
public sealed record WorkerOptions
{
    private const string DefaultDirectory = "/run/mlnet";

    /// <summary>Name under which the job was submitted.</summary>
    public required string Job { get; init; }

    /// <summary>Rank to take; null takes the lowest free one of this host.</summary>
    public int? Rank { get; init; }

    /// <summary>Workers that the launcher started; null when it does not say. A job of another size is refused.</summary>
    public int? WorldSize { get; init; }

    /// <summary>Path of the agent's Unix socket.</summary>
    public required string Socket { get; init; }

    /// <summary>How long to wait for the job. An agent that does not listen is waited for three seconds at most. Default one minute.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>How long an agent that ended is waited for, which the one started in its place then takes up where it was; zero for not at all, 30 days at most. Default 30 s, as long as the other hosts wait.</summary>
    public TimeSpan RestartPatience { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Default of the calls: add in a fixed order, so that the same contributions under the same plan give the same bits in every run.</summary>
    public bool Deterministic { get; init; }

    /// <summary>
    /// What the environment says. Job: <c>MLNET_JOB</c>, else <c>TORCHELASTIC_RUN_ID</c>, else <c>slurm-</c> and <c>SLURM_JOB_ID</c>.
    /// Rank: the first of <c>MLNET_RANK</c>, <c>RANK</c>, <c>OMPI_COMM_WORLD_RANK</c>, <c>SLURM_PROCID</c>; the number of workers likewise
    /// (<c>MLNET_WORLD_SIZE</c>, <c>WORLD_SIZE</c>, <c>OMPI_COMM_WORLD_SIZE</c>, <c>SLURM_NTASKS</c>).
    /// Socket: <c>MLNET_AGENT_SOCKET</c>, else the only <c>.sock</c> in <c>/run/mlnet</c>.
    /// </summary>
    /// <exception cref="WorkerException">No job is named, a number is none, or several agents listen.</exception>
    public static WorkerOptions FromEnvironment() => FromEnvironment(Environment.GetEnvironmentVariable);

    internal static WorkerOptions FromEnvironment(Func<string, string?> variable) => new()
    {
        Job = JobName(variable),
        Rank = Number(variable, 0, "MLNET_RANK", "RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID"),
        WorldSize = Number(variable, 1, "MLNET_WORLD_SIZE", "WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS"),
        Socket = variable("MLNET_AGENT_SOCKET") is { Length: > 0 } path ? path : DefaultSocket(),
    };

    private static string JobName(Func<string, string?> variable)
    {
        if (variable("MLNET_JOB") is { Length: > 0 } name)
        {
            return name;
        }

        if (variable("TORCHELASTIC_RUN_ID") is { Length: > 0 } run && run != "none")
        {
            return run;
        }

        return variable("SLURM_JOB_ID") is { Length: > 0 } id
            ? $"slurm-{id}"
            : throw new WorkerException(WorkerError.UnknownJob, "no job was named: set MLNET_JOB to the name under which it was submitted");
    }

    private static int? Number(Func<string, string?> variable, int least, params ReadOnlySpan<string> names)
    {
        foreach (var name in names)
        {
            if (variable(name) is { Length: > 0 } text)
            {
                return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value) && value >= least
                    ? value
                    : throw new WorkerException(WorkerError.Refused, $"{name} is '{text}'; it must be a number from {least}");
            }
        }

        return null;
    }

    private static string DefaultSocket()
    {
        var found = Directory.Exists(DefaultDirectory) ? Directory.GetFiles(DefaultDirectory, "*.sock") : [];
        return found.Length switch
        {
            0 => $"{DefaultDirectory}/agent.sock",
            1 => found[0],
            _ => throw new WorkerException(
                WorkerError.AgentUnavailable, $"several agents listen in {DefaultDirectory} ({string.Join(", ", found.Order(StringComparer.Ordinal))}): set MLNET_AGENT_SOCKET"),
        };
    }
}
