namespace MLNet.SDN.Planning.Priorities;

/// <summary>Orders jobs: first the one that should be served first. Ties go to the lower id; jobs of unknown length come last. Urgency moves a job up.</summary>
internal static class PriorityPolicies
{
    /// <summary>Policies that give an order.</summary>
    public static IReadOnlyList<string> Names { get; } = ["srpt", "spt", "gpu-intensity", "bssi"];

    /// <summary>The order under a policy, as indexes into the works.</summary>
    /// <param name="policy">One of <see cref="Names"/>.</param>
    /// <param name="works">The jobs.</param>
    public static int[] Order(string policy, IReadOnlyList<CommunicationWork> works) => policy switch
    {
        // Least communication left: best for the mean time to finish (L. Schrage, 1968, for one link).
        "srpt" => By(works, j => j.Left / j.Urgency, needsLength: true),

        // Shortest round: needs no number of rounds.
        "spt" => By(works, j => j.RoundSeconds / j.Urgency, needsLength: false),

        // Most computation that a second of communication makes possible: J. Cao et al., "Crux", SIGCOMM 2024, §4.2, without its correction for overlap.
        "gpu-intensity" => By(works, j => j.RoundSeconds > 0 ? -j.Urgency * j.Workers * j.ComputeSeconds / j.RoundSeconds : double.NegativeInfinity, needsLength: false),
        "bssi" => Bssi(works),
        _ => throw new ArgumentException($"Unknown policy {policy}.", nameof(policy)),
    };

    // An unknown length puts a job behind all known ones, until it was held up too long: then what is assumed counts.
    private static bool IsBehind(CommunicationWork work) => !work.Known && work.Urgency <= 1;

    private static int[] By(IReadOnlyList<CommunicationWork> works, Func<CommunicationWork, double> key, bool needsLength) =>
        [.. Enumerable.Range(0, works.Count).OrderBy(j => needsLength && IsBehind(works[j])).ThenBy(j => key(works[j])).ThenBy(j => works[j].JobId)];

    /// <summary>Bottleneck, select, scale, iterate: S. Agarwal et al., "Sincronia: near-optimal network design for coflows", SIGCOMM 2018, §3.1, weights by urgency alone.</summary>
    /// <remarks>Its factor of 4 holds for one-shot coflows on one switch; here, with rounds and many links, it is a heuristic.</remarks>
    private static int[] Bssi(IReadOnlyList<CommunicationWork> works)
    {
        var left = new SortedDictionary<int, Dictionary<int, double>>();
        for (var job = 0; job < works.Count; job++)
        {
            for (var position = 0; position < works[job].Links.Length; position++)
            {
                if (works[job].LeftOn(position) > 0)
                {
                    if (!left.TryGetValue(works[job].Links[position], out var users))
                    {
                        left[works[job].Links[position]] = users = [];
                    }

                    users[job] = works[job].LeftOn(position);
                }
            }
        }

        var sum = left.ToDictionary(l => l.Key, l => l.Value.OrderBy(u => u.Key).Sum(u => u.Value));
        var weight = works.Select(w => w.Urgency).ToArray();
        var open = Enumerable.Range(0, works.Count).Where(j => works[j].Left > 0).ToHashSet();
        var order = new Stack<int>();
        while (open.Count > 0)
        {
            // 1. The busiest link of those still open.
            var busiest = left.Where(l => l.Value.Keys.Any(open.Contains)).MaxBy(l => (sum[l.Key], -l.Key));
            int[] users = [.. busiest.Value.Keys.Where(open.Contains).Order()];

            // 2. Its job with the least weight for its work goes last; unknown lengths before others.
            var last = users.MinBy(j => (!IsBehind(works[j]), weight[j] / busiest.Value[j], -works[j].JobId));
            var scale = weight[last] / busiest.Value[last];
            foreach (var job in users)
            {
                weight[job] = Math.Max(0, weight[job] - (scale * busiest.Value[job]));
            }

            order.Push(last);
            open.Remove(last);
            for (var position = 0; position < works[last].Links.Length; position++)
            {
                if (works[last].LeftOn(position) > 0)
                {
                    sum[works[last].Links[position]] -= works[last].LeftOn(position);
                }
            }
        }

        return [.. Enumerable.Range(0, works.Count).Where(j => works[j].Left <= 0), .. order];
    }
}
