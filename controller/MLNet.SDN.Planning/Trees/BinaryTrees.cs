namespace MLNet.SDN.Planning.Trees;

/// <summary>
/// Binary trees that follow the fabric: hosts of a rack form one, and so do the racks' first hosts. A shard for each host, which is its root; racks and
/// hosts take the same order from the root on, so that all do the same work where racks are equal.
/// </summary>
internal static class BinaryTrees
{
    public static Forest Build(MemberSites sites) => new(sites.Members, [.. Enumerable.Range(0, sites.Members.Length).Select(root => Tree(sites, root))]);

    private static Shard Tree(MemberSites sites, int root)
    {
        var parent = new int[sites.Members.Length];
        Array.Fill(parent, -1);
        var rootRack = sites.RackOf[root];
        var turn = Array.IndexOf(sites.Racks[rootRack], root);
        for (var place = 0; place < sites.Racks.Length; place++)
        {
            var hosts = sites.Racks[(rootRack + place) % sites.Racks.Length];
            for (var i = 1; i < hosts.Length; i++)
            {
                parent[hosts[(turn + i) % hosts.Length]] = hosts[(turn + ((i - 1) / 2)) % hosts.Length];
            }

            if (place > 0)
            {
                var above = sites.Racks[(rootRack + ((place - 1) / 2)) % sites.Racks.Length];
                parent[hosts[turn % hosts.Length]] = above[turn % above.Length];
            }
        }

        return new(1, root, parent);
    }
}
