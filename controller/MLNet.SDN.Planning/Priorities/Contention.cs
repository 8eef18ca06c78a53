namespace MLNet.SDN.Planning.Priorities;

/// <summary>Which jobs meet on links, and what it costs one to share a level with another.</summary>
internal sealed class Contention
{
    // However much goes ahead of it, a job moves a little: floors see to that.
    private const double LeastTurn = 0.02;

    private readonly int count;
    private readonly double[] loss;
    private readonly int[] sharedLink;

    /// <param name="works">The jobs.</param>
    /// <param name="order">Their order: first the one to be served first.</param>
    public Contention(IReadOnlyList<CommunicationWork> works, IReadOnlyList<int> order)
    {
        count = works.Count;
        loss = new double[count * count];
        sharedLink = new int[count * count];
        Array.Fill(sharedLink, -1);

        // On each link its jobs in their order, and for each the part of the time that those ahead leave it.
        var users = new SortedDictionary<int, List<(int Job, int Position, double Turn)>>();
        var taken = new Dictionary<int, double>();
        foreach (var job in order)
        {
            for (var position = 0; position < works[job].Links.Length; position++)
            {
                var link = works[job].Links[position];
                if (!users.TryGetValue(link, out var on))
                {
                    users[link] = on = [];
                }

                var ahead = taken.GetValueOrDefault(link);
                on.Add((job, position, Math.Max(LeastTurn, 1 - ahead)));
                taken[link] = ahead + works[job].DutyOn(position);
            }
        }

        var work = new double[count * count];
        foreach (var (link, on) in users)
        {
            for (var i = 0; i < on.Count; i++)
            {
                var (a, atA, turn) = on[i];
                for (var k = i + 1; k < on.Count; k++)
                {
                    // Sharing evenly, a is held up by as much of b's traffic as b can bring while a has any, and only while b is not computing. Levels
                    // are given anew whenever a job ends, so what counts is what happens until then: while others ahead fill the link, nothing.
                    var (b, atB, _) = on[k];
                    var left = Math.Min(works[a].LeftOn(atA), works[b].LeftOn(atB));
                    var pair = (a * count) + b;
                    loss[pair] = Math.Max(loss[pair], left * works[b].DutyOn(atB) * turn);
                    if (sharedLink[pair] < 0 || left > work[pair])
                    {
                        work[pair] = work[(b * count) + a] = left;
                        sharedLink[pair] = sharedLink[(b * count) + a] = link;
                    }
                }
            }
        }
    }

    /// <summary>Seconds by which the first job, which comes earlier in the order, ends later when the second has the same level instead of a lower one.</summary>
    public double Loss(int job, int other) => loss[(job * count) + other];

    /// <summary>Whether the jobs share a link.</summary>
    public bool Meet(int job, int other) => SharedLink(job, other) >= 0;

    /// <summary>The link on which the jobs have most in common; -1 when they share none.</summary>
    public int SharedLink(int job, int other) => sharedLink[(job * count) + other];
}
