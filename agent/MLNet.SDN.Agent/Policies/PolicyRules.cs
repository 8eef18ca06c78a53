using System.Net;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Policies;

/// <summary>Checks a policy before anything of it is applied, and turns it into what the agent works with. Pure.</summary>
internal static class PolicyRules
{
    private const int SecretBytes = 32;

    /// <summary>EF, CS6 and CS7: voice and the network's own control, which a training job may only use where the operator says so (RFC 4594 §3.1, §4.1).</summary>
    public static IReadOnlySet<Dscp> Reserved { get; } = new HashSet<Dscp> { new(46), new(48), new(56) };

    /// <summary>Checks a policy.</summary>
    /// <param name="policy">As it came from the controller or from disk: untrusted.</param>
    /// <param name="host">This host.</param>
    /// <param name="faults">Everything that is wrong.</param>
    /// <param name="allowed">Code points that the operator of this host allows; null for all but <see cref="Reserved"/>.</param>
    /// <returns>Null when anything is wrong.</returns>
    public static InstalledPolicy? Read(HostPolicy policy, string host, out IReadOnlyList<FieldFault> faults, IReadOnlySet<Dscp>? allowed = null)
    {
        bool IsAllowed(Dscp dscp) => dscp == Dscp.Default || (allowed?.Contains(dscp) ?? !Reserved.Contains(dscp));
        var found = new List<FieldFault>();
        faults = found;
        if (policy.Host != host)
        {
            found.Add(new FieldFault("host", policy.Host, $"This is the agent of {host}; a policy for another host is not applied."));
        }

        if (policy.Revision < Revision.None)
        {
            found.Add(new FieldFault("revision", policy.Revision.ToString(), "Term and generation count from 0."));
        }

        CheckLadder(policy.Ladder, found);

        // Jobs use what the ladder has, so it is enough to ask of the ladder.
        foreach (var dscp in policy.Ladder.Classes.Select(c => c.Dscp).Where(d => !IsAllowed(d)))
        {
            found.Add(new FieldFault("ladder.classes", dscp.ToString(), "The operator of this host does not allow this code point; Agent:AllowedDscp would."));
        }

        var levels = policy.Ladder.JobLevels();
        var selectors = new List<SelectorMatch>();
        var jobs = new List<AggregationJob>();
        for (var i = 0; i < policy.Jobs.Count; i++)
        {
            var job = policy.Jobs[i];
            var path = $"jobs[{i}]";
            if (policy.Jobs.Take(i).Any(other => other.JobId == job.JobId || other.Name == job.Name))
            {
                found.Add(new FieldFault(path, $"{job.JobId} {job.Name}", "Ids and names of jobs must differ."));
            }

            if (job.Dscp != Dscp.Default && !levels.Contains(job.Dscp))
            {
                found.Add(new FieldFault($"{path}.dscp", job.Dscp.ToString(), $"The ladder has no such job level, only {string.Join(", ", levels)}."));
            }

            if (job.Level < 0 || (job.Level == 0 && job.Dscp != Dscp.Default))
            {
                found.Add(new FieldFault($"{path}.level", $"{job.Level}", $"Level 0 is unmarked and levels count from 1, but the job's DSCP is {job.Dscp}."));
            }

            for (var s = 0; s < job.Selectors.Count; s++)
            {
                if (SelectorMatch.Parse(job, job.Selectors[s], $"{path}.selectors[{s}]", found) is { } match)
                {
                    selectors.Add(match);
                }
            }

            // The processes of a discovered job talk to each other: there is nothing for a data plane of ours to do.
            if (ReadAggregation(job, policy.LinkRateBitsPerSecond, path, found) is { } aggregation && job.DiscoveryKey is null)
            {
                jobs.Add(aggregation);
            }
        }

        return found.Count > 0 ? null : new InstalledPolicy
        {
            Policy = policy,
            Revision = policy.Revision,
            SignallingDscp = policy.Ladder.SignallingDscp(),
            DscpByJob = policy.Jobs.ToDictionary(j => j.JobId, j => j.Dscp),
            Selectors = [.. InOrder(selectors.Where(s => s.NamesProcess)), .. InOrder(selectors.Where(s => !s.NamesProcess))],
            AggregationJobs = jobs,
        };
    }

    private static IEnumerable<SelectorMatch> InOrder(IEnumerable<SelectorMatch> selectors) => [.. selectors, .. selectors.Select(s => s.Reversed())];

    private static void CheckLadder(PriorityLadder ladder, List<FieldFault> faults)
    {
        if (ladder.Classes.Count(c => c.Signalling) != 1)
        {
            faults.Add(new FieldFault("ladder.classes", "", "Exactly one class must be the signalling class."));
        }

        if (ladder.Classes.DistinctBy(c => c.Dscp).Count() != ladder.Classes.Count)
        {
            faults.Add(new FieldFault("ladder.classes", "", "Each class needs a DSCP of its own."));
        }
    }

