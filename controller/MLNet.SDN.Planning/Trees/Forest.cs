using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>One shard's tree over member numbers.</summary>
/// <param name="Weight">Share of the message relative to the other shards, ≥ 1.</param>
/// <param name="Root">Member that holds the sum.</param>
/// <param name="Parent">Parent of each member; -1 for the root, and for members that have no part.</param>
internal sealed record Shard(int Weight, int Root, int[] Parent);

/// <summary>The trees of all shards of a job, over hosts numbered as <see cref="Members"/>.</summary>
internal sealed class Forest(int[] members, IReadOnlyList<Shard> shards)
{
    // Root, one more of its rack if there is one, then hosts of other racks: an attempt after the loss of a rack finds a living root.
    private const int RootsKept = 4;

    /// <summary>Node numbers of the hosts.</summary>
    public int[] Members { get; } = members;

    public IReadOnlyList<Shard> Shards { get; } = shards;

    /// <summary>Reads the trees of a plan; null where one does not span every worker's host once, without a cycle, or uses a host that is neither worker nor helper.</summary>
    /// <param name="trees">Of the plan.</param>
    /// <param name="workers">Node numbers of the hosts with workers.</param>
    /// <param name="helpers">Node numbers of the hosts that may sum.</param>
    /// <param name="fabric">The fabric.</param>
    public static Forest? TryRead(IReadOnlyList<ShardTree> trees, int[] workers, int[] helpers, Fabric fabric)
    {
        var used = trees.SelectMany(t => t.Edges.Select(e => e.Child).Concat(t.Roots)).ToHashSet(StringComparer.Ordinal);
        int[] members = [.. workers.Concat(helpers.Where(h => used.Contains(fabric.Nodes[h].Id))).Order()];
        var number = members.Index().ToDictionary(m => fabric.Nodes[m.Item].Id, m => m.Index, StringComparer.Ordinal);
        var isWorker = members.Select(m => Array.BinarySearch(workers, m) >= 0).ToArray();
        var shards = new List<Shard>(trees.Count);
        foreach (var tree in trees)
        {
            if (tree.Weight < 1 || tree.Roots.Count == 0 || !tree.Roots.All(number.ContainsKey))
            {
                return null;
            }

            var root = number[tree.Roots[0]];
            var parent = new int[members.Length];
            Array.Fill(parent, -1);
            foreach (var edge in tree.Edges)
            {
                if (!number.TryGetValue(edge.Child, out var child) || !number.TryGetValue(edge.Parent, out var above) || parent[child] >= 0 || child == root)
                {
                    return null;
                }

                parent[child] = above;
            }

            for (var member = 0; member < members.Length; member++)
            {
                if ((isWorker[member] || parent[member] >= 0) && !ReachesRoot(member, parent, root))
                {
                    return null;
                }
            }

            shards.Add(new(tree.Weight, root, parent));
        }

        return shards.Count == 0 ? null : new Forest(members, shards);
    }

    /// <summary>Whether the other has the same hosts, shards and trees.</summary>
    public bool SameAs(Forest other) =>
        Members.AsSpan().SequenceEqual(other.Members) && Shards.Count == other.Shards.Count
        && Shards.Zip(other.Shards).All(s => s.First.Weight == s.Second.Weight && s.First.Root == s.Second.Root && s.First.Parent.AsSpan().SequenceEqual(s.Second.Parent));

    /// <summary>The same edges, turned so that one host is the root of every tree. What links carry stays as it is: an edge has a sum one way and a result the other, whichever end is the parent.</summary>
    /// <param name="node">Number of a host that has a part in all trees.</param>
    public Forest RootedAt(int node)
    {
        var root = Array.IndexOf(Members, node);
        return new(Members, [.. Shards.Select(shard => Turned(shard, root))]);

        static Shard Turned(Shard shard, int root)
        {
            var parent = (int[])shard.Parent.Clone();
            var (at, below) = (root, -1);
            while (at >= 0)
            {
                (parent[at], below, at) = (below, at, parent[at]);
            }

            return shard with { Root = root, Parent = parent };
        }
    }

