using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Paths;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;
using MLNet.SDN.Aggregation.Workers;

namespace MLNet.SDN.Aggregation.Transport;

/// <summary>What the jobs of a host share.</summary>
internal sealed record HostResources(
    AggregationOptions Options, ulong Life, NativeBufferPool Pool, ConnectionRegistry Registry, PathFinder Paths, Shortage Shortage, TimeProvider Time, ILogger Logger);

/// <summary>One job's sockets and workers on this host, around its <see cref="JobEngine"/>. Thread-safe.</summary>
internal sealed partial class JobRuntime : IJobPorts, IDisposable
{
    /// <summary>A peer of which nothing was heard for so long is given up, even when its connection seems to stand.</summary>
    private static readonly TimeSpan SilentFor = TimeSpan.FromSeconds(8);

    private readonly HostResources _resources;
    private readonly Lock _lock = new();

    /// <summary>Held while the engine hears that a signalling connection came or went, in the order in which they did; taken before <see cref="_lock"/>.</summary>
    private readonly Lock _signalling = new();
    private readonly Dictionary<string, PeerLink> _links = new(StringComparer.Ordinal);
    private readonly Dictionary<string, SignalConnection> _signals = new(StringComparer.Ordinal);
    private readonly CancellationTokenSource _stop = new();
    private IReadOnlyDictionary<string, Endpoint> _endpoints;
    private readonly Lock _fitting = new();
    private AggregationJob? _fittedJob; // under _fitting, as the next
    private (int Count, TreesRevision Newest) _fitted;
    private byte _dscp;
    private byte _wantedDscp;

    public JobRuntime(AggregationJob job, TreeSet trees, HostResources resources)
    {
        _resources = resources;
        Name = job.Name;
        _endpoints = EndpointsOf(job);
        _dscp = _wantedDscp = job.Dscp;
        _ownerUid = job.OwnerUid;
        Engine = new JobEngine(resources.Options.Host, job, trees, new EngineSettings(resources.Life.ToString("x16", CultureInfo.InvariantCulture), resources.Options.RestartPatience), resources.Pool, this, resources.Time, resources.Logger);
    }

    public JobEngine Engine { get; }

    public string Host => _resources.Options.Host;

    public string Name { get; }

    /// <summary>The plan does not name this host any more, but a round may still use its trees.</summary>
    public bool Retiring { get; set; }

    /// <summary>Begins to dial.</summary>
    public void Start()
    {
        Connect();
        if (!Engine.IsAnchor)
        {
            _ = Task.Run(DialSignalAsync);
        }
    }

    public void Apply(AggregationJob job, TreeSet? trees)
    {
        lock (_lock)
        {
            var endpoints = new Dictionary<string, Endpoint>(_endpoints);
            foreach (var (host, endpoint) in EndpointsOf(job))
            {
                endpoints[host] = endpoint;
            }

            _endpoints = endpoints;
            _wantedDscp = job.Dscp;
            _ownerUid = job.OwnerUid ?? _ownerUid;
        }

        Engine.Apply(job, trees);
        FitAll();
        Connect();
    }

    /// <summary>Does what time asks for.</summary>
    public void Tick()
    {
        Engine.Tick();
        FitAll();
        if (!Engine.InRound)
        {
            RoundBegins();
        }

        var now = _resources.Time.GetTimestamp();
        List<KeyValuePair<string, SignalConnection>> silent;
        lock (_lock)
        {
            silent = [.. _signals.Where(s => _resources.Time.GetElapsedTime(LastHeard(s.Key, s.Value), now) > SilentFor)];
        }

        foreach (var (peer, signal) in silent)
        {
            AggregationLog.Silent(_resources.Logger, Name, peer, (int)SilentFor.TotalSeconds);
            signal.Close();
        }
    }

