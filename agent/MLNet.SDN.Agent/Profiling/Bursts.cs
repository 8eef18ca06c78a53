namespace MLNet.SDN.Agent.Profiling;

/// <summary>Rounds told apart in a series.</summary>
/// <param name="Starts">First bin of each round and the one behind the last, run by run: a pause ends a run.</param>
/// <param name="Regularity">0..1: how much of the time is rounds, and how alike they are.</param>
internal sealed record RoundRuns(IReadOnlyList<IReadOnlyList<int>> Starts, double Regularity);

/// <summary>Where bytes flow and where they do not. Immutable.</summary>
internal sealed class Bursts
{
    // Beyond this part of the period away from where it should be, a burst is none of the rhythm.
    private const double Tolerance = 0.3;

    private readonly bool[] busy;
    private readonly List<(int Bin, int Gap)> starts = [];

    /// <summary>Tells bursts from silence.</summary>
    /// <param name="bins">Bytes per bin.</param>
    public Bursts(double[] bins)
    {
        // What flows all the time is the background; a burst rises from it to a fifth of what bursts have.
        double[] sorted = [.. bins.Order()];
        var background = sorted[sorted.Length / 10];
        var mean = bins.Average();
        double[] above = [.. sorted.Where(b => b > mean)];
        Level = above.Length == 0 ? mean : above[above.Length / 2];
        var threshold = background + (0.2 * (Level - background));
        busy = [.. bins.Select(b => b > threshold)];
        var gap = 0;
        for (var i = 0; i < busy.Length; i++)
        {
            if (busy[i] && gap > 0)
            {
                starts.Add((i, gap));
            }

            gap = busy[i] ? 0 : gap + 1;
        }
    }

    /// <summary>Bytes of a bin in a burst, typically.</summary>
    public double Level { get; }

    /// <summary>Bursts with silence before them.</summary>
    public int Count => starts.Count;

    /// <summary>Part of the bins from one to before another in which bytes flow.</summary>
    public double BusyShare(int from, int to) => busy.AsSpan(from, to - from).Count(true) / (double)Math.Max(1, to - from);

    /// <summary>Picks the bursts that begin rounds of about the given period: those that keep the rhythm best and come after the longest silence.</summary>
    /// <param name="period">In bins.</param>
    public RoundRuns Rounds(double period)
    {
        // Best sum of links that ends with each burst; a link joins two bursts a period apart. What lies between is part of the round.
        var score = new double[starts.Count];
        var previous = new int[starts.Count];
        Array.Fill(previous, -1);
        var longest = starts.Count == 0 ? 1 : starts.Max(s => Math.Min(s.Gap, period));
        var (bestSoFar, bestAt) = (0.0, -1);
        var before = new (double Score, int At)[starts.Count];
        for (var i = 0; i < starts.Count; i++)
        {
            before[i] = (bestSoFar, bestAt);

            // A new run may begin here, behind the best of all that ended before.
            score[i] = bestSoFar;
            for (var j = i - 1; j >= 0 && starts[i].Bin - starts[j].Bin <= (1 + Tolerance) * period; j--)
            {
                var link = Link(i, j);
                if (link > 0 && score[j] + link > score[i])
                {
                    (score[i], previous[i]) = (score[j] + link, j);
                }
            }

            if (score[i] > bestSoFar)
            {
                (bestSoFar, bestAt) = (score[i], i);
            }
        }

        var runs = new List<IReadOnlyList<int>>();
        var (covered, quality, links) = (0.0, 0.0, 0);
        for (var end = bestAt; end >= 0;)
        {
            var run = new List<int> { starts[end].Bin };
            var first = end;
            for (; previous[first] >= 0; first = previous[first])
            {
                run.Add(starts[previous[first]].Bin);
                covered += starts[first].Bin - starts[previous[first]].Bin;
                quality += Timing(first, previous[first]);
                links++;
            }

            run.Reverse();
            runs.Add(run);
            end = before[first].At;
        }

        runs.Reverse();

        // A pause counts once, however long: a checkpoint is no irregularity of the rounds.
        var span = 0.0;
        for (var i = 1; i < starts.Count; i++)
        {
            span += Math.Min(starts[i].Bin - starts[i - 1].Bin, (1 + Tolerance) * period);
        }

        return new(runs, links == 0 ? 0 : Math.Min(1, covered / span) * (quality / links));

        double Link(int i, int j) => Timing(i, j) * (0.5 + (0.5 * Math.Min(1, starts[i].Gap / longest)));
        double Timing(int i, int j)
        {
            var off = ((starts[i].Bin - starts[j].Bin) / period) - 1;
            return 1 - (off * off / (Tolerance * Tolerance));
        }
    }
}
