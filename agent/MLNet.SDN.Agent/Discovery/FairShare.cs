namespace MLNet.SDN.Agent.Discovery;

/// <summary>Divides what there is so that nobody gets more than he wants, and nobody less than another who gets no more than he wants would leave him (max-min fairness). Pure.</summary>
internal static class FairShare
{
    /// <summary>Divides.</summary>
    /// <param name="wanted">How much each wants, 0 or more.</param>
    /// <param name="total">How much there is.</param>
    /// <returns>How much each gets, in the order of <paramref name="wanted"/>.</returns>
    public static int[] Of(IReadOnlyList<int> wanted, int total)
    {
        var shares = new int[wanted.Count];
        var rest = wanted.Count;
        foreach (var index in Enumerable.Range(0, wanted.Count).OrderBy(i => wanted[i]))
        {
            shares[index] = Math.Min(wanted[index], total / rest--);
            total -= shares[index];
        }

        return shares;
    }
}
