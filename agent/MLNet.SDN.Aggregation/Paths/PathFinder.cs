using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace MLNet.SDN.Aggregation.Paths;

/// <summary>Finds which routers a TCP connection to a peer will pass, before it is opened. Thread-safe; one search at a time.</summary>
/// <remarks>
/// IPv4 only. Needs CAP_NET_RAW; without it every path is unknown and connections take the paths that chance gives them. What routers leave unanswered
/// (most limit how often they answer) stays unknown too: a wrong guess costs speed, never correctness.
/// </remarks>
internal sealed class PathFinder
{
    /// <summary>Looks for the paths of several source ports at once; see <see cref="Trace"/>.</summary>
    internal delegate Path[] PathSearch(IPAddress local, IPEndPoint peer, IReadOnlyList<int> sourcePorts);

    /// <summary>Longest path looked for: three tiers up and down take five routers.</summary>
    private const int MostHops = 6;

    /// <summary>Routers answer within a millisecond or so; under full load, and in the signalling class, within some ten.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(150);

    /// <summary>After so long without another answer there will be none: those of one batch come together.</summary>
    private static readonly TimeSpan Quiet = TimeSpan.FromMilliseconds(25);

    /// <summary>How often a probe is sent while others are answered and it is not.</summary>
    private const int MostAttempts = 3;

    /// <summary>Searches without any answer after which nobody is asked for a while: there are no routers, or they do not talk.</summary>
    private const int SilencesBeforeRest = 3;

    private static readonly TimeSpan Rest = TimeSpan.FromMinutes(5);

    /// <summary>Longer nobody waits for the searches of others: a host that dials hundreds of peers at once rather has them connected.</summary>
    private static readonly TimeSpan LongestQueue = TimeSpan.FromSeconds(2);

    private readonly Lock _lock = new();
    private readonly byte _dscp;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly PathSearch _search;
    private bool _off;
    private int _silences;
    private long _restSince;

    /// <summary>A finder that has not looked yet.</summary>
    /// <param name="enabled">False: nothing is ever sent.</param>
    /// <param name="dscp">Class of the probes.</param>
    /// <param name="time">For the rest after silences.</param>
    /// <param name="logger">Where it says that it may not look.</param>
    /// <param name="search">How to look; null: by probes.</param>
    public PathFinder(bool enabled, byte dscp, TimeProvider time, ILogger logger, PathSearch? search = null)
    {
        (_off, _dscp, _time, _logger) = (!enabled, dscp, time, logger);
        _search = search ?? Search;
    }

    /// <summary>Paths from this host to a peer, one for each source port.</summary>
    /// <param name="local">Address that the connections will have; any where the routes decide.</param>
    /// <param name="peer">Where they will go.</param>
    /// <param name="sourcePorts">Their ports.</param>
    public Path[] Trace(IPAddress local, IPEndPoint peer, IReadOnlyList<int> sourcePorts)
    {
        if (peer.AddressFamily != AddressFamily.InterNetwork || local.AddressFamily != AddressFamily.InterNetwork)
        {
            return Unknown(sourcePorts.Count);
        }

        if (!_lock.TryEnter(LongestQueue))
        {
            return Unknown(sourcePorts.Count);
        }

        try
        {
            if (_off || (_silences >= SilencesBeforeRest && _time.GetElapsedTime(_restSince) < Rest))
            {
                return Unknown(sourcePorts.Count);
            }

            var paths = _search(local, peer, sourcePorts);
            _silences = paths[0].Routers.Count > 0 ? 0 : _silences + 1;
            _restSince = _time.GetTimestamp();
            return paths;
        }
        catch (SocketException fault) when (fault.SocketErrorCode is SocketError.AccessDenied)
        {
            _off = true;
            AggregationLog.NoProbes(_logger, fault.Message);
        }
        catch (SocketException)
        {
            // No route, no buffer, no descriptor: the dial that follows will meet it again, and says so.
        }
        finally
        {
            _lock.Exit();
        }

        return Unknown(sourcePorts.Count);
    }

    private static Path[] Unknown(int count) => [.. Enumerable.Repeat(Path.Unknown, count)];

    private Path[] Search(IPAddress local, IPEndPoint peer, IReadOnlyList<int> sourcePorts)
    {
        // IPPROTO_RAW only sends; a raw TCP socket would be handed every TCP packet of the host.
        using var send = new Socket(AddressFamily.InterNetwork, SocketType.Raw, ProtocolType.Raw);
        using var receive = new Socket(AddressFamily.InterNetwork, SocketType.Raw, ProtocolType.Icmp);
        send.Bind(new IPEndPoint(local, 0));
        receive.Bind(new IPEndPoint(local, 0));
        var routers = sourcePorts.Select(_ => new IPAddress?[MostHops]).ToArray();
        var index = sourcePorts.Index().ToDictionary(p => p.Item, p => p.Index);
        var length = MostHops;
        for (var attempt = 0; attempt < MostAttempts; attempt++)
        {
            if (Ask(send, peer, sourcePorts, routers, length) == 0 || Hear(receive, peer, index, routers) == 0)
            {
                break;
            }

            // Routers beyond the farthest that answered are none; among the others some may have been too busy, or this host too busy to hear them.
            length = LengthOf(routers);
        }

        // All paths of a fabric between two hosts are of one length: that of the farthest router that answered.
        length = LengthOf(routers);
        return [.. routers.Select(r => length == 0 ? Path.Unknown : new Path(r[..length]))];
    }

    private static int LengthOf(IPAddress?[][] routers) => routers.Max(r => Array.FindLastIndex(r, a => a is not null) + 1);

    // Sends what is not answered yet; returns how many.
    private int Ask(Socket send, IPEndPoint peer, IReadOnlyList<int> sourcePorts, IPAddress?[][] routers, int length)
    {
        var packet = new byte[PathProbe.Bytes];
        var target = new IPEndPoint(peer.Address, 0);
        var asked = 0;
        foreach (var (i, port) in sourcePorts.Index())
        {
            for (byte hops = 1; hops <= length; hops++)
            {
                if (routers[i][hops - 1] is null)
                {
                    PathProbe.Write(packet, peer.Address, port, peer.Port, hops, _dscp);
                    send.SendTo(packet, target);
                    asked++;
                }
            }
        }

        return asked;
    }

    // Takes answers until there are no more; returns how many were new.
    private static int Hear(Socket receive, IPEndPoint peer, Dictionary<int, int> index, IPAddress?[][] routers)
    {
        var answer = new byte[512];
        var (begun, last, found) = (Stopwatch.GetTimestamp(), 0L, 0);
        while (true)
        {
            var waited = Stopwatch.GetElapsedTime(begun);
            var left = Patience - waited;
            if (found > 0 && Quiet - Stopwatch.GetElapsedTime(last) is var quiet && quiet < left)
            {
                left = quiet;
            }

            // What has come already is read though it is late: a busy host looks late. But no flood of others' is read for ever.
            if (waited > 2 * Patience || !receive.Poll(left > TimeSpan.Zero ? left : TimeSpan.Zero, SelectMode.SelectRead))
            {
                return found;
            }

            var bytes = receive.Receive(answer);
            if (PathProbe.TryReadAnswer(answer.AsSpan(0, bytes), peer.Address, peer.Port, out var seen) && index.TryGetValue(seen.SourcePort, out var at) && seen.Hops <= MostHops
                && routers[at][seen.Hops - 1] is null)
            {
                routers[at][seen.Hops - 1] = seen.Router;
                (last, found) = (Stopwatch.GetTimestamp(), found + 1);
            }
        }
    }
}
