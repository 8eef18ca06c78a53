namespace MLNet.SDN.Planning.Trees;

/// <summary>A rack in a rotation.</summary>
/// <param name="Hosts">Members that may sum for the rack.</param>
/// <param name="HostShare">Part of the message that each sums; together 1.</param>
/// <param name="RootShare">Part of the message rooted in the rack; together 1 over all racks. A host is root of the same part of what it sums as its rack's others.</param>
internal sealed record RackPart(int[] Hosts, double[] HostShare, double RootShare);

/// <summary>A piece of the message with the same aggregators.</summary>
/// <param name="Weight">Its size, in parts of the whole.</param>
/// <param name="Aggregators">By rack, the member that sums there.</param>
/// <param name="RootRack">The rack whose aggregator is the root.</param>
internal readonly record struct RotationPiece(int Weight, int[] Aggregators, int RootRack);

/// <summary>
/// Lays out who sums what: along the message the aggregator of every rack changes from host to host, and the root from rack to rack, so that every
/// host sums and roots exactly its part.
/// </summary>
/// <remarks>
/// A host sums for its rack over one stretch of the message, and must be root for its due part of that stretch: a task with a window on one machine.
/// Earliest deadline first meets all deadlines where any schedule does (M. L. Dertouzos, 1974), and one does: every host rooting at its rack's
/// constant rate. It changes task only where a window opens or a task is done, so there are fewer than two pieces per host.
/// </remarks>
internal static class Rotation
{
    // The message's length where no smaller one divides evenly: the error of a part is then below one in a million.
    private const int MaxLength = 5_040_000;

    public static List<RotationPiece> Of(RackPart[] racks)
    {
        var length = Length(racks);

        // 1. Windows and due parts of all hosts, in whole units that add up.
        var ends = racks.Select(r => Ends(r.HostShare, length)).ToArray();
        var rootEnds = Ends([.. racks.Select(r => r.RootShare)], length);
        var due = racks.Select((rack, r) =>
        {
            var total = rootEnds[r] - (r == 0 ? 0 : rootEnds[r - 1]);
            var byHost = Ends(rack.HostShare, total);
            return byHost.Select((end, h) => end - (h == 0 ? 0 : byHost[h - 1])).ToArray();
        }).ToArray();

        // 2. From front to back: the open host with work left whose window closes first.
        var at = new int[racks.Length];
        var pieces = new List<RotationPiece>();
        for (var position = 0; position < length;)
        {
            var root = -1;
            var stop = length;
            for (var rack = 0; rack < racks.Length; rack++)
            {
                while (ends[rack][at[rack]] <= position)
                {
                    at[rack]++;
                }

                stop = Math.Min(stop, ends[rack][at[rack]]);
                if (due[rack][at[rack]] > 0 && (root < 0 || ends[rack][at[rack]] < ends[root][at[root]]))
                {
                    root = rack;
                }
            }

            // Rounding may leave a unit that nobody open is due for; the rack with the largest part takes it.
            root = root >= 0 ? root : Enumerable.Range(0, racks.Length).MaxBy(r => (racks[r].RootShare, -r));
            var taken = due[root][at[root]] > 0 ? Math.Min(stop - position, due[root][at[root]]) : stop - position;
            due[root][at[root]] -= Math.Min(taken, due[root][at[root]]);
            pieces.Add(new(taken, [.. racks.Select((rack, r) => rack.Hosts[at[r]])], root));
            position += taken;
        }

        return Merge(pieces);
    }

    // Ends of the parts on a line of the given length; the last end is the length.
    private static int[] Ends(double[] parts, int length)
    {
        var ends = new int[parts.Length];
        var sum = 0.0;
        for (var i = 0; i < parts.Length; i++)
        {
            sum += parts[i];
            ends[i] = i == parts.Length - 1 ? length : Math.Min(length, (int)Math.Round(sum * length));
        }

        return ends;
    }

    // Equal parts of racks of ordinary sizes are whole numbers of units then, and small fabrics get one shard per host.
    private static int Length(RackPart[] racks)
    {
        var length = 1L;
        foreach (var rack in racks)
        {
            length = LeastCommonMultiple(length, rack.Hosts.Length);
            if (length > MaxLength)
            {
                return MaxLength;
            }
        }

        foreach (var factor in new[] { 1, racks.Length, racks.Sum(r => r.Hosts.Length) })
        {
            var candidate = LeastCommonMultiple(length, factor);
            foreach (var multiple in new[] { 1, 2, 3, 4, 6, 12 })
            {
                var whole = candidate * multiple;
                if (whole <= MaxLength && racks.All(r => r.HostShare.All(s => IsWhole(s * whole) && IsWhole(s * r.RootShare * whole))))
                {
                    return (int)whole;
                }
            }
        }

        return MaxLength;
    }

    private static bool IsWhole(double value) => Math.Abs(value - Math.Round(value)) < 1e-9 * Math.Max(1, value);

    private static List<RotationPiece> Merge(List<RotationPiece> pieces)
    {
        var merged = new List<RotationPiece>();
        foreach (var piece in pieces)
        {
            if (merged.Count > 0 && merged[^1] is var last && last.RootRack == piece.RootRack && last.Aggregators.AsSpan().SequenceEqual(piece.Aggregators))
            {
                merged[^1] = last with { Weight = last.Weight + piece.Weight };
            }
            else
            {
                merged.Add(piece);
            }
        }

        var divisor = merged.Aggregate(0, (d, p) => GreatestCommonDivisor(p.Weight, d));
        return [.. merged.Select(p => p with { Weight = p.Weight / divisor })];
    }

    private static long LeastCommonMultiple(long a, long b) => a / GreatestCommonDivisor(a, b) * b;

    private static long GreatestCommonDivisor(long a, long b) => b == 0 ? a : GreatestCommonDivisor(b, a % b);

    private static int GreatestCommonDivisor(int a, int b) => b == 0 ? a : GreatestCommonDivisor(b, a % b);
}
