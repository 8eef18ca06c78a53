using System.Net;

namespace MLNet.SDN.Aggregation.Paths;

/// <summary>Routers between two hosts, nearest first; null where one did not answer.</summary>
internal sealed record Path(IReadOnlyList<IPAddress?> Routers)
{
    public static Path Unknown { get; } = new([]);

    /// <summary>The way up, to the middle of the path. What comes after the highest router is given by it, and routers there answer with the address towards any of theirs.</summary>
    public string Ascent => string.Concat(Routers.Take((Routers.Count + 1) / 2).Select(r => r is null ? "?" : Convert.ToHexString(r.GetAddressBytes())));

    /// <summary>Whether every router on the way up answered.</summary>
    public bool IsAscentKnown => Routers.Count > 0 && Routers.Take((Routers.Count + 1) / 2).All(r => r is not null);

    /// <summary>Routers that this path has in common with another, at the same distance; those that did not answer count as different.</summary>
    public int SharedWith(Path other)
    {
        var shared = 0;
        for (var hop = 0; hop < Math.Min(Routers.Count, other.Routers.Count); hop++)
        {
            shared += Routers[hop] is { } router && router.Equals(other.Routers[hop]) ? 1 : 0;
        }

        return shared;
    }
}

/// <summary>Which of several possible paths a further connection takes, so that it shares as little as can be with those that stand.</summary>
internal static class PathChoice
{
    /// <summary>Index of the best candidate, the first of equals.</summary>
    /// <param name="candidates">At least one.</param>
    /// <param name="used">Paths of the connections that stand.</param>
    public static int Best(IReadOnlyList<Path> candidates, IReadOnlyCollection<Path> used) =>
        Enumerable.Range(0, candidates.Count).MinBy(i => (Shared(candidates[i], used), Missing(candidates[i]), i));

    /// <summary>
    /// The path of one of an edge's connections, where all paths are known: edges take them in turn, so that links carry alike whatever hosts do. A host does not know
    /// which paths others take; but where each gives its edges their places by the same rule, all connections to one host go apart, and so do all of one host.
    /// </summary>
    /// <param name="seen">Paths of ports looked at.</param>
    /// <param name="place">The edge's.</param>
    /// <param name="stripe">Which connection of the edge.</param>
    /// <param name="stripes">Connections of the edge.</param>
    /// <returns>Index of the first of <paramref name="seen"/> that goes this way; null where no way up is known.</returns>
    public static int? InTurn(IReadOnlyList<Path> seen, int place, int stripe, int stripes)
    {
        // In order of routers, so that paths far from each other in it part early.
        var distinct = Enumerable.Range(0, seen.Count).Where(i => seen[i].IsAscentKnown).DistinctBy(i => seen[i].Ascent).OrderBy(i => seen[i].Ascent, StringComparer.Ordinal).ToList();
        return distinct.Count == 0 ? null : distinct[(place + (stripe * Math.Max(1, distinct.Count / Math.Max(1, stripes)))) % distinct.Count];
    }

    private static int Shared(Path path, IReadOnlyCollection<Path> used) => used.Sum(path.SharedWith);

    private static int Missing(Path path) => path.Routers.Count(r => r is null);
}
