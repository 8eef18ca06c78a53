using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Topology.Import;

/// <summary>Reads the layout <c>ip,DSW,PSW,ASW</c>: a line for each host with its core group, pod and rack switch, as in the Lingjun data set of 2023.</summary>
/// <remarks>Names may be hashed. Switches carry their path (<c>G1.P2.S3</c>), since a rack's name counts within its pod only. Core groups meet in one node <c>core</c>.</remarks>
public static class LayeredCsvTopology
{
    private const string Header = "ip,DSW,PSW,ASW";
    private const string Core = "core";

    /// <summary>Reads the file's text.</summary>
    /// <param name="text">Whole file.</param>
    /// <param name="rates">Rates of the links.</param>
    /// <param name="faults">Everything wrong, the field being <c>line N</c>; empty when the result is not null.</param>
    /// <param name="nodeLines">Gets the line of every host, and of every switch the first that names it; null for nobody who asks.</param>
    public static Contracts.Topology? TryRead(string text, ImportRates rates, out IReadOnlyList<FieldFault> faults, IDictionary<string, int>? nodeLines = null)
    {
        var found = new List<FieldFault>(ImportRates.Check(rates));
        faults = found;
        var lines = text.Split('\n').Select(l => l.TrimEnd('\r')).ToArray();
        if (lines[0].TrimStart('\uFEFF') != Header)
        {
            found.Add(new("line 1", lines[0], $"The first line must be {Header}."));
            return null;
        }

        var lineOf = new Dictionary<string, int>(StringComparer.Ordinal);
        var racks = new SortedDictionary<string, List<string>>(StringComparer.Ordinal);
        var parents = new SortedDictionary<string, string>(StringComparer.Ordinal);
        for (var i = 1; i < lines.Length; i++)
        {
            if (lines[i].Length == 0)
            {
                continue;
            }

            var cells = lines[i].Split(',');
            if (cells.Length != 4 || cells.Any(string.IsNullOrWhiteSpace))
            {
                found.Add(new($"line {i + 1}", lines[i], "A line has four cells, none empty: host, core group, pod and rack switch."));
                continue;
            }

            if (!lineOf.TryAdd(cells[0], i + 1))
            {
                found.Add(new($"line {i + 1}", cells[0], $"The host stands in line {lineOf[cells[0]]} already; every host stands once."));
                continue;
            }

            var (group, pod, rack) = (cells[1], $"{cells[1]}.{cells[2]}", $"{cells[1]}.{cells[2]}.{cells[3]}");
            if (!racks.TryGetValue(rack, out var hosts))
            {
                racks[rack] = hosts = [];
            }

            hosts.Add(cells[0]);
            foreach (var node in nodeLines is null ? [] : new[] { cells[0], group, pod, rack })
            {
                nodeLines!.TryAdd(node, i + 1);
            }

            (parents[rack], parents[pod], parents[group]) = (pod, group, Core);
        }

        if (found.Count == 0 && racks.Count == 0)
        {
            found.Add(new("line 2", "", "The file has no host."));
        }

        return found.Count > 0 ? null : SwitchTree.Build(
            [.. parents.Select(p => new ImportedSwitch(p.Key, p.Value, racks.GetValueOrDefault(p.Key) ?? [])), new ImportedSwitch(Core, null, [])], rates);
    }
}
