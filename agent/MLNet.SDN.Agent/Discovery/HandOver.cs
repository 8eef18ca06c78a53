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
    /// <summary>Longest line that the agent reads.</summary>
    public const int MaxBytes = 4 << 20;

    /// <summary>Most jobs of one host, and most connections of one of them.</summary>
    public const int MaxJobs = 64;

    /// <inheritdoc cref="MaxJobs"/>
    public const int MaxConnections = 4096;

    private const int MaxKeyLength = 1024;

    /// <summary>The jobs.</summary>
    public required IReadOnlyList<LocalJob> Jobs { get; init; }

    /// <summary>Joins processes and connections.</summary>
    /// <param name="trainers">Processes that were found.</param>
    /// <param name="sockets">Established connections of the network namespace.</param>
    public static HandOver Of(IReadOnlyList<Trainer> trainers, IReadOnlyList<SocketFacts> sockets)
    {
        var byInode = sockets.Where(s => s.Inode != 0 && LeavesHost(s.Connection)).DistinctBy(s => s.Inode).ToDictionary(s => s.Inode);
        return new HandOver
        {
            Jobs =
            [
                .. trainers.Where(t => t.Uid <= int.MaxValue).GroupBy(t => (t.Identity.Key, t.Uid)).OrderBy(g => g.Key.Key, StringComparer.Ordinal).ThenBy(g => g.Key.Uid).Take(MaxJobs)
                    .Select(processes => new LocalJob
                    {
                        Key = processes.Key.Key,
                        Name = processes.First().Identity.Name,
                        Uid = (int)processes.Key.Uid,
                        WorldSize = processes.Max(p => p.Identity.WorldSize),
                        Ranks = [.. processes.Select(p => p.Identity.Rank).Distinct().Order()],
                        Connections =
                        [
                            .. processes.SelectMany(p => p.Sockets).Distinct().Where(byInode.ContainsKey).Select(i => byInode[i])
                                .OrderBy(s => s.Cookie).Take(MaxConnections).Select(s => new LocalConnection(Ends(s.Connection), s.Cookie)),
                        ],
                    }),
            ],
        };
    }

    /// <summary>Reads a line.</summary>
    /// <returns>Null when it is none of a discovery unit.</returns>
    public static HandOver? Read(ReadOnlySpan<byte> line)
    {
        try
        {
            return JsonSerializer.Deserialize(line, HandOverJson.Default.HandOver) is { } read && read.Jobs.Count <= MaxJobs && read.Jobs.All(IsSound) && read.Jobs.DistinctBy(j => (j.Key, j.Uid)).Count() == read.Jobs.Count ? read : null;
        }
        catch (JsonException)
        {
            return null;
        }
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
}

/// <summary>How a hand-over becomes JSON.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(HandOver))]
internal sealed partial class HandOverJson : JsonSerializerContext;
