using System.Text.Json;
using MLNet.SDN.Aggregation;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>The Python library's parameter server and workers with real agents over loopback. What is asserted of numbers stands in <c>parameter_training.py</c>.</summary>
public sealed class ParameterServerTests
{
    //      a: server, rank 0        Two shards: one over b, one straight.
    //     / \
    //    b   c
    private static readonly string[] Hosts = ["a", "b", "c"];

    [Fact]
    public async Task BulkSynchronous_AgentsAreStartedAnewMeanwhile_EveryPullHasTheBitsOfARunInOneProcess()
    {
        await using var cluster = await StartAsync();
        var job = Job(cluster);
        cluster.Apply(job);
        using var training = Launch(cluster, "bulk", new { workers = Sockets(cluster), server = cluster.SocketOf("a"), rounds = 40 });

        // The root's, one that sums, and one that only sends.
        foreach (var (host, round) in new[] { ("a", 5), ("b", 12), ("c", 20), ("a", 28) })
        {
            await training.SaysAsync(line => line.TryGetProperty("round", out var at) && at.GetInt32() >= round);
            await cluster.RestartAsync(host, job);
        }

        Assert.Equal(40, (await training.SaysAsync(line => line.TryGetProperty("ok", out _))).GetProperty("ok").GetInt32());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    public async Task BoundedStaleness_WorkersOfDifferentSpeed_RunAheadAsFarAsTheyMayAndEachPushCountsOnce(int staleness)
    {
        await using var cluster = await StartAsync();
        cluster.Apply(Job(cluster));
        if (staleness == 0)
        {
            // Bulk-synchronous: nobody is ever ahead, so the same run must fail for that reason alone.
            using var bulk = Launch(cluster, "stale", new { workers = Sockets(cluster), server = cluster.SocketOf("a"), staleness, rounds = 8 });
            Assert.Contains("nobody ever was ahead", await bulk.FailsAsync(), StringComparison.Ordinal);
            return;
        }

        using var training = Launch(cluster, "stale", new { workers = Sockets(cluster), server = cluster.SocketOf("a"), staleness, rounds = 20 });

        await training.SaysAsync(line => line.TryGetProperty("ok", out _));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Deadline_OneWorkerIsLate_OthersDoNotWaitAndEachPushCountsOnceAlsoWhenAgentsAreStartedAnew(bool average)
    {
        await using var cluster = await StartAsync();
        var job = Job(cluster);
        cluster.Apply(job);
        using var training = Launch(cluster, "late", new { workers = Sockets(cluster), server = cluster.SocketOf("a"), deadline = 0.02, rounds = 24, average });

        foreach (var (host, round) in average ? [] : new[] { ("b", 4), ("a", 10) })
        {
            await training.SaysAsync(line => line.TryGetProperty("round", out var at) && at.GetInt32() >= round);
            await cluster.RestartAsync(host, job);
        }

        await training.SaysAsync(line => line.TryGetProperty("ok", out _));
    }

    [Fact]
    public async Task WorkerGaveUpBeforeTheServerBegan_AndCameBack_AllBegin()
    {
        await using var cluster = await StartAsync();
        cluster.Apply(Job(cluster));
        using var training = Launch(cluster, "early", new { workers = Sockets(cluster), server = cluster.SocketOf("a") });

        await training.SaysAsync(line => line.TryGetProperty("ok", out _));
    }

    [Theory]
    [InlineData(null)]
    [InlineData(0.01)]
    public async Task ServerIsKilled_EveryWorkerHearsItByName_AndEveryLaterCallSaysTheSame(double? deadline)
    {
        await using var cluster = await StartAsync();
        cluster.Apply(Job(cluster));
        using var server = Launch(cluster, "serve", new { server = cluster.SocketOf("a"), deadline });
        using var training = Launch(cluster, "death", new { workers = Sockets(cluster), deadline });
        await training.SaysAsync(line => line.TryGetProperty("training", out _));

        server.Kill();

        for (var i = 0; i < Hosts.Length; i++)
        {
            var heard = await training.SaysAsync(line => line.TryGetProperty("error", out _));
            Assert.Contains("the server (rank 3) on a is gone", heard.GetProperty("error").GetString(), StringComparison.Ordinal);
            Assert.Equal(heard.GetProperty("error").GetString(), heard.GetProperty("again").GetString());
        }
    }

    [Fact]
    public async Task Misuse_OfAnyKind_IsOneClearError()
    {
        await using var cluster = await StartAsync();
        cluster.Apply(Job(cluster), cluster.Job("plain", 2, ["a"], [new Shard(1, ["a"], [])]));
        using var training = Launch(cluster, "misuse", new { workers = Sockets(cluster), server = cluster.SocketOf("a") });

        await training.SaysAsync(line => line.TryGetProperty("ok", out _));
    }

    private static Task<LoopbackCluster> StartAsync()
    {
        PythonTraining.SkipUnlessThere();
        return LoopbackCluster.StartAsync(Hosts);
    }

    private static AggregationJob Job(LoopbackCluster cluster) =>
        cluster.Job("ps", 1, [.. Hosts, "a"], [new Shard(1, ["a"], [new("b", "a"), new("c", "b")]), new Shard(2, ["a"], [new("b", "a"), new("c", "a")])]) with { ServerRank = Hosts.Length };

    private static string[] Sockets(LoopbackCluster cluster) => [.. Hosts.Select(cluster.SocketOf)];

    private static PythonTraining Launch(LoopbackCluster cluster, string what, object arguments)
    {
        Assert.NotEmpty(cluster.Hosts);
        return new PythonTraining("parameter_training.py", what, JsonSerializer.Serialize(arguments));
    }
}
