using System.Net;
using System.Net.Sockets;

namespace MLNet.SDN.Aggregation.Transport;

/// <summary>Accepted connections that have not proved themselves yet. Bounded per source address and in all. Thread-safe.</summary>
/// <remarks>
/// A newcomer pushes out the oldest, rather than being turned away: an honest peer is through after two round trips, so the oldest are those that only hold their place. That
/// way neither a stranger nor another user of an honest agent's host can keep that agent out.
/// </remarks>
internal sealed class PendingHandshakes
{
    /// <summary>Each has a thread.</summary>
    public const int MaxInAll = 256;

    /// <summary>A restarted agent dials all its peers' stripes for all jobs at once; what is pushed out dials again.</summary>
    public const int MaxPerAddress = 64;

    private readonly Lock _lock = new();
    private readonly LinkedList<(Socket Socket, IPAddress Address)> _oldestFirst = new();
    private readonly Dictionary<Socket, LinkedListNode<(Socket Socket, IPAddress Address)>> _nodes = [];
    private readonly Dictionary<IPAddress, int> _perAddress = [];

    /// <summary>Adds a connection.</summary>
    /// <returns>The one that has to go for it, already taken out; null when there is room.</returns>
    public Socket? Add(Socket socket, IPAddress address)
    {
        lock (_lock)
        {
            Socket? evicted = null;
            if (_perAddress.GetValueOrDefault(address) >= MaxPerAddress)
            {
                evicted = _oldestFirst.First(p => p.Address.Equals(address)).Socket;
            }
            else if (_nodes.Count >= MaxInAll)
            {
                evicted = _oldestFirst.First!.Value.Socket;
            }

            if (evicted is not null)
            {
                _ = TryRemove(evicted);
            }

            _nodes[socket] = _oldestFirst.AddLast((socket, address));
            _perAddress[address] = _perAddress.GetValueOrDefault(address) + 1;
            return evicted;
        }
    }

    /// <summary>Takes a connection out; false when it was pushed out before.</summary>
    public bool TryRemove(Socket socket)
    {
        lock (_lock)
        {
            if (!_nodes.Remove(socket, out var node))
            {
                return false;
            }

            _oldestFirst.Remove(node);
            if (--_perAddress[node.Value.Address] == 0)
            {
                _perAddress.Remove(node.Value.Address);
            }

            return true;
        }
    }
}
