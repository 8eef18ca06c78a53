using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>A job among others.</summary>
internal sealed record JointJob
{
    /// <summary>Node numbers of the hosts with workers or the server, each once, ascending.</summary>
    public required int[] Workers { get; init; }

    /// <summary>Node number of the host that is to be the root of all trees; null where any may be.</summary>
    public int? Server { get; init; }

    /// <summary>Node numbers of other hosts that may sum for it, ascending.</summary>
    public required int[] Helpers { get; init; }

    /// <summary>Bytes per round; 0 when unknown: then nobody makes room for it.</summary>
    public required double GradientBytes { get; init; }

    /// <summary>Computation per round, seconds.</summary>
    public required double ComputeSeconds { get; init; }

    /// <summary>Rounds to train; any number where unknown.</summary>
    public required double Rounds { get; init; }

    /// <summary>Trees in force; null for none. They stay until others are worth a change.</summary>
    public Forest? Standing { get; init; }
}

/// <summary>Trees chosen for a job.</summary>
internal sealed record JointChoice(Forest Forest, LinkLoad Load, string Words);

/// <summary>Trees of many jobs that know of each other: each in turn answers what the others load, until nobody gains enough by changing.</summary>
/// <remarks>
/// Immutable: a change of jobs makes a new one, and looks again only at jobs that it touches. A job is touched as far as what others take of its links
/// has changed since it was looked at last, by the part of its round's time that this may cost or spare it.
/// </remarks>
internal sealed class JointTrees
{
    // Most batches settle in three or four turns; the bound keeps the time of a plan in proportion to the number of jobs.
    private const int MostTurns = 6;

    // After a change of few jobs so many others are looked at again at most, the most touched first; the rest at later changes.
    private const int MostTouched = 16;

    // Under this a change of trees is not worth it: for running jobs a new generation on every host, for all others one more turn.
    private const double WorthwhileGain = 0.05;

    // After a change of few jobs, one that this could cost or spare less of its time is not looked at again: what it could gain is not worth a change.
    private const double Touched = 0.02;

    // What a second on a link costs the others, by the square of the time they take of it. Found by trial on batches of 16 to 120 jobs: from 0.01 to 1 the mean
    // time to finish changes by less than 3 %, without it scattered jobs crowd each other off the uplinks and lose a third.
    private const double CareForOthers = 0.1;

    // Trees this close to the bound are good enough; a linear programme takes a hundred times as long, and is kept for a job that has the fabric to itself.
    private const double WorthProgramme = 0.04;

    private readonly Fabric fabric;
    private readonly Dictionary<long, Placed> placed;
    private readonly Dictionary<long, double> disturbance;
    private readonly LinkUsers users;

    private JointTrees(Fabric fabric, Dictionary<long, Placed> placed, Dictionary<long, double> disturbance, LinkUsers users)
    {
        this.fabric = fabric;
        this.placed = placed;
        this.disturbance = disturbance;
        this.users = users;
    }

    /// <summary>No jobs.</summary>
    public static JointTrees Empty(Fabric fabric) => new(fabric, [], [], new(fabric.Graph.Links.Length));

    /// <summary>Trees of all jobs, in their order.</summary>
    public static JointChoice[] Plan(IReadOnlyList<JointJob> jobs, Fabric fabric)
    {
        var all = Empty(fabric).With([], [.. jobs.Select((job, i) => ((long)i, job))]);
        return [.. jobs.Select((_, i) => all[i])];
    }

    /// <summary>The best trees for one job that has the fabric to itself.</summary>
    public static JointChoice Best(JointJob job, Fabric fabric) => Candidates.Of(job, fabric).Best(null, isAlone: true).Choice;

    /// <summary>Trees of a job.</summary>
    public JointChoice this[long key] => placed[key].Choice;

