namespace MLNet.SDN.Planning.Trees;

/// <summary>Finds how much each host, rack and pod should sum so that the slowest link is as fast as can be, as water fills a vessel.</summary>
/// <remarks>
/// At each tier one of the sites within sums for the one around it. Let those with workers send n messages each when they do not sum (one, or more
/// where they are dissolved, see below), K together, and let e messages leave the site around them. A site that sums the part x then carries
/// n + x(K - 2n + e) messages each way, a site of helpers x(K + e). Hosts carry what their rate allows in the time, racks and pods what their uplinks and
/// what stands in them allow; all grow with the time, and the least time with all parts adding up to one is found by halving. Over one rack of equal
/// hosts that is the optimum of BytePS (OSDI 2020, §4.1): 2n(n-1)/(n²+kn-2k). Where the hosts of a site cannot sum all of it in the time, the rest is
/// dissolved: there its own sites send straight out of it, if its uplinks have room.
/// </remarks>
internal static class SiteFill
{
    // Relative precision of times and of messages.
    private const double Precision = 1e-9;

    // A time this much longer is good enough if it needs fewer helpers: each is one more connection, and its links are others' too.
    private const double HelperWorth = 0.01;

    // Helper hosts of a job in all its racks, where no more are needed.
    private const int MostHelpers = 256;

    // Parts below this would be shards of next to nothing.
    private const double LeastPart = 1e-3;

    /// <summary>Finds the least time, leaves out helpers that do not help, and sets the parts of all sites.</summary>
    /// <param name="top">The site around all.</param>
    /// <param name="leastGain">Part of the time that must be gained before anything is sent unsummed over uplinks.</param>
    /// <returns>The time that the slowest link needs, in units of one message at rate one.</returns>
    public static double Solve(Site top, double leastGain)
    {
        // 1. Every site with workers sums all of its own, among its own; else over uplinks, where that gains enough.
        var plain = Plain(top);
        var mayDissolve = top.Children.Any(c => c.Host < 0) && LeastTime(top, mayDissolve: true) < LeastTime(plain, mayDissolve: false) * (1 - leastGain);
        top.Children = mayDissolve ? top.Children : plain.Children;

        // 2. As few helpers as do nearly as well.
        var time = LeastTime(top, mayDissolve) * (1 + HelperWorth);
        Fits(top, time, mayDissolve, isTop: true);
        Prune(top, 0, time, Racks(top));

        // 3. Parts.
        time = LeastTime(top, mayDissolve);
        Fits(top, time, mayDissolve, isTop: true);
        Divide(top, 0, time);
        return time;
    }

    // The same without racks and pods of helpers alone: what they sum must come to them over uplinks.
    private static Site Plain(Site site) =>
        site.Host >= 0 || !site.Children.Any(c => c.Host < 0) ? site
        : new() { Rate = site.Rate, HasWorker = site.HasWorker, Children = [.. site.Children.Where(c => c.HasWorker || c.Host >= 0).Select(Plain)] };

    private static double LeastTime(Site top, bool mayDissolve)
    {
        var (low, high) = (0.0, 1.0);
        while (!Fits(top, high, mayDissolve, isTop: true))
        {
            (low, high) = (high, high * 2);
        }

        while (low == 0 && high > double.Epsilon)
        {
            if (Fits(top, high / 2, mayDissolve, isTop: true))
            {
                high /= 2;
            }
            else
            {
                low = high / 2;
            }
        }

        while (high - low > high * Precision)
        {
            var middle = (low + high) / 2;
            (low, high) = Fits(top, middle, mayDissolve, isTop: true) ? (low, middle) : (middle, high);
        }

        return high;
    }

    /// <summary>Whether the message can be summed in the time; sets what each site carries.</summary>
    private static bool Fits(Site site, double time, bool mayDissolve, bool isTop)
    {
        if (site.Host >= 0)
        {
            site.Messages = site.HasWorker ? 1 : 0;
            site.Most = time * site.Rate;
            return !site.HasWorker || site.Most >= 1;
        }

        var messages = 0.0;
        foreach (var child in site.Children)
        {
            if (!Fits(child, time, mayDissolve, isTop: false))
            {
                return false;
            }

            messages += child.Messages;
        }

        site.Dissolved = 0;
        site.Messages = messages;
        if (!site.HasWorker)
        {
            site.Messages = 0;
            site.Most = Math.Min(time * site.Rate, site.Children.Sum(c => c.Most));
            return true;
        }

        var summed = Summed(site, messages, isTop ? 0 : 1);
        if (isTop)
        {
            return summed >= 1;
        }

        if (summed >= 1)
        {
            site.Messages = 1;
            site.Most = MostLeaving(site, messages, time * site.Rate);
        }
        else if (!mayDissolve)
        {
            return false;
        }
        else
        {
            site.Dissolved = 1 - summed;
            site.Messages = site.Most = summed + (site.Dissolved * messages);
        }

        return site.Messages <= time * site.Rate;
    }

