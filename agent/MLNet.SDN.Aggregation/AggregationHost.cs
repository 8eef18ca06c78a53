using System.Net;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Paths;
using MLNet.SDN.Aggregation.Transport;
using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Workers;

namespace MLNet.SDN.Aggregation;

/// <summary>The gradient data plane of one host: takes workers' contributions, sums along the trees, hands results back. Thread-safe.</summary>
public sealed class AggregationHost : IAsyncDisposable
{
    private static readonly TimeSpan TickInterval = TimeSpan.FromMilliseconds(100);

    /// <summary>Without jobs there is little to look at, and a host that does not train must not notice the agent.</summary>
    private static readonly TimeSpan IdleTickInterval = TimeSpan.FromSeconds(1);

    /// <summary>Ticks between two looks for memory that nobody needs.</summary>
    private const int TicksPerTrim = 10;

    private readonly AggregationOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly NativeBufferPool _pool = new();
    private readonly Shortage _shortage;
    private readonly HostResources _resources;
    private readonly Acceptor _acceptor;
    private readonly WorkerListener _workers;
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _lock = new();
    private readonly Dictionary<long, JobRuntime> _jobs = [];
    private IReadOnlyList<string> _planFaults = [];
    private AggregationMetrics? _metrics;
    private Task _ticking = Task.CompletedTask;
    private volatile PeriodicTimer? _timer;
    private bool _disposed;

    /// <summary>Prepares the data plane; nothing is opened before <see cref="StartAsync"/>.</summary>
    public AggregationHost(AggregationOptions options, TimeProvider time, ILogger<AggregationHost> logger)
    {
        _options = options;
        _time = time;
        _logger = logger;
        _shortage = new Shortage(time, logger);
        var life = BitConverter.ToUInt64(System.Security.Cryptography.RandomNumberGenerator.GetBytes(sizeof(ulong))) | 1; // never 0
        _resources = new HostResources(options, life, _pool, new ConnectionRegistry(time), new PathFinder(options.ProbePaths, options.SignallingDscp, time, logger), _shortage, time, logger);
        _acceptor = new Acceptor(options.Listen, life, Find, _shortage, logger);
        _workers = new WorkerListener(options.WorkerSocket, options.Host, Find, _shortage, time, logger);
    }

    /// <summary>Port that other agents connect to; known after <see cref="StartAsync"/>.</summary>
    public int DataPort => _acceptor.Port;

    /// <summary>Connections from others that did not prove to belong to a job of this host, since the start.</summary>
    public long RefusedConnections => _acceptor.Refused;

