using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Plans;
using MLNet.SDN.Planning.Topology;
using MLNet.SDN.Planning.Trees;

namespace MLNet.SDN.Controller.State;

/// <summary>Turns plans into what each host is told. Pure; the same input gives the same policies.</summary>
internal sealed class PolicyComposer(PlanningOptions options, PriorityLadder ladder)
{
    /// <summary>Port of an agent's data plane before it has named one.</summary>
    public const int StandardDataPort = 7471;

    // What agents accept.
    private const int MostWindowChunks = 4_096;

    /// <summary>Hashed once: the ladder is the same in every policy.</summary>
    private readonly string _ladderHash = Hash(JsonSerializer.SerializeToUtf8Bytes(ladder, ContractsJson.Default.PriorityLadder));

    /// <summary>The classes of the fabric.</summary>
    public PriorityLadder Ladder { get; } = ladder;

    /// <summary>
    /// The plan with the sizes its data plane works with. All hosts must cut a round alike, so trees that stay keep theirs, whatever the options have become.
    /// </summary>
    /// <param name="plan">As planned.</param>
    /// <param name="former">Plan in force; null when there is none.</param>
    /// <param name="spec">The job.</param>
    /// <param name="fabric">Where it runs.</param>
    public JobPlan Size(JobPlan plan, JobPlan? former, JobSpec spec, Fabric fabric) =>
        Connected(
            former is not null && former.TreesRevision == plan.TreesRevision
                // A plan stored before plans had sizes was in force with those of the options.
                ? plan with { ChunkBytes = former.ChunkBytes > 0 ? former.ChunkBytes : options.ChunkBytes, WindowChunks = former.WindowChunks > 0 ? former.WindowChunks : options.WindowChunks }
                : Sized(plan, Pipeline.ChunkBytes(plan, spec.Workers.Count, fabric, options.ChunkBytes)),
            former,
            spec,
            fabric);

    // Unlike sizes this may change under the same trees, for each host holds to it by itself. It depends on what the prediction depends on; to count it for every job at every change would take longer than all else here.
    private static JobPlan Connected(JobPlan plan, JobPlan? former, JobSpec spec, Fabric fabric)
    {
        if (former is not null && former.TreesRevision == plan.TreesRevision && former.PredictedSeconds == plan.PredictedSeconds)
        {
            return plan with { SingleWay = former.SingleWay, PaceBitsPerSecond = former.PaceBitsPerSecond };
        }

        var single = plan.PredictedSeconds > 0 && SingleWays.Suffice(plan.Shards, HostsOf(spec, plan), fabric, spec.GradientBytes, plan.PredictedSeconds);
        return plan with { SingleWay = single, PaceBitsPerSecond = single && EvenEdges.Are(plan.Shards, fabric) ? (long)(spec.GradientBytes * 8 / plan.PredictedSeconds) : 0 };
    }

    // In ordinal order.
    private static ImmutableArray<string> HostsOf(JobSpec spec, JobPlan plan) =>
    [
        .. spec.MemberHosts().Concat(plan.Shards.SelectMany(s => s.Roots.Concat(s.Edges.SelectMany(e => (string[])[e.Child, e.Parent])))).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal),
    ];

    // Smaller chunks need a window of more of them: it is to hold what is under way, whatever it is cut into.
    private JobPlan Sized(JobPlan plan, int chunkBytes) => plan with
    {
        ChunkBytes = chunkBytes,
        WindowChunks = (int)Math.Min(MostWindowChunks, (long)options.WindowChunks * options.ChunkBytes / chunkBytes),
    };

    /// <summary>The job as its hosts are to hold it. Content that did not change keeps the revision it came into force in.</summary>
    /// <param name="former">The job before; null when it is new, or when a new term voids former revisions.</param>
    /// <param name="revision">Revision of this change.</param>
    public PlacedJob Place(JobRecord record, JobPlan plan, long roundsLeft, PlacedJob? former, Fabric fabric, IReadOnlyDictionary<string, int> ports, Revision revision)
    {
        var spec = record.Spec;
        var hosts = HostsOf(spec, plan);
        var content = new HostJob
        {
            JobId = record.Id,
            Name = spec.Name,
            Secret = record.Secret,
            OwnerUid = spec.OwnerUid,
            Level = plan.Level,
            Dscp = plan.Dscp,
            TreesRevision = plan.TreesRevision,
            Members = [.. spec.MemberHosts().Select((host, rank) => new JobMember(rank, host))],
            ServerRank = spec.Server is null ? null : spec.Workers.Count,
            Endpoints = [.. hosts.Select(h => new HostEndpoint(h, fabric.Hosts[h].Address!, ports.GetValueOrDefault(h, StandardDataPort), fabric.Hosts[h].Rack))],
            Shards = plan.Shards,
            ChunkBytes = plan.ChunkBytes,
            WindowChunks = plan.WindowChunks,
            Stripes = options.Stripes,
            SingleWay = plan.SingleWay,
            PaceBitsPerSecond = plan.PaceBitsPerSecond,
            Selectors = spec.Selectors ?? [],
            DiscoveryKey = spec.DiscoveryKey,
        };
        var hash = Hash(JsonSerializer.SerializeToUtf8Bytes(content, ContractsJson.Default.HostJob));
        var same = former is not null && former.ContentHash == hash;
        return new()
        {
            Record = record with { Plan = plan },
            Plan = plan,
            PlannedRoundsLeft = roundsLeft,
            Content = same ? former!.Content : content,
            ContentHash = hash,
            InForceSince = same ? former!.InForceSince : revision,
            Hosts = hosts,
        };
    }

    /// <summary>The policy of every host of the fabric. A host whose content did not change keeps its former policy, revision included.</summary>
    /// <param name="former">Policies before; empty when a new term voids former revisions.</param>
    public ImmutableDictionary<string, DesiredPolicy> Compose(
        Fabric fabric, IEnumerable<PlacedJob> jobs, IReadOnlyDictionary<string, DesiredPolicy> former, Revision revision)
    {
        var byHost = fabric.Hosts.Keys.ToDictionary(h => h, _ => new List<PlacedJob>(), StringComparer.Ordinal);
        // Where two jobs select the same packet the first has it: what somebody submitted goes before what was only discovered.
        foreach (var job in jobs.OrderBy(j => j.Record.Spec.DiscoveryKey is not null).ThenBy(j => j.Id))
        {
            foreach (var host in job.Hosts)
            {
                byHost[host].Add(job);
            }
        }

        var policies = ImmutableDictionary.CreateBuilder<string, DesiredPolicy>(StringComparer.Ordinal);
        foreach (var (host, placed) in byHost)
        {
            var rate = fabric.HostRateBitsPerSecond(host);
            var key = $"{_ladderHash}/{rate}/{string.Join(',', placed.Select(j => j.ContentHash))}";
            policies[host] = former.TryGetValue(host, out var kept) && kept.Key == key
                ? kept
                : new(new() { Host = host, Revision = revision, Ladder = Ladder, LinkRateBitsPerSecond = rate, Jobs = [.. placed.Select(j => j.Content)] }, key);
        }

        return policies.ToImmutable();
    }

    /// <summary>SHA-256, hex.</summary>
    public static string Hash(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    /// <summary>SHA-256, hex, of the UTF-8 text.</summary>
    public static string Hash(string text) => Hash(Encoding.UTF8.GetBytes(text));
}
