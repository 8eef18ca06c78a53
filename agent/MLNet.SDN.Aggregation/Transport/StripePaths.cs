using System.Net;
using System.Net.Sockets;
using MLNet.SDN.Aggregation.Paths;
using Path = MLNet.SDN.Aggregation.Paths.Path;

namespace MLNet.SDN.Aggregation.Transport;

/// <summary>Gives each connection of one edge a source port that leads it over links the others do not use. Thread-safe; one connection is placed at a time.</summary>
/// <remarks>
/// Routers hash ports over their uplinks, so two connections on ports of chance share an uplink every other time, and the edge then has half of what is there.
/// Sockets are bound first and looked at then: their ports cannot be taken by somebody else in between.
/// </remarks>
internal sealed class StripePaths(PathFinder finder, ConnectionRegistry registry)
{
    // Of eight ports one goes apart from a given path over two uplinks in 255 of 256 cases, over four in 9 of 10.
    private const int MostCandidates = 8;

    // Ports looked at together.
    private const int Batch = 4;

    private readonly Lock _lock = new();
    private readonly Dictionary<int, Path> _used = [];

    /// <summary>Opens a socket for a stripe, on the best of several ports.</summary>
    /// <param name="stripe">Which connection of the edge.</param>
    /// <param name="peer">Where it will go.</param>
    /// <param name="open">Opens a bound socket that the registry knows.</param>
    /// <exception cref="SocketException">No socket can be opened.</exception>
    public Socket Enter(int stripe, IPEndPoint peer, Func<Socket> open)
    {
        lock (_lock)
        {
            _used.Remove(stripe);
            var sockets = new List<Socket>();
            var paths = new List<Path>();
            var best = 0;
            try
            {
                // Beside a connection whose path is unknown there is nothing to choose by.
                var blind = _used.Values.Any(p => p.Routers.Count == 0);
                do
                {
                    // The first connection may go anywhere: its path only needs to be known.
                    for (var i = _used.Count == 0 || blind ? 1 : Batch; i > 0; i--)
                    {
                        sockets.Add(open());
                    }

                    IPEndPoint[] locals = [.. sockets.Skip(paths.Count).Select(s => (IPEndPoint)s.LocalEndPoint!)];
                    paths.AddRange(blind ? [Path.Unknown] : finder.Trace(locals[0].Address, peer, [.. locals.Select(l => l.Port)]));
                    best = PathChoice.Best(paths, _used.Values);
                }
                while (sockets.Count < MostCandidates && _used.Count > 0 && paths[best].Routers.Count > 0 && !PathChoice.IsApart(paths[best], _used.Values));

                _used[stripe] = paths[best];
                return sockets[best];
            }
            finally
            {
                foreach (var (i, socket) in sockets.Index())
                {
                    if (!_used.ContainsKey(stripe) || i != best)
                    {
                        registry.Close(socket);
                    }
                }
            }
        }
    }

    /// <summary>The stripe's connection has ended.</summary>
    public void Leave(int stripe)
    {
        lock (_lock)
        {
            _used.Remove(stripe);
        }
    }
}
