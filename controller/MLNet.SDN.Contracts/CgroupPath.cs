namespace MLNet.SDN.Contracts;

/// <summary>What a path of a control group may be, as <see cref="FlowSelector.Cgroup"/> takes it. Pure.</summary>
/// <remarks>Linux, Documentation/admin-guide/cgroup-v2.rst. A rule of nftables holds the path between quotation marks, which it cannot escape, and takes a last '*' for a pattern.</remarks>
public static class CgroupPath
{
    /// <summary>Longest path, in characters.</summary>
    public const int MaxLength = 1024;

    /// <summary>Deepest path, in parts: the kernel counts them in a byte.</summary>
    public const int MaxDepth = 255;

    /// <summary>What is wrong with a path.</summary>
    /// <returns>Null when nothing is; else what to give instead.</returns>
    public static string? FaultOf(string path)
    {
        if (path.Length is < 2 or > MaxLength || path[0] != '/' || path[^1] == '/')
        {
            return $"Give the path from the root of the cgroup v2 hierarchy, such as /system.slice/train.service, at most {MaxLength} characters, without '/' at its end.";
        }

        var parts = path[1..].Split('/');
        if (parts.Length > MaxDepth || parts.Any(p => p is "" or "." or ".."))
        {
            return $"Give at most {MaxDepth} names, each between two '/', none of them '.' or '..'.";
        }

        return path.Any(c => char.IsControl(c) || c is '"' or '*') ? "Control characters, '\"' and '*' cannot be part of a rule; give the group another name." : null;
    }

    /// <summary>How far below the root a group is: 1 for <c>/a</c>.</summary>
    public static int Depth(string path) => path.Count(c => c == '/');

    /// <summary>Whether a group is another or below it.</summary>
    public static bool IsWithin(string group, string ancestor) =>
        group.StartsWith(ancestor, StringComparison.Ordinal) && (group.Length == ancestor.Length || group[ancestor.Length] == '/');
}
