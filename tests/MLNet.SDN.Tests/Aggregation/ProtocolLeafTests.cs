using System.Net;
using MLNet.SDN.Aggregation;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>docs/protocol.md is all that a stranger needs: a client in another language, written from it, stands in the trees as a leaf.</summary>
public class ProtocolLeafTests
{
    private const string Stranger = "p";
    private static readonly string[] Workers = ["a", "b", "c", Stranger];

    //  shard 0      shard 1 (most of it)      shard 2
    //     b               z (helper)             a
    //   / | \           / | | \                 / \
    //  a  c  p         a  b c  p               b   c
    //                                              |
    //                                              p
    // Names decide who dials: a, b and c dial p, and p dials z.
    private static readonly Shard[] Shards =
    [
        new(1, ["b", "a"], [new("a", "b"), new("c", "b"), new(Stranger, "b")]),
        new(20, ["z", "c"], [new("a", "z"), new("b", "z"), new("c", "z"), new(Stranger, "z")]),
        new(1, ["a", "b"], [new("b", "a"), new("c", "a"), new(Stranger, "c")]),
    ];

    [Fact]
    public async Task Leaf_RoundsOfManyChunks_ResultsAreTheExactSumsEverywhere()
    {
        Require();
        await using var cluster = await LoopbackCluster.StartAsync("a", "b", "c", "z");
        var job = JobOf(cluster);
        cluster.Apply(job);
        await using var leaf = ProtocolLeaf.Start(job, Stranger);
        var workers = await JoinAsync(cluster, job);
        int[] sizes = [5000, 1, 700, 5000, 20_000];

        for (var round = 0; round < sizes.Length; round++)
        {
            leaf.Submit(AllReduceTests.Values(3, round, sizes[round]));
            await CheckAsync(workers, leaf, round, sizes[round]);
        }
    }

    [Fact]
    public async Task Leaf_HelperDiesInTheMiddleOfARound_AnswersTheLaterEpochWithWhatItHolds()
    {
        Require();
        const int Elements = 150_000;
        await using var cluster = await LoopbackCluster.StartAsync("a", "b", "c", "z");
        var job = JobOf(cluster);
        cluster.Apply(job);
        await using var leaf = ProtocolLeaf.Start(job, Stranger);
        var workers = await JoinAsync(cluster, job);
        leaf.Submit(AllReduceTests.Values(3, 0, 5000));
        Assert.Equal(0, (await CheckAsync(workers, leaf, 0, 5000)).Attempt);

        leaf.Submit(AllReduceTests.Values(3, 1, Elements));
        var others = workers.Select(w => LoopbackCluster.Start(() => w.AllReduce(AllReduceTests.Values(w.Rank, 1, Elements)))).ToArray();
        await leaf.WholeAsync(1, shard: 0);
        await cluster.StopAsync("z");
        var seen = await CheckAsync(others, leaf, 1, Elements);

        Assert.InRange(seen.Attempt, 1, int.MaxValue);
        Assert.InRange(seen.HeldAnswers, 1, int.MaxValue);
        for (var round = 2; round < 4; round++)
        {
            leaf.Submit(AllReduceTests.Values(3, round, 5000));
            await CheckAsync(workers, leaf, round, 5000);
        }
    }

    [Fact]
    public async Task Leaf_ParentIsStartedAnewInTheMiddleOfARound_TheRoundIsFinishedInALaterEpoch()
    {
        Require();
        await using var cluster = await LoopbackCluster.StartAsync("a", "b", "c", "z");
        var job = JobOf(cluster);
        cluster.Apply(job);
        await using var leaf = ProtocolLeaf.Start(job, Stranger);
        var workers = await JoinAsync(cluster, job);
        leaf.Submit(AllReduceTests.Values(3, 0, 5000));
        await CheckAsync(workers, leaf, 0, 5000);

        // All but rank 2 have contributed: what the stranger sent to b is lost with it.
        leaf.Submit(AllReduceTests.Values(3, 1, 5000));
        var first = LoopbackCluster.Start(() => workers[0].AllReduce(AllReduceTests.Values(0, 1, 5000)));
        var number = workers[1].Submit(AllReduceTests.Values(1, 1, 5000));
        await Task.Delay(200, TestContext.Current.CancellationToken);
        await cluster.RestartAsync("b", job);
        workers[1].Rejoin(0, number, 5000);
        var second = LoopbackCluster.Start(() => workers[1].Await(0, number, 5000));
        var third = LoopbackCluster.Start(() => workers[2].AllReduce(AllReduceTests.Values(2, 1, 5000)));

        Assert.InRange((await CheckAsync([first, second, third], leaf, 1, 5000)).Attempt, 1, int.MaxValue);
        leaf.Submit(AllReduceTests.Values(3, 2, 5000));
        await CheckAsync(workers, leaf, 2, 5000);
    }

