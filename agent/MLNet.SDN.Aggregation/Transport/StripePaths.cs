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
    // Of 32 ports some take each of four paths in 9,996 of 10,000 cases; of 16, in 96 of 100.
    private const int MostCandidates = 32;

    // Ports looked at together.
    private const int Batch = 16;

    private readonly Lock _lock = new();
    private readonly Dictionary<int, Path> _used = [];

    /// <summary>Whether the connection placed last took the way that is its turn; false where ways are not known.</summary>
    public bool IsInTurn { get; private set; }

    /// <summary>Opens a socket for a stripe, on the best of several ports.</summary>
    /// <param name="stripe">Which connection of the edge.</param>
    /// <param name="stripes">Connections of the edge.</param>
    /// <param name="place">The edge's among all that lead to the peer and from this host (<see cref="PathChoice.InTurn"/>).</param>
    /// <param name="peer">Where it will go.</param>
    /// <param name="open">Opens a bound socket that the registry knows.</param>
    /// <exception cref="SocketException">No socket can be opened.</exception>
    public Socket Enter(int stripe, int stripes, int place, IPEndPoint peer, Func<Socket> open)
    {
        lock (_lock)
        {
            _used.Remove(stripe);
            IsInTurn = false;
            var sockets = new List<Socket>();
            var paths = new List<Path>();
            var best = 0;
            try
            {
                // Beside a connection whose path is unknown there is nothing to choose by.
                var blind = _used.Values.Any(p => p.Routers.Count == 0);
                do
                {
                    if (!TryOpen(open, blind ? 1 : Batch, sockets))
                    {
                        break;
                    }

                    IPEndPoint[] locals = [.. sockets.Skip(paths.Count).Select(s => (IPEndPoint)s.LocalEndPoint!)];
                    paths.AddRange(blind ? [Path.Unknown] : finder.Trace(locals[0].Address, peer, [.. locals.Select(l => l.Port)]));
                    var turn = PathChoice.InTurn(paths, place, stripe, stripes);
                    IsInTurn = turn is not null;
                    best = turn ?? PathChoice.Best(paths, _used.Values);
                }
                while (sockets.Count < MostCandidates && paths[best].Routers.Count > 0 && MayBeMore(paths));

                _used[stripe] = paths[best];
                registry.SetPath(sockets[best], paths[best]);
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

    // Where sockets are short those there are will do. False when there is no further one.
    private static bool TryOpen(Func<Socket> open, int count, List<Socket> sockets)
    {
        var before = sockets.Count;
        try
        {
            while (sockets.Count < before + count)
            {
                sockets.Add(open());
            }
        }
        catch (SocketException) when (sockets.Count > 0)
        {
            // The first one's failure is the caller's to meet.
        }

        return sockets.Count > before;
    }

    // Sixteen ports show both of two paths, as many as most edges have within a pod. Where they show more, there may be others still.
    private static bool MayBeMore(List<Path> paths) => paths.DistinctBy(p => p.Ascent).Count() > 2;

    /// <summary>The stripe's connection has ended.</summary>
    public void Leave(int stripe)
    {
        lock (_lock)
        {
            _used.Remove(stripe);
        }
    }
}
