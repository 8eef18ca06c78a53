using MLNet.SDN.Aggregation.Rounds;

namespace MLNet.SDN.Aggregation.Transport;

/// <summary>
/// All data connections of one job between this host and one other. Frames of either direction go over whichever connection is ready.
/// The host whose name comes first dials. Thread-safe.
/// </summary>
internal sealed class PeerLink(JobRuntime runtime, string peer, StripePaths stripes)
{
    private readonly Lock _lock = new();
    private readonly Lock _reporting = new();
    private readonly Dictionary<int, DataConnection> _connections = [];
    private int _dialling;
    private bool _closed;

    public string Peer { get; } = peer;

    /// <summary>Paths of the connections that this host dials.</summary>
    public StripePaths Stripes { get; } = stripes;

    /// <summary>Whether the edge has several connections although one would do where its way is known: it is not, or the peer thinks so.</summary>
    public bool NeedsSeveral { get; set => Volatile.Write(ref field, value); }

    /// <summary>Connections that stand.</summary>
    public int Up
    {
        get
        {
            lock (_lock)
            {
                return _connections.Count;
            }
        }
    }

    /// <summary>When a frame last came, as a timestamp; 0 without a connection.</summary>
    public long LastHeard
    {
        get
        {
            lock (_lock)
            {
                var last = 0L;
                foreach (var connection in _connections.Values)
                {
                    last = Math.Max(last, connection.LastHeard);
                }

                return last;
            }
        }
    }

    /// <summary>Whether this host dials the other.</summary>
    public bool Dials => string.CompareOrdinal(runtime.Host, Peer) < 0;

    /// <summary>Starts a dialling thread for each stripe that has none.</summary>
    public void Dial(int stripes)
    {
        lock (_lock)
        {
            if (!Dials || _closed)
            {
                return;
            }

            for (; _dialling < stripes; _dialling++)
            {
                runtime.DialData(this, _dialling, stripes);
            }

            // Connections stay when trees come that would do with one: to close it would cost a round the frames on their way.
            NeedsSeveral |= _dialling > 1;
        }
    }

    /// <summary>Uses an established connection until it ends. The caller's thread becomes its reader.</summary>
    public void Serve(DataConnection connection, int stripe)
    {
        lock (_lock)
        {
            if (_closed)
            {
                return;
            }

            // The dialler knows best: if it comes again, the older connection is dead whatever it looks like from here.
            if (_connections.TryGetValue(stripe, out var old))
            {
                old.Close();
            }

            _connections[stripe] = connection;
        }

        // Level, window and size of chunks were read when it was dialled or accepted; a round or a plan that came since could not reach it.
        runtime.Mark(this);
        runtime.Fit(this);
        ReportUp();

        try
        {
            connection.Run();
        }
        finally
        {
            lock (_lock)
            {
                if (_connections.TryGetValue(stripe, out var current) && ReferenceEquals(current, connection))
                {
                    _connections.Remove(stripe);
                }
            }

            ReportUp();
            runtime.Engine.OnDisturbed(Peer);
        }
    }

    /// <summary>Not under the lock of the connections: the engine takes that one while it holds its own.</summary>
    private void ReportUp()
    {
        lock (_reporting)
        {
            runtime.Engine.OnLink(Peer, Up > 0);
        }
    }

    public void SetDscp(byte dscp)
    {
        lock (_lock)
        {
            foreach (var connection in _connections.Values)
            {
                AgentSocket.SetDscp(connection.Socket, dscp);
            }
        }
    }

    /// <inheritdoc cref="DataConnection.Fit"/>
    public void Fit(int window, long bitsPerSecond)
    {
        lock (_lock)
        {
            foreach (var connection in _connections.Values)
            {
                connection.Fit(window, bitsPerSecond / _connections.Count);
            }
        }
    }

    public void Close()
    {
        lock (_lock)
        {
            _closed = true;
            foreach (var connection in _connections.Values)
            {
                connection.Close();
            }
        }
    }
}
