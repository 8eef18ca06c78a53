namespace MLNet.SDN.Planning.Trees;

/// <summary>A site in a rotation: a host, or racks and pods with what stands in them.</summary>
/// <param name="Host">The host's number; -1 for a site of several.</param>
/// <param name="Part">Part of what the site above sums that is summed here; together 1 below each site.</param>
/// <param name="Children">Sites within; hosts that never sum are left out.</param>
internal sealed record RotationSite(int Host, double Part, RotationSite[] Children);

/// <summary>A piece of the message with the same hosts summing.</summary>
/// <param name="Weight">Its size, in parts of the whole.</param>
/// <param name="Centre">By site of several hosts, the outermost first and each before what stands in it, the host that sums there. The first is the root.</param>
internal readonly record struct RotationPiece(int Weight, int[] Centre);

/// <summary>
/// Lays out who sums what: along the message the summing host of every rack changes from host to host, that of a pod from rack to rack and so on, so
/// that every host sums at every tier exactly its part.
/// </summary>
/// <remarks>
/// A host sums for its rack over one stretch of the message, and must sum for the pod over its due part of that stretch: a task with a window on one
/// machine. Earliest deadline first meets all deadlines where any schedule does (M. L. Dertouzos, 1974), and one does: every host summing at its
/// rack's constant rate. It changes task only where a window opens or a task is done, so a tier has fewer than two pieces for each window below it.
/// </remarks>
internal static class Rotation
{
    // The message's length where no smaller one divides evenly: the error of a part is then below one in a million.
    private const int MaxLength = 5_040_000;

    public static List<RotationPiece> Of(RotationSite top)
    {
        // 1. Windows of every site of several hosts.
        var length = Length(top);
        var windows = new List<List<Window>>();
        Lay(top, length, windows);

        // 2. The message is cut wherever one of them changes.
        var at = new int[windows.Count];
        var pieces = new List<RotationPiece>();
        for (var position = 0; position < length;)
        {
            var stop = length;
            var centre = new int[windows.Count];
            for (var site = 0; site < at.Length; site++)
            {
                while (windows[site][at[site]].End <= position)
                {
                    at[site]++;
                }

                stop = Math.Min(stop, windows[site][at[site]].End);
                centre[site] = windows[site][at[site]].Host;
            }

            pieces.Add(new(stop - position, centre));
            position = stop;
        }

        var divisor = pieces.Aggregate(0, (d, p) => GreatestCommonDivisor(p.Weight, d));
        return [.. pieces.Select(p => p with { Weight = p.Weight / divisor })];
    }

    // Which host sums for the site along the message; sites within are laid out first and appended after it.
    private static List<Window> Lay(RotationSite site, int length, List<List<Window>> all)
    {
        if (site.Host >= 0)
        {
            return [new(0, length, site.Host)];
        }

        // 1. Tasks: the windows of those within, each with its due part, in whole units that add up.
        var mine = new List<Window>();
        all.Add(mine);
        var tasks = new List<Task>();
        var ends = Ends(site.Children, length);
        for (var child = 0; child < site.Children.Length; child++)
        {
            var due = ends[child] - (child == 0 ? 0 : ends[child - 1]);
            var given = 0;
            foreach (var window in Lay(site.Children[child], length, all))
            {
                var until = (int)Math.Round((double)due * window.End / length);
                tasks.Add(new() { Window = window, Child = child, Due = until - given });
                given = until;
            }
        }

        // 2. From front to back: the open task with work left whose window closes first.
        tasks.Sort((a, b) => (a.Window.Start, a.Window.End, a.Child).CompareTo((b.Window.Start, b.Window.End, b.Child)));
        var open = new PriorityQueue<Task, (int End, int Child, int Start)>();
        var largest = site.Children.Index().MaxBy(c => (c.Item.Part, -c.Index)).Index;
        for (var (position, next) = (0, 0); position < length;)
        {
            for (; next < tasks.Count && tasks[next].Window.Start <= position; next++)
            {
                open.Enqueue(tasks[next], (tasks[next].Window.End, tasks[next].Child, tasks[next].Window.Start));
            }

            while (open.TryPeek(out var first, out _) && (first.Due == 0 || first.Window.End <= position))
            {
                open.Dequeue();
            }

            var stop = next < tasks.Count ? tasks[next].Window.Start : length;
            if (open.TryPeek(out var task, out _))
            {
                stop = Math.Min(stop, Math.Min(position + task.Due, task.Window.End));
                task.Due -= stop - position;
            }
            else
            {
                // Rounding may leave a unit that nobody open is due for; whoever sums the largest part takes it.
                task = tasks.Find(t => t.Child == largest && t.Window.Start <= position && t.Window.End > position)!;
                stop = Math.Min(stop, task.Window.End);
            }

            if (mine.Count > 0 && mine[^1].Host == task.Window.Host)
            {
                mine[^1] = mine[^1] with { End = stop };
            }
            else
            {
                mine.Add(new(position, stop, task.Window.Host));
            }

            position = stop;
        }

        return mine;
    }

    // Ends of the parts on a line of the given length; that of the last part is the length.
    private static int[] Ends(RotationSite[] sites, int length)
    {
        var ends = new int[sites.Length];
        var last = Array.FindLastIndex(sites, s => s.Part > 0);
        var sum = 0.0;
        for (var i = 0; i < sites.Length; i++)
        {
            sum += sites[i].Part;
            ends[i] = i >= last ? length : Math.Min(length, (int)Math.Round(sum * length));
        }

        return ends;
    }

    // Equal parts of sites of ordinary sizes are whole numbers of units then, and small fabrics get one shard per host.
    private static int Length(RotationSite top)
    {
        var parts = new List<double>();
        var counts = new List<int>();
        var ways = new SortedSet<int>();
        var hosts = 0;
        Gather(top, [], 1);
        var length = 1L;
        foreach (var count in counts.Skip(1).Append(counts[0]).Append(hosts).Concat(ways))
        {
            length = LeastCommonMultiple(length, count);
            if (length > MaxLength)
            {
                return MaxLength;
            }

            foreach (var multiple in new[] { 1, 2, 3, 4, 6, 12 })
            {
                var whole = length * multiple;
                if (whole <= MaxLength && parts.TrueForAll(p => IsWhole(p * whole)))
                {
                    return (int)whole;
                }
            }
        }

        return MaxLength;

        // The part of the message that each host sums at each tier, and the number of hosts there would be if all sites were split as on the way to it.
        void Gather(RotationSite site, double[] above, long way)
        {
            if (site.Host >= 0)
            {
                hosts++;
                ways.Add((int)Math.Min(way, MaxLength + 1));
                parts.AddRange(above);
                return;
            }

            counts.Add(site.Children.Length);
            foreach (var child in site.Children)
            {
                Gather(child, [.. above.Select(p => p * child.Part), child.Part], Math.Min(way * site.Children.Length, MaxLength + 1));
            }
        }
    }

    private static bool IsWhole(double value) => Math.Abs(value - Math.Round(value)) < 1e-9 * Math.Max(1, value);

    private static long LeastCommonMultiple(long a, long b) => a / GreatestCommonDivisor(a, b) * b;

    private static long GreatestCommonDivisor(long a, long b) => b == 0 ? a : GreatestCommonDivisor(b, a % b);

    private static int GreatestCommonDivisor(int a, int b) => b == 0 ? a : GreatestCommonDivisor(b, a % b);

    private readonly record struct Window(int Start, int End, int Host);

    private sealed class Task
    {
        public required Window Window { get; init; }

        public required int Child { get; init; }

        public int Due { get; set; }
    }
}
