using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Topology.Import;

/// <summary>Reads Slurm's <c>topology.conf</c> of the tree plug-in: lines <c>SwitchName=leaf1 Nodes=gpu[01-08]</c> and <c>SwitchName=top Switches=leaf[1-4]</c>.</summary>
/// <remarks>topology.conf(5). <c>LinkSpeed</c> is free text that Slurm does not use, so rates come from <see cref="ImportRates"/>.</remarks>
public static class SlurmTopology
{
    /// <summary>Reads the file's text.</summary>
    /// <param name="text">Whole file.</param>
    /// <param name="rates">Rates of the links.</param>
    /// <param name="faults">Everything wrong, the field being <c>line N</c>; empty when the result is not null.</param>
    /// <param name="nodeLines">Gets the line of every node's name, a switch's being where it is defined; null for nobody who asks.</param>
    public static Contracts.Topology? TryRead(string text, ImportRates rates, out IReadOnlyList<FieldFault> faults, IDictionary<string, int>? nodeLines = null)
    {
        var found = new List<FieldFault>(ImportRates.Check(rates));
        faults = found;
        var entries = Entries(text, found);
        var lineOf = new Dictionary<string, int>(StringComparer.Ordinal);
        var parentOf = new Dictionary<string, string>(StringComparer.Ordinal);
        var names = entries.Select(e => e.Name).ToHashSet(StringComparer.Ordinal);
        foreach (var entry in entries)
        {
            if (!lineOf.TryAdd(entry.Name, entry.Line))
            {
                found.Add(new($"line {entry.Line}", entry.Name, $"The switch is already defined in line {lineOf[entry.Name]}; every switch is defined once."));
            }

            foreach (var below in entry.Switches.Concat(entry.Nodes))
            {
                var isSwitch = entry.Switches.Contains(below);
                if (isSwitch && !names.Contains(below))
                {
                    found.Add(new($"line {entry.Line}", below, "No line defines this switch; add SwitchName=... for it or remove it here."));
                }
                else if (!isSwitch && names.Contains(below))
                {
                    found.Add(new($"line {entry.Line}", below, "A switch has the same name as this node; give one of them another."));
                }
                else if (!parentOf.TryAdd(below, entry.Name))
                {
                    found.Add(new($"line {entry.Line}", below, $"It hangs on switch {parentOf[below]} already; name it under one switch, once."));
                }
            }
        }

        AddCircles(entries, parentOf, found);

        if (entries.Count == 0 && found.Count == 0)
        {
            found.Add(new("line 1", "", "There is no line SwitchName=...; this is no topology.conf."));
        }
        else if (found.Count == 0 && entries.All(e => e.Nodes.Count == 0))
        {
            found.Add(new($"line {entries[^1].Line}", "", "No switch has nodes; name them by Nodes=... ."));
        }

        if (nodeLines is not null)
        {
            foreach (var entry in entries)
            {
                nodeLines.TryAdd(entry.Name, entry.Line);
                entry.Nodes.ForEach(n => nodeLines.TryAdd(n, entry.Line));
            }
        }

        return found.Count > 0 ? null : SwitchTree.Build([.. entries.Select(e => new ImportedSwitch(e.Name, parentOf.GetValueOrDefault(e.Name), e.Nodes))], rates);
    }

    // Each circle once, by the switch whose line closes it: without that line there would be none. Switches that merely hang on one are not at fault.
    private static void AddCircles(List<Entry> entries, Dictionary<string, string> parentOf, List<FieldFault> faults)
    {
        var lineOf = entries.GroupBy(e => e.Name, StringComparer.Ordinal).ToDictionary(g => g.Key, g => g.First().Line, StringComparer.Ordinal);
        var walkOf = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var (walk, entry) in entries.Index())
        {
            var way = new List<string>();
            var at = entry.Name;
            while (at is not null && walkOf.TryAdd(at, walk))
            {
                way.Add(at);
                at = parentOf.GetValueOrDefault(at);
            }

            if (at is null || walkOf[at] != walk)
            {
                continue; // the top, or what an earlier walk has seen
            }

            var circle = way[way.IndexOf(at)..];
            var closing = circle.MaxBy(s => lineOf[s])!;
            var others = circle.Where(s => s != closing).ToArray();
            faults.Add(new($"line {lineOf[closing]}", closing, $"The switch hangs on itself{(others.Length > 0 ? $", over {string.Join(", ", others.Take(5))}{(others.Length > 5 ? ", ..." : "")}" : "")}; a tree has no circles."));
        }
    }

    private static List<Entry> Entries(string text, List<FieldFault> faults)
    {
        var entries = new List<Entry>();
        var joined = "";
        var first = 1;
        foreach (var (index, raw) in text.Split('\n').Index())
        {
            // A comment runs to the end of its line, a backslash joins the next line on.
            var line = raw.TrimEnd('\r');
            var comment = line.IndexOf('#', StringComparison.Ordinal);
            line = (comment < 0 ? line : line[..comment]).TrimEnd();
            first = joined.Length == 0 ? index + 1 : first;
            if (line.EndsWith('\\'))
            {
                joined += line[..^1] + " ";
                continue;
            }

            joined += line;
            if (joined.Trim().Length > 0 && Read(joined, first, faults) is { } entry)
            {
                entries.Add(entry);
            }

            joined = "";
        }

        return entries;
    }

    private static Entry? Read(string line, int number, List<FieldFault> faults)
    {
        var name = "";
        var nodes = new List<string>();
        var switches = new List<string>();
        foreach (var word in line.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries))
        {
            var equals = word.IndexOf('=', StringComparison.Ordinal);
            var (key, value) = equals < 0 ? (word, "") : (word[..equals], word[(equals + 1)..]);
            var sound = key.ToUpperInvariant() switch
            {
                "SWITCHNAME" => (name = value).Length > 0,
                "NODES" => HostList.TryExpand(value, nodes),
                "SWITCHES" => HostList.TryExpand(value, switches),
                "LINKSPEED" => true,
                _ => false,
            };
            if (!sound)
            {
                faults.Add(new($"line {number}", word, "A line holds SwitchName=..., Nodes=... or Switches=... and LinkSpeed=..., lists as gpu[01-08,12]."));
                return null;
            }
        }

        if (name.Length == 0)
        {
            faults.Add(new($"line {number}", line.Trim(), "The line has no SwitchName=... ."));
            return null;
        }

        return new(name, number, nodes, switches);
    }

    private sealed record Entry(string Name, int Line, List<string> Nodes, List<string> Switches);
}
