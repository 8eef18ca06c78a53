using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Trees;

/// <summary>Where a host stands in the tree of one shard.</summary>
internal sealed class ShardPlace
{
    /// <summary>Where partial sums go; null at the root and where the host has no part.</summary>
    public required string? Parent { get; init; }

    /// <summary>Hosts that send their partial sums here. An array, as it is walked once per chunk.</summary>
    public required string[] Children { get; init; }

    /// <summary>Ranks below each child, in the order of <see cref="Children"/>.</summary>
    public required ulong[][] ChildRanks { get; init; }

    /// <summary>Ranks here and below: what a complete partial sum of this host holds.</summary>
    public required ulong[] Expected { get; init; }

    /// <summary>Whether the host is in the tree at all.</summary>
    public required bool TakesPart { get; init; }

    /// <summary>A host that sends one worker's contribution as it lies in shared memory.</summary>
    public bool SendsUnsummed => Parent is not null && Children.Length == 0 && ContributorSet.Count(Expected) == 1;
}

/// <summary>The trees of one epoch as one host sees them. Immutable but for the attempts it keeps ready, which the engine's lock guards.</summary>
internal sealed class TreeSet
{
    /// <summary>Attempts kept ready; an epoch that is asked for again is made again.</summary>
    private const int AttemptsKept = 8;

    private readonly string _host;
    private readonly long[] _weightBefore;
    private readonly Dictionary<uint, TreeSet> _attempts = [];

    private TreeSet(AggregationJob job, string host, uint attempt, ShardPlace[] places, long[] weightBefore)
    {
        _host = host;
        Epoch = new Epoch(job.TreesRevision, attempt);
        Job = job;
        World = job.Members.Count;
        Words = ContributorSet.Words(World);
        ChunkBytes = job.ChunkBytes;
        Window = job.WindowChunks;
        Places = places;
        _weightBefore = weightBefore;
        LocalRanks = [.. job.Members.Where(m => m.Host == host).Select(m => m.Rank).Order()];
        All = new ulong[Words];
        foreach (var member in job.Members)
        {
            ContributorSet.Add(All, member.Rank);
        }

        ServerIndex = job.ServerRank is { } server ? Array.IndexOf(LocalRanks, server) : -1;

        var peers = new SortedSet<string>(StringComparer.Ordinal);
        foreach (var place in places)
        {
            peers.UnionWith(place.Children);
            if (place.Parent is not null)
            {
                peers.Add(place.Parent);
            }
        }

        Peers = [.. peers];
        var inner = attempt == 0 ? job.Shards.SelectMany(s => s.Edges.Select(e => e.Parent).Append(s.Roots[0])) : job.Shards.Select(s => RootOf(s, attempt));
        Participants = inner.Concat(job.Members.Select(m => m.Host)).ToHashSet(StringComparer.Ordinal);
        var hosts = job.Endpoints.Select(e => e.Host).Order(StringComparer.Ordinal).ToList();
        FirstShard = Math.Max(hosts.IndexOf(host), 0) % places.Length;
    }

    public Epoch Epoch { get; }

    public TreesRevision Revision => Epoch.Trees;

    /// <summary>Hosts without which the epoch cannot be finished, or without which some in it wait for nothing.</summary>
    public IReadOnlySet<string> Participants { get; }

    /// <summary>The plan that this is a view of.</summary>
    public AggregationJob Job { get; }

    public int World { get; }

    /// <summary>64-bit words of a set of ranks.</summary>
    public int Words { get; }

    public int ChunkBytes { get; }

    public int Window { get; }

    /// <summary>One per shard.</summary>
    public ShardPlace[] Places { get; }

    /// <summary>Hosts at the other end of an edge of this one.</summary>
    public string[] Peers { get; }

    /// <summary>The same, for the attempts in use as well.</summary>
    public IEnumerable<string> AllPeers => _attempts.Values.Aggregate((IEnumerable<string>)Peers, (all, a) => all.Concat(a.Peers));

    /// <summary>Attempts at the same trees with other roots that have been asked for.</summary>
    public IReadOnlyCollection<TreeSet> Attempts => _attempts.Values;

    /// <summary>Part of a message that this host sends to another in a round, 0..1: sums where it is the parent, results where it is a child.</summary>
    public double ShareTo(string peer)
    {
        var weight = 0L;
        for (var s = 0; s < Places.Length; s++)
        {
            weight += Places[s].Parent == peer || Places[s].Children.Contains(peer) ? _weightBefore[s + 1] - _weightBefore[s] : 0;
        }

        return (double)weight / _weightBefore[^1];
    }