    private static AggregationJob? ReadAggregation(HostJob job, long linkRate, string path, List<FieldFault> faults)
    {
        var before = faults.Count;
        void Check(bool good, string field, string value, string message)
        {
            if (!good)
            {
                faults.Add(new FieldFault($"{path}.{field}", value, message));
            }
        }

        // The secret's value never goes into a fault: faults are logged and sent.
        var secret = new byte[SecretBytes];
        Check(Convert.TryFromBase64String(job.Secret, secret, out var written) && written == SecretBytes, "secret", "", $"Base64 of {SecretBytes} bytes is needed.");
        Check(job.OwnerUid is null or >= 0, "ownerUid", $"{job.OwnerUid}", "A user id is not negative.");
        Check(job.ChunkBytes > 0 && job.ChunkBytes % 8 == 0, "chunkBytes", $"{job.ChunkBytes}", "A positive multiple of 8 is needed.");
        Check(job.WindowChunks > 0, "windowChunks", $"{job.WindowChunks}", "At least 1 is needed.");
        Check(job.Stripes > 0, "stripes", $"{job.Stripes}", "At least 1 is needed.");
        Check(job.PaceBitsPerSecond >= 0, "paceBitsPerSecond", $"{job.PaceBitsPerSecond}", "A rate is not negative; 0 is no pace.");
        Check(job.Members.Count > 0, "members", "", "A job has at least one worker.");
        Check(job.Shards.Count > 0, "shards", "", "At least one tree is needed.");
        Check(
            job.Members.Select(m => m.Rank).Order().SequenceEqual(Enumerable.Range(0, job.Members.Count)),
            "members", string.Join(",", job.Members.Select(m => m.Rank)), "Ranks must be 0..n-1, each once.");

        Check(
            job.ServerRank is null || (job.ServerRank == job.Members.Count - 1 && job.Members.Count > 1),
            "serverRank", $"{job.ServerRank}", "The server has the last rank, behind at least one worker.");

        var endpoints = new Dictionary<string, Endpoint>(StringComparer.Ordinal);
        for (var i = 0; i < job.Endpoints.Count; i++)
        {
            var (name, text, port, rack) = job.Endpoints[i];
            Check(IPAddress.TryParse(text, out var address), $"endpoints[{i}].address", text, "An IP address is needed.");
            Check(port is >= 1 and <= 65_535, $"endpoints[{i}].port", $"{port}", "A TCP port, 1..65535, is needed.");
            if (address is not null && port is >= 1 and <= 65_535)
            {
                Check(endpoints.TryAdd(name, new Endpoint(name, new IPEndPoint(address, port), rack)), $"endpoints[{i}].host", name, "The host stands twice.");
            }
        }

        for (var i = 0; i < job.Members.Count; i++)
        {
            Check(endpoints.ContainsKey(job.Members[i].Host), $"members[{i}].host", job.Members[i].Host, "The host has no endpoint.");
        }

        for (var i = 0; i < job.Shards.Count; i++)
        {
            var shard = job.Shards[i];
            Check(shard.Weight > 0, $"shards[{i}].weight", $"{shard.Weight}", "At least 1 is needed.");
            Check(shard.Roots.Count > 0, $"shards[{i}].roots", "", "At least one root is needed.");
            var unknown = shard.Roots.Concat(shard.Edges.SelectMany(e => new[] { e.Child, e.Parent })).FirstOrDefault(h => !endpoints.ContainsKey(h));
            Check(unknown is null, $"shards[{i}]", unknown ?? "", "The host has no endpoint.");
        }

        return faults.Count > before ? null : new AggregationJob
        {
            JobId = job.JobId,
            Name = job.Name,
            Secret = secret,
            OwnerUid = job.OwnerUid,
            Dscp = job.Dscp.Value,
            TreesRevision = new TreesRevision(job.TreesRevision.Term, job.TreesRevision.Generation),
            Members = [.. job.Members.Select(m => new Member(m.Rank, m.Host))],
            ServerRank = job.ServerRank,
            Endpoints = [.. endpoints.Values],
            Shards = [.. job.Shards.Select(s => new Shard(s.Weight, [.. s.Roots], [.. s.Edges.Select(e => new Edge(e.Child, e.Parent))]))],
            ChunkBytes = job.ChunkBytes,
            WindowChunks = job.WindowChunks,
            Stripes = job.Stripes,
            SingleWay = job.SingleWay,
            PaceBitsPerSecond = job.PaceBitsPerSecond,
            LinkRateBitsPerSecond = linkRate,
        };
    }
}
