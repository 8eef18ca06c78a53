using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Discovery;

/// <summary>A connection of a discovered job.</summary>
/// <param name="Ends">Its addresses and ports.</param>
/// <param name="Cookie">As <see cref="SocketFacts.Cookie"/>.</param>
internal sealed record LocalConnection(DiscoveredConnection Ends, ulong Cookie);

/// <summary>A job with processes on this host.</summary>
internal sealed record LocalJob
{
    /// <inheritdoc cref="DiscoveredPart.Key"/>
    public required string Key { get; init; }

    /// <inheritdoc cref="DiscoveredPart.Name"/>
    public required string Name { get; init; }

    /// <inheritdoc cref="DiscoveredPart.Uid"/>
    public required int Uid { get; init; }

    /// <inheritdoc cref="DiscoveredPart.WorldSize"/>
    public required int WorldSize { get; init; }

    /// <inheritdoc cref="DiscoveredPart.Ranks"/>
    public required IReadOnlyList<int> Ranks { get; init; }

    /// <inheritdoc cref="DiscoveredPart.Connections"/>
    public required IReadOnlyList<LocalConnection> Connections { get; init; }
}

/// <summary>What the discovery unit tells the agent, one line of JSON each time it has looked: all that there is, nothing of before.</summary>
internal sealed record HandOver
{
    /// <summary>Longest line that the agent reads, and longest message that a controller takes. What the other bounds let through is always shorter.</summary>
    public const int MaxBytes = 4 << 20;

    /// <summary>Most jobs of one host, and most connections of one of them.</summary>
    public const int MaxJobs = 64;

    /// <inheritdoc cref="MaxJobs"/>
    public const int MaxConnections = 4096;

    /// <summary>Most connections of all jobs of one host together, and most ranks.</summary>
    public const int MaxTotal = 16_384;

    private const int MaxKeyLength = 1024;

    /// <summary>The jobs.</summary>
    public required IReadOnlyList<LocalJob> Jobs { get; init; }

    /// <summary>Joins processes and connections. What is more than the bounds is left out, in equal shares for all users: nobody can crowd out another.</summary>
    /// <param name="trainers">Processes that were found.</param>
    /// <param name="sockets">Established connections of the network namespace.</param>
    public static HandOver Of(IReadOnlyList<Trainer> trainers, IReadOnlyList<SocketFacts> sockets)
    {
        var byInode = sockets.Where(s => s.Inode != 0 && LeavesHost(s.Connection)).DistinctBy(s => s.Inode).ToDictionary(s => s.Inode);
        var users = trainers.Where(t => t.Uid <= int.MaxValue).GroupBy(t => t.Uid).OrderBy(u => u.Key)
            .Select(u => u.GroupBy(t => t.Identity.Key, StringComparer.Ordinal).OrderBy(k => k.Key, StringComparer.Ordinal).ToList()).ToList();
        var shares = FairShare.Of([.. users.Select(u => u.Count)], MaxJobs);
        List<List<Found>> jobs =
        [
            .. users.Zip(shares, (user, share) => user.Take(share).Select(processes => new Found(
                [.. processes],
                [.. processes.Select(p => p.Identity.Rank).Distinct().Order()],
                [.. processes.SelectMany(p => p.Sockets).Distinct().Where(byInode.ContainsKey).Select(i => byInode[i]).OrderBy(s => s.Cookie).Take(MaxConnections)])).ToList()),
        ];
        var ranks = Divide(jobs, j => j.Ranks.Count);
        var connections = Divide(jobs, j => j.Connections.Count);
        return new HandOver
        {
            Jobs =
            [
                .. jobs.SelectMany(u => u).Select(found => new LocalJob
                {
                    Key = found.Processes[0].Identity.Key,
                    Name = found.Processes[0].Identity.Name,
                    Uid = (int)found.Processes[0].Uid,
                    WorldSize = found.Processes.Max(p => p.Identity.WorldSize),
                    Ranks = [.. found.Ranks.Take(ranks[found])],
                    Connections = [.. found.Connections.Take(connections[found]).Select(s => new LocalConnection(Ends(s.Connection), s.Cookie))],
                }).OrderBy(j => j.Key, StringComparer.Ordinal).ThenBy(j => j.Uid),
            ],
        };
    }

    /// <summary>Reads a line.</summary>
    /// <returns>Null when it is none of a discovery unit.</returns>
    public static HandOver? Read(ReadOnlySpan<byte> line)
    {
        try
        {
            return JsonSerializer.Deserialize(line, HandOverJson.Default.HandOver) is { } read && read.Jobs.Count <= MaxJobs && read.Jobs.All(IsSound) && read.Jobs.Sum(j => j.Connections.Count) <= MaxTotal && read.Jobs.DistinctBy(j => (j.Key, j.Uid)).Count() == read.Jobs.Count ? read : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    // First among users, then among the jobs of each.
    private static Dictionary<Found, int> Divide(List<List<Found>> jobs, Func<Found, int> wanted)
    {
        var shares = FairShare.Of([.. jobs.Select(u => u.Sum(wanted))], MaxTotal);
        return jobs.Zip(shares, (user, share) => user.Zip(FairShare.Of([.. user.Select(wanted)], share))).SelectMany(u => u).ToDictionary(u => u.First, u => u.Second);
    }

    /// <summary>The line, with its end.</summary>
    public byte[] Line() => [.. JsonSerializer.SerializeToUtf8Bytes(this, HandOverJson.Default.HandOver), (byte)'\n'];

    private static bool IsSound(LocalJob? job) =>
        job is { Key.Length: > 0 and <= MaxKeyLength, Name.Length: > 0 and <= 63, Uid: >= 0, WorldSize: >= 2 }
        && job.Ranks.Count > 0 && job.Ranks.All(r => r >= 0 && r < job.WorldSize)
        && job.Connections.Count <= MaxConnections
        && job.Connections.All(c => c?.Ends is { LocalPort: >= 1 and <= 65_535, RemotePort: >= 1 and <= 65_535 }
            && IPAddress.TryParse(c.Ends.LocalAddress, out var local) && IPAddress.TryParse(c.Ends.RemoteAddress, out var remote) && local.AddressFamily == remote.AddressFamily);

    private static DiscoveredConnection Ends(in TcpConnection connection) => new(
        FlowKey.ToAddress(connection.Local, connection.IsIPv6).ToString(), connection.LocalPort,
        FlowKey.ToAddress(connection.Remote, connection.IsIPv6).ToString(), connection.RemotePort);

    // Link-local addresses mean something on one link only: other hosts could not tell whose they are.
    private static bool LeavesHost(in TcpConnection connection) =>
        connection.Local != connection.Remote && !(connection.IsIPv6 ? connection.Remote == 1 || connection.Remote >> 118 == 0xFE80 >> 6 : connection.Remote >> 24 == 127);

    private sealed class Found(IReadOnlyList<Trainer> processes, IReadOnlyList<int> ranks, IReadOnlyList<SocketFacts> connections)
    {
        public IReadOnlyList<Trainer> Processes => processes;

        public IReadOnlyList<int> Ranks => ranks;

        public IReadOnlyList<SocketFacts> Connections => connections;
    }
}

/// <summary>How a hand-over becomes JSON.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(HandOver))]
internal sealed partial class HandOverJson : JsonSerializerContext;
