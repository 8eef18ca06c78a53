using System.Runtime.InteropServices;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>Trees in which every host has as many equal edges on each way through the fabric, and many meet at ports: connections then do best at a rate known before.</summary>
/// <remarks>
/// Eight workers that send to eight helpers are such: each host has eight edges, two on each of four ways. All ports are full then, and what goes to one of them comes from eight sides.
/// Left to themselves connections share ports by chance: some get ahead, a root waits for the last, and results start late. On chains few meet, and
/// links of one rack carry different amounts.
/// </remarks>
public static class EvenEdges
{
    /// <summary>With fewer neighbours a port is no place where many meet.</summary>
    private const int LeastFan = 4;

    /// <summary>Weights of shards that differ by less are equal: a planner's shares are rounded to whole weights.</summary>
    private const double Tolerance = 1.05;

    /// <summary>Whether the trees are such.</summary>
    /// <param name="shards">Of a plan for the fabric.</param>
    /// <param name="fabric">Where it runs.</param>
    /// <exception cref="KeyNotFoundException">The fabric does not have a host of the trees.</exception>
    public static bool Are(IReadOnlyList<ShardTree> shards, Fabric fabric)
    {
        if (!shards.Any(s => s.Edges.Count >= LeastFan && s.Edges.CountBy(e => e.Parent, StringComparer.Ordinal).Any(p => p.Value >= LeastFan)))
        {
            return false;
        }

        // Sums go one way, results the other; what an edge carries in each is its weight here.
        var edges = new Dictionary<(int From, int To), long>();
        foreach (var shard in shards)
        {
            foreach (var edge in shard.Edges)
            {
                var (child, parent) = (fabric.HostNumber(edge.Child), fabric.HostNumber(edge.Parent));
                CollectionsMarshal.GetValueRefOrAddDefault(edges, (child, parent), out _) += shard.Weight;
                CollectionsMarshal.GetValueRefOrAddDefault(edges, (parent, child), out _) += shard.Weight;
            }
        }

        if (edges.Values.Max() > Tolerance * edges.Values.Min())
        {
            return false;
        }

        var hosts = new Dictionary<int, (int Edges, int Ways)>();
        foreach (var (from, to) in edges.Keys)
        {
            var ways = SingleWays.WaysBetween(from, to, fabric);
            ref var host = ref CollectionsMarshal.GetValueRefOrAddDefault(hosts, from, out var known);
            if (known && host.Ways != ways)
            {
                return false;
            }

            host = (host.Edges + 1, ways);
        }

        return hosts.Values.All(h => h.Edges % h.Ways == 0);
    }
}
