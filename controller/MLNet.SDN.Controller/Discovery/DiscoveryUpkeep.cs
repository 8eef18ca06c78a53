using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Agents;
using MLNet.SDN.Controller.State;
using MLNet.SDN.Planning.Jobs;

namespace MLNet.SDN.Controller.Discovery;

/// <summary>Each second: makes jobs of what agents discovered, keeps their selectors and sizes true, and ends those that are gone.</summary>
/// <remarks>
/// A job comes when two turns in a row found it whole and alike, and goes when three did not, so that processes that start or stop one after the other do not
/// make it flicker. What an operator withdrew is left alone as long as it runs, and what an operator submitted goes before what was only discovered.
/// </remarks>
internal sealed class DiscoveryUpkeep(ControlPlane control, AgentRegistry registry, DiscoveryReports reports, TimeProvider time, ILogger<DiscoveryUpkeep> logger) : BackgroundService
{
    private const string Actor = "discovery";
    private const int TurnsToCome = 2;
    private const int TurnsToGo = 3;

    // A change of size that is worth planning anew for; like Planning:Drift.
    private const double Drift = 0.2;

    private static readonly TimeSpan Turn = TimeSpan.FromSeconds(1);

    // Each change is a new policy for every host of the job.
    private static readonly TimeSpan LeastBetweenRevisions = TimeSpan.FromSeconds(5);

    // A controller that has just begun to lead must not end what it has not been told of yet.
    private static readonly TimeSpan AgentsTellWithin = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan AwayFor = TimeSpan.FromMinutes(10);

    private readonly Dictionary<(string Key, int Uid), Watch> _watches = [];
    private volatile IReadOnlyList<DiscoveredJobView> _views = [];

    /// <summary>What is discovered now. Safe to read from any thread.</summary>
    public IReadOnlyList<DiscoveredJobView> Views => _views;

