using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.Discovery;

/// <summary>A job put together from what several hosts discovered. When in doubt, it has a reason for being left alone.</summary>
internal sealed record DiscoveredJob
{
    /// <summary>What a job's rules allow.</summary>
    private const int MaxSelectors = 256;

    private const string Role = "discovered";

    /// <inheritdoc cref="DiscoveredPart.Key"/>
    public required string Key { get; init; }

    /// <inheritdoc cref="DiscoveredPart.Uid"/>
    public required int Uid { get; init; }

    /// <inheritdoc cref="DiscoveredPart.Name"/>
    public required string Name { get; init; }

    /// <inheritdoc cref="DiscoveredPart.WorldSize"/>
    public required int WorldSize { get; init; }

    /// <summary>Host of each rank that was found.</summary>
    public required IReadOnlyDictionary<int, string> Hosts { get; init; }

    /// <summary>Connections that both ends report.</summary>
    public required int Connections { get; init; }

    /// <summary>What picks their packets.</summary>
    public required IReadOnlyList<FlowSelector> Selectors { get; init; }

    /// <summary>Medians of what the hosts inferred; null before the first inference.</summary>
    public required TrafficProfile? Profile { get; init; }

    /// <summary>Why it must not be managed; null when nothing speaks against it.</summary>
    public required string? Reason { get; init; }

    /// <summary>Puts the jobs together. Pure.</summary>
    /// <param name="reports">One of each host.</param>
    /// <returns>In order of key and user.</returns>
    public static IReadOnlyList<DiscoveredJob> Assemble(IEnumerable<DiscoveryReport> reports) =>
    [
        .. reports.SelectMany(r => r.Jobs.Select(j => (r.Host, Part: j))).GroupBy(p => (p.Part.Key, p.Part.Uid))
            .OrderBy(g => g.Key.Key, StringComparer.Ordinal).ThenBy(g => g.Key.Uid).Select(g => Assemble([.. g])),
    ];

    /// <summary>Whether it is the same job with the same connections.</summary>
    public bool IsAsBefore(DiscoveredJob before) =>
        Reason == before.Reason && Hosts.OrderBy(h => h.Key).SequenceEqual(before.Hosts.OrderBy(h => h.Key)) && Selectors.SequenceEqual(before.Selectors);

    private static DiscoveredJob Assemble(IReadOnlyList<(string Host, DiscoveredPart Part)> parts)
    {
        var first = parts[0].Part;
        var hosts = new SortedDictionary<int, string>();
        string? doubt = null;
        foreach (var (host, part) in parts)
        {
            if (part.WorldSize != first.WorldSize)
            {
                doubt ??= $"{parts[0].Host} knows it with {first.WorldSize} processes, {host} with {part.WorldSize}.";
            }

            foreach (var rank in part.Ranks)
            {
                if (!hosts.TryAdd(rank, host) && hosts[rank] != host)
                {
                    doubt ??= $"Rank {rank} runs on {hosts[rank]} and on {host}.";
                }
            }
        }

        var connections = Matched(parts);
        var selectors = Select(connections);
        if (doubt is null && hosts.Count < first.WorldSize)
        {
            doubt = $"{first.WorldSize - hosts.Count} of {first.WorldSize} ranks were not found, the first is {Enumerable.Range(0, first.WorldSize).First(r => !hosts.ContainsKey(r))}: does discovery run on every host?";
        }

        doubt ??= hosts.Values.Distinct(StringComparer.Ordinal).Count() < 2 ? "All its processes run on one host: nothing of it crosses a wire."
            : connections.Count == 0 ? "No connection is known to both its ends."
            : selectors.Count > MaxSelectors ? $"Its {connections.Count} connections need {selectors.Count} selectors even with one for each pair of hosts and port, and a job may have {MaxSelectors}: submit it with selectors of your own." : null;
        return new DiscoveredJob
        {
            Key = first.Key,
            Uid = first.Uid,
            Name = first.Name,
            WorldSize = first.WorldSize,
            Hosts = hosts,
            Connections = connections.Count,
            Selectors = selectors,
            Profile = Median([.. parts.Select(p => p.Part.Profile).OfType<TrafficProfile>()]),
            Reason = doubt,
        };
    }

