using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Tomography;

/// <summary>What of the fabric flows cross, and how probably: whole switches, and their ports (one direction of a link).</summary>
internal sealed class CrossedElements
{
    private readonly Fabric _fabric;
    private readonly Dictionary<(string Switch, string? From), int> _numbers = [];

    public CrossedElements(Fabric fabric) => _fabric = fabric;

    /// <summary>All elements seen so far, by number: a switch, and null or the node whose packets to it are meant; where a host receives, the host is first.</summary>
    public List<(string Node, string? From)> Elements { get; } = [];

    /// <summary>Elements that flows cross, each with its probability, in (0, 1].</summary>
    /// <exception cref="KeyNotFoundException">A host is not of the fabric.</exception>
    public (int Element, double Probability)[] Of(FlowEvidence evidence)
    {
        Dictionary<(string Source, string Target), double> links = [];
        if (evidence.Path is { } path && IsWhole(evidence, path))
        {
            string[] nodes = [evidence.Source, .. path, evidence.Destination];
            for (var i = 1; i < nodes.Length; i++)
            {
                links[(nodes[i - 1], nodes[i])] = 1;
            }
        }
        else
        {
            // Each next hop of equal cost is as probable as the others.
            _fabric.AddLoad(evidence.Source, evidence.Destination, 1, links);
        }

        Dictionary<int, double> crossed = [];
        foreach (var ((source, target), probability) in links)
        {
            crossed[NumberOf(target, source)] = Math.Min(1, probability);
            if (!_fabric.Hosts.ContainsKey(target))
            {
                var whole = NumberOf(target, null);
                crossed[whole] = Math.Min(1, crossed.GetValueOrDefault(whole) + probability);
            }
        }

        return [.. crossed.Select(c => (c.Key, c.Value))];
    }

    // A path that a router did not answer for, or that the topology does not have, is as good as unknown.
    private bool IsWhole(FlowEvidence evidence, IReadOnlyList<string> path)
    {
        Dictionary<(string Source, string Target), double> links = [];
        _fabric.AddLoad(evidence.Source, evidence.Destination, 1, links);
        string[] nodes = [evidence.Source, .. path, evidence.Destination];
        return Enumerable.Range(1, nodes.Length - 1).All(i => links.ContainsKey((nodes[i - 1], nodes[i])));
    }

    private int NumberOf(string node, string? from)
    {
        if (!_numbers.TryGetValue((node, from), out var number))
        {
            _numbers[(node, from)] = number = Elements.Count;
            Elements.Add((node, from));
        }

        return number;
    }
}
