using MLNet.SDN.Contracts;

namespace MLNet.SDN.SystemTests.Dashboard;

/// <summary>Agents of all hosts, which report the flows of jobs as if these trained: each worker sends to the next one, and both ends report it.</summary>
internal sealed class ScriptedFleet : IAsyncDisposable
{
    /// <summary>Source port of the first worker of the first job that trains; the next job's are 100 higher.</summary>
    public const int FirstPort = 40_000;

    private readonly Dictionary<string, ScriptedAgent> _agents = [];
    private readonly Dictionary<string, string> _addresses;
    private readonly Uri _controller;
    private DateTimeOffset _reportedUntil = DateTimeOffset.UtcNow;

    /// <param name="controller">Whom to report to.</param>
    public ScriptedFleet(LiveController controller)
    {
        _controller = controller.Address;
        _addresses = controller.Topology.Nodes.Where(n => n.Kind == NodeKind.Host).ToDictionary(n => n.Id, n => n.Address!);
    }

    /// <summary>Names of all hosts, in order.</summary>
    public IReadOnlyList<string> Hosts => [.. _addresses.Keys.Order(StringComparer.Ordinal)];

    /// <summary>The agent of a host.</summary>
    public ScriptedAgent this[string host] => _agents[host];

    /// <summary>Connects agents of some hosts; of all when none are named.</summary>
    public async Task ConnectAsync(params IEnumerable<string> hosts)
    {
        foreach (var host in hosts.DefaultIfEmpty().SelectMany(h => h is null ? Hosts : [h]))
        {
            var agent = new ScriptedAgent(_controller, host);
            _agents[host] = agent;
            await agent.ConnectAsync();
        }
    }

    /// <summary>Breaks all connections, as a death of the controller does, and forgets the agents.</summary>
    public async Task DropAsync()
    {
        foreach (var agent in _agents.Values)
        {
            await agent.DisposeAsync();
        }

        _agents.Clear();
    }

    /// <summary>Reports the time since the last report.</summary>
    /// <param name="jobs">What trains: each job with its rate per worker in bit/s and the round that it has finished.</param>
    /// <param name="bleach">Whether marks from one host to another are cleared on the way.</param>
    public async Task ReportAsync(IReadOnlyList<(JobView Job, double BitsPerSecond, long Round)> jobs, Func<string, string, bool>? bleach = null)
    {
        var from = _reportedUntil;
        var until = DateTimeOffset.UtcNow;
        _reportedUntil = until;
        var records = _agents.Keys.ToDictionary(h => h, _ => new List<FlowRecord>());
        var workers = _agents.Keys.ToDictionary(h => h, _ => new List<WorkerProgress>());
        foreach (var (index, (job, rate, round)) in jobs.Index())
        {
            var hosts = job.Spec.Workers;
            for (var rank = 0; rank < hosts.Count; rank++)
            {
                var (host, next) = (hosts[rank], hosts[(rank + 1) % hosts.Count]);
                var record = new FlowRecord
                {
                    FlowStart = from,
                    FlowEnd = until,
                    Direction = FlowDirection.Egress,
                    SourceAddress = _addresses[host],
                    DestinationAddress = _addresses[next],
                    SourceTransportPort = FirstPort + (100 * index) + rank,
                    DestinationTransportPort = 7471,
                    ProtocolIdentifier = 6,
                    IpDiffServCodePoint = job.Plan!.Dscp,
                    PostIpDiffServCodePoint = job.Plan.Dscp,
                    OctetDeltaCount = (long)(rate / 8 * (until - from).TotalSeconds * (1 + (0.1 * (rank % 3)))),
                    PacketDeltaCount = 100,
                    EndReason = FlowEndReason.Active,
                    JobId = job.Id,
                    Role = "push",
                };
                Add(records, host, record);
                Add(records, next, record with { Direction = FlowDirection.Ingress, IpDiffServCodePoint = bleach?.Invoke(host, next) == true ? Dscp.Default : record.IpDiffServCodePoint });
                Add(workers, host, new WorkerProgress { JobId = job.Id, Rank = rank, Joined = true, RoundsDone = round, SecondsPerRound = 0.42, CommunicationSeconds = 0.2 });
            }
        }

        await Task.WhenAll(_agents.Select(a => a.Value.ReportAsync(records[a.Key])));
        await Task.WhenAll(_agents.Select(a => a.Value.ReportAsync(workers[a.Key])));
    }

    /// <summary>Reports again and again, once a second, until the token fires; failures end it, as when the controller is killed.</summary>
    public async Task KeepReportingAsync(Func<int, IReadOnlyList<(JobView Job, double BitsPerSecond, long Round)>> jobsAt, Func<string, string, bool>? bleach, CancellationToken stop)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1));
        try
        {
            for (var turn = 0; await timer.WaitForNextTickAsync(stop); turn++)
            {
                await ReportAsync(jobsAt(turn), bleach);
            }
        }
        catch (OperationCanceledException)
        {
            // Told to stop.
        }
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync() => await DropAsync();

    private static void Add<T>(Dictionary<string, List<T>> lists, string host, T item)
    {
        if (lists.TryGetValue(host, out var list))
        {
            list.Add(item);
        }
    }
}