    /// <summary>One turn; the tests call it without waiting.</summary>
    public async Task RunOnceAsync()
    {
        if (control.Current is not { } state)
        {
            _watches.Clear();
            _views = [];
            return;
        }

        var now = time.GetUtcNow();
        var found = DiscoveredJob.Assemble(reports.Current()).ToDictionary(j => (j.Key, j.Uid));
        foreach (var job in state.Jobs.Values.Where(j => IsDiscovered(j.Record.Spec)))
        {
            var key = (job.Record.Spec.DiscoveryKey!, job.Record.Spec.OwnerUid ?? 0);
            _watches.TryAdd(key, new() { Since = now });
        }

        foreach (var key in found.Keys)
        {
            _watches.TryAdd(key, new() { Since = now });
        }

        foreach (var (key, watch) in _watches.ToList())
        {
            var job = found.GetValueOrDefault(key);
            var placed = Find(key);
            watch.Alike = job is not null && watch.Last is not null && job.IsAsBefore(watch.Last) ? watch.Alike + 1 : 1;
            watch.Missing = job?.Reason is null && job is not null ? 0 : watch.Missing + 1;
            watch.Last = job;
            if (placed is null)
            {
                watch.Withdrawn |= watch.WasPlaced && !watch.Ended;
                (watch.WasPlaced, watch.Ended) = (false, false);
                if (job is null)
                {
                    _watches.Remove(key);
                }
                else
                {
                    await ComeAsync(job, watch, now);
                }
            }
            else
            {
                watch.WasPlaced = true;
                await (job is { Reason: null } ? ReviseAsync(job, placed, watch, now) : GoAsync(job, placed, watch, now));
            }
        }

        _views = [.. found.Values.Select(View)];
    }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Turn, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                try
                {
                    await RunOnceAsync();
                }
                catch (Exception fault) when (fault is NotLeadingException or StoreUnavailableException or LeaseLostException)
                {
                    // Leadership says it in the log; the next turn tries again.
                }
                catch (Exception fault) when (fault is not OperationCanceledException)
                {
                    DiscoveryLog.TurnFailed(logger, fault);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Stopping.
        }
    }

    private static bool IsDiscovered(JobSpec spec) => spec.DiscoveryKey is not null;

    private PlacedJob? Find((string Key, int Uid) key) =>
        control.Current?.Jobs.Values.FirstOrDefault(j => j.Record.Spec.DiscoveryKey == key.Key && j.Record.Spec.OwnerUid == key.Uid);

    private async Task ComeAsync(DiscoveredJob job, Watch watch, DateTimeOffset now)
    {
        watch.Refusal = watch.Withdrawn ? "An operator withdrew it; it is left alone as long as it runs." : now < watch.NotBefore ? watch.Refusal : null;
        if (job.Reason is not null || watch.Withdrawn || watch.Alike < TurnsToCome || now < watch.NotBefore)
        {
            return;
        }

        // The name is for people; who is who is told by key and user.
        var taken = control.Current?.FindJob(job.Name) is not null;
        var spec = Fill(new JobSpec
        {
            Name = taken ? $"{job.Name[..Math.Min(job.Name.Length, 50)]}-u{job.Uid}" : job.Name,
            Workers = [.. job.Hosts.OrderBy(h => h.Key).Select(h => h.Value)],
            OwnerUid = job.Uid,
            DiscoveryKey = job.Key,
            Selectors = job.Selectors,
        }, job);
        var outcome = await control.SubmitAsync(spec, Actor, null, "", CancellationToken.None);
        watch.Changed = now;
        if (outcome.Status != SubmitStatus.Created)
        {
            watch.Refusal = outcome.Status == SubmitStatus.NameTaken ? $"Another job is called {spec.Name}." : string.Join(' ', outcome.Faults.Take(3).Select(f => $"{f.Field}: {f.Message}"));
            watch.NotBefore = now + AgentsTellWithin;
            DiscoveryLog.NotPlaced(logger, job.Name, watch.Refusal);
        }
    }

    private async Task ReviseAsync(DiscoveredJob job, PlacedJob placed, Watch watch, DateTimeOffset now)
    {
        var spec = placed.Record.Spec;
        var hosts = job.Hosts.OrderBy(h => h.Key).Select(h => h.Value);
        if (!hosts.SequenceEqual(spec.Workers))
        {
            await EndAsync(placed, watch, "its ranks run on other hosts now");
            return;
        }

        var submitted = control.Current!.Jobs.Values.Select(j => j.Record.Spec).Where(s => !IsDiscovered(s)).ToList();
        if (submitted.Exists(s => s.Selectors is { Count: > 0 }) && JobRules.Check(spec, control.Current.Fabric, submitted) is [var clash, ..])
        {
            watch.NotBefore = now + AgentsTellWithin;
            await EndAsync(placed, watch, $"a submitted job goes before it: {clash.Message}");
            return;
        }

        var filled = Fill(spec with { Selectors = spec.Selectors!.SequenceEqual(job.Selectors) ? spec.Selectors : job.Selectors }, job);
        if (filled == spec || now - watch.Changed < LeastBetweenRevisions)
        {
            return;
        }

        watch.Changed = now;
        var reason = $"{job.Connections} connections, {filled.GradientBytes} bytes a round, {filled.ComputeSeconds:F3} s of computation";
        if (await control.ReviseAsync(placed.Id, filled, Actor, reason) is [var fault, ..])
        {
            await EndAsync(placed, watch, $"{fault.Field}: {fault.Message}");
        }
    }

    private async Task GoAsync(DiscoveredJob? job, PlacedJob placed, Watch watch, DateTimeOffset now)
    {
        // Without a word of its hosts' agents, nothing says that it is gone.
        var told = job is not null || placed.Record.Spec.Workers.Distinct(StringComparer.Ordinal).All(h => registry.ConnectedFor(h, AgentsTellWithin));
        if (watch.Missing >= TurnsToGo && (told || now - watch.Since >= AwayFor))
        {
            await EndAsync(placed, watch, job?.Reason ?? "none of its processes is found any more");
        }
    }

    private async Task EndAsync(PlacedJob placed, Watch watch, string reason)
    {
        await control.EndAsync(placed.Id, JobState.Finished, Actor, reason);
        watch.Ended = true; // only now: one that could not be ended may still be withdrawn by an operator
    }

    // Sizes that the traffic tells. A host sends 2(h-1)/h of the gradient per round where h hosts reduce without waste (Patarasuk and Yuan 2009).
    private static JobSpec Fill(JobSpec spec, DiscoveredJob job)
    {
        if (job.Profile is not { HasPeriod: true } profile)
        {
            return spec;
        }

        double hosts = job.Hosts.Values.Distinct(StringComparer.Ordinal).Count();
        var bytes = Math.Max(1, (long)(profile.BytesPerRound * hosts / (2 * (hosts - 1))));
        var compute = profile.PeriodSeconds * (1 - profile.DutyCycle);
        return spec with
        {
            GradientBytes = IsNews(spec.GradientBytes, bytes) ? bytes : spec.GradientBytes,
            ComputeSeconds = IsNews(spec.ComputeSeconds, compute) ? compute : spec.ComputeSeconds,
        };

        static bool IsNews(double known, double told) => Math.Abs(told - known) > Drift * known;
    }

    private DiscoveredJobView View(DiscoveredJob job)
    {
        var placed = Find((job.Key, job.Uid));
        var watch = _watches.GetValueOrDefault((job.Key, job.Uid));
        return new()
        {
            Key = job.Key,
            Name = placed?.Name ?? job.Name,
            Uid = job.Uid,
            WorldSize = job.WorldSize,
            Hosts = job.Hosts,
            Connections = job.Connections,
            JobId = placed?.Id,
            Reason = placed is not null ? null : job.Reason ?? watch?.Refusal ?? "It was found just now.",
            Profile = job.Profile,
        };
    }

    private sealed class Watch
    {
        public required DateTimeOffset Since { get; init; }

        public DiscoveredJob? Last { get; set; }

        /// <summary>Turns in a row that found the same.</summary>
        public int Alike { get; set; }

        /// <summary>Turns in a row that found it not, or not whole.</summary>
        public int Missing { get; set; }

        public bool WasPlaced { get; set; }

        /// <summary>Its job was ended from here.</summary>
        public bool Ended { get; set; }

        /// <summary>Its job was ended by somebody else while it ran.</summary>
        public bool Withdrawn { get; set; }

        public DateTimeOffset Changed { get; set; }

        public DateTimeOffset NotBefore { get; set; }

        public string? Refusal { get; set; }
    }
}
