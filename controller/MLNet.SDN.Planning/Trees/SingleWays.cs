using System.Runtime.InteropServices;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>
/// Whether each edge of trees does with one connection, and so with one of several ways through the fabric. Several share a queue of chunks, fill what either way has left,
/// and cost a round of chains a twentieth of its time and a quarter of its processor time; but an edge that needs more than one uplink carries has to have them.
/// </summary>
public static class SingleWays
{
    // A load that exceeds the plan's by less changes nothing that could be seen.
    private const double Tolerance = 1.02;

    /// <summary>Whether no uplink of a rack or pod needs longer than the plan takes when every edge goes the way that is its turn.</summary>
    /// <param name="shards">Of the plan.</param>
    /// <param name="hosts">All hosts of the job, in ordinal order.</param>
    /// <param name="fabric">Where it runs.</param>
    /// <param name="messageBytes">Bytes of a message.</param>
    /// <param name="roundSeconds">What the plan needs for it with the fabric to itself.</param>
    /// <exception cref="KeyNotFoundException">The fabric does not have a host of the trees.</exception>
    public static bool Suffice(IReadOnlyList<ShardTree> shards, IReadOnlyList<string> hosts, Fabric fabric, long messageBytes, double roundSeconds)
    {
        var number = hosts.Index().ToDictionary(h => h.Item, h => h.Index, StringComparer.Ordinal);
        var bitsPerWeight = messageBytes * 8.0 / shards.Sum(s => (long)s.Weight);

        // Either direction of an edge carries the same: sums the one, results the other.
        var edges = new Dictionary<(int Dialled, int Dialler), long>();
        foreach (var shard in shards)
        {
            foreach (var edge in shard.Edges)
            {
                var (child, parent) = (number[edge.Child], number[edge.Parent]);
                CollectionsMarshal.GetValueRefOrAddDefault(edges, (Math.Max(child, parent), Math.Min(child, parent)), out _) += shard.Weight;
            }
        }

        var seconds = new Dictionary<(bool IsPod, int Site, int Way), double>();
        var (dialled, turn) = (-1, 0);
        foreach (var ((to, from), weight) in edges.OrderBy(e => e.Key.Dialled).ThenBy(e => e.Key.Dialler))
        {
            // As agents count: see JobRuntime.PlaceOfEdge.
            (dialled, turn) = (to, to == dialled ? turn + 1 : 0);
            var (a, b) = (fabric.HostNumber(hosts[from]), fabric.HostNumber(hosts[to]));
            var ways = WaysBetween(a, b, fabric);
            if (ways == 1)
            {
                continue;
            }

            var way = (to + turn) % ways;
            var bits = bitsPerWeight * weight;
            foreach (var host in (int[])[a, b])
            {
                var uplinks = UplinksOf(host, fabric);
                Add((false, fabric.Sites.RackOf(host), way * uplinks / ways), bits * uplinks / fabric.Sites.RackUplinkBitsPerSecond[fabric.Sites.RackOf(host)]);
                if (fabric.Sites.PodOf(host) is >= 0 and var pod && fabric.Sites.PodOf(a) != fabric.Sites.PodOf(b))
                {
                    Add((true, pod, way), bits * ways / fabric.Sites.PodUplinkBitsPerSecond[pod]);
                }
            }
        }

        return seconds.Values.All(s => s <= Tolerance * roundSeconds);

        void Add((bool, int, int) link, double more) => CollectionsMarshal.GetValueRefOrAddDefault(seconds, link, out _) += more;
    }

    /// <summary>Equal-cost ways between two hosts: of these each takes an equal part of a flow, and the link that carries least is on one of them only.</summary>
    internal static int WaysBetween(int from, int to, Fabric fabric)
    {
        var least = 1.0;
        foreach (var share in fabric.PathBetween(from, to).Middle)
        {
            least = Math.Min(least, share.Fraction);
        }

        return Math.Max(1, (int)Math.Round(1 / least));
    }

    // Links from the host's switch to other switches.
    private static int UplinksOf(int host, Fabric fabric)
    {
        var count = 0;
        foreach (var link in fabric.Graph.LinksFrom(fabric.Paths.AttachmentOf(host)))
        {
            count += fabric.Nodes[fabric.Graph.Links[link].Target].Kind == NodeKind.Switch ? fabric.Graph.Links[link].Parallel : 0;
        }

        return Math.Max(1, count);
    }
}