    // What one end alone reports may lead anywhere: to a data set, a log server, a stranger.
    private static List<DiscoveredConnection> Matched(IReadOnlyList<(string Host, DiscoveredPart Part)> parts)
    {
        var all = parts.SelectMany(p => p.Part.Connections.Select(c => (p.Host, Connection: c))).ToHashSet();
        var hosts = parts.Select(p => p.Host).Distinct(StringComparer.Ordinal).ToList();
        return
        [
            .. all.Where(a =>
                {
                    var reverse = new DiscoveredConnection(a.Connection.RemoteAddress, a.Connection.RemotePort, a.Connection.LocalAddress, a.Connection.LocalPort);
                    return hosts.Exists(h => h != a.Host && all.Contains((h, reverse)))
                        && (string.CompareOrdinal(a.Connection.LocalAddress, a.Connection.RemoteAddress), a.Connection.LocalPort).CompareTo((0, a.Connection.RemotePort)) < 0;
                })
                .Select(a => a.Connection)
                .OrderBy(c => c.LocalAddress, StringComparer.Ordinal).ThenBy(c => c.LocalPort).ThenBy(c => c.RemoteAddress, StringComparer.Ordinal).ThenBy(c => c.RemotePort),
        ];
    }

    // Each connection by itself while there is room. Beyond that, those from one host to an end that several connections share (a rank that listens there) are one. An end with
    // one connection may be a port that the kernel chose and will choose for anybody, so it never stands for more than that connection.
    private static List<FlowSelector> Select(List<DiscoveredConnection> connections)
    {
        if (connections.Count <= MaxSelectors)
        {
            return [.. connections.Select(Exactly)];
        }

        var uses = connections.SelectMany(c => new[] { (c.LocalAddress, c.LocalPort), (c.RemoteAddress, c.RemotePort) }).CountBy(e => e).ToDictionary();
        return
        [
            .. connections.Select(c => (Connection: c, Compared: uses[(c.LocalAddress, c.LocalPort)].CompareTo(uses[(c.RemoteAddress, c.RemotePort)])))
                .GroupBy(
                    c => c.Compared switch
                    {
                        > 0 => (c.Connection.RemoteAddress, 0, c.Connection.LocalAddress, c.Connection.LocalPort),
                        < 0 => (c.Connection.LocalAddress, 0, c.Connection.RemoteAddress, c.Connection.RemotePort),
                        _ => (c.Connection.LocalAddress, c.Connection.LocalPort, c.Connection.RemoteAddress, c.Connection.RemotePort),
                    },
                    c => c.Connection)
                .Select(shared => shared.Skip(1).Any() && shared.Key is var (from, _, to, port)
                    ? new FlowSelector { Source = Prefix(from), Destination = Prefix(to), DestinationPortFrom = port, Protocol = "tcp", Role = Role }
                    : Exactly(shared.First())),
        ];
    }

    private static FlowSelector Exactly(DiscoveredConnection c) =>
        new() { Source = Prefix(c.LocalAddress), SourcePortFrom = c.LocalPort, Destination = Prefix(c.RemoteAddress), DestinationPortFrom = c.RemotePort, Protocol = "tcp", Role = Role };

    private static string Prefix(string address) => address.Contains(':', StringComparison.Ordinal) ? $"{address}/128" : $"{address}/32";

    private static TrafficProfile? Median(IReadOnlyList<TrafficProfile> profiles)
    {
        var found = profiles.Where(p => p.HasPeriod).ToList();
        return profiles.Count == 0 ? null : found.Count == 0 ? profiles[0] : new TrafficProfile
        {
            PeriodSeconds = Middle(found.Select(p => p.PeriodSeconds)),
            BytesPerRound = (long)Middle(found.Select(p => (double)p.BytesPerRound)),
            DutyCycle = Middle(found.Select(p => p.DutyCycle)),
            Confidence = Middle(found.Select(p => p.Confidence)),
            Rounds = found.Min(p => p.Rounds),
        };
    }

    private static double Middle(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }
}