    /// <summary>The most messages that may leave a site that sums all of its own; at least one, which is known to fit.</summary>
    private static double MostLeaving(Site site, double messages, double most)
    {
        var high = Math.Min(most, site.Children.Sum(c => c.Most) + messages);
        if (high <= 1 || Summed(site, messages, high) >= 1)
        {
            return Math.Max(1, high);
        }

        // Of equal hosts the reciprocal is a straight line: the rule of false position (Illinois) needs few steps.
        var low = 1.0;
        var atLow = 1 - (1 / Summed(site, messages, low));
        var atHigh = 1 - (1 / Summed(site, messages, high));
        for (var step = 0; step < 60 && high - low > high * Precision; step++)
        {
            var middle = atLow <= 0 ? low : Math.Clamp(((low * atHigh) - (high * atLow)) / (atHigh - atLow), low, high);
            var at = 1 - (1 / Summed(site, messages, middle));
            if (at >= 0)
            {
                if (middle == low)
                {
                    break;
                }

                (low, atLow, atHigh) = (middle, at, atHigh / 2);
            }
            else
            {
                (high, atHigh, atLow) = (middle, at, atLow / 2);
            }
        }

        return low;
    }

    private static double Summed(Site site, double messages, double leaving)
    {
        var sum = 0.0;
        foreach (var child in site.Children)
        {
            sum += MostSummed(child, child.Most, messages, leaving);
        }

        return sum;
    }

    // The part of the message that a site can sum for the one around it: none where it cannot even sum all of its own.
    private static double MostSummed(Site child, double most, double messages, double leaving)
    {
        var slope = messages + leaving - (2 * child.Messages);
        var room = most - child.Messages;
        return room < 0 || child.Dissolved > 0 ? 0 : slope <= 1e-12 ? 1 : Math.Min(1, room / slope);
    }

    private static int Racks(Site site) => site.Children.Any(c => c.Host >= 0) ? 1 : site.Children.Sum(Racks);

    private static void Prune(Site site, double leaving, double time, int racks)
    {
        if (site.Host >= 0)
        {
            return;
        }

        var messages = site.Children.Sum(c => c.Messages);
        var missing = 1 - site.Dissolved;
        var kept = new List<Site>();
        var workers = site.Children.Count(c => c.HasWorker);
        var helperHosts = 0;
        foreach (var child in site.Children)
        {
            var part = Math.Min(Math.Max(0, missing), MostSummed(child, child.Most, messages, leaving));

            // As many helper hosts as workers halve what a worker's host carries, and no number does more; some more share the work, where they are at hand.
            if (!child.HasWorker && (child.Host >= 0 ? part <= 0 && helperHosts >= Math.Max(2 * workers, MostHelpers / racks) : part <= 0))
            {
                continue;
            }

            missing -= part;
            kept.Add(child);
            if (child.HasWorker)
            {
                Prune(child, child.Messages + (part * (messages + leaving - (2 * child.Messages))), time, racks);
            }
            else if (child.Host >= 0)
            {
                helperHosts++;
            }
            else
            {
                var carried = part * (messages + leaving);
                child.Children = [.. child.Children.TakeWhile(host =>
                {
                    carried -= host.Most;
                    return carried + host.Most > 0;
                })];
            }
        }

        site.Children = [.. kept];
    }

    // Sets the parts within a site that sums, with the given number of messages leaving it.
    private static void Divide(Site site, double leaving, double time)
    {
        if (site.Host >= 0)
        {
            return;
        }

        // 1. Hosts share the summing so that the slowest of them is as fast as can be; racks and pods take what they may.
        var messages = site.Children.Sum(c => c.Messages);
        var shared = time;
        if (site.Children.All(c => c.Host >= 0))
        {
            var low = 0.0;
            for (var high = time; high - low > high * Precision;)
            {
                var middle = (low + high) / 2;
                (low, high) = site.Children.Sum(c => MostSummed(c, middle * c.Rate, messages, leaving)) >= 1 - site.Dissolved && site.Children.All(c => middle * c.Rate >= c.Messages)
                    ? (low, middle) : (middle, high);
                shared = high;
            }
        }

        foreach (var child in site.Children)
        {
            child.Part = site.HasWorker ? MostSummed(child, child.Host >= 0 ? shared * child.Rate : child.Most, messages, leaving) : child.Most;
        }

        // 2. Together one, and none too small to be worth a shard.
        var sum = site.Children.Sum(c => c.Part);
        var least = Math.Min(LeastPart * sum, site.Children.Max(c => c.Part));
        var whole = site.Children.Where(c => c.Part >= least).Sum(c => c.Part);
        foreach (var child in site.Children)
        {
            child.Part = sum > 0 && child.Part >= least ? child.Part / whole : 0;
        }

        // 3. What that makes those within carry.
        foreach (var child in site.Children)
        {
            Divide(child, child.Messages + (child.Part * (messages + leaving - (2 * child.Messages))), time);
        }
    }
}
