using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Rounds;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>Jobs with a parameter server, over real sockets. That pushes and pulls stay exact whatever fails is for <see cref="ChaosTests"/>.</summary>
public class ServerTests
{
    private const uint Pushes = 0;
    private const uint Pulls = 1;
    private const int Elements = 5000;

    private static readonly string[] Hosts = ["a", "b", "c", "d"];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task PushAndPull_RandomTrees_TheServerGetsTheSumAndAllGetItsValues(int seed)
    {
        var random = new Random(seed);
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        var workers = Enumerable.Range(0, random.Next(1, 6)).Select(_ => Hosts[random.Next(Hosts.Length)]).ToArray();
        var server = Hosts[random.Next(Hosts.Length)];
        var job = Job(cluster, workers, server, [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => Model.RandomJobs.Tree(random, Hosts, server))]);
        cluster.Apply(job);
        var all = await cluster.JoinAllAsync(job);

        for (var round = 0; round < 5; round++)
        {
            await ExchangeAsync(all, round);
        }
    }

    [Fact]
    public async Task PushAndPull_OneWorker_NumbersCrossTheLinkOnceEachWay()
    {
        const int Rounds = 20;
        await using var cluster = await LoopbackCluster.StartAsync("a", "b");
        var job = Job(cluster, ["a"], "b", [new Shard(1, ["b"], [new("a", "b")])]) with { ChunkBytes = 4096 };
        cluster.Apply(job);
        var all = await cluster.JoinAllAsync(job);

        for (var round = 0; round < Rounds; round++)
        {
            await ExchangeAsync(all, round);
        }

        // Beside the numbers: a header of 97 bytes for each of five chunks up and down, and signalling.
        const long Payload = Rounds * Elements * sizeof(float);
        Assert.All(cluster.Hosts.Values, h => Assert.InRange(h.Status().Transports.Single().BytesSent, Payload, Payload * 1.2));
    }

    [Theory]
    [InlineData("a")] // the server's, with a worker beside it
    [InlineData("b")] // sums for c
    [InlineData("c")]
    public async Task AgentIsStartedAnew_InAPush_TheServerGetsEachContributionOnce(string host)
    {
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        var job = Job(cluster, ["a", "b", "c", "d"], "a", [new Shard(1, ["a"], [new("b", "a"), new("c", "b"), new("d", "a")])]);
        cluster.Apply(job);
        var all = await cluster.JoinAllAsync(job);
        await ExchangeAsync(all, 0);
        var ranks = job.Members.Where(m => m.Host == host).Select(m => m.Rank).ToArray();

        // One worker is late, so the round is in progress; chunks of it have got as far as they can.
        var rounds = all.Where(w => w.Rank != 3).ToDictionary(w => w.Rank, w => w.Submit(Gradient(job, w.Rank, 1), "push", Pushes));
        await Task.Delay(100, TestContext.Current.CancellationToken);
        await cluster.RestartAsync(host, job);
        foreach (var rank in ranks)
        {
            all[rank].Rejoin(Pushes, rounds[rank], Elements, "push");
        }

        rounds[3] = all[3].Submit(Gradient(job, 3, 1), "push", Pushes);
        var sums = await Task.WhenAll(all.Select(w => LoopbackCluster.Start(() => w.Await(Pushes, rounds[w.Rank], Elements))));

        Assert.Equal(AllReduceTests.Sum(4, 1, Elements), sums[4]);
    }

    [Fact]
    public async Task ServerDies_EveryWorkerHearsItByName()
    {
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        var job = Job(cluster, ["a", "b", "c"], "d", [new Shard(1, ["d"], [.. "abc".Select(h => new Edge($"{h}", "d"))])]);
        cluster.Apply(job);
        var all = await cluster.JoinAllAsync(job);
        await ExchangeAsync(all, 0);

        // Nobody waits for anything but what the server has still to say.
        var waiting = all.Where(w => w.Rank != 3).Select(w => LoopbackCluster.Start(() => Assert.Throws<RoundFailedException>(() => w.AllReduce(new float[Elements], "pull", Pulls)))).ToArray();
        await Task.Delay(100, TestContext.Current.CancellationToken);
        all[3].Dispose();

        foreach (var failure in await Task.WhenAll(waiting))
        {
            Assert.Equal(FailureCode.WorkerGone, failure.Code);
            Assert.Contains("the server (rank 3) on d is gone", failure.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Join_InAnotherRole_IsRefusedAndSaysWhy()
    {
        await using var cluster = await LoopbackCluster.StartAsync("a");
        var with = Job(cluster, ["a", "a"], "a", [new Shard(1, ["a"], [])]);
        var without = cluster.Job("plain", 2, ["a"], [new Shard(1, ["a"], [])]);
        cluster.Apply(with, without);
        var socket = cluster.SocketOf("a");

        AssertRefused("job j has a parameter server: join it with mlnet.worker()", () => TestWorker.Join(socket, "j", 0));
        AssertRefused("rank 2 of job j is its parameter server; its workers are ranks 0 to 1", () => TestWorker.Join(socket, "j", 2, "worker"));
        AssertRefused("rank 1 of job j is a worker; its parameter server is rank 2", () => TestWorker.Join(socket, "j", 1, "server"));
        AssertRefused("job plain has no parameter server", () => TestWorker.Join(socket, "plain", null, "server"));
        AssertRefused("job plain has no parameter server", () => TestWorker.Join(socket, "plain", null, "worker"));
        AssertRefused("role 'queen' is unknown", () => TestWorker.Join(socket, "j", null, "queen"));

        // Whoever asks for any rank gets a worker's, while there is one.
        using var first = TestWorker.Join(socket, "j", null, "worker");
        using var second = TestWorker.Join(socket, "j", null, "worker");
        Assert.Equal([0, 1], [first.Rank, second.Rank]);
        AssertRefused("every rank of job j on host a has joined already", () => TestWorker.Join(socket, "j", null, "worker"));
        using var server = TestWorker.Join(socket, "j", null, "server");
        Assert.Equal(2, server.Rank);

        using var plain = TestWorker.Join(socket, "plain", 0);
        Assert.Contains("op push needs a parameter server", Assert.Throws<RoundFailedException>(() => plain.AllReduce(new float[10], "push")).Message, StringComparison.Ordinal);

        static void AssertRefused(string text, Action join) => Assert.Contains(text, Assert.Throws<RoundFailedException>(join).Message, StringComparison.Ordinal);
    }

    private static AggregationJob Job(LoopbackCluster cluster, string[] workers, string server, IReadOnlyList<Shard> shards) =>
        cluster.Job("j", 1, [.. workers, server], shards) with { ServerRank = workers.Length };

    private static float[] Gradient(AggregationJob job, int rank, int round) => rank == job.ServerRank ? new float[Elements] : AllReduceTests.Values(rank, round, Elements);

    /// <summary>Everybody pushes; the server answers with its own numbers.</summary>
    private static async Task ExchangeAsync(TestWorker[] all, int round)
    {
        var server = all.Length - 1;
        var values = AllReduceTests.Values(server, 1000 + round, Elements);
        var got = await Task.WhenAll(all.Select(w => LoopbackCluster.Start(() =>
        {
            var sum = w.AllReduce(w.Rank == server ? new float[Elements] : AllReduceTests.Values(w.Rank, round, Elements), "push", Pushes);
            var pulled = w.AllReduce(w.Rank == server ? values : new float[Elements], "pull", Pulls);
            return w.Rank == server ? sum : pulled;
        })));

        Assert.Equal(AllReduceTests.Sum(server, round, Elements), got[server]);
        Assert.All(got[..server], g => Assert.Equal(values, g));
    }
}