    /// <summary>Ranks of this host, ascending.</summary>
    public int[] LocalRanks { get; }

    /// <summary>Every rank.</summary>
    public ulong[] All { get; }

    /// <summary>Rank of the job's server; null when it has none.</summary>
    public int? ServerRank => Job.ServerRank;

    /// <summary>Place of the server in <see cref="LocalRanks"/>; -1 on every host but its own.</summary>
    public int ServerIndex { get; }

    /// <summary>Shard that this host sends first, so that not all begin at the same root.</summary>
    public int FirstShard { get; }

    /// <summary>First element of a shard in a message of the given number of elements.</summary>
    public long FirstElement(int shard, long elements) => (long)((Int128)elements * _weightBefore[shard] / _weightBefore[^1]);

    /// <summary>Bytes of a shard.</summary>
    public long ShardBytes(int shard, long elements, int elementBytes) =>
        (FirstElement(shard + 1, elements) - FirstElement(shard, elements)) * elementBytes;

    /// <summary>Sees a plan from one host.</summary>
    /// <param name="job">The plan.</param>
    /// <param name="host">The host; a worker's or a helper's.</param>
    /// <param name="trees">The view, when there is no fault.</param>
    /// <returns>What is wrong with the plan, in words; null when nothing.</returns>
    public static string? TryCreate(AggregationJob job, string host, out TreeSet? trees)
    {
        trees = null;
        var fault = FaultOf(job);
        if (fault is not null)
        {
            return fault;
        }

        var words = ContributorSet.Words(job.Members.Count);
        var memberHosts = job.Members.Select(m => m.Host).ToHashSet(StringComparer.Ordinal);
        var places = new ShardPlace[job.Shards.Count];
        var before = new long[job.Shards.Count + 1];
        for (var i = 0; i < places.Length; i++)
        {
            before[i + 1] = before[i] + job.Shards[i].Weight;
            fault = TryPlace(job, i, host, memberHosts, words, out places[i]!);
            if (fault is not null)
            {
                return fault;
            }
        }

        trees = new TreeSet(job, host, 0, places, before);
        return null;
    }

    /// <summary>Root of a shard in an attempt.</summary>
    public static string RootOf(Shard shard, uint attempt) => shard.Roots[(int)(attempt % (uint)shard.Roots.Count)];

    /// <summary>The same cut of messages, but every member sends straight to the successors that the attempt names. Attempt 0 is the trees themselves.</summary>
    public TreeSet ForAttempt(uint attempt) => ForAttempt(attempt, attempt);

    /// <summary>An attempt that was asked for before and is kept ready; null otherwise.</summary>
    public TreeSet? TryFindAttempt(uint attempt) => _attempts.GetValueOrDefault(attempt);

    /// <summary>As above, with the root of another attempt: only to break the rule on purpose (<see cref="Rounds.ProtocolFault.TwoSuccessors"/>).</summary>
    internal TreeSet ForAttempt(uint attempt, uint rootOf)
    {
        if (attempt == Epoch.Attempt)
        {
            return this;
        }

        if (!_attempts.TryGetValue(attempt, out var trees))
        {
            if (_attempts.Count == AttemptsKept)
            {
                _attempts.Remove(_attempts.Keys.Min());
            }

            var members = Job.Members.Select(m => m.Host).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).ToArray();
            _attempts[attempt] = trees = new TreeSet(Job, _host, attempt, [.. Job.Shards.Select(s => Star(RootOf(s, rootOf), members))], _weightBefore);
        }

