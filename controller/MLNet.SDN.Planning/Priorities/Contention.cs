namespace MLNet.SDN.Planning.Priorities;

/// <summary>Which jobs meet on links, and what it costs one to share with another.</summary>
internal sealed class Contention
{
    private readonly int count;
    private readonly double[] loss;
    private readonly int[] sharedLink;

    public Contention(IReadOnlyList<CommunicationWork> works)
    {
        count = works.Count;
        loss = new double[count * count];
        sharedLink = new int[count * count];
        Array.Fill(sharedLink, -1);
        var users = new Dictionary<int, List<(int Job, int Position)>>();
        for (var job = 0; job < count; job++)
        {
            for (var position = 0; position < works[job].Load.Links.Length; position++)
            {
                var link = works[job].Load.Links[position];
                if (!users.TryGetValue(link, out var on))
                {
                    users[link] = on = [];
                }

                on.Add((job, position));
            }
        }

        var work = new double[count * count];
        foreach (var (link, on) in users.OrderBy(u => u.Key))
        {
            foreach (var (a, atA) in on)
            {
                foreach (var (b, atB) in on)
                {
                    if (a == b)
                    {
                        continue;
                    }

                    // Sharing evenly, a is held up by as much of b's traffic as b can bring while a has any, and only while b is not computing.
                    var pair = (a * count) + b;
                    var left = Math.Min(works[a].LeftOn(atA), works[b].LeftOn(atB));
                    loss[pair] = Math.Max(loss[pair], left * works[b].DutyOn(atB));
                    if (sharedLink[pair] < 0 || left > work[pair])
                    {
                        (work[pair], sharedLink[pair]) = (left, link);
                    }
                }
            }
        }
    }

    /// <summary>Seconds by which the first job ends later when the second has the same level instead of a lower one.</summary>
    public double Loss(int job, int other) => loss[(job * count) + other];

    /// <summary>Whether the jobs share a link.</summary>
    public bool Meet(int job, int other) => SharedLink(job, other) >= 0;

    /// <summary>The link on which the jobs have most in common; -1 when they share none.</summary>
    public int SharedLink(int job, int other) => sharedLink[(job * count) + other];
}
