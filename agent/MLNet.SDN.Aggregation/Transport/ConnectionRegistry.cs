using System.Net;
using System.Net.Sockets;

namespace MLNet.SDN.Aggregation.Transport;

/// <summary>Every TCP socket of the data plane: whose it is, and what it has sent. Thread-safe.</summary>
internal sealed class ConnectionRegistry(TimeProvider time)
{
    /// <summary>Closed connections stay findable: their last packets are reported after the close.</summary>
    private static readonly TimeSpan Remembered = TimeSpan.FromSeconds(120);

    /// <summary>Jobs whose totals are kept after their end.</summary>
    private const int MaxEndedJobs = 1024;

    private readonly Lock _lock = new();
    private readonly Dictionary<Key, Entry> _entries = [];

    // Those that are closed are many more where peers are away and dialled again and again.
    private readonly Dictionary<Socket, Entry> _open = [];
    private readonly Dictionary<long, TcpInfo> _closed = [];

    /// <summary>Adds a socket whose local port is known.</summary>
    public void Add(Socket socket, IPEndPoint remote, ConnectionOwner owner)
    {
        var key = new Key(((IPEndPoint)socket.LocalEndPoint!).Port, Plain(remote.Address), remote.Port);
        lock (_lock)
        {
            if (_entries.TryGetValue(key, out var old) && old.Socket is not null)
            {
                Total(old, TcpInfo.Read(old.Socket));
                _open.Remove(old.Socket);
            }

            _entries[key] = _open[socket] = new Entry(socket, owner);
        }
    }

    /// <summary>Notes by which routers a socket's packets will go.</summary>
    public void SetPath(Socket socket, Paths.Path path)
    {
        lock (_lock)
        {
            if (_open.TryGetValue(socket, out var entry) && path.Routers.Count > 0)
            {
                entry.Owner = entry.Owner with { Routers = [.. path.Routers.Select(r => r?.ToString() ?? "")] };
            }
        }
    }

    /// <summary>Counts what a socket has sent and closes it.</summary>
    public void Close(Socket socket)
    {
        lock (_lock)
        {
            var info = TcpInfo.Read(socket);
            if (_open.Remove(socket, out var entry))
            {
                entry.Socket = null;
                entry.ClosedAt = time.GetTimestamp();
                Total(entry, info);
            }

            socket.Dispose();
        }
    }

    public bool TryFind(int localPort, IPAddress remoteAddress, int remotePort, out ConnectionOwner owner)
    {
        lock (_lock)
        {
            var found = _entries.TryGetValue(new Key(localPort, Plain(remoteAddress), remotePort), out var entry);
            owner = found ? entry!.Owner : default;
            return found;
        }
    }

    public IReadOnlyList<TransportStatus> Totals()
    {
        lock (_lock)
        {
            var totals = new SortedDictionary<long, (TcpInfo Info, int Open)>();
            foreach (var (job, info) in _closed)
            {
                totals[job] = (info, 0);
            }

            foreach (var (socket, entry) in _open)
            {
                var (info, open) = totals.GetValueOrDefault(entry.Owner.JobId);
                totals[entry.Owner.JobId] = (info + TcpInfo.Read(socket), open + 1);
            }

            return [.. totals.Select(t => new TransportStatus(t.Key, t.Value.Info.BytesSent, t.Value.Info.BytesRetransmitted, t.Value.Info.SegmentsSent, t.Value.Open))];
        }
    }

    /// <summary>Forgets what was closed long ago.</summary>
    public void Expire()
    {
        lock (_lock)
        {
            var now = time.GetTimestamp();
            foreach (var (key, entry) in _entries)
            {
                if (entry.Socket is null && time.GetElapsedTime(entry.ClosedAt, now) > Remembered)
                {
                    _entries.Remove(key);
                }
            }

            while (_closed.Count > MaxEndedJobs)
            {
                _closed.Remove(_closed.Keys.Min());
            }
        }
    }

    private void Total(Entry entry, TcpInfo info) => _closed[entry.Owner.JobId] = _closed.GetValueOrDefault(entry.Owner.JobId) + info;

    private static IPAddress Plain(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;

    /// <summary>The local address is left out: a data plane listens and dials on one.</summary>
    private readonly record struct Key(int LocalPort, IPAddress RemoteAddress, int RemotePort);

    private sealed class Entry(Socket socket, ConnectionOwner owner)
    {
        public Socket? Socket { get; set; } = socket;

        public ConnectionOwner Owner { get; set; } = owner;

        public long ClosedAt { get; set; }
    }
}
