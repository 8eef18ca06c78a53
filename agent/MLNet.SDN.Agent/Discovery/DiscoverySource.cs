using System.Net;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Profiling;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Discovery;

/// <summary>Joins what the discovery unit found with what the bytes of its connections tell, and makes reports of it. <see cref="Due"/> has one caller at a time.</summary>
internal sealed class DiscoverySource
{
    private static readonly TimeSpan RepeatAfter = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan IdleInterval = TimeSpan.FromSeconds(1);

    // Beyond this one list of all connections is cheaper than asking for each, but has to be asked for less often.
    private const int MostSingleQuestions = 64;
    private const double ListInterval = 0.1;

    private readonly string host;
    private readonly Guid boot;
    private readonly Func<IReadOnlyList<LocalJob>?> jobs;
    private readonly TimeProvider time;
    private readonly ILogger logger;
    private readonly Dictionary<(string Key, int Uid), JobMeter> meters = [];
    private volatile IReadOnlyDictionary<(string Key, int Uid), TrafficProfile> profiles = new Dictionary<(string, int), TrafficProfile>();
    private byte[] told = [];
    private long toldAt;

    /// <summary>Creates a source.</summary>
    /// <param name="host">This host.</param>
    /// <param name="boot">This start of the process.</param>
    /// <param name="jobs">What the discovery unit found; null as long as it may not have had the time to. Thread-safe.</param>
    /// <param name="time">Clock.</param>
    /// <param name="logger">Gets what is inferred.</param>
    public DiscoverySource(string host, Guid boot, Func<IReadOnlyList<LocalJob>?> jobs, TimeProvider time, ILogger logger) =>
        (this.host, this.boot, this.jobs, this.time, this.logger) = (host, boot, jobs, time, logger);

    /// <summary>Watches the bytes of discovered jobs until told to stop.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        SocketDiagnosis? diagnosis = null;
        try
        {
            while (!cancellationToken.IsCancellationRequested)
            {
                var wait = IdleInterval;
                try
                {
                    var found = jobs() ?? [];
                    if (found.Count > 0)
                    {
                        diagnosis ??= new SocketDiagnosis();
                    }

                    wait = Measure(found, diagnosis);
                }
                catch (Exception exception)
                {
                    // Gradients pass through this process: no profile is worth its end.
                    DiscoveryLog.Unavailable(logger, exception.Message, exception is IOException ? null : exception);
                    diagnosis?.Dispose();
                    diagnosis = null;
                    wait = RepeatAfter;
                }

                await Task.Delay(wait, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
        finally
        {
            diagnosis?.Dispose();
        }
    }

    /// <summary>The state now, if it differs from what was told last or that was long ago; else null. Null too as long as there is nothing to know: "none" would end the jobs of this host.</summary>
    public DiscoveryReport? Due()
    {
        if (jobs() is not { } found)
        {
            return null;
        }

        var known = profiles;
        var report = new DiscoveryReport
        {
            Host = host,
            Boot = boot,
            Jobs =
            [
                .. found.Select(j => new DiscoveredPart
                {
                    Key = j.Key,
                    Name = j.Name,
                    Uid = j.Uid,
                    WorldSize = j.WorldSize,
                    Ranks = j.Ranks,
                    Connections = [.. j.Connections.Select(c => c.Ends)],
                    Profile = known.GetValueOrDefault((j.Key, j.Uid)),
                }),
            ],
        };
        var bytes = JsonSerializer.SerializeToUtf8Bytes(report, ContractsJson.Default.DiscoveryReport);
        if (bytes.AsSpan().SequenceEqual(told) && time.GetElapsedTime(toldAt) < RepeatAfter)
        {
            return null;
        }

        (told, toldAt) = (bytes, time.GetTimestamp());
        return report;
    }

    /// <summary>A new session knows nothing: tell all.</summary>
    public void Forget() => told = [];

    private TimeSpan Measure(IReadOnlyList<LocalJob> found, SocketDiagnosis? diagnosis)
    {
        var present = found.ToDictionary(j => (j.Key, j.Uid));
        foreach (var gone in meters.Keys.Where(k => !present.ContainsKey(k)).ToList())
        {
            meters.Remove(gone);
            profiles = profiles.Where(p => p.Key != gone).ToDictionary();
        }

        var now = time.GetTimestamp() / (double)time.TimestampFrequency;
        var measuring = new List<(LocalJob Job, JobMeter Meter)>();
        foreach (var (key, job) in present)
        {
            if (!meters.TryGetValue(key, out var meter))
            {
                meters[key] = meter = new JobMeter();
            }

            if (job.Connections.Count > 0 && meter.IsMeasuring(now))
            {
                measuring.Add((job, meter));
            }
        }

        if (measuring.Count == 0 || diagnosis is null)
        {
            return IdleInterval;
        }

        var singly = measuring.Sum(m => m.Job.Connections.Count) <= MostSingleQuestions;
        var all = singly ? null : diagnosis.Connections().DistinctBy(s => s.Cookie).ToDictionary(s => s.Cookie, s => s.BytesAcknowledged);
        foreach (var (job, meter) in measuring)
        {
            var counters = job.Connections
                .Select(c => (c.Cookie, Bytes: all is null ? Ask(diagnosis, c) : all.TryGetValue(c.Cookie, out var bytes) ? bytes : (long?)null))
                .Where(c => c.Bytes is not null).Select(c => (c.Cookie, c.Bytes!.Value));
            if (meter.Take(now, counters) && meter.Profile is { } profile)
            {
                profiles = new Dictionary<(string Key, int Uid), TrafficProfile>(profiles) { [(job.Key, job.Uid)] = profile };
                DiscoveryLog.Profiled(logger, job.Name, profile.PeriodSeconds, profile.BytesPerRound, profile.DutyCycle, profile.Confidence, profile.Rounds);
            }
        }

        return TimeSpan.FromSeconds(Math.Max(singly ? 0 : ListInterval, measuring.Min(m => m.Meter.Interval)));
    }

    private static long? Ask(SocketDiagnosis diagnosis, LocalConnection connection)
    {
        var local = IPAddress.Parse(connection.Ends.LocalAddress);
        var remote = IPAddress.Parse(connection.Ends.RemoteAddress);
        var asked = new TcpConnection(
            FlowKey.FromAddress(local), (ushort)connection.Ends.LocalPort, FlowKey.FromAddress(remote), (ushort)connection.Ends.RemotePort,
            local.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6);
        return diagnosis.Find(asked, connection.Cookie)?.BytesAcknowledged;
    }
}
