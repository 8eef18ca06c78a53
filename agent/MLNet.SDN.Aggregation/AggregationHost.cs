using System.Net;
using Microsoft.Extensions.Logging;

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
}

/// <summary>The gradient data plane of one host: takes workers' contributions, sums along the trees, hands results back. Thread-safe.</summary>
public sealed class AggregationHost : IAsyncDisposable
{
    public AggregationHost(AggregationOptions options, TimeProvider time, ILogger<AggregationHost> logger) => throw new NotImplementedException();

    /// <summary>Port that other agents connect to; known after <see cref="StartAsync"/>.</summary>
    public int DataPort => throw new NotImplementedException();

    public Task StartAsync(CancellationToken cancellationToken) => throw new NotImplementedException();

    /// <summary>Replaces the jobs this host has a part in. A job that is gone is closed; one whose trees changed switches as docs/protocol.md says.</summary>
    public void Apply(IReadOnlyList<AggregationJob> jobs) => throw new NotImplementedException();

    public AggregationStatus Status() => throw new NotImplementedException();

    /// <summary>Whose connection this is, open or closed within the last minute. Ports in host byte order; addresses as given by the kernel.</summary>
    public bool TryFindOwner(IPAddress localAddress, int localPort, IPAddress remoteAddress, int remotePort, out ConnectionOwner owner) => throw new NotImplementedException();

    /// <inheritdoc />
    public ValueTask DisposeAsync() => throw new NotImplementedException();
}
