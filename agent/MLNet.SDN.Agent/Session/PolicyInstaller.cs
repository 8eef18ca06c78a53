using System.Text.Json;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Agent.Discovery;
using MLNet.SDN.Agent.Marking;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Agent.Queues;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Session;

/// <summary>Brings policies into force: whole or not at all, never an older one, and on disk before it is acknowledged. Thread-safe.</summary>
internal sealed class PolicyInstaller : IDisposable
{
    // A policy that is wrong all over could otherwise answer with more text than a message may hold.
    private const int MaxErrorLength = 4000;
    private const int MaxFaults = 1000;
    private const int MaxFaultLength = 1000;

    private readonly string host;
    private readonly Guid boot;
    private readonly Marker marker;
    private readonly Func<IReadOnlyList<AggregationJob>, IReadOnlyList<PlanFault>>? applyJobs;
    private readonly int? dataPort;
    private readonly PolicyStore store;
    private readonly IReadOnlySet<Dscp>? allowedDscp;
    private readonly QueueKeeper? queues;
    private readonly Func<InstalledPolicy, InstalledPolicy, CancellationToken, Task>? gap;
    private readonly ILogger logger;
    private readonly SemaphoreSlim one = new(1, 1);
    private readonly JobPresence presence = new();
    private string? groups;
    private volatile InstalledPolicy current = InstalledPolicy.None;
    private InstalledPolicy whole = InstalledPolicy.None;
    private IReadOnlySet<long> gone = new HashSet<long>();
    private IReadOnlyList<SeenJob> seen = [];
    private volatile IReadOnlyList<JobFault> jobFaults = [];
    private volatile IReadOnlyList<string> absent = [];

    /// <summary>Creates an installer with no policy in force.</summary>
    /// <param name="host">This host.</param>
    /// <param name="boot">This start of the process.</param>
    /// <param name="marker">Marks what jobs select.</param>
    /// <param name="applyJobs">Tells the data plane its jobs, and hears whose plan is at fault; null when there is none.</param>
    /// <param name="dataPort">TCP port on which the data plane listens; null when there is none.</param>
    /// <param name="store">Where the policy outlives the process.</param>
    /// <param name="logger">Where changes are told.</param>
    /// <param name="allowedDscp">As <see cref="PolicyRules.Read"/> takes it.</param>
    /// <param name="queues">Queues of the data interfaces; null: they are left alone.</param>
    /// <param name="gap">Waits for a moment in which the one policy's marks can give way to the other's; null: there is no waiting.</param>
    public PolicyInstaller(
        string host, Guid boot, Marker marker, Func<IReadOnlyList<AggregationJob>, IReadOnlyList<PlanFault>>? applyJobs, int? dataPort, PolicyStore store, ILogger logger,
        IReadOnlySet<Dscp>? allowedDscp = null, QueueKeeper? queues = null, Func<InstalledPolicy, InstalledPolicy, CancellationToken, Task>? gap = null)
    {
        (this.allowedDscp, this.queues, this.gap) = (allowedDscp, queues, gap);
        (this.host, this.boot, this.marker) = (host, boot, marker);
        (this.applyJobs, this.dataPort, this.store, this.logger) = (applyJobs, dataPort, store, logger);
    }

    /// <summary>What is in force.</summary>
    public InstalledPolicy Current => current;

    /// <summary>Jobs of what is in force whose plan the data plane could not take over.</summary>
    public IReadOnlyList<JobFault> JobFaults => jobFaults;

    /// <summary>Hash of what the kernel holds; see <see cref="PolicyAck.Hash"/>.</summary>
    public string Hash => marker.Hash;

    /// <summary>Why the policy in force would not survive a restart; null when it would.</summary>
    public string? Trouble { get; private set; }

    /// <summary>Where control groups are looked for; null as long as none can be asked for.</summary>
    public CgroupTree? Cgroups { get; set; }

    /// <summary>Control groups that the policy in force names and that are not there now: what they select is marked once they are.</summary>
    public IReadOnlyList<string> AbsentCgroups => absent;

