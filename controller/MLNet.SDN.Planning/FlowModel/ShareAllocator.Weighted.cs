namespace MLNet.SDN.Planning.FlowModel;

/// <content>Queues with weights instead of strict order.</content>
public sealed partial class ShareAllocator
{
    // Shares this close are equal: far above the rounding of a few hundred additions.
    private const double SameShare = 1e-12;

    private double[] frozenUse = [];
    private double[] openUse = [];
    private double[] offer = [];
    private double[] tentative = [];
    private bool[] frozen = [];
    private bool[] unsettled = [];

    /// <summary>Computes the shares that weighted queues give: on each link the classes that want more than they have share it by their weights, and flows of a class share max-min.</summary>
    /// <remarks>
    /// Generalised processor sharing (A. Parekh and R. Gallager, IEEE/ACM ToN 1(3), 1993) at every link, with a class for each level. A flow's share is what its
    /// tightest link offers it; what it cannot use elsewhere goes to the others there. Links are settled from where no flow is held up elsewhere on.
    /// Where flows of different classes hold each other up in a circle of links no such link exists: then the flow with the least offer settles for it, and what
    /// is left at the end is shared out evenly. So it is exact on trees of dependence, and never over capacity or wasteful.
    /// Allocates nothing once the most classes were seen.
    /// </remarks>
    /// <param name="active">Numbers of the flows that send now, each once.</param>
    /// <param name="level">Level of every flow, by flow number: 1 for the first class. Those beyond the last have the last.</param>
    /// <param name="classWeight">Weight of each class, above zero; at least one.</param>
    /// <param name="share">Filled by flow number for the active flows: 0..1 of the rate the flow has alone.</param>
    /// <exception cref="ArgumentException">A span is shorter than the number of flows, or there is no class.</exception>
    public void SolveWeighted(ReadOnlySpan<int> active, ReadOnlySpan<int> level, ReadOnlySpan<double> classWeight, Span<double> share)
    {
        if (level.Length < demands.FlowCount || share.Length < demands.FlowCount || classWeight.Length == 0)
        {
            throw new ArgumentException($"Level and share need an entry for each of {demands.FlowCount} flows, and there must be a class.");
        }

        var classes = classWeight.Length;
        Reserve(classes);
        var links = 0;
        foreach (var flow in active)
        {
            frozen[flow] = false;
            share[flow] = 0;
            for (var entry = demands.First[flow]; entry < demands.First[flow + 1]; entry++)
            {
                users[demands.Link[entry]] = 0;
            }
        }

        foreach (var flow in active)
        {
            for (var entry = demands.First[flow]; entry < demands.First[flow + 1]; entry++)
            {
                if (users[demands.Link[entry]]++ == 0)
                {
                    touched[links++] = demands.Link[entry];
                    residual[demands.Link[entry]] = 1;
                }
            }
        }

        var circle = false;
        for (var left = active.Length; left > 0;)
        {
            // 1. What each link offers to the flows of each class, were nobody held up elsewhere.
            Sum(active, level, classes, links, share);
            for (var i = 0; i < links; i++)
            {
                var at = touched[i] * classes;
                Offer(frozenUse.AsSpan(at, classes), openUse.AsSpan(at, classes), classWeight, offer.AsSpan(at, classes));
                unsettled[touched[i]] = false;
            }

            // 2. Each flow takes the least offer; a link that offers it more is not settled yet.
            var least = double.PositiveInfinity;
            foreach (var flow in active)
            {
                if (!frozen[flow])
                {
                    tentative[flow] = Least(flow, Class(level[flow], classes), classes);
                    least = Math.Min(least, tentative[flow]);
                }
            }

            foreach (var flow in active)
            {
                for (var entry = demands.First[flow]; !frozen[flow] && entry < demands.First[flow + 1]; entry++)
                {
                    var link = demands.Link[entry];
                    unsettled[link] |= offer[(link * classes) + Class(level[flow], classes)] > tentative[flow] + SameShare;
                }
            }

            // 3. Flows of settled links have their shares, and those that have all they can use.
            var settled = 0;
            foreach (var flow in active)
            {
                if (!frozen[flow] && (tentative[flow] >= 1 - SameShare || OnSettled(flow)))
                {
                    (frozen[flow], share[flow]) = (true, Math.Min(1, tentative[flow]));
                    settled++;
                }
            }

            if (settled == 0)
            {
                circle = true;
                foreach (var flow in active)
                {
                    if (!frozen[flow] && tentative[flow] <= least + SameShare)
                    {
                        (frozen[flow], share[flow]) = (true, tentative[flow]);
                        settled++;
                    }
                }
            }

            left -= settled;
        }

        if (circle)
        {
            foreach (var flow in active)
            {
                Take(flow, share[flow]);
            }

            Fill(active, even, 1, share);
        }
    }

