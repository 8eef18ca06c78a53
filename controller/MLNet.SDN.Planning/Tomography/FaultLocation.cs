using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Tomography;

/// <summary>Finds the switches that change what crosses them, from flows that arrived changed and flows that did not: each votes on every switch that it may have crossed.</summary>
/// <remarks>
/// <para>
/// Network tomography with a noisy-OR model: a flow arrives changed when it crosses a faulty element (a switch, or one of its ports), whose probability is 1 on a known
/// path and the share of equal-cost paths otherwise. The set of faulty elements sought is the likeliest one, where each further fault must pay for itself (a prior of one
/// in so many elements, and e^3 on top): R. Castro et al., <i>Network Tomography: Recent Developments</i>, Statistical Science 19(3), 2004; the search is
/// greedy with exchanges. What explains the flows as well as the chosen element is reported beside it, each with its share of the likelihood.
/// </para>
/// <para>Pure and deterministic: the same evidence in any order gives the same answer.</para>
/// </remarks>
public static class FaultLocation
{
    /// <summary>Faults found at once; what is left is found when the first ones are mended.</summary>
    public const int MostFaults = 8;

    // A change that no fault explains: miscounts are rarer still.
    private const double Unexplained = 1e-3;

    // A flow that crosses a faulty switch and arrives as sent: counted before the fault began, or after it was mended.
    private const double Spared = 0.02;

    // Flows of a pair on one path are not independent witnesses: more than these say nothing new.
    private const int MostVotes = 16;

    // A single port is the less usual fault: rules are mostly a switch's.
    private static readonly double PortPrior = Math.Log(0.5);

    private const double LeastShare = 0.05;

    /// <summary>Finds suspects.</summary>
    /// <param name="fabric">The fabric.</param>
    /// <param name="evidence">What was seen; rows of hosts that the fabric does not have are passed over.</param>
    /// <returns>Suspects, faults in the order of what they explain, those of one fault from the likeliest on. Empty when nothing arrived changed.</returns>
    public static IReadOnlyList<Suspicion> Find(Fabric fabric, IReadOnlyList<FlowEvidence> evidence)
    {
        var rows = evidence
            .Where(e => e.Changed + e.Intact > 0 && e.Source != e.Destination && fabric.Hosts.ContainsKey(e.Source) && fabric.Hosts.ContainsKey(e.Destination))
            .OrderBy(e => e.Source, StringComparer.Ordinal).ThenBy(e => e.Destination, StringComparer.Ordinal).ThenBy(e => string.Join(' ', e.Path ?? []), StringComparer.Ordinal)
            .ThenBy(e => e.Changed).ThenBy(e => e.Intact)
            .ToArray();
        if (!rows.Any(r => r.Changed > 0))
        {
            return [];
        }

        var elements = new CrossedElements(fabric);
        var crossed = Array.ConvertAll(rows, elements.Of);
        var isSuspect = new bool[elements.Elements.Count];
        foreach (var (row, crossing) in rows.Zip(crossed).Where(r => r.First.Changed > 0))
        {
            Array.ForEach(crossing, c => isSuspect[c.Element] = true);
        }

        var model = new Model(rows, crossed, isSuspect, [.. elements.Elements.Select(e => e.From is null ? 0 : PortPrior)]);
        var faulty = model.Search();
        return [.. faulty.SelectMany((_, fault) => Describe(fabric, rows, crossed, elements, model.Shares(faulty, fault), fault))];
    }

    private static IEnumerable<Suspicion> Describe(
        Fabric fabric, FlowEvidence[] rows, (int Element, double Probability)[][] crossed, CrossedElements elements, double[] shares, int fault)
    {
        // A port counts for the switch that it belongs to: the one that receives, or sends to a host.
        var bySwitch = new SortedDictionary<string, List<(string? Neighbour, int Element)>>(StringComparer.Ordinal);
        for (var i = 0; i < shares.Length; i++)
        {
            if (shares[i] > 0)
            {
                var (node, from) = elements.Elements[i];
                var (owner, neighbour) = from is not null && fabric.Hosts.ContainsKey(node) ? (from, node) : (node, from);
                (bySwitch.TryGetValue(owner, out var list) ? list : bySwitch[owner] = []).Add((neighbour, i));
            }
        }

        var suspicions = new List<Suspicion>();
        foreach (var (name, parts) in bySwitch)
        {
            var confidence = parts.Sum(p => shares[p.Element]);
            if (confidence >= LeastShare && !fabric.Hosts.ContainsKey(name))
            {
                var (neighbour, element) = parts.OrderByDescending(p => shares[p.Element]).ThenBy(p => p.Neighbour, StringComparer.Ordinal).First();
                var touching = rows.Zip(crossed).Select(r => (Row: r.First, r.Second.FirstOrDefault(c => c.Element == element).Probability)).Where(r => r.Probability > 0).ToList();
                suspicions.Add(new(
                    name, neighbour, fault, Math.Min(1, confidence),
                    touching.Where(r => r.Row.Changed > 0).Select(r => (r.Row.Source, r.Row.Destination)).Distinct().Count(),
                    touching.Sum(r => r.Row.Changed), touching.Where(r => r.Probability >= 1).Sum(r => r.Row.Intact)));
            }
        }

        return suspicions.OrderByDescending(s => Math.Round(s.Confidence, 6)).ThenBy(s => s.Switch, StringComparer.Ordinal);
    }