    /// <summary>Writes the trees with host names: edges in order of the child's name, roots with their successors.</summary>
    /// <param name="fabric">Where the hosts are.</param>
    /// <param name="hasSuccessors">Whether another host may take a root's place.</param>
    public IReadOnlyList<ShardTree> ToTrees(Fabric fabric, bool hasSuccessors = true)
    {
        string[] names = [.. Members.Select(m => fabric.Nodes[m].Id)];
        var edges = new Dictionary<(int, int), TreeEdge>();
        return [.. Shards.Select(shard => new ShardTree
        {
            Weight = shard.Weight,
            Roots = hasSuccessors ? [.. Succession(shard, fabric).Select(m => names[m])] : [names[shard.Root]],
            Edges = [.. shard.Parent.Index().Where(e => e.Item >= 0).Select(e => Edge(e.Index, e.Item))],
        })];

        // Many shards have edges between the same two hosts: one object serves all.
        TreeEdge Edge(int child, int parent) =>
            edges.TryGetValue((child, parent), out var edge) ? edge : edges[(child, parent)] = new(names[child], names[parent]);
    }

    /// <summary>Bytes on every directed link for each byte of gradient: push from child to parent, and the result back.</summary>
    public LinkLoad Load(Fabric fabric)
    {
        // 1. Edges at each host, and between attachment points (racks): many edges share a path, which is walked once for all of them. What is pushed
        //    one way is pulled the other way, so that both directions carry the same.
        var total = (double)Shards.Sum(s => (long)s.Weight);
        var n = Members.Length;
        var point = new int[n];
        var points = new List<int>();
        for (var member = 0; member < n; member++)
        {
            var at = fabric.Paths.AttachmentOf(Members[member]);
            point[member] = points.IndexOf(at) is var known and >= 0 ? known : points.Count;
            if (point[member] == points.Count)
            {
                points.Add(at);
            }
        }

        var atHost = new long[n];
        var between = new long[points.Count * points.Count];
        foreach (var shard in Shards)
        {
            for (var child = 0; child < n; child++)
            {
                var parent = shard.Parent[child];
                if (parent >= 0)
                {
                    atHost[child] += shard.Weight;
                    atHost[parent] += shard.Weight;
                    between[(point[child] * points.Count) + point[parent]] += shard.Weight;
                }
            }
        }

        // 2. What that puts on links.
        var amounts = LinkAmounts.For(fabric);
        for (var member = 0; member < n; member++)
        {
            if (atHost[member] > 0 && fabric.Paths.FirstLink(Members[member]) is var first and >= 0)
            {
                amounts.Add(first, atHost[member] / total);
                amounts.Add(fabric.Paths.LastLink(Members[member]), atHost[member] / total);
            }
        }

        for (var a = 0; a < points.Count; a++)
        {
            for (var b = a + 1; b < points.Count; b++)
            {
                var both = between[(a * points.Count) + b] + between[(b * points.Count) + a];
                if (both > 0)
                {
                    AddShares(fabric.Paths.Middle(points[a], points[b]), both / total);
                    AddShares(fabric.Paths.Middle(points[b], points[a]), both / total);
                }
            }
        }

        return LinkLoad.Of(amounts, fabric);

        void AddShares(PathShare[] shares, double amount)
        {
            foreach (var share in shares)
            {
                amounts.Add(share.Link, amount * share.Fraction);
            }
        }
    }

    private static bool ReachesRoot(int member, int[] parent, int root)
    {
        for (var steps = 0; member != root; steps++)
        {
            if (steps > parent.Length || member < 0)
            {
                return false;
            }

            member = parent[member];
        }

        return true;
    }

    private IEnumerable<int> Succession(Shard shard, Fabric fabric)
    {
        var rack = fabric.Sites.RackOf(Members[shard.Root]);
        var others = Enumerable.Range(1, Members.Length - 1).Select(i => (shard.Root + i) % Members.Length).Where(m => shard.Parent[m] >= 0).ToArray();
        var sameRack = others.Where(m => fabric.Sites.RackOf(Members[m]) == rack).Take(1);
        var otherRacks = others.Where(m => fabric.Sites.RackOf(Members[m]) != rack);
        return new[] { shard.Root }.Concat(sameRack).Concat(otherRacks).Concat(others).Distinct().Take(RootsKept);
    }
}