    /// <summary>The same with other jobs.</summary>
    /// <param name="gone">Jobs that ended.</param>
    /// <param name="changed">Jobs that came, and those of which something is different now; their <see cref="JointJob.Standing"/> trees count as in force.</param>
    public JointTrees With(IReadOnlyCollection<long> gone, IReadOnlyCollection<(long Key, JointJob Job)> changed)
    {
        var next = new JointTrees(fabric, new(placed), new(disturbance), users.Copy());
        foreach (var key in gone.Order())
        {
            next.Remove(key);
        }

        // 1. Everybody has a place, in the order of keys, beside those who have one.
        foreach (var (key, job) in changed.OrderBy(c => c.Key))
        {
            var known = next.placed.GetValueOrDefault(key)?.Candidates;
            next.Remove(key);
            next.Add(key, job, known, changed.Count == 1);
        }

        // 2. Those touched look again, until nobody is.
        var touch = 2 * changed.Count > next.placed.Count ? 0 : Touched;
        var looks = Math.Max(MostTouched, MostTurns * changed.Count);
        for (var turn = 0; turn < MostTurns && looks > 0; turn++)
        {
            long[] touched = [.. next.disturbance.Where(d => d.Value > touch).OrderByDescending(d => d.Value).ThenBy(d => d.Key).Take(looks).Select(d => d.Key).Order()];
            if (touched.Length == 0)
            {
                break;
            }

            foreach (var key in touched)
            {
                next.LookAgain(key);
            }

            looks -= touched.Length;
        }

        // 3. Those of which nobody knows what they send stand in nobody's way, so nobody touches them: they look when all others are settled.
        foreach (var key in changed.Select(c => c.Key).Where(k => next.placed[k].MostDuty <= 0).Order())
        {
            next.LookAgain(key);
        }

        return next;
    }

    /// <summary>Mean over jobs of a round's time, each slowed by what the others take of its slowest link.</summary>
    public double MeanRoundSeconds()
    {
        var sum = 0.0;
        foreach (var (key, job) in placed.OrderBy(p => p.Key))
        {
            var background = new Background(users, key, job.Length);
            var load = job.Choice.Load;
            var slowest = 0.0;
            for (var i = 0; i < load.Links.Length; i++)
            {
                slowest = Math.Max(slowest, load.SecondsPerByte[i] * (1 + background[load.Links[i]]));
            }

            sum += job.Job.ComputeSeconds + (slowest * job.Job.GradientBytes);
        }

        return placed.Count == 0 ? 0 : sum / placed.Count;
    }

    private void Add(long key, JointJob job, Candidates? known, bool isOnly)
    {
        var candidates = known?.For(job) ?? Candidates.Of(job, fabric);
        if (job.Standing is { } standing)
        {
            Place(key, new(job, candidates, new(standing, standing.Load(fabric), "")));
            disturbance[key] = double.PositiveInfinity;
        }
        else
        {
            // Its length, which says whom it meets for how long, is first taken from its trees alone.
            var alone = new Placed(job, candidates, candidates.Plain);
            Place(key, new(job, candidates, candidates.Best(new(users, key, alone.Length), placed.Count == 0 && isOnly).Choice));
            disturbance[key] = 0;
        }
    }

    private void LookAgain(long key)
    {
        var now = placed[key];
        disturbance[key] = 0;
        var background = new Background(users, key, now.Length);
        var (choice, cost) = now.Candidates.Best(background, placed.Count == 1);
        if (cost < Cost(now.Choice.Load, background, fabric) * (1 - WorthwhileGain))
        {
            Remove(key);
            Place(key, new(now.Job, now.Candidates, choice));
            disturbance[key] = 0;
        }
    }

    private void Place(long key, Placed job)
    {
        placed[key] = job;
        Disturb(key, job);
        if (job.DutyPerSecondOfByte > 0)
        {
            var load = job.Choice.Load;
            for (var i = 0; i < load.Links.Length; i++)
            {
                users.Add(load.Links[i], new(key, load.SecondsPerByte[i] * job.DutyPerSecondOfByte, job.Length));
            }
        }
    }

