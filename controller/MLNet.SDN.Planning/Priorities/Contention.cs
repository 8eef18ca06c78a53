using System.Buffers;

namespace MLNet.SDN.Planning.Priorities;

/// <summary>Which jobs meet on links, and what it costs one to share a level with another.</summary>
/// <remarks>Time grows with the pairs of jobs that meet; memory, which is pooled, with the square of the jobs, of which a thousand take 12 MB.</remarks>
internal sealed class Contention : IDisposable
{
    // However much goes ahead of it, a job moves a little: floors see to that.
    private const double LeastTurn = 0.02;

    private readonly int count;
    private readonly int[] rank;

    // By rank in the order, the earlier first: a row holds all that a job may lose to those after it.
    private readonly float[] loss;
    private readonly float[] common;
    private readonly int[] link;

    // Those later in the order whom each meets, ascending, one list behind the other.
    private readonly int[] firstMet;
    private readonly int[] met;

    /// <param name="works">The jobs.</param>
    /// <param name="order">Their order: first the one to be served first.</param>
    public Contention(IReadOnlyList<CommunicationWork> works, int[] order)
    {
        count = works.Count;
        rank = new int[count];
        (loss, common, link) = (Rent<float>(count * count), Rent<float>(count * count), Rent<int>(count * count));

        // 1. On each link its jobs in their order, with the seconds they have left on it, the part of the time they keep it busy, and the part of the time
        //    that those ahead leave to them.
        var links = 0;
        var entries = 0;
        foreach (var work in works)
        {
            links = work.Links.Length == 0 ? links : Math.Max(links, work.Links[^1] + 1);
            entries += work.Links.Length;
        }

        var first = new int[links + 1];
        foreach (var work in works)
        {
            foreach (var used in work.Links)
            {
                first[used + 1]++;
            }
        }

        for (var i = 0; i < links; i++)
        {
            first[i + 1] += first[i];
        }

        var next = first.AsSpan(0, links).ToArray();
        var taken = new double[links];
        var users = new User[entries];
        for (var position = 0; position < count; position++)
        {
            var work = works[order[position]];
            rank[order[position]] = position;
            for (var at = 0; at < work.Links.Length; at++)
            {
                var used = work.Links[at];
                var duty = work.DutyOn(at);
                users[next[used]++] = new(position, (float)work.LeftOn(at), (float)duty, (float)Math.Max(LeastTurn, 1 - taken[used]));
                taken[used] += duty;
            }
        }

        // 2. Every pair on every link.
        var pairs = 0;
        for (var used = 0; used < links; used++)
        {
            var on = users.AsSpan(first[used], first[used + 1] - first[used]);
            for (var i = 0; i < on.Length; i++)
            {
                var a = on[i];
                var row = a.Rank * count;
                foreach (ref readonly var b in on[(i + 1)..])
                {
                    // Sharing evenly, a is held up by as much of b's traffic as b can bring while a has any, and only while b is not computing. Levels
                    // are given anew whenever a job ends, so what counts is what happens until then: while others ahead fill the link, nothing.
                    var left = Math.Min(a.Left, b.Left);
                    var pair = row + b.Rank;
                    var lost = left * b.Duty * a.Turn;
                    if (lost > loss[pair])
                    {
                        loss[pair] = lost;
                    }

                    if (link[pair] == 0)
                    {
                        pairs++;
                        (common[pair], link[pair]) = (left, used + 1);
                    }
                    else if (left > common[pair])
                    {
                        (common[pair], link[pair]) = (left, used + 1);
                    }
                }
            }
        }

        // 3. Who meets whom: few of all pairs, and asked for several times.
        firstMet = new int[count + 1];
        met = new int[pairs];
        var filled = 0;
        for (var position = 0; position < count; position++)
        {
            firstMet[position] = filled;
            for (var at = position + 1; at < count; at++)
            {
                var step = link.AsSpan((position * count) + at, count - at).IndexOfAnyExcept(0);
                if (step < 0)
                {
                    break;
                }

                met[filled++] = at += step;
            }
        }

        firstMet[count] = filled;
    }

    /// <summary>Seconds by which the first job, which comes earlier in the order, ends later when the second has the same level instead of a lower one; else 0.</summary>
    public double Loss(int job, int other) => rank[job] < rank[other] ? loss[(rank[job] * count) + rank[other]] : 0;

    /// <summary>Whether the jobs share a link.</summary>
    public bool Meet(int job, int other) => SharedLink(job, other) >= 0;

    /// <summary>The link on which the jobs have most in common; -1 when they share none.</summary>
    public int SharedLink(int job, int other) =>
        (rank[job] < rank[other] ? link[(rank[job] * count) + rank[other]] : link[(rank[other] * count) + rank[job]]) - 1;

    /// <summary>Place of a job in the order.</summary>
    public int Position(int job) => rank[job];

    /// <summary>Positions, ascending, of the jobs later in the order that the one at a position meets.</summary>
    public ReadOnlySpan<int> After(int position) => met.AsSpan(firstMet[position]..firstMet[position + 1]);

    /// <summary>What the job at a position may lose to the one at each other, as <see cref="Loss"/>.</summary>
    public ReadOnlySpan<float> Losses(int position) => loss.AsSpan(position * count, count);

    /// <summary>Gives the memory back; nothing may be asked any more.</summary>
    public void Dispose()
    {
        ArrayPool<float>.Shared.Return(loss);
        ArrayPool<float>.Shared.Return(common);
        ArrayPool<int>.Shared.Return(link);
    }

    // Large arrays made anew for each plan would each call for a full collection.
    private static T[] Rent<T>(int length)
    {
        var rented = ArrayPool<T>.Shared.Rent(length);
        rented.AsSpan(0, length).Clear();
        return rented;
    }

    private readonly record struct User(int Rank, float Left, float Duty, float Turn);
}
