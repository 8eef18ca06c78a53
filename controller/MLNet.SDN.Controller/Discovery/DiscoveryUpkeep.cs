using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.State;
using MLNet.SDN.Planning.Jobs;

namespace MLNet.SDN.Controller.Discovery;

/// <summary>Each second: makes jobs of what agents discovered, keeps their selectors and sizes true, and ends those that are gone.</summary>
/// <remarks>
/// A job comes when two turns in a row found it whole and alike, and goes when three did not, so that processes that start or stop one after the other do not
/// make it flicker. Only turns count in which the agents of all its hosts have told what there is: a controller that has just begun to lead hears of them one after
/// the other. What an operator withdrew is left alone as long as it runs, and what an operator submitted goes before what was only discovered.
/// </remarks>
internal sealed class DiscoveryUpkeep(ControlPlane control, DiscoveryReports reports, TimeProvider time, ILogger<DiscoveryUpkeep> logger) : BackgroundService
{
    private const string Actor = "discovery";
    private const int TurnsToCome = 2;
    private const int TurnsToGo = 3;

    // A change of size that is worth planning anew for; like Planning:Drift.
    private const double Drift = 0.2;

    private static readonly TimeSpan Turn = TimeSpan.FromSeconds(1);

    // Each change is a new policy for every host of the job.
    private static readonly TimeSpan LeastBetweenRevisions = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(15);

    // A host that has said nothing for so long is not waited for any more.
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
        var stored = state.Jobs.Values.Select(j => j.Record).Concat(state.Withdrawn.Values).Where(j => IsDiscovered(j.Spec)).Select(j => KeyOf(j.Spec));
        foreach (var key in stored.Concat(found.Keys))
        {
            _watches.TryAdd(key, new() { Told = now });
        }

        foreach (var (key, watch) in _watches.ToList())
        {
            // One snapshot for both: a job that is withdrawn meanwhile must not be neither.
            var current = control.Current ?? throw new NotLeadingException();
            var job = found.GetValueOrDefault(key);
            var placed = Find(current, key);
            var withdrawn = current.Withdrawn.Values.Where(j => KeyOf(j.Spec) == key).ToList();
            watch.Alike = job is not null && watch.Last is not null && job.IsAsBefore(watch.Last) ? watch.Alike + 1 : 1;
            watch.Last = job;
            var told = (placed?.Record.Spec ?? withdrawn.LastOrDefault()?.Spec)?.Workers.Distinct(StringComparer.Ordinal).All(reports.HasTold) ?? true;
            watch.Told = told ? now : watch.Told;

            // Of a withdrawn job a single process is enough to say that it runs.
            var isMissing = placed is null ? job is null : job is not { Reason: null };
            watch.Missing = isMissing && (told || now - watch.Told >= AwayFor) ? watch.Missing + 1 : 0;
            if (placed is not null)
            {
                await KeepAsync(job, placed, current, watch, now);
            }
            else if (withdrawn.Count > 0)
            {
                await LeaveAloneAsync(withdrawn, watch);
            }
            else if (job is null)
            {
                _watches.Remove(key);
            }
            else
            {
                await ComeAsync(job, watch, now);
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

    private static (string Key, int Uid) KeyOf(JobSpec spec) => (spec.DiscoveryKey!, spec.OwnerUid ?? 0);

    private static PlacedJob? Find(DesiredState state, (string Key, int Uid) key) =>
        state.Jobs.Values.FirstOrDefault(j => IsDiscovered(j.Record.Spec) && KeyOf(j.Record.Spec) == key);

    private async Task LeaveAloneAsync(List<JobRecord> withdrawn, Watch watch)
    {
        watch.Refusal = "An operator withdrew it; it is left alone as long as it runs.";
        if (watch.Missing >= TurnsToGo)
        {
            foreach (var job in withdrawn)
            {
                await control.ForgetWithdrawnAsync(job.Id, Actor, "none of its processes is found any more");
            }

            watch.Refusal = null;
        }
    }

    private async Task KeepAsync(DiscoveredJob? job, PlacedJob placed, DesiredState state, Watch watch, DateTimeOffset now)
    {
        var submitted = state.Jobs.Values.Select(j => j.Record.Spec).Where(s => !IsDiscovered(s)).ToList();
        if (submitted.Exists(s => s.Selectors is { Count: > 0 }) && JobRules.Check(placed.Record.Spec, state.Fabric, submitted) is [var clash, ..])
        {
            watch.Refusal = $"a submitted job goes before it: {clash.Message}";
            watch.NotBefore = now + RetryAfter;
            await EndAsync(placed, watch.Refusal);
        }
        else if (job is { Reason: null })
        {
            await ReviseAsync(job, placed, watch, now);
        }
        else if (watch.Missing >= TurnsToGo)
        {
            await EndAsync(placed, job?.Reason ?? "none of its processes is found any more");
        }
    }

    private async Task ComeAsync(DiscoveredJob job, Watch watch, DateTimeOffset now)
    {
        watch.Refusal = now < watch.NotBefore ? watch.Refusal : null;
        if (job.Reason is not null || watch.Alike < TurnsToCome || now < watch.NotBefore)
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
            watch.NotBefore = now + RetryAfter;
            DiscoveryLog.NotPlaced(logger, job.Name, watch.Refusal);
        }
    }

    private async Task ReviseAsync(DiscoveredJob job, PlacedJob placed, Watch watch, DateTimeOffset now)
    {
        var spec = placed.Record.Spec;
        var hosts = job.Hosts.OrderBy(h => h.Key).Select(h => h.Value);
        if (!hosts.SequenceEqual(spec.Workers))
        {
            await EndAsync(placed, "its ranks run on other hosts now");
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
            await EndAsync(placed, $"{fault.Field}: {fault.Message}");
        }
    }

    private Task<EndOutcome> EndAsync(PlacedJob placed, string reason) => control.EndAsync(placed.Id, JobState.Finished, Actor, reason);

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
        var placed = control.Current is { } state ? Find(state, (job.Key, job.Uid)) : null;
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
        /// <summary>When the agents of all its hosts had told last, or when it was first watched.</summary>
        public required DateTimeOffset Told { get; set; }

        public DiscoveredJob? Last { get; set; }

        /// <summary>Turns in a row that found the same.</summary>
        public int Alike { get; set; }

        /// <summary>Turns in a row that found it not, or not whole, though all its hosts had told.</summary>
        public int Missing { get; set; }

        public DateTimeOffset Changed { get; set; }

        public DateTimeOffset NotBefore { get; set; }

        public string? Refusal { get; set; }
    }
}