    [Fact]
    public async Task Leaf_WorkerDiesAndShapesDiffer_HearsTheError_AndTheNextRoundIsRight()
    {
        Require();
        await using var cluster = await LoopbackCluster.StartAsync("a", "b", "c", "z");
        var job = JobOf(cluster);
        cluster.Apply(job);
        await using var leaf = ProtocolLeaf.Start(job, Stranger);
        var workers = await JoinAsync(cluster, job);

        leaf.Submit(new float[50]);
        var failures = workers.Select(w => LoopbackCluster.Start(() => Assert.Throws<RoundFailedException>(() => w.AllReduce(new float[51])))).ToArray();
        Assert.Contains("shape-mismatch", await leaf.FailureAsync(), StringComparison.Ordinal);
        Assert.All(await Task.WhenAll(failures), f => Assert.Contains("ranks 0-2 reduce float32 x 51 (204 bytes), sum; rank 3 reduces float32 x 50 (200 bytes), sum", f.Message, StringComparison.Ordinal));

        leaf.Submit(AllReduceTests.Values(3, 1, 5000));
        workers[2].Dispose();
        Assert.Contains("worker-gone", await leaf.FailureAsync(), StringComparison.Ordinal);
        foreach (var other in workers[..2])
        {
            Assert.Throws<RoundFailedException>(() => other.AllReduce(new float[5000]));
        }

        workers[2] = cluster.Join(job, 2);
        leaf.Submit(AllReduceTests.Values(3, 2, 5000));
        await CheckAsync(workers, leaf, 2, 5000);
    }

    private static void Require() =>
        Assert.SkipUnless(File.Exists("/usr/bin/python3") || Environment.GetEnvironmentVariable("CI") == "true", "/usr/bin/python3 is missing: apt-get install python3.");

    private static AggregationJob JobOf(LoopbackCluster cluster)
    {
        var job = cluster.Job("j", 1, Workers, Shards, window: 4);
        return job with { Endpoints = [.. job.Endpoints, new Endpoint(Stranger, new IPEndPoint(IPAddress.Loopback, ProtocolLeaf.FreePort()), null)] };
    }

    /// <summary>The workers that have an ordinary agent.</summary>
    private static async Task<TestWorker[]> JoinAsync(LoopbackCluster cluster, AggregationJob job) =>
        await Task.WhenAll(job.Members.Where(m => m.Host != Stranger).Select(m => LoopbackCluster.Start(() => cluster.Join(job, m.Rank))));

    private static Task<LeafResult> CheckAsync(TestWorker[] workers, ProtocolLeaf leaf, int round, int elements) =>
        CheckAsync([.. workers.Select(w => LoopbackCluster.Start(() => w.AllReduce(AllReduceTests.Values(w.Rank, round, elements))))], leaf, round, elements);

    private static async Task<LeafResult> CheckAsync(Task<float[]>[] others, ProtocolLeaf leaf, int round, int elements)
    {
        var expected = AllReduceTests.Sum(Workers.Length, round, elements);
        var seen = await leaf.ResultAsync();
        Assert.Equal(round, seen.Round);
        Assert.Equal(expected, seen.Values);
        Assert.All(await Task.WhenAll(others), r => Assert.Equal(expected, r));
        return seen;
    }
}