    /// <summary>Likelihood of sets of faulty elements.</summary>
    private sealed class Model(FlowEvidence[] rows, (int Element, double Probability)[][] crossed, bool[] isSuspect, double[] priors)
    {
        // What a further fault costs: any of the elements could have been it.
        private readonly double _price = Math.Log(Math.Max(1, isSuspect.Count(s => s))) + 3;

        public List<int> Search()
        {
            List<int> faulty = [];
            while (faulty.Count < MostFaults)
            {
                // (1) The element that explains most of what is unexplained. That there is a first fault is certain.
                var (best, gain) = Best(Gains(faulty));
                if (best < 0 || gain <= (faulty.Count == 0 ? 0 : _price))
                {
                    break;
                }

                faulty.Add(best);

                // (2) What was chosen first was chosen without knowing of the others: each may be exchanged, or turn out to be needless.
                for (var changed = true; changed && faulty.Count > 1;)
                {
                    changed = false;
                    for (var i = 0; i < faulty.Count && faulty.Count > 1; i++)
                    {
                        List<int> others = [.. faulty.Where((_, j) => j != i)];
                        var gains = Gains(others);
                        var (other, otherGain) = Best(gains);
                        if (gains[faulty[i]] <= _price && otherGain <= _price)
                        {
                            faulty.RemoveAt(i--);
                            changed = true;
                        }
                        else if (other != faulty[i] && otherGain > gains[faulty[i]] + 1e-6)
                        {
                            faulty[i] = other;
                            changed = true;
                        }
                    }
                }
            }

            return faulty;
        }

        /// <summary>How the likelihood is divided over the elements that could stand in the place of one of the faulty ones.</summary>
        public double[] Shares(List<int> faulty, int place)
        {
            var gains = Gains([.. faulty.Where((_, i) => i != place)]);
            var most = gains.Max();
            var weights = Array.ConvertAll(gains, g => double.IsNegativeInfinity(g) ? 0 : Math.Exp(g - most));
            var sum = weights.Sum();
            return Array.ConvertAll(weights, w => w / sum);
        }

        // Change of the log-likelihood by each element beside those given; its prior is in it.
        private double[] Gains(List<int> faulty)
        {
            var gains = new double[isSuspect.Length];
            for (var e = 0; e < gains.Length; e++)
            {
                gains[e] = isSuspect[e] && !faulty.Contains(e) ? priors[e] : double.NegativeInfinity;
            }

            for (var r = 0; r < rows.Length; r++)
            {
                var spared = 1.0;
                foreach (var (element, probability) in crossed[r])
                {
                    spared *= faulty.Contains(element) ? 1 - probability : 1;
                }

                var before = Term(rows[r], spared);
                foreach (var (element, probability) in crossed[r])
                {
                    if (isSuspect[element])
                    {
                        gains[element] += Term(rows[r], spared * (1 - probability)) - before;
                    }
                }
            }

            return gains;
        }

        private static (int Element, double Gain) Best(double[] gains)
        {
            var best = -1;
            for (var e = 0; e < gains.Length; e++)
            {
                // Elements are numbered in the order of the rows, which is that of names: equals are decided the same way each time.
                if (!double.IsNegativeInfinity(gains[e]) && (best < 0 || gains[e] > gains[best] + 1e-9))
                {
                    best = e;
                }
            }

            return (best, best < 0 ? 0 : gains[best]);
        }

        private static double Term(FlowEvidence row, double spared)
        {
            var changed = Unexplained + ((1 - Unexplained - Spared) * (1 - spared));
            return (Math.Min(row.Changed, MostVotes) * Math.Log(changed)) + (Math.Min(row.Intact, MostVotes) * Math.Log(1 - changed));
        }
    }
}