    /// <summary>Brings the saved policy into force, if there is one that can be used.</summary>
    public async Task RestoreAsync(CancellationToken cancellationToken)
    {
        try
        {
            presence.Restore(seen = store.LoadSeen());
        }
        catch (Exception exception) when (exception is IOException or JsonException)
        {
            DiscoveryLog.SeenUnusable(logger, exception.Message);
        }

        try
        {
            if (store.Load() is { } policy && await InstallAsync(policy, save: false, cancellationToken) is { Applied: false, Error: var error })
            {
                SessionLog.SavedPolicyUnusable(logger, store.FilePath, error ?? "");
            }
        }
        catch (Exception exception) when (exception is IOException or JsonException)
        {
            SessionLog.SavedPolicyUnusable(logger, store.FilePath, exception.Message);
        }
    }

    /// <summary>Brings a policy into force.</summary>
    /// <returns>What to tell the controller.</returns>
    public Task<PolicyAck> InstallAsync(HostPolicy policy, CancellationToken cancellationToken) => InstallAsync(policy, save: true, cancellationToken);

    /// <summary>Puts the marks back when somebody changed them.</summary>
    /// <returns>True when they had to be put back.</returns>
    public async Task<bool> RepairAsync(CancellationToken cancellationToken)
    {
        await one.WaitAsync(cancellationToken);
        try
        {
            if (queues is not null && whole.Policy is { } policy)
            {
                await queues.ApplyAsync(policy, cancellationToken);
            }

            // What nft refused is tried again, now and then.
            groups = marker.Trouble is null ? groups : null;
            return await marker.RepairAsync(cancellationToken);
        }
        finally
        {
            one.Release();
        }
    }

    /// <summary>Follows control groups that come and go.</summary>
    public async Task FollowCgroupsAsync(CancellationToken cancellationToken)
    {
        if (current.Cgroups.Count == 0)
        {
            absent = [];
            return;
        }

        await one.WaitAsync(cancellationToken);
        try
        {
            if (Groups(current) != groups)
            {
                await MarkAsync(current, cancellationToken);
            }
        }
        finally
        {
            one.Release();
        }
    }

    /// <summary>Whether <see cref="WithdrawAsync"/> can tell anything by sockets: some job is known by those that its selectors fit. To list a host's sockets takes milliseconds.</summary>
    public bool AsksForSockets => Volatile.Read(ref whole).Policy is { } policy && policy.Jobs.Any(j => j.DiscoveryKey is null && j.Selectors.Count > 0);

    /// <summary>Takes out the marks of jobs whose processes here are gone; see <see cref="JobPresence"/>.</summary>
    /// <param name="sockets">Sockets of this host; null where nobody looked at them.</param>
    /// <param name="discovered">Keys and users of jobs that are discovered here now.</param>
    /// <param name="cancellationToken">Abandons.</param>
    public async Task WithdrawAsync(IReadOnlyCollection<LocalSocket>? sockets, IReadOnlySet<(string Key, int Uid)> discovered, CancellationToken cancellationToken)
    {
        await one.WaitAsync(cancellationToken);
        try
        {
            var left = presence.Look(whole, sockets, discovered);
            SaveSeen();
            if (left.SetEquals(gone))
            {
                return;
            }

            var next = whole.Without(left);
            if (await MarkAsync(next, cancellationToken) is null)
            {
                foreach (var job in left.Except(gone))
                {
                    MarkingLog.Withdrawn(logger, job);
                }

                (gone, current) = (left, next);
            }
        }
        finally
        {
            one.Release();
        }
    }

    /// <inheritdoc />
    public void Dispose() => one.Dispose();

    private async Task<PolicyAck> InstallAsync(HostPolicy policy, bool save, CancellationToken cancellationToken)
    {
        await one.WaitAsync(cancellationToken);
        try
        {
            var error = await TryInstallAsync(policy, save, cancellationToken);
            if (error is not null)
            {
                SessionLog.PolicyRefused(logger, policy.Revision, current.Revision, error);
            }

            error = error?.Length > MaxErrorLength ? error[..MaxErrorLength] : error;
            return new PolicyAck { Host = host, Boot = boot, Revision = policy.Revision, Applied = error is null, Hash = marker.Hash, Error = error, JobFaults = error is null ? jobFaults : [] };
        }
        finally
        {
            one.Release();
        }
    }

