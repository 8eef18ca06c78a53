namespace MLNet.SDN.Agent.Marking;

/// <summary>The least difference of two texts, line by line: longest common subsequence. Pure.</summary>
internal static class TextDifference
{
    // 64 MiB of table; longer middles are shown as all gone and all new.
    private const long MostCells = 32L << 20;

    /// <summary>Lines that go, behind <c>- </c>, and that come, behind <c>+ </c>, in the order of the texts. Empty when they are equal.</summary>
    public static IReadOnlyList<string> Of(IReadOnlyList<string> before, IReadOnlyList<string> after)
    {
        var (start, end) = (0, 0);
        while (start < Math.Min(before.Count, after.Count) && before[start] == after[start])
        {
            start++;
        }

        while (end < Math.Min(before.Count, after.Count) - start && before[^(end + 1)] == after[^(end + 1)])
        {
            end++;
        }

        string[] gone = [.. before.Skip(start).SkipLast(end)];
        string[] come = [.. after.Skip(start).SkipLast(end)];
        if ((long)gone.Length * come.Length > MostCells)
        {
            return [.. gone.Select(line => $"- {line}"), .. come.Select(line => $"+ {line}")];
        }

        // common[i, j]: most lines that the rests from i and from j have in common.
        var common = new ushort[gone.Length + 1, come.Length + 1];
        for (var i = gone.Length - 1; i >= 0; i--)
        {
            for (var j = come.Length - 1; j >= 0; j--)
            {
                common[i, j] = gone[i] == come[j] ? (ushort)(common[i + 1, j + 1] + 1) : Math.Max(common[i + 1, j], common[i, j + 1]);
            }
        }

        List<string> lines = [];
        for (var (i, j) = (0, 0); i < gone.Length || j < come.Length;)
        {
            if (i < gone.Length && j < come.Length && gone[i] == come[j])
            {
                (i, j) = (i + 1, j + 1);
            }
            else if (j == come.Length || (i < gone.Length && common[i + 1, j] >= common[i, j + 1]))
            {
                lines.Add($"- {gone[i++]}");
            }
            else
            {
                lines.Add($"+ {come[j++]}");
            }
        }

        return lines;
    }
}
