using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Transport;

// The connections of a job to other agents: whom it dials, how it introduces itself, and what runs over each.
internal sealed partial class JobRuntime
{
    /// <summary>Time of the host's line that may be under way to it: some round trips within a datacentre.</summary>
    private static readonly TimeSpan UnderWay = TimeSpan.FromMilliseconds(2);

    /// <summary>Bytes that may be under way on slow lines: what a port of a switch queues at least, some dozens of full frames.</summary>
    private const int LeastUnderWay = 96 * 1024;

    /// <summary>Four full frames: with less, a lost one cannot be noticed by those behind it.</summary>
    private const int LeastWindow = 6_000;

    private const int StackBytes = 256 * 1024;

    public void DialData(PeerLink link, int stripe, int stripes)
    {
        var thread = new Thread(() => DialDataLoop(link, stripe, stripes), StackBytes) { IsBackground = true, Name = $"mlnet-r {link.Peer}" };
        thread.Start();
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

    public PeerLink LinkTo(string peer)
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
        var job = Engine.Job;
        return InRack(peer, endpoints) || (job.SingleWay && !LinkTo(peer).NeedsSeveral) ? 1 : job.Stripes;
    }

    private bool InRack(string peer, IReadOnlyDictionary<string, Endpoint> endpoints) =>
        endpoints.TryGetValue(Host, out var self) && self.Rack is { } rack && endpoints.TryGetValue(peer, out var other) && other.Rack == rack;

    /// <summary>
    /// What may be under way to this host over one of the job's connections, bytes; 0 when the rate of its link is unknown. All of them together are to fill the
    /// line and no more than the queue in front of it: senders that meet at one port otherwise lose packets by the dozen (incast).
    /// </summary>
    private int ReceiveWindow()
    {
        var endpoints = Endpoints;
        var connections = Math.Max(1, Engine.PeersInUse().Sum(p => StripesTo(p, endpoints)));

        // Those that come at their pace hardly queue: a larger window only keeps them from waiting for each other.
        var total = Math.Max(LeastUnderWay * (Engine.IsPaced ? 2 : 1), Engine.Job.LinkRateBitsPerSecond / 8 * UnderWay.TotalSeconds);
        var each = Math.Max(LeastWindow, total / connections);
        return Engine.Job.LinkRateBitsPerSecond <= 0 || each > DataConnection.LargestWindow ? 0 : (int)each;
    }

    /// <summary>Fits the connections with a peer to the trees that rounds may use.</summary>
    public void Fit(PeerLink link)
    {
        lock (_fitting)
        {
            link.Fit(ReceiveWindow(), Engine.PaceTo(link.Peer));
        }
    }

    /// <summary>
    /// Fits all connections, if the plan or the trees are others than before: those have more neighbours or fewer, and few connections with the windows of many cannot fill the line; the rate of
    /// the line may be another with the same trees. While rounds may use either trees, windows are for all of their neighbours together.
    /// </summary>
    private void FitAll()
    {
        // What is read last is set last.
        lock (_fitting)
        {
            var (job, held) = (Engine.Job, Engine.TreesHeld);
            if (ReferenceEquals(job, _fittedJob) && held == _fitted)
            {
                return;
            }

            (_fittedJob, _fitted) = (job, held);
            PeerLink[] links;
            lock (_lock)
            {
                links = [.. _links.Values];
            }

            var window = ReceiveWindow();
            foreach (var link in links)
            {
                link.Fit(window, Engine.PaceTo(link.Peer));
            }
        }
    }

    /// <summary>
    /// Place of the edge to a peer that this host dials: the peer's among all hosts and this host's among those that dial the peer. Edges of one host to neighbours have
    /// places one after the other then, and so have those of one peer.
    /// </summary>
    private int PlaceOfEdge(string peer)
    {
        var dialling = Engine.Job.Shards.SelectMany(s => s.Edges).Where(e => e.Child == peer || e.Parent == peer).Select(e => e.Child == peer ? e.Parent : e.Child)
            .Where(h => string.CompareOrdinal(h, peer) < 0).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).ToList();
        return Endpoints.Keys.Count(h => string.CompareOrdinal(h, peer) < 0) + Math.Max(0, dialling.IndexOf(Host));
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
            if (role != ConnectionRole.Data || InRack(peer, Endpoints))
            {
                socket = Open(endpoint.Address, role);
            }
            else
            {
                var link = LinkTo(peer);
                socket = link.Stripes.Enter(stripe, stripes, PlaceOfEdge(peer), endpoint.Address, () => Open(endpoint.Address, role));
                if (job.SingleWay && !link.Stripes.IsInTurn && !link.NeedsSeveral)
                {
                    // On a way of chance it may meet others: the more there are the less.
                    link.NeedsSeveral = true;
                    link.Dial(job.Stripes);
                }
            }

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
            link.Serve(new DataConnection(socket, link.Peer, life, Engine, _resources.Pool, ReceiveWindow(), _resources.Time), stripe);
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
        lock (_signalling)
        {
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
        }

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
        lock (_signalling)
        {
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
            }
        }

        if (last && !_stop.IsCancellationRequested)
        {
            AggregationLog.Disconnected(_resources.Logger, job, "signalling", peer);
        }

        _resources.Registry.Close(socket);
        signal.Dispose();
    }
}
