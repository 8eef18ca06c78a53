using System.Globalization;
using System.Text;
using MLNet.SDN.Aggregation.Trees;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>Sets of ranks as people write them.</summary>
internal static class RankText
{
    /// <summary><c>rank 3</c>, or <c>ranks 0-5, 7</c>.</summary>
    public static string Of(ulong[] set)
    {
        var ranks = ContributorSet.Ranks(set).ToList();
        if (ranks.Count == 0)
        {
            return "other ranks";
        }

        var text = new StringBuilder(ranks.Count == 1 ? "rank " : "ranks ");
        for (var i = 0; i < ranks.Count;)
        {
            var last = i;
            while (last + 1 < ranks.Count && ranks[last + 1] == ranks[last] + 1)
            {
                last++;
            }

            text.Append(i > 0 ? ", " : "").Append(CultureInfo.InvariantCulture, $"{ranks[i]}");
            if (last > i)
            {
                text.Append(last > i + 1 ? "-" : ", ").Append(CultureInfo.InvariantCulture, $"{ranks[last]}");
            }

            i = last + 1;
        }

        return text.ToString();
    }
}