    private async Task<string?> TryInstallAsync(HostPolicy policy, bool save, CancellationToken cancellationToken)
    {
        // 1. Never back: a message of a former leader may arrive late.
        if (policy.Revision < current.Revision)
        {
            return $"policy {policy.Revision} is older than {current.Revision}, which is in force";
        }

        // 2. All checks before the first change.
        InstalledPolicy? next;
        try
        {
            next = PolicyRules.Read(policy, host, out var faults, allowedDscp);
            if (next is null)
            {
                return string.Join(" ", faults.Select(f => $"{f.Field} ({f.Value}): {f.Message}"));
            }
        }
        catch (Exception exception) when (exception is NullReferenceException or ArgumentNullException)
        {
            return "the policy holds null where a value is needed";
        }

        // Jobs that are gone stay unmarked, unless they come with new trees.
        var all = next;
        var still = presence.GoneOf(policy);
        next = all.Without(still);

        // A burst of a discovered job keeps its mark to its end. At a start the kernel has the marks already.
        if (save && gap is not null)
        {
            await gap(current, next, cancellationToken);
        }

        // 3. Marks, in one transaction; 4. the data plane. If that refuses, the marks go back to what they were.
        if (await MarkAsync(next, cancellationToken) is { } error)
        {
            return error;
        }

        IReadOnlyList<JobFault> refused;
        try
        {
            refused = applyJobs is null ? [] : [.. applyJobs(next.AggregationJobs).Take(MaxFaults).Select(f => new JobFault(f.JobId, Clip(f.Reason)))];
        }
        catch (Exception exception)
        {
            _ = await MarkAsync(current, cancellationToken);
            return $"the data plane refused: {exception.Message}";
        }

        var isNews = next.Revision != current.Revision;
        (current, whole, gone, jobFaults) = (next, all, still, refused);

        // 5. Queues last: what they cannot do is a limit of the host, no reason to refuse marks and trees.
        if (queues is not null)
        {
            await queues.ApplyAsync(policy, cancellationToken);
        }

        // 6. What is in force is what a restart begins with.
        if (save)
        {
            Save(policy);
        }

        if (isNews)
        {
            SessionLog.PolicyInstalled(logger, next.Revision, policy.Jobs.Count, policy.Jobs.Sum(j => j.Selectors.Count));
        }

        return null;
    }

    // Which of the groups that a policy names are there, and under which numbers.
    private string Groups(InstalledPolicy policy) => string.Join('\n', policy.Cgroups.Order(StringComparer.Ordinal).Select(path => $"{path} {Cgroups?[path]?.Number}"));

    private async Task<string?> MarkAsync(InstalledPolicy policy, CancellationToken cancellationToken)
    {
        groups = Groups(policy);
        var error = await marker.ApplyAsync(Ruleset.Render(policy, dataPort, path => Cgroups?[path]), cancellationToken);

        // A control group that goes between our look and that of nft is no fault of the policy.
        if (error is not null && Groups(policy) is var later && later != groups)
        {
            groups = later;
            error = await marker.ApplyAsync(Ruleset.Render(policy, dataPort, path => Cgroups?[path]), cancellationToken);
        }

        if (error is null)
        {
            var missing = policy.Cgroups.Where(path => Cgroups?[path] is null).Order(StringComparer.Ordinal).ToList();
            foreach (var path in missing.Except(absent))
            {
                MarkingLog.CgroupAbsent(logger, path);
            }

            absent = missing;
        }

        return error;
    }

    private static string Clip(string text) => text.Length <= MaxFaultLength ? text : text[..MaxFaultLength];

    // A crash before this is written costs two more looks.
    private void SaveSeen()
    {
        var now = presence.Seen();
        if (now.SequenceEqual(seen))
        {
            return;
        }

        try
        {
            store.SaveSeen(now);
            seen = now;
        }
        catch (IOException exception)
        {
            // A failing disk is told with the policy, which is saved to the same place; this is tried again at the next look.
            DiscoveryLog.SeenNotSaved(logger, exception.Message);
        }
    }

    private void Save(HostPolicy policy)
    {
        try
        {
            store.Save(policy);
            Trouble = null;
        }
        catch (IOException exception)
        {
            SessionLog.PolicyNotSaved(logger, policy.Revision, exception.Message);
            Trouble = $"The policy in force could not be saved: {exception.Message}";
        }
    }
}
