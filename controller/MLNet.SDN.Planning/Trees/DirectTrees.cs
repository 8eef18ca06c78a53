namespace MLNet.SDN.Planning.Trees;

/// <summary>Trees of depth one: every host sends straight to the root.</summary>
internal static class DirectTrees
{
    /// <summary>One shard, one root: a single parameter server.</summary>
    public static Forest Single(int[] members, int root) => new(members, [Star(members.Length, root)]);

    /// <summary>A shard for each host, which is its root: a sharded parameter server on the workers' hosts.</summary>
    public static Forest Sharded(int[] members) => new(members, [.. Enumerable.Range(0, members.Length).Select(root => Star(members.Length, root))]);

    private static Shard Star(int count, int root)
    {
        var parent = new int[count];
        Array.Fill(parent, root);
        parent[root] = -1;
        return new(1, root, parent);
    }
}
