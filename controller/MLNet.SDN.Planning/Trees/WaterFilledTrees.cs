using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>
/// Rotated rack trees in which every host sums, and every rack roots, as much as its links have room for: idle helper hosts and lightly used workers
/// more, busy and slow ones less.
/// </summary>
/// <remarks>
/// Let a job have R racks, m workers in this one, of whose messages host h sums the part a and roots the part r·a. It then sends (and, push and pull
/// being mirrored, receives) 1 + a(m-1 + r(R-2)) messages if it has a worker, a(m+1 + r(R-2)) if not, and the rack's uplink carries 1 + r(R-2).
/// All fall with T, the time of the slowest link, when a and r are as large as T allows; the least T with all parts adding up to one is found by
/// halving. Over one rack of equal hosts that is the optimum of BytePS (OSDI 2020, §4.1): 2n(n-1)/(n²+kn-2k).
/// </remarks>
internal static class WaterFilledTrees
{
    // Parts below this would be shards of next to nothing.
    private const double LeastPart = 1e-3;

    // Halvings: 2^-60 is below the precision of a double.
    private const int Halvings = 60;

    /// <summary>Builds the trees; the same for the same input.</summary>
    /// <param name="workers">Node numbers of the hosts with workers, ascending.</param>
    /// <param name="helpers">Node numbers of other hosts that may sum; those outside the workers' racks are left alone.</param>
    /// <param name="fabric">The fabric.</param>
    /// <param name="background">What others do: by link, the part by which it is busier than when idle, ≥ 0; null for nothing.</param>
    public static Forest Build(int[] workers, int[] helpers, Fabric fabric, double[]? background)
    {
        // 1. Racks with their hosts, and the rates that the others leave.
        var racks = workers.GroupBy(fabric.Sites.RackOf).OrderBy(g => g.Key).Select(g => Rack.Of(g.Key, [.. g.Order()], [.. helpers.Where(h => fabric.Sites.RackOf(h) == g.Key).Order()], fabric, background)).ToArray();

        // 2. The least T for which the racks can root the whole message.
        var bend = racks.Length - 2;
        var (low, high) = (0.0, 1.0);
        while (racks.Sum(r => r.MostRooted(high, bend)) < 1)
        {
            high *= 2;
        }

        for (var i = 0; i < Halvings; i++)
        {
            var middle = (low + high) / 2;
            (low, high) = racks.Sum(r => r.MostRooted(middle, bend)) < 1 ? (middle, high) : (low, middle);
        }

        double[] rooted = [.. racks.Select(r => r.MostRooted(high, bend))];
        var sum = rooted.Sum();

        // 3. Each rack's hosts then share its summing so that its own slowest is as fast as can be.
        var parts = racks.Select((rack, r) => rack.Shares(rooted[r] / sum, bend)).ToArray();
        int[] members = [.. racks.SelectMany((rack, r) => rack.Hosts.Where((_, h) => h < rack.Workers || parts[r][h] > 0)).Order()];
        var number = members.Index().ToDictionary(m => m.Item, m => m.Index);
        var rotation = Rotation.Of([.. racks.Select((rack, r) =>
        {
            var used = Enumerable.Range(0, rack.Hosts.Length).Where(h => parts[r][h] > 0).ToArray();
            return new RackPart([.. used.Select(h => number[rack.Hosts[h]])], [.. used.Select(h => parts[r][h])], rooted[r] / sum);
        })]);

        return new(members, [.. rotation.Select(piece => Tree(piece, racks, number))]);
    }

    private static Shard Tree(RotationPiece piece, Rack[] racks, Dictionary<int, int> number)
    {
        var parent = new int[number.Count];
        Array.Fill(parent, -1);
        var root = piece.Aggregators[piece.RootRack];
        for (var r = 0; r < racks.Length; r++)
        {
            foreach (var worker in racks[r].Hosts.AsSpan(0, racks[r].Workers))
            {
                parent[number[worker]] = piece.Aggregators[r];
            }

            parent[piece.Aggregators[r]] = root;
        }

        parent[root] = -1;
        return new(piece.Weight, root, parent);
    }