    private void Remove(long key)
    {
        if (placed.Remove(key, out var job))
        {
            disturbance.Remove(key);
            if (job.DutyPerSecondOfByte > 0)
            {
                foreach (var link in job.Choice.Load.Links)
                {
                    users.Remove(link, key);
                }
            }

            Disturb(key, job);
        }
    }

    // What a job's coming or going may cost or spare each of those beside it: at most this part of its round's communication.
    private void Disturb(long key, Placed job)
    {
        var load = job.Choice.Load;
        var most = new Dictionary<long, double>();
        for (var i = 0; i < load.Links.Length; i++)
        {
            var duty = load.SecondsPerByte[i] * job.DutyPerSecondOfByte;
            foreach (var user in users[load.Links[i]])
            {
                var part = duty * (user.Length <= 0 ? 1 : Math.Min(1, job.Length / user.Length)) * user.Duty / placed[user.Job].MostDuty;
                if (user.Job != key && part > most.GetValueOrDefault(user.Job))
                {
                    most[user.Job] = part;
                }
            }
        }

        foreach (var (other, part) in most)
        {
            disturbance[other] = disturbance.GetValueOrDefault(other) + part;
        }
    }

    /// <summary>Time of the slowest link per byte of gradient, each slower by what others take of it, and what the job costs them.</summary>
    private static double Cost(LinkLoad load, Background? background, Fabric fabric)
    {
        if (background is null)
        {
            return load.BottleneckSecondsPerByte;
        }

        var (own, others) = (0.0, 0.0);
        for (var i = 0; i < load.Links.Length; i++)
        {
            var busy = background[load.Links[i]];
            own = Math.Max(own, load.SecondsPerByte[i] * (1 + busy));
            others += load.SecondsPerByte[i] * busy * busy * fabric.Classes.Size[load.Links[i]];
        }

        return own + (CareForOthers * others);
    }

    /// <summary>A job with its trees.</summary>
    private sealed class Placed
    {
        public Placed(JointJob job, Candidates candidates, JointChoice choice)
        {
            Job = job;
            Candidates = candidates;
            Choice = choice;
            var round = job.ComputeSeconds + (choice.Load.BottleneckSecondsPerByte * job.GradientBytes);
            Length = job.Rounds * round;
            DutyPerSecondOfByte = round > 0 ? job.GradientBytes / round : 0;
            MostDuty = choice.Load.BottleneckSecondsPerByte * DutyPerSecondOfByte;
        }

        public JointJob Job { get; }

        public Candidates Candidates { get; }

        public JointChoice Choice { get; }

        /// <summary>How long it runs, seconds.</summary>
        public double Length { get; }

        /// <summary>Part of the time for which a link is busy that needs one second per byte of gradient.</summary>
        public double DutyPerSecondOfByte { get; }

        /// <summary>Part of the time for which its busiest link is busy, without others.</summary>
        public double MostDuty { get; }
    }

    /// <summary>Trees that a job may choose from. Those that do not depend on others are built and measured once.</summary>
    private sealed class Candidates
    {
        private readonly JointJob job;
        private readonly Fabric fabric;
        private readonly List<(Func<Forest> Build, LinkLoad Load, string Words)> fixedOnes = [];
        private readonly Lazy<JointChoice?> chains;

        private Candidates(JointJob job, Candidates known)
        {
            this.job = job;
            (fabric, fixedOnes, Plain) = (known.fabric, known.fixedOnes, known.Plain);
            chains = job.GradientBytes.Equals(known.job.GradientBytes) ? known.chains : new(() => ChainTrees.Best(job.Workers, job.GradientBytes, this.fabric));
        }

