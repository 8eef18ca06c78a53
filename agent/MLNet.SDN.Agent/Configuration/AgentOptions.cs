using System.Net;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Configuration;

/// <summary>What an agent is told at start. Section <c>Agent</c> of its configuration; read and checked by <see cref="AgentOptionsReader"/>, immutable after.</summary>
internal sealed record AgentOptions
{
    /// <summary>TCP port of the data plane unless another is set.</summary>
    public const int DefaultDataPort = 7471;

    /// <summary>Name of this host in the topology. 1-63 characters of letters, digits, '-', '_' and '.', starting with a letter or digit: it becomes part of paths.</summary>
    public required string Host { get; init; }

    /// <summary>Base addresses of the controllers, tried in turn. At least one; http or https.</summary>
    public required IReadOnlyList<Uri> Controllers { get; init; }

    /// <summary>What the agent proves itself with to controllers; null without, or when it is in <see cref="TokenFile"/>.</summary>
    public string? Token { get; init; }

    /// <summary>Path of a file with the token, read anew at each dial. Nobody but its owner may read it.</summary>
    public string? TokenFile { get; init; }

    /// <summary>Kernel names of the data interfaces. Empty: nothing is captured.</summary>
    public IReadOnlyList<string> Interfaces { get; init; } = [];

    /// <summary>Address of the data plane on this host. Null only when <see cref="Aggregate"/> is off.</summary>
    public IPAddress? DataAddress { get; init; }

    /// <summary>TCP port of the data plane, 0..65535; 0 lets the kernel choose.</summary>
    public int DataPort { get; init; } = DefaultDataPort;

    /// <summary>Directory of what must outlive the process. Files in it carry the host's name.</summary>
    public required string StateDirectory { get; init; }

    /// <summary>Path of the Unix socket for workers, at most 107 bytes.</summary>
    public required string WorkerSocket { get; init; }

    /// <summary>Path of the Unix socket on which the agent tells of itself, at most 107 bytes.</summary>
    public required string ControlSocket { get; init; }

    /// <summary>Host the gradient data plane.</summary>
    public bool Aggregate { get; init; } = true;

    /// <summary>Count the packets of <see cref="Interfaces"/>.</summary>
    public bool Capture { get; init; } = true;

    /// <summary>Look for paths before dialling, by packets that expire on the way.</summary>
    public bool ProbePaths { get; init; } = true;

    /// <summary>Code points that a policy may use on this host, CS0 always; null: all but EF, CS6 and CS7.</summary>
    public IReadOnlySet<Dscp>? AllowedDscp { get; init; }

    /// <summary>Where flow records go as IPFIX over UDP, beside the controller; null: nowhere.</summary>
    public IPEndPoint? IpfixCollector { get; init; }

    /// <summary>Mark the flows that jobs select.</summary>
    public bool Mark { get; init; } = true;

    /// <summary>Bytes of the capture ring, 256 KiB..64 MiB. The default holds about 10,000 frames: 0.5 s of a link with 20,000 packets a second.</summary>
    public int CaptureRingBytes { get; init; } = 2 << 20;

    /// <summary>Most flows remembered at a time, 64..1,000,000; the longest silent makes room. About 190 bytes each, taken as they come.</summary>
    public int FlowTableEntries { get; init; } = 65_536;

    /// <summary>A flow silent this long is forgotten, 2..50 s: owners of closed connections are known for a minute.</summary>
    public TimeSpan FlowIdleTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How often flow counters go to the controller while nobody watches, 1..60 s. Ended flows go each second.</summary>
    public TimeSpan ReportInterval { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Flow records kept while no controller takes them, 1,000..10,000,000; the oldest give way. About 300 bytes each.</summary>
    public int PendingRecords { get; init; } = 50_000;

    /// <summary>Give the data interfaces' egress the classes of the ladder.</summary>
    public bool Queues { get; init; }

    /// <summary>Take what a discovery unit on this host finds.</summary>
    public bool Discover { get; init; }

    /// <summary>Path of the Unix socket on which the discovery unit hands over, at most 107 bytes.</summary>
    public required string DiscoverySocket { get; init; }

    /// <summary>From one look of the discovery unit to the next, 1..20 s.</summary>
    public TimeSpan DiscoveryInterval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Environment variables that the discovery unit may read: those its rules know, or fewer.</summary>
    public IReadOnlyList<string> DiscoveryVariables { get; init; } = [];

    /// <summary>Least level that is logged.</summary>
    public LogLevel LogLevel { get; init; } = LogLevel.Information;
}