    /// <summary>A rack: its workers' hosts first, then helpers; rates in messages per unit of time.</summary>
    private sealed record Rack(int[] Hosts, int Workers, double[] Rates, double Uplink)
    {
        public static Rack Of(int rack, int[] workers, int[] helpers, Fabric fabric, double[]? background)
        {
            int[] hosts = [.. workers, .. helpers];
            var uplink = (double)fabric.Sites.RackUplinkBitsPerSecond[rack];
            if (background is not null && uplink > 0)
            {
                var busy = 0.0;
                foreach (var (index, link) in fabric.Graph.Links.Index())
                {
                    if (fabric.Sites.IsUplink(link, rack))
                    {
                        busy += background[index] * link.RateBitsPerSecond;
                    }
                }

                uplink /= 1 + (busy / uplink);
            }

            return new(hosts, workers.Length, [.. hosts.Select(h => Rate(h, fabric, background) / 1e9)], uplink == 0 ? double.PositiveInfinity : uplink / 1e9);
        }

        /// <summary>The largest part of the message that the rack can root within T; negative infinity when it cannot even sum its own.</summary>
        public double MostRooted(double time, int bend)
        {
            if (time * Uplink < 1 && !double.IsPositiveInfinity(Uplink) && bend >= 0)
            {
                return double.NegativeInfinity;
            }

            if (bend < 0)
            {
                return Sum(time, 1, bend) >= 1 ? 1 : 0;
            }

            if (Sum(time, 0, bend) < 1)
            {
                return double.NegativeInfinity;
            }

            var most = bend == 0 ? 1 : Math.Min(1, ((time * Uplink) - 1) / bend);
            if (Sum(time, most, bend) >= 1)
            {
                return most;
            }

            var (low, high) = (0.0, most);
            for (var i = 0; i < Halvings; i++)
            {
                var middle = (low + high) / 2;
                (low, high) = Sum(time, middle, bend) >= 1 ? (middle, high) : (low, middle);
            }

            return low;
        }

        /// <summary>Part that each host sums when the rack roots the given part, at the rack's own least time.</summary>
        public double[] Shares(double rooted, int bend)
        {
            var (low, high) = (0.0, 1.0);
            while (Sum(high, rooted, bend) < 1)
            {
                high *= 2;
            }

            for (var i = 0; i < Halvings; i++)
            {
                var middle = (low + high) / 2;
                (low, high) = Sum(middle, rooted, bend) < 1 ? (middle, high) : (low, middle);
            }

            double[] parts = [.. Enumerable.Range(0, Hosts.Length).Select(h => Part(h, high, rooted, bend)).Select(p => p < LeastPart ? 0 : p)];
            if (parts.All(p => p == 0))
            {
                parts = [.. Enumerable.Range(0, Hosts.Length).Select(h => Part(h, high, rooted, bend))];
            }

            var sum = parts.Sum();
            return [.. parts.Select(p => p / sum)];
        }

        private double Sum(double time, double rooted, int bend)
        {
            var sum = 0.0;
            for (var host = 0; host < Hosts.Length; host++)
            {
                sum += Part(host, time, rooted, bend);
            }

            return sum;
        }

        // What the host can sum within the time, at most all; one child fewer for a worker's host, whose own gradient costs nothing.
        private double Part(int host, double time, double rooted, int bend)
        {
            var isWorker = host < Workers;
            var room = (time * Rates[host]) - (isWorker ? 1 : 0);
            var slope = Workers + (isWorker ? -1 : 1) + (rooted * bend);
            return room < -1e-12 ? 0 : slope <= 1e-12 ? 1 : Math.Clamp(room / slope, 0, 1);
        }

        private static double Rate(int host, Fabric fabric, double[]? background)
        {
            var busy = 0.0;
            foreach (var link in fabric.Graph.LinksFrom(host))
            {
                busy = Math.Max(busy, background?[link] ?? 0);
            }

            return fabric.HostRate(host) / (1 + busy);
        }
    }
}