        private Candidates(JointJob job, Fabric fabric)
        {
            this.job = job;
            this.fabric = fabric;
            chains = new(() => ChainTrees.Best(job.Workers, job.GradientBytes, this.fabric));
            if (job.Workers.Length > 1)
            {
                var even = EvenRackTrees();
                fixedOnes.Add((EvenRackTrees, even.Load(fabric), $"{even.Shards.Count} shards; hosts of a rack send to one of them, in turn, racks to the root, every rack rooting the same part"));
            }

            var (rack, words) = TreePlanner.BestRackTrees(job.Workers, fabric);
            fixedOnes.Add((() => TreePlanner.BestRackTrees(job.Workers, fabric).Forest, rack.Load(fabric), words));
            var direct = DirectTrees.Sharded(job.Workers);
            Plain = new(direct, direct.Load(fabric), $"{job.Workers.Length} shards, one rooted at each host, to which every host sends straight");
            fixedOnes.Add((() => DirectTrees.Sharded(job.Workers), Plain.Load, Plain.Words));

            Forest EvenRackTrees() => RackTrees.Build(MemberSites.Of(job.Workers, fabric), RootSpread.EvenOverRacks, podAggregators: false);
        }

        /// <summary>Direct sharded trees.</summary>
        public JointChoice Plain { get; }

        public static Candidates Of(JointJob job, Fabric fabric) => new(job, fabric);

        /// <summary>The same for a job that may have other helpers or rounds; null when its workers are others.</summary>
        public Candidates? For(JointJob other) => other.Workers.AsSpan().SequenceEqual(job.Workers) ? new(other, this) : null;

        /// <summary>The cheapest beside what others take; of equals the first.</summary>
        /// <param name="background">What others take of links; null for nothing.</param>
        /// <param name="isAlone">Whether no other job is planned: then the best trees there are, by linear programming, where others could be far from them.</param>
        public (JointChoice Choice, double Cost) Best(Background? background, bool isAlone)
        {
            JointChoice? best = null;
            var least = double.PositiveInfinity;
            if (job.Workers.Length > 1)
            {
                foreach (var byPod in new[] { false, true })
                {
                    if (byPod && !SpansPods())
                    {
                        continue;
                    }

                    var forest = WaterFilledTrees.Build(job.Workers, job.Helpers, byPod, fabric, background);
                    var load = forest.Load(fabric);
                    if (Cost(load, background, fabric) is var cost && cost < least * (1 - 1e-9))
                    {
                        var helpers = forest.Members.Length - job.Workers.Length;
                        least = cost;
                        best = new(
                            forest,
                            load,
                            $"{forest.Shards.Count} shards; in each rack hosts sum, and {(byPod ? "in each pod racks, and pods root" : "racks root")}, what their links have room for beside the other jobs"
                                + (helpers > 0 ? $", {helpers} of {job.Helpers.Length} helpers among them" : ""));
                    }
                }
            }

            foreach (var (build, load, words) in fixedOnes)
            {
                if (Cost(load, background, fabric) is var cost && cost < least * (1 - 1e-9))
                {
                    least = cost;
                    best = new(build(), load, words);
                }
            }

            if (isAlone && job.Workers.Length > 1 && least > (1 + WorthProgramme) * TrafficBound.SecondsPerByte(job.Workers, job.Helpers, fabric))
            {
                var forest = MixedTrees.Build(job.Workers, job.Helpers, fabric);
                var load = forest.Load(fabric);
                if (Cost(load, background, fabric) is var cost && cost < least * (1 - WorthProgramme))
                {
                    least = cost;
                    var helpers = forest.Members.Length - job.Workers.Length;
                    best = new(forest, load, $"{forest.Shards.Count} shards over trees mixed by a linear programme for the job alone" + (helpers > 0 ? $", {helpers} of {job.Helpers.Length} helpers among them" : ""));
                }
            }

            // Of trees that cost the same those are best in which nobody takes from many.
            return chains.Value is { } handed && Cost(handed.Load, background, fabric) is var alike && alike <= least * (1 + 1e-9) ? (handed, alike) : (best!, least);
        }

        // Whether sending through one rack of a pod could make a difference: two pods, one of which has two racks.
        private bool SpansPods()
        {
            var sites = MemberSites.Of(job.Workers, fabric);
            return sites.Pods > 1 && sites.Pods < sites.Racks.Length;
        }
    }
}
