using System.Net;
using MLNet.SDN.Aggregation;

namespace MLNet.SDN.Tests.Aggregation.Model;

/// <summary>Small jobs of all forms.</summary>
internal static class RandomJobs
{
    public static readonly string[] Hosts = ["a", "b", "c", "d", "e", "f"];

    /// <summary>One to seven workers, several on one host perhaps, and helpers.</summary>
    public static AggregationJob Job(Random random, int fewest = 1) => new()
    {
        JobId = 7,
        Name = "j",
        Secret = new byte[] { 1 },
        Dscp = 0,
        TreesRevision = new TreesRevision(1, 1),
        Members = [.. Enumerable.Range(0, random.Next(fewest, 8)).Select(rank => new Member(rank, Hosts[random.Next(Hosts.Length)]))],
        Endpoints = [.. Hosts.Select(h => new Endpoint(h, new IPEndPoint(IPAddress.Loopback, 1), null))],
        Shards = Shards(random),
        ChunkBytes = 8 * random.Next(1, 6),
        WindowChunks = random.Next(1, 5),
        Stripes = 1,
    };

    /// <summary>The same with a parameter server on some host, on which all trees have their root.</summary>
    public static AggregationJob WithServer(Random random)
    {
        var job = Job(random);
        var server = Hosts[random.Next(Hosts.Length)];
        return job with { Members = [.. job.Members, new Member(job.Members.Count, server)], ServerRank = job.Members.Count, Shards = Shards(random, server) };
    }

    public static Shard[] Shards(Random random, string? server = null) => [.. Enumerable.Range(0, random.Next(1, 5)).Select(_ => Tree(random, Hosts, server))];

    /// <summary>A tree with a random root in which every other host hangs somewhere, of random weight; the root has up to three successors, a server's host none.</summary>
    public static Shard Tree(Random random, IReadOnlyList<string> hosts, string? server = null)
    {
        var order = hosts.ToArray();
        random.Shuffle(order);
        if (server is not null)
        {
            var at = Array.IndexOf(order, server);
            (order[0], order[at]) = (order[at], order[0]);
        }

        var edges = new List<Edge>();
        for (var i = 1; i < order.Length; i++)
        {
            edges.Add(new Edge(order[i], order[random.Next(i)]));
        }

        var successors = order[1..];
        random.Shuffle(successors);
        return new Shard(random.Next(1, 4), [order[0], .. successors.Take(server is null ? random.Next(4) : 0)], edges);
    }
}
