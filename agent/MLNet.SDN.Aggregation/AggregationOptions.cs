using System.Net;

namespace MLNet.SDN.Aggregation;

/// <summary>What the data plane of a host needs to start.</summary>
public sealed record AggregationOptions
{
    /// <summary>This host's name in the topology.</summary>
    public required string Host { get; init; }

    /// <summary>Address and port for other agents; port 0 picks one.</summary>
    public required IPEndPoint Listen { get; init; }

    /// <summary>Path of the Unix socket for workers.</summary>
    public required string WorkerSocket { get; init; }

    /// <summary>DSCP 0..63 of signalling connections.</summary>
    public byte SignallingDscp { get; init; } = 40;

    /// <summary>Look for paths before dialling, by packets that expire on the way; off: connections take the paths of chance.</summary>
    public bool ProbePaths { get; init; } = true;

    /// <summary>How long an agent that ended, or a host that cannot be reached, is waited for before the rounds that need it fail.</summary>
    public TimeSpan RestartPatience { get; init; } = TimeSpan.FromSeconds(30);
}