    /// <summary>Takes over an accepted connection whose dialler proved itself; returns when a data connection ends.</summary>
    public void Accept(Socket socket, Hello hello)
    {
        _resources.Registry.Add(socket, (IPEndPoint)socket.RemoteEndPoint!, new ConnectionOwner(Engine.Job.JobId, RoleName(hello.Role)));
        AgentSocket.Established(socket);
        if (hello.Role == ConnectionRole.Data)
        {
            AgentSocket.SetDscp(socket, CurrentDscp);
            var link = LinkTo(hello.From);
            link.NeedsSeveral |= hello.Stripes > 1;
            ServeData(socket, link, hello.Stripe, hello.Life);
        }
        else
        {
            AgentSocket.SetDscp(socket, _resources.Options.SignallingDscp);
            _ = ServeSignalAsync(socket, hello.From);
        }
    }

    /// <summary>Whether the peer may open such a connection with this host.</summary>
    public bool Admits(Hello hello) =>
        hello.To == Host
        && hello.From != Host
        && Endpoints.ContainsKey(hello.From)
        && (hello.Role == ConnectionRole.Data ? string.CompareOrdinal(hello.From, Host) < 0 : Engine.IsAnchor);

    /// <inheritdoc />
    public void Dispose() => Abandon();

    /// <summary>Ends the job on this host: its workers hear why.</summary>
    public void Close(string text)
    {
        _stop.Cancel();
        Engine.Close(FailureCode.JobClosed, text);
        foreach (var session in Disconnect())
        {
            session.JobClosed(text);
        }
    }

    /// <summary>Ends this agent's part but not the job: workers come again when the next agent is there.</summary>
    public void Abandon()
    {
        _stop.Cancel();

        // Connections first: from an engine without workers they would hear that they never joined.
        foreach (var session in Disconnect())
        {
            session.Close();
        }

        Engine.Abandon();
    }

    private List<WorkerSession> Disconnect()
    {
        List<WorkerSession> sessions;
        lock (_lock)
        {
            foreach (var link in _links.Values)
            {
                link.Close();
            }

            foreach (var signal in _signals.Values)
            {
                signal.Close();
            }

            sessions = [.. _sessions.Values];
            _sessions.Clear();
        }

        return sessions;
    }

    /// <summary>What goes wrong now, in words.</summary>
    public IEnumerable<string> Troubles()
    {
        if (!Engine.IsSignalled)
        {
            yield return $"job {Name}: no signalling connection to {Engine.AnchorHost}, the host of rank 0";
        }

        foreach (var peer in Engine.Peers())
        {
            if (ConnectionsTo(peer) == 0)
            {
                yield return $"job {Name}: no data connection to {peer}";
            }
        }

        foreach (var trouble in Engine.Troubles())
        {
            yield return trouble;
        }
    }

    /// <inheritdoc />
    public void Signal(string host, SignalMessage message)
    {
        SignalConnection? signal;
        lock (_lock)
        {
            _signals.TryGetValue(host, out signal);
        }

        signal?.Send(message);
    }

    /// <inheritdoc />
    public void RoundBegins()
    {
        lock (_lock)
        {
            if (_dscp == _wantedDscp)
            {
                return;
            }

            _dscp = _wantedDscp;
            foreach (var link in _links.Values)
            {
                link.SetDscp(_dscp);
            }
        }
    }

    /// <summary>Gives a link's connections the level of the round. Takes the locks in the order in which a round's begin does.</summary>
    public void Mark(PeerLink link)
    {
        lock (_lock)
        {
            link.SetDscp(_dscp);
        }
    }

    /// <inheritdoc />
    public void PeersChanged() => _ = Task.Run(Connect);

    private byte CurrentDscp
    {
        get
        {
            lock (_lock)
            {
                return _dscp;
            }
        }
    }

    private IReadOnlyDictionary<string, Endpoint> Endpoints
    {
        get
        {
            lock (_lock)
            {
                return _endpoints;
            }
        }
    }

    private static string RoleName(ConnectionRole role) => role == ConnectionRole.Data ? "push" : "signal";

    private static Dictionary<string, Endpoint> EndpointsOf(AggregationJob job) => job.Endpoints.ToDictionary(e => e.Host, StringComparer.Ordinal);
}
