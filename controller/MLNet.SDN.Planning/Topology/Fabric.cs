using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Topology;

/// <summary>A validated topology, indexed for planning. Immutable.</summary>
public sealed class Fabric
{
    private Fabric(Contracts.Topology source) => Source = source;

    public Contracts.Topology Source { get; }

    /// <summary>Hosts by name.</summary>
    public IReadOnlyDictionary<string, TopologyNode> Hosts => throw new NotImplementedException();

    /// <summary>Host by data-plane address.</summary>
    public bool TryFindHost(string address, out TopologyNode? host) => throw new NotImplementedException();

    public static bool TryCreate(Contracts.Topology topology, out Fabric? fabric, out IReadOnlyList<FieldFault> faults) => throw new NotImplementedException();

    /// <summary>Rate of the host's link, bit/s.</summary>
    public long HostRateBitsPerSecond(string host) => throw new NotImplementedException();

    /// <summary>Adds a flow's rate to every link it may cross, spread evenly over equal-cost paths.</summary>
    /// <param name="load">bit/s by directed link, as (source, target).</param>
    public void AddLoad(string sourceHost, string destinationHost, double bitsPerSecond, IDictionary<(string Source, string Target), double> load) =>
        throw new NotImplementedException();
}
