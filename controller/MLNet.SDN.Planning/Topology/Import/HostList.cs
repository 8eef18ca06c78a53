using System.Globalization;

namespace MLNet.SDN.Planning.Topology.Import;

/// <summary>Slurm's short form of many names: <c>gpu[01-04,7],login</c> (scontrol(1), "hostlist").</summary>
internal static class HostList
{
    // A typing error such as n[1-9999999999] must not fill the memory.
    private const int MostNames = 1_000_000;

    // Slurm itself knows at most five dimensions.
    private const int MostBrackets = 8;

    /// <summary>Writes out the names.</summary>
    /// <returns>False when the text is no host list; names may then hold some.</returns>
    public static bool TryExpand(string text, List<string> names)
    {
        var start = 0;
        var depth = 0;
        for (var i = 0; i <= text.Length; i++)
        {
            if (i == text.Length || (text[i] == ',' && depth == 0))
            {
                if (!TryExpandOne(text[start..i], "", names))
                {
                    return false;
                }

                start = i + 1;
            }
            else if (text[i] is '[' or ']')
            {
                depth += text[i] == '[' ? 1 : -1;
                if (depth is < 0 or > 1)
                {
                    return false;
                }
            }
        }

        return depth == 0;
    }

    // One bracket after the other, so that a[1-2]b[1-2] gives four names.
    private static bool TryExpandOne(string text, string done, List<string> names)
    {
        var open = text.IndexOf('[', StringComparison.Ordinal);
        if (text.Count('[') > MostBrackets)
        {
            return false;
        }

        if (open < 0)
        {
            names.Add(done + text);
            return (done + text).Length > 0 && names.Count <= MostNames;
        }

        var close = text.IndexOf(']', open);
        if (close < 0)
        {
            return false;
        }

        foreach (var range in text[(open + 1)..close].Split(','))
        {
            var ends = range.Split('-');
            if (ends.Length > 2 || !Number(ends[0], out var first) || !Number(ends[^1], out var last) || last < first || last - first >= MostNames)
            {
                return false;
            }

            // Leading zeros are part of the name: 08-10 is 08, 09, 10.
            for (var number = first; number <= last; number++)
            {
                var digits = number.ToString(CultureInfo.InvariantCulture).PadLeft(ends[0].Length, '0');
                if (!TryExpandOne(text[(close + 1)..], done + text[..open] + digits, names))
                {
                    return false;
                }
            }
        }

        return true;
    }

    private static bool Number(string text, out int number) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
}
