using System.Net;

namespace MLNet.SDN.Aggregation.Paths;

/// <summary>Routers between two hosts, nearest first; null where one did not answer.</summary>
internal sealed record Path(IReadOnlyList<IPAddress?> Routers)
{
    public static Path Unknown { get; } = new([]);

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

    /// <summary>Whether a path shares no more with those that stand than any path must: the first router and the last, which are the hosts' own.</summary>
    public static bool IsApart(Path path, IReadOnlyCollection<Path> used) =>
        path.Routers.Count > 0 && Missing(path) == 0 && used.All(u => path.SharedWith(u) <= Math.Min(2, path.Routers.Count));

    private static int Shared(Path path, IReadOnlyCollection<Path> used) => used.Sum(path.SharedWith);

    private static int Missing(Path path) => path.Routers.Count(r => r is null);
}
