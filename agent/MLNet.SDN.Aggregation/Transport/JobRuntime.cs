using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
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
internal sealed class JobRuntime : IJobPorts, IDisposable
{
    /// <summary>A peer of which nothing was heard for so long is given up, even when its connection seems to stand.</summary>
    private static readonly TimeSpan SilentFor = TimeSpan.FromSeconds(8);

    /// <summary>Time of the host's line that may be under way to it: some round trips within a datacentre.</summary>
    private static readonly TimeSpan UnderWay = TimeSpan.FromMilliseconds(2);

    /// <summary>Bytes that may be under way on slow lines: what a port of a switch queues at least, some dozens of full frames.</summary>
    private const int LeastUnderWay = 96 * 1024;

    /// <summary>Four full frames: with less, a lost one cannot be noticed by those behind it.</summary>
    private const int LeastWindow = 6_000;

    /// <summary>Above this the kernel may do as it likes.</summary>
    private const int LargestWindow = 4 << 20;

    private const int StackBytes = 256 * 1024;

    private readonly HostResources _resources;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, PeerLink> _links = new(StringComparer.Ordinal);
    private readonly Dictionary<string, SignalConnection> _signals = new(StringComparer.Ordinal);
    private readonly Dictionary<int, WorkerSession> _sessions = [];
    private readonly CancellationTokenSource _stop = new();
    private IReadOnlyDictionary<string, Endpoint> _endpoints;
    private byte _dscp;
    private byte _wantedDscp;
    private int? _ownerUid;

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
        Connect();
    }

    /// <summary>Does what time asks for.</summary>
    public void Tick()
    {
        Engine.Tick();
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

    /// <summary>Why a worker cannot begin yet; null when it can.</summary>
    public string? NotReady()
    {
        if (!Engine.IsSignalled)
        {
            return $"no connection yet to the agent on {Engine.AnchorHost}, the host of rank 0";
        }

        var missing = Engine.NewestPeers().FirstOrDefault(peer => ConnectionsTo(peer) == 0);
        return missing is null ? Engine.NotReady() : $"no connection yet to the agent on {missing}";
    }

    /// <summary>Lets a worker in, or lets it go on with a session that began under an earlier life of the agent.</summary>
    public string? TryJoin(WorkerSession session, int? rank, int userId, out int joined)
    {
        joined = -1;
        lock (_lock)
        {
            if (_ownerUid is { } owner && owner != userId)
            {
                return $"job {Name} belongs to user {owner}, not to {userId}";
            }

            _ownerUid ??= userId;
        }

        // Never the engine under this lock: it calls back into it under its own.
        if (session.Restores)
        {
            joined = rank!.Value;
            lock (_lock)
            {
                // News may come before the call returns.
                if (!_sessions.TryAdd(joined, session))
                {
                    return $"rank {joined} of job {Name} on host {Host} has joined already";
                }
            }

            var fault = Engine.TryRejoin(joined, session.TakeRestored(Engine.Job.JobId, joined));
            if (fault is not null)
            {
                lock (_lock)
                {
                    _sessions.Remove(joined);
                }
            }

            return fault;
        }

        if (Engine.TryJoin(rank, out joined) is { } refusal)
        {
            return refusal;
        }

        lock (_lock)
        {
            _sessions[joined] = session;
        }

        return null;
    }

    public void Leave(WorkerSession session, int rank, bool left)
    {
        lock (_lock)
        {
            if (!_sessions.TryGetValue(rank, out var current) || !ReferenceEquals(current, session))
            {
                return;
            }

            _sessions.Remove(rank);
        }

        if (left)
        {
            AggregationLog.WorkerLeft(_resources.Logger, Name, rank);
        }
        else
        {
            AggregationLog.WorkerDied(_resources.Logger, Name, rank);
        }

        Engine.Leave(rank, left);
    }

    /// <summary>Takes over an accepted connection whose dialler proved itself; returns when a data connection ends.</summary>
    public void Accept(Socket socket, Hello hello)
    {
        _resources.Registry.Add(socket, (IPEndPoint)socket.RemoteEndPoint!, new ConnectionOwner(Engine.Job.JobId, RoleName(hello.Role)));
        AgentSocket.Established(socket);
        if (hello.Role == ConnectionRole.Data)
        {
            AgentSocket.SetDscp(socket, CurrentDscp);
            ServeData(socket, LinkTo(hello.From), hello.Stripe, hello.Life);
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

    public void DialData(PeerLink link, int stripe, int stripes)
    {
        var thread = new Thread(() => DialDataLoop(link, stripe, stripes), StackBytes) { IsBackground = true, Name = $"mlnet-r {link.Peer}" };
        thread.Start();
    }

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

    /// <inheritdoc />
    public void PeersChanged() => _ = Task.Run(Connect);

    /// <inheritdoc />
    public void StreamOpened(int rank, uint stream, SharedArea area, ulong round) => SessionOf(rank)?.StreamOpened(stream, area, round);

    /// <inheritdoc />
    public void StreamRefused(int rank, uint stream, string code, string message) => SessionOf(rank)?.StreamRefused(stream, code, message);

    /// <inheritdoc />
    public void RoundDone(int rank, uint stream, ulong round) => SessionOf(rank)?.RoundDone(stream, round);

    /// <inheritdoc />
    public void RoundFailed(int rank, uint stream, ulong round, string code, string message)
    {
        AggregationLog.RoundFailed(_resources.Logger, Name, round, stream, rank, message);
        SessionOf(rank)?.RoundFailed(stream, round, code, message);
    }

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

    private WorkerSession? SessionOf(int rank)
    {
        lock (_lock)
        {
            return _sessions.GetValueOrDefault(rank);
        }
    }

    private int ConnectionsTo(string peer)
    {
        lock (_lock)
        {
            return _links.TryGetValue(peer, out var link) ? link.Up : 0;
        }
    }

    private long LastHeard(string peer, SignalConnection signal) =>
        Math.Max(signal.LastHeard, _links.TryGetValue(peer, out var link) ? link.LastHeard : 0);

    private PeerLink LinkTo(string peer)
    {
        lock (_lock)
        {
            if (!_links.TryGetValue(peer, out var link))
            {
                _links[peer] = link = new PeerLink(this, peer, new StripePaths(_resources.Paths, _resources.Registry));
                if (_stop.IsCancellationRequested)
                {
                    link.Close();
                }
            }

            return link;
        }
    }

    private void Connect()
    {
        if (_stop.IsCancellationRequested)
        {
            return;
        }

        var endpoints = Endpoints;
        foreach (var peer in Engine.Peers())
        {
            LinkTo(peer).Dial(StripesTo(peer, endpoints));
        }
    }

    private int StripesTo(string peer, IReadOnlyDictionary<string, Endpoint> endpoints)
    {
        var rack = endpoints.TryGetValue(Host, out var self) ? self.Rack : null;
        return rack is not null && endpoints.TryGetValue(peer, out var other) && other.Rack == rack ? 1 : Engine.Job.Stripes;
    }

    /// <summary>
    /// What may be under way to this host over one of the job's connections, bytes; 0 when the rate of its link is unknown. All of them together are to fill the
    /// line and no more than the queue in front of it: senders that meet at one port otherwise lose packets by the dozen (incast).
    /// </summary>
    private int ReceiveWindow()
    {
        var endpoints = Endpoints;
        var connections = Math.Max(1, Engine.NewestPeers().Sum(p => StripesTo(p, endpoints)));
        var total = Math.Max(LeastUnderWay, Engine.Job.LinkRateBitsPerSecond / 8 * UnderWay.TotalSeconds);
        var each = Math.Max(LeastWindow, total / connections);
        return Engine.Job.LinkRateBitsPerSecond <= 0 || each > LargestWindow ? 0 : (int)each;
    }

    private void DialDataLoop(PeerLink link, int stripe, int stripes)
    {
        var backoff = new Backoff();
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                if (TryDial(link.Peer, ConnectionRole.Data, stripe, stripes, out var life) is { } socket)
                {
                    backoff.Reset();
                    ServeData(socket, link, stripe, life);
                }
            }
            catch (Exception e)
            {
                // This thread is not to end, and even less the process.
                AggregationLog.Fault(_resources.Logger, $"dialling {link.Peer}", e);
            }

            link.Stripes.Leave(stripe);

            _stop.Token.WaitHandle.WaitOne(backoff.Next());
        }
    }

    private async Task DialSignalAsync()
    {
        var backoff = new Backoff();
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                var socket = await Task.Factory.StartNew(
                    () => TryDial(Engine.AnchorHost, ConnectionRole.Signal, 0, 1, out _), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
                if (socket is not null)
                {
                    backoff.Reset();
                    await ServeSignalAsync(socket, Engine.AnchorHost);
                }
            }
            catch (Exception e)
            {
                if (!_resources.Shortage.Met($"a signalling connection to {Engine.AnchorHost}", e.GetBaseException()))
                {
                    AggregationLog.Fault(_resources.Logger, $"dialling {Engine.AnchorHost}", e);
                }
            }

            try
            {
                await Task.Delay(backoff.Next(), _resources.Time, _stop.Token);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    /// <summary>Connects and introduces itself. Null when the peer is not there or does not know us.</summary>
    private Socket? TryDial(string peer, ConnectionRole role, int stripe, int stripes, out ulong life)
    {
        life = 0;
        var registry = _resources.Registry;
        if (!Endpoints.TryGetValue(peer, out var endpoint))
        {
            return null;
        }

        var job = Engine.Job;
        Socket? socket = null;
        try
        {
            socket = stripes == 1 ? Open(endpoint.Address, role) : LinkTo(peer).Stripes.Enter(stripe, endpoint.Address, () => Open(endpoint.Address, role));
            socket.Connect(endpoint.Address);
            var hello = new Hello(role, (ushort)stripe, (ushort)stripes, job.JobId, Host, peer, RandomNumberGenerator.GetBytes(Hello.NonceBytes), _resources.Life);
            if (AgentSocket.Introduce(socket, hello, job.Secret.Span, out life))
            {
                AgentSocket.Established(socket);
                return socket;
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Not there, or not ready for us: dialled again.
            _ = _resources.Shortage.Met($"a connection to {peer}", e);
        }

        if (socket is not null)
        {
            registry.Close(socket);
        }

        return null;
    }

    /// <summary>A socket with a port of its own, not connected yet.</summary>
    private Socket Open(IPEndPoint peer, ConnectionRole role)
    {
        var socket = AgentSocket.Create(peer.AddressFamily, role == ConnectionRole.Data ? CurrentDscp : _resources.Options.SignallingDscp);
        try
        {
            if (!_resources.Shortage.Affords("connections to other agents", socket))
            {
                throw new SocketException((int)SocketError.TooManyOpenSockets);
            }

            var local = _resources.Options.Listen.Address;
            var any = peer.AddressFamily == AddressFamily.InterNetworkV6 ? IPAddress.IPv6Any : IPAddress.Any;
            socket.Bind(new IPEndPoint(local.AddressFamily == peer.AddressFamily ? local : any, 0));

            // Known before its first packet leaves, so that no flow of ours is ever a stranger's.
            _resources.Registry.Add(socket, peer, new ConnectionOwner(Engine.Job.JobId, RoleName(role)));
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private void ServeData(Socket socket, PeerLink link, int stripe, ulong life)
    {
        var job = Name;
        try
        {
            AggregationLog.Connected(_resources.Logger, job, "data", link.Peer, socket.RemoteEndPoint);
            AgentSocket.SetReceiveWindow(socket, ReceiveWindow());
            link.Serve(new DataConnection(socket, link.Peer, life, Engine, _resources.Pool, _resources.Time), stripe);
        }
        catch (Exception e)
        {
            if (!_resources.Shortage.Met($"a connection with {link.Peer}", e))
            {
                AggregationLog.Fault(_resources.Logger, $"data connection with {link.Peer}", e);
            }
        }
        finally
        {
            _resources.Registry.Close(socket);
        }

        if (!_stop.IsCancellationRequested)
        {
            AggregationLog.Disconnected(_resources.Logger, job, "data", link.Peer);
        }
    }

    /// <summary>What is left in a connection that was replaced is news of yesterday.</summary>
    private bool IsCurrent(string peer, SignalConnection signal)
    {
        lock (_lock)
        {
            return _signals.TryGetValue(peer, out var current) && ReferenceEquals(current, signal);
        }
    }

    private async Task ServeSignalAsync(Socket socket, string peer)
    {
        var job = Name;
        var signal = new SignalConnection(socket, _resources.Time);
        lock (_lock)
        {
            if (_signals.TryGetValue(peer, out var old))
            {
                old.Close();
            }

            _signals[peer] = signal;
            if (_stop.IsCancellationRequested)
            {
                signal.Close();
            }
        }

        Engine.OnSignalUp(peer);
        try
        {
            AggregationLog.Connected(_resources.Logger, job, "signalling", peer, socket.RemoteEndPoint);
            await signal.RunAsync(message => IsCurrent(peer, signal) && Engine.OnSignal(peer, message));
        }
        catch (Exception e)
        {
            AggregationLog.Fault(_resources.Logger, $"signalling connection with {peer}", e);
        }

        bool last;
        lock (_lock)
        {
            last = _signals.TryGetValue(peer, out var current) && ReferenceEquals(current, signal);
            if (last)
            {
                _signals.Remove(peer);
            }
        }

        if (last)
        {
            Engine.OnSignalDown(peer);
            if (!_stop.IsCancellationRequested)
            {
                AggregationLog.Disconnected(_resources.Logger, job, "signalling", peer);
            }
        }

        _resources.Registry.Close(socket);
        signal.Dispose();
    }
}