    /// <summary>Begins to listen, for agents and for workers.</summary>
    /// <exception cref="IOException">The worker socket cannot be made, or another agent listens on it.</exception>
    /// <exception cref="System.Net.Sockets.SocketException">The data address is not this host's, or the port is taken.</exception>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        _acceptor.Start();
        _workers.Start();
        _ticking = TickAsync();
        _metrics = new AggregationMetrics(Status);
        AggregationLog.Started(_logger, _options.Host, new IPEndPoint(_options.Listen.Address, DataPort), _options.WorkerSocket);
        return Task.CompletedTask;
    }

    /// <summary>Replaces the jobs this host has a part in. A job that is gone is closed; one whose trees changed switches as docs/protocol.md says.</summary>
    /// <returns>Jobs whose plan is at fault, and why: they stay as they are, and <see cref="Status"/> says so.</returns>
    public IReadOnlyList<PlanFault> Apply(IReadOnlyList<AggregationJob> jobs)
    {
        var faults = new List<PlanFault>();
        var removed = new List<JobRuntime>();
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            var wanted = jobs.Select(j => j.JobId).ToHashSet();
            foreach (var (id, runtime) in _jobs)
            {
                runtime.Retiring = !wanted.Contains(id);
                if (runtime.Retiring && !runtime.Engine.IsHelper)
                {
                    removed.Add(runtime);
                    _jobs.Remove(id);
                }
            }

            foreach (var job in jobs)
            {
                if (ApplyOne(job) is { } fault)
                {
                    AggregationLog.PlanRefused(_logger, fault);
                    faults.Add(new PlanFault(job.JobId, fault));
                }
            }

            _planFaults = [.. faults.Select(f => $"plan refused: {f.Reason}")];
            SetPace();
        }

        foreach (var job in removed)
        {
            Close(job);
        }

        return faults;
    }

    /// <summary>What the data plane does now.</summary>
    public AggregationStatus Status()
    {
        JobRuntime[] jobs;
        IReadOnlyList<string> faults;
        lock (_lock)
        {
            jobs = [.. _jobs.Values];
            faults = _planFaults;
        }

        return new AggregationStatus(
            [.. jobs.SelectMany(j => j.Engine.WorkerStatuses())],
            _resources.Registry.Totals(),
            [.. faults, .. _shortage.Trouble is { } want ? [want] : (string[])[], .. jobs.Where(j => !j.Retiring).SelectMany(j => j.Troubles())])
        {
            Reductions = [.. jobs.Select(j => j.Engine.ReductionStatus())],
        };
    }

    /// <summary>Whose connection this is, open or closed within the last minute. Ports in host byte order; addresses as given by the kernel.</summary>
    public bool TryFindOwner(IPAddress localAddress, int localPort, IPAddress remoteAddress, int remotePort, out ConnectionOwner owner) =>
        _resources.Registry.TryFind(localPort, remoteAddress, remotePort, out owner);

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        List<JobRuntime> jobs;
        lock (_lock)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            jobs = [.. _jobs.Values];
            _jobs.Clear();
        }

        foreach (var job in jobs)
        {
            job.Abandon();
        }

        _metrics?.Dispose();
        _acceptor.Dispose();
        _workers.Dispose();

        await _stop.CancelAsync();
        await _ticking;
        _pool.Dispose();
        _stop.Dispose();
    }

    /// <summary>Ends the job of a helper, unless the plan named this host again meanwhile.</summary>
    private void End(JobRuntime job)
    {
        lock (_lock)
        {
            if (!job.Retiring || !_jobs.Remove(job.Engine.Job.JobId))
            {
                return;
            }
        }

        Close(job);
    }

    private void Close(JobRuntime job)
    {
        AggregationLog.JobRemoved(_logger, job.Name);
        job.Close($"job {job.Name} was withdrawn from host {_options.Host}");
    }

    private string? ApplyOne(AggregationJob job)
    {
        if (!_jobs.TryGetValue(job.JobId, out var runtime))
        {
            var fault = TreeSet.TryCreate(job, _options.Host, out var trees);
            if (fault is not null)
            {
                return fault;
            }

            _jobs[job.JobId] = runtime = new JobRuntime(job, trees!, _resources);
            AggregationLog.JobAdded(_logger, job.Name, job.JobId, job.Members.Count, job.TreesRevision);
            runtime.Start();
            return null;
        }

        var before = runtime.Engine.Job;
        if (!before.Members.SequenceEqual(job.Members) || before.ServerRank != job.ServerRank)
        {
            return $"job {job.Name}: its members changed while it runs; submit it as a new job";
        }

        if (job.TreesRevision.CompareTo(before.TreesRevision) <= 0)
        {
            runtime.Apply(job, null);
            return null;
        }

        var newFault = TreeSet.TryCreate(job, _options.Host, out var newTrees);
        if (newFault is null)
        {
            AggregationLog.TreesAdded(_logger, job.Name, job.TreesRevision);
            runtime.Apply(job, newTrees);
        }

        return newFault;
    }

    private async Task TickAsync()
    {
        using var timer = new PeriodicTimer(TickInterval, _time);
        var ticks = 0;
        _timer = timer;
        try
        {
            while (await timer.WaitForNextTickAsync(_stop.Token))
            {
                try
                {
                    var isIdle = timer.Period == IdleTickInterval;
                    Tick(isIdle || ++ticks % TicksPerTrim == 0);
                }
                catch (Exception e)
                {
                    AggregationLog.Fault(_logger, "a regular look at the jobs", e);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The end.
        }
    }

    private void Tick(bool trim)
    {
        JobRuntime[] jobs;
        lock (_lock)
        {
            jobs = [.. _jobs.Values];
        }

        foreach (var job in jobs)
        {
            job.Tick();
            if (job.Retiring && job.Engine.IsUnused)
            {
                End(job);
            }
        }

        _workers.Tick();
        SetPace();
        if (trim)
        {
            _pool.Trim();
            _resources.Registry.Expire();
            _shortage.Tick();
        }
    }

    // Also called when jobs come: the first look at one is not a second away.
    private void SetPace()
    {
        lock (_lock)
        {
            var interval = _jobs.Count == 0 ? IdleTickInterval : TickInterval;
            if (!_disposed && _timer is { } timer && timer.Period != interval)
            {
                timer.Period = interval;
            }
        }
    }

    private JobRuntime? Find(long jobId)
    {
        lock (_lock)
        {
            return _jobs.GetValueOrDefault(jobId);
        }
    }

    /// <summary>Of jobs that bear the same name, the newest.</summary>
    private JobRuntime? Find(string name)
    {
        lock (_lock)
        {
            return _jobs.Where(j => j.Value.Name == name).OrderByDescending(j => j.Key).Select(j => j.Value).FirstOrDefault();
        }
    }
}