        return trees;
    }

    private ShardPlace Star(string root, string[] members)
    {
        var isRoot = root == _host;
        var children = isRoot ? members.Where(m => m != _host).ToArray() : [];
        return new ShardPlace
        {
            Parent = isRoot || LocalRanks.Length == 0 ? null : root,
            Children = children,
            ChildRanks = [.. children.Select(RanksOf)],
            Expected = isRoot ? All : RanksOf(_host),
            TakesPart = isRoot || LocalRanks.Length > 0,
        };
    }

    private ulong[] RanksOf(string host)
    {
        var ranks = new ulong[Words];
        foreach (var member in Job.Members)
        {
            if (member.Host == host)
            {
                ContributorSet.Add(ranks, member.Rank);
            }
        }

        return ranks;
    }

    private static string? FaultOf(AggregationJob job)
    {
        var world = job.Members.Count;
        if (world is < 1 or > FrameHeader.MaxContributorBytes * 8)
        {
            return $"job {job.Name}: {world} members; 1 to {FrameHeader.MaxContributorBytes * 8} are possible";
        }

        if (job.Members.Select(m => m.Rank).Order().Where((rank, i) => rank != i).Any())
        {
            return $"job {job.Name}: the ranks of its members are not 0 to {world - 1}, each once";
        }

        if (job.Shards.Count is < 1 or > ushort.MaxValue || job.Shards.Any(s => s.Weight < 1))
        {
            return $"job {job.Name}: it has {job.Shards.Count} shards; at least one, each with a weight of at least 1, is needed";
        }

        if (job.ChunkBytes is < 8 or > FrameHeader.MaxPayloadBytes || job.ChunkBytes % 8 != 0)
        {
            return $"job {job.Name}: ChunkBytes is {job.ChunkBytes}; it must be a multiple of 8 up to {FrameHeader.MaxPayloadBytes}";
        }

        if (job.WindowChunks is < 1 or > 4096)
        {
            return $"job {job.Name}: WindowChunks is {job.WindowChunks}; it must be 1 to 4096";
        }

        if (job.Stripes is < 1 or > 64)
        {
            return $"job {job.Name}: Stripes is {job.Stripes}; it must be 1 to 64";
        }

        if (job.ServerRank is { } server)
        {
            if (world < 2 || server != world - 1)
            {
                return $"job {job.Name}: rank {server} is its server; that must be the last rank, behind at least one worker";
            }

            var home = job.Members.First(m => m.Rank == server).Host;
            if (job.Shards.SelectMany(s => s.Roots).FirstOrDefault(r => r != home) is { } elsewhere)
            {
                return $"job {job.Name}: a tree has its root on host {elsewhere}; all of a job with a server have it on the server's host, {home}";
            }
        }

        var known = new HashSet<string>(StringComparer.Ordinal);
        foreach (var endpoint in job.Endpoints)
        {
            if (!known.Add(endpoint.Host))
            {
                return $"job {job.Name}: host {endpoint.Host} has two endpoints";
            }
        }

        var stranger = job.Members.Select(m => m.Host)
            .Concat(job.Shards.SelectMany(s => s.Edges.SelectMany(e => new[] { e.Child, e.Parent }).Concat(s.Roots)))
            .FirstOrDefault(h => !known.Contains(h));
        return stranger is null ? null : $"job {job.Name}: host {stranger} has no endpoint";
    }

    private static string? TryPlace(AggregationJob job, int index, string host, HashSet<string> memberHosts, int words, out ShardPlace? place)
    {
        place = null;
        var shard = job.Shards[index];
        if (shard.Roots.Count == 0)
        {
            return $"job {job.Name}: shard {index} has no root";
        }

        var root = shard.Roots[0];
        var parentOf = new Dictionary<string, string>(StringComparer.Ordinal);
        var childrenOf = new Dictionary<string, List<string>>(StringComparer.Ordinal);
        foreach (var edge in shard.Edges)
        {
            if (edge.Child == root || !parentOf.TryAdd(edge.Child, edge.Parent))
            {
                return $"job {job.Name}: in shard {index} host {edge.Child} has a parent too many";
            }

            if (!childrenOf.TryGetValue(edge.Parent, out var children))
            {
                childrenOf[edge.Parent] = children = [];
            }

            children.Add(edge.Child);
        }

        // What hangs under the root, top down; whatever is left over hangs in the air or in a circle.
        var order = new List<string> { root };
        for (var i = 0; i < order.Count; i++)
        {
            order.AddRange(childrenOf.GetValueOrDefault(order[i], []));
        }

        if (order.Count != parentOf.Count + 1 || memberHosts.Any(m => m != root && !parentOf.ContainsKey(m)))
        {
            return $"job {job.Name}: in shard {index} not every host is connected with root {root}";
        }

        var ranks = order.ToDictionary(h => h, _ => new ulong[words], StringComparer.Ordinal);
        foreach (var member in job.Members)
        {
            ContributorSet.Add(ranks[member.Host], member.Rank);
        }

        for (var i = order.Count - 1; i > 0; i--)
        {
            ContributorSet.Unite(ranks[parentOf[order[i]]], ranks[order[i]]);
        }

        // A branch without workers has nothing to send.
        var mine = ranks.GetValueOrDefault(host, new ulong[words]);
        var takesPart = !ContributorSet.IsEmpty(mine);
        var childHosts = takesPart ? childrenOf.GetValueOrDefault(host, []).Where(c => !ContributorSet.IsEmpty(ranks[c])).ToArray() : [];
        place = new ShardPlace
        {
            Parent = takesPart ? parentOf.GetValueOrDefault(host) : null,
            Children = childHosts,
            ChildRanks = [.. childHosts.Select(c => ranks[c])],
            Expected = mine,
            TakesPart = takesPart,
        };
        return null;
    }
}
