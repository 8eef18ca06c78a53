using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Controller.Flows;

/// <summary>Load of every directed link, from the flows seen now. Pure.</summary>
internal static class LinkLoads
{
    /// <summary>A host's only link carries what the host measured; links within the fabric are estimated, since the path of a flow is not known.</summary>
    public static IReadOnlyDictionary<(string Source, string Target), LinkLoad> Compute(Fabric fabric, FlowRates rates)
    {
        Dictionary<(string Source, string Target), double> estimated = [];
        foreach (var ((source, destination), rate) in rates.Between)
        {
            if (rate > 0 && source != destination && fabric.Hosts.ContainsKey(source) && fabric.Hosts.ContainsKey(destination))
            {
                fabric.AddLoad(source, destination, rate, estimated);
            }
        }

        // Parallel links between two nodes count as one of their summed rate.
        Dictionary<(string Source, string Target), long> capacities = [];
        Dictionary<string, int> linksOfHost = [];
        foreach (var link in fabric.Source.Links)
        {
            capacities[(link.Source, link.Target)] = capacities.GetValueOrDefault((link.Source, link.Target)) + link.RateBitsPerSecond;
            capacities[(link.Target, link.Source)] = capacities.GetValueOrDefault((link.Target, link.Source)) + link.RateBitsPerSecond;
        }

        foreach (var (source, _) in capacities.Keys.Where(l => fabric.Hosts.ContainsKey(l.Source)))
        {
            linksOfHost[source] = linksOfHost.GetValueOrDefault(source) + 1;
        }

        var loads = new Dictionary<(string Source, string Target), LinkLoad>(capacities.Count);
        foreach (var (link, capacity) in capacities)
        {
            var (rate, known) =
                linksOfHost.GetValueOrDefault(link.Source) == 1 ? (rates.SentBy.GetValueOrDefault(link.Source), true) :
                linksOfHost.GetValueOrDefault(link.Target) == 1 ? (rates.ReceivedBy.GetValueOrDefault(link.Target), true) :
                (estimated.GetValueOrDefault(link), false);
            loads[link] = new() { Source = link.Source, Target = link.Target, BitsPerSecond = rate, RateBitsPerSecond = capacity, Estimated = !known };
        }

        return loads;
    }
}