    private static int Class(int level, int classes) => Math.Clamp(level - 1, 0, classes - 1);

    // Share offered to the open flows of each class: the classes fill up by their weights, each until its flows have all they can use.
    private static void Offer(ReadOnlySpan<double> frozen, ReadOnlySpan<double> open, ReadOnlySpan<double> weight, Span<double> offer)
    {
        var (free, wanted) = (1.0, 0.0);
        for (var k = 0; k < weight.Length; k++)
        {
            free -= frozen[k];
            wanted += open[k];
            offer[k] = 1;
        }

        if (wanted <= free)
        {
            return;
        }

        // The level rises from where a class begins to gain to where one has enough or the next begins, until the link is full.
        var (water, rest) = (0.0, Math.Max(0, free));
        while (true)
        {
            var (rate, next) = (0.0, double.PositiveInfinity);
            for (var k = 0; k < weight.Length; k++)
            {
                var (begins, enough) = (frozen[k] / weight[k], (frozen[k] + open[k]) / weight[k]);
                if (open[k] > 0 && enough > water)
                {
                    rate += begins <= water ? weight[k] : 0;
                    next = Math.Min(next, begins <= water ? enough : begins);
                }
            }

            // Rounding may leave nobody who gains; then they are at their ends.
            if (double.IsPositiveInfinity(next) || rate * (next - water) >= rest)
            {
                water = double.IsPositiveInfinity(next) ? water : water + (rest / rate);
                break;
            }

            rest -= rate * (next - water);
            water = next;
        }

        for (var k = 0; k < weight.Length; k++)
        {
            offer[k] = open[k] > 0 ? Math.Clamp(((water * weight[k]) - frozen[k]) / open[k], 0, 1) : 1;
        }
    }

    private void Sum(ReadOnlySpan<int> active, ReadOnlySpan<int> level, int classes, int links, ReadOnlySpan<double> share)
    {
        for (var i = 0; i < links; i++)
        {
            frozenUse.AsSpan(touched[i] * classes, classes).Clear();
            openUse.AsSpan(touched[i] * classes, classes).Clear();
        }

        foreach (var flow in active)
        {
            var of = Class(level[flow], classes);
            for (var entry = demands.First[flow]; entry < demands.First[flow + 1]; entry++)
            {
                var at = (demands.Link[entry] * classes) + of;
                if (frozen[flow])
                {
                    frozenUse[at] += share[flow] * demands.Demand[entry];
                }
                else
                {
                    openUse[at] += demands.Demand[entry];
                }
            }
        }
    }

    private double Least(int flow, int of, int classes)
    {
        var least = 1.0;
        for (var entry = demands.First[flow]; entry < demands.First[flow + 1]; entry++)
        {
            least = Math.Min(least, offer[(demands.Link[entry] * classes) + of]);
        }

        return least;
    }

    private bool OnSettled(int flow)
    {
        for (var entry = demands.First[flow]; entry < demands.First[flow + 1]; entry++)
        {
            if (!unsettled[demands.Link[entry]])
            {
                return true;
            }
        }

        return false;
    }

    private void Reserve(int classes)
    {
        if (offer.Length < demands.LinkCount * classes || frozen.Length < demands.FlowCount)
        {
            frozenUse = new double[demands.LinkCount * classes];
            openUse = new double[demands.LinkCount * classes];
            offer = new double[demands.LinkCount * classes];
            tentative = new double[demands.FlowCount];
            frozen = new bool[demands.FlowCount];
            unsettled = new bool[demands.LinkCount];
        }
    }
}
