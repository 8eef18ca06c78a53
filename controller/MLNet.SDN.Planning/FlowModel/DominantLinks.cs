using System.Runtime.InteropServices;

namespace MLNet.SDN.Planning.FlowModel;

/// <summary>Leaves out links that can never bind before another: every flow on them is on the other too and asks there for no less of it.</summary>
internal static class DominantLinks
{
    /// <param name="columns">For each link its flows in ascending order, with the part of the link each takes at share 1.</param>
    public static List<(int Flow, double Demand)[]> Select(IReadOnlyList<List<(int Flow, double Demand)>> columns)
    {
        // 1. Equal columns once: the hosts of a rack that run the same jobs all look alike.
        var distinct = new Dictionary<ColumnKey, (int Flow, double Demand)[]>();
        var ordered = new List<(int Flow, double Demand)[]>();
        foreach (var column in columns)
        {
            var array = column.ToArray();
            if (distinct.TryAdd(new(array), array))
            {
                ordered.Add(array);
            }
        }

        // 2. Widest first, so that what dominates is there before what it dominates. Only links of one of the column's own flows can dominate it.
        var byFlow = new Dictionary<int, List<(int Flow, double Demand)[]>>();
        var kept = new HashSet<(int Flow, double Demand)[]>(ReferenceEqualityComparer.Instance);
        foreach (var column in ordered.Index().OrderByDescending(c => c.Item.Length).ThenByDescending(c => c.Item.Sum(e => e.Demand)).ThenBy(c => c.Index).Select(c => c.Item))
        {
            var candidates = column.Select(e => byFlow.GetValueOrDefault(e.Flow)).MinBy(c => c?.Count ?? 0);
            if (candidates?.Any(other => Dominates(other, column)) == true)
            {
                continue;
            }

            kept.Add(column);
            foreach (var (flow, _) in column)
            {
                (CollectionsMarshal.GetValueRefOrAddDefault(byFlow, flow, out _) ??= []).Add(column);
            }
        }

        return [.. ordered.Where(kept.Contains)];
    }

    private static bool Dominates((int Flow, double Demand)[] wide, (int Flow, double Demand)[] narrow)
    {
        var at = 0;
        foreach (var (flow, demand) in narrow)
        {
            while (at < wide.Length && wide[at].Flow < flow)
            {
                at++;
            }

            if (at == wide.Length || wide[at].Flow != flow || wide[at].Demand < demand)
            {
                return false;
            }
        }

        return true;
    }

    private sealed class ColumnKey((int Flow, double Demand)[] column) : IEquatable<ColumnKey>
    {
        private readonly (int Flow, double Demand)[] column = column;

        public bool Equals(ColumnKey? other) => other is not null && column.AsSpan().SequenceEqual(other.column);

        public override bool Equals(object? obj) => Equals(obj as ColumnKey);

        public override int GetHashCode()
        {
            var hash = new HashCode();
            foreach (var (flow, demand) in column)
            {
                hash.Add(flow);
                hash.Add(demand);
            }

            return hash.ToHashCode();
        }
    }
}
