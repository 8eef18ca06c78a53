using System.Net;
using System.Net.Sockets;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>Things that go wrong, over real sockets. That every order of events ends well is for <see cref="EngineModelTests"/>.</summary>
public class FailureTests
{
    private static readonly string[] Hosts = ["a", "b", "c", "d"];

    [Fact]
    public async Task WorkerDies_OthersHearItByName_AndGoOnWhenItIsBack()
    {
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        var job = cluster.Job("j", 1, Hosts, LoopbackCluster.Direct(Hosts));
        cluster.Apply(job);
        var workers = await cluster.JoinAllAsync(job);
        await ReduceAllAsync(workers, 0);

        var waiting = workers.Where(w => w.Rank != 2).Select(w => LoopbackCluster.Start(() => Assert.Throws<RoundFailedException>(() => w.AllReduce(new float[500])))).ToArray();
        await Task.Delay(100, TestContext.Current.CancellationToken);
        workers[2].Dispose();

        foreach (var failure in await Task.WhenAll(waiting))
        {
            Assert.Equal(FailureCode.WorkerGone, failure.Code);
            Assert.Contains("rank 2 on c is gone", failure.Message, StringComparison.Ordinal);
        }

        workers[2] = cluster.Join(job, 2);
        await ReduceAllAsync(workers, 1);
    }

    [Fact]
    public async Task WorkerDies_RoundItContributedTo_IsFinished()
    {
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        var job = cluster.Job("j", 1, Hosts, LoopbackCluster.Direct(Hosts));
        cluster.Apply(job);
        var workers = await cluster.JoinAllAsync(job);
        await ReduceAllAsync(workers, 0);

        workers[2].Submit(AllReduceTests.Values(2, 1, 5000));
        await Task.Delay(100, TestContext.Current.CancellationToken);
        workers[2].Dispose();
        await cluster.UntilAsync(() => !cluster.Hosts["c"].Status().Workers[0].Joined);
        var results = await Task.WhenAll(workers.Where(w => w.Rank != 2).Select(w => LoopbackCluster.Start(() => w.AllReduce(AllReduceTests.Values(w.Rank, 1, 5000)))));

        Assert.All(results, r => Assert.Equal(AllReduceTests.Sum(4, 1, 5000), r));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task WorkerIsGoneAndItsAgentStartedAnew_RoundItContributedToEndsWithItsName(bool saysGoodbye)
    {
        // Small chunks and windows: most of the contribution is with the agent alone.
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        var job = cluster.Job("j", 1, Hosts, LoopbackCluster.Direct(Hosts), chunkBytes: 256, window: 2);
        cluster.Apply(job);
        var workers = await cluster.JoinAllAsync(job);
        await ReduceAllAsync(workers, 0);

        workers[2].Submit(AllReduceTests.Values(2, 1, 5000));
        await Task.Delay(100, TestContext.Current.CancellationToken);
        if (saysGoodbye)
        {
            workers[2].Leave();
        }
        else
        {
            workers[2].Dispose();
        }

        await cluster.UntilAsync(() => !cluster.Hosts["c"].Status().Workers[0].Joined);
        var waiting = new[] { 0, 1 }.Select(rank => LoopbackCluster.Start(() => Assert.Throws<RoundFailedException>(() => workers[rank].AllReduce(AllReduceTests.Values(rank, 1, 5000))))).ToArray();
        await Task.Delay(100, TestContext.Current.CancellationToken);
        await cluster.RestartAsync("c", job);
        var last = LoopbackCluster.Start(() => Assert.Throws<RoundFailedException>(() => workers[3].AllReduce(AllReduceTests.Values(3, 1, 5000))));

        foreach (var failure in await Task.WhenAll([.. waiting, last]))
        {
            Assert.Equal(FailureCode.WorkerGone, failure.Code);
            Assert.Contains("rank 2 on c", failure.Message, StringComparison.Ordinal);
        }

        // The round after was over when the worker went: it had not contributed to that.
        foreach (var rank in new[] { 0, 1, 3 })
        {
            Assert.Contains("rank 2 on c", Assert.Throws<RoundFailedException>(() => workers[rank].AllReduce(new float[500])).Message, StringComparison.Ordinal);
        }

        workers[2] = cluster.Join(job, 2);
        await ReduceAllAsync(workers, 3);
    }

    [Fact]
    public async Task WorkerGoesBeforeItsRoundGoesOnUnderANewAgent_RoundEndsWithItsName()
    {
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        var job = cluster.Job("j", 1, Hosts, LoopbackCluster.Direct(Hosts), chunkBytes: 256, window: 2);
        cluster.Apply(job);
        var workers = await cluster.JoinAllAsync(job);
        await ReduceAllAsync(workers, 0);
        foreach (var rank in new[] { 1, 2 })
        {
            Assert.Equal(1UL, workers[rank].Submit(AllReduceTests.Values(rank, 1, 5000)));
        }

        await Task.Delay(100, TestContext.Current.CancellationToken);
        await cluster.RestartAsync("b", job);
        await cluster.RestartAsync("c", job);
        workers[2].Rejoin(0, 1, 5000);
        workers[2].Leave();
        await cluster.UntilAsync(() => !cluster.Hosts["c"].Status().Workers[0].Joined);
        workers[1].Rejoin(0, 1, 5000);

        var others = new[] { 0, 3 }.Select(rank => LoopbackCluster.Start(() => Assert.Throws<RoundFailedException>(() => workers[rank].AllReduce(AllReduceTests.Values(rank, 1, 5000)))));
        foreach (var failure in await Task.WhenAll(others))
        {
            Assert.Equal(FailureCode.WorkerGone, failure.Code);
            Assert.Contains("rank 2 on c", failure.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("d")]
    [InlineData("a")]
    public async Task AgentDiesForGood_OthersHearItByName(string host)
    {
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        var job = cluster.Job("j", 1, Hosts, LoopbackCluster.Direct(Hosts));
        cluster.Apply(job);
        var workers = await cluster.JoinAllAsync(job);
        await ReduceAllAsync(workers, 0);

        var waiting = workers.Where((_, rank) => Hosts[rank] != host).Select(w => LoopbackCluster.Start(() => Assert.Throws<RoundFailedException>(() => w.AllReduce(new float[500])))).ToArray();
        await cluster.StopAsync(host);

        foreach (var failure in await Task.WhenAll(waiting))
        {
            Assert.Equal(FailureCode.HostLost, failure.Code);
            Assert.Contains($"host {host}", failure.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("b", true)]
    [InlineData("d", true)]
    [InlineData("a", true)]
    [InlineData("a", false)]
    [InlineData("c", false)]
    public async Task AgentIsStartedAnew_TheRoundInProgressIsFinished_AndNobodyHearsOfIt(string host, bool hasContributed)
    {
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        var job = cluster.Job("j", 1, Hosts, [new Shard(1, ["b", "a"], [new("a", "b"), new("c", "b"), new("d", "c")]), new Shard(2, ["c", "d"], [new("b", "c"), new("a", "b"), new("d", "c")])]);
        cluster.Apply(job);
        var workers = await cluster.JoinAllAsync(job);
        await ReduceAllAsync(workers, 0);
        var victim = Array.IndexOf(Hosts, host);
        var late = victim == 1 ? 2 : 1;

        // All but one of the others have contributed, so the round is in progress; chunks of it have got as far as they can.
        var others = workers.Where(w => w.Rank != victim && w.Rank != late).Select(w => LoopbackCluster.Start(() => w.AllReduce(AllReduceTests.Values(w.Rank, 1, 5000)))).ToArray();
        ulong? round = hasContributed ? workers[victim].Submit(AllReduceTests.Values(victim, 1, 5000)) : null;
        await Task.Delay(100, TestContext.Current.CancellationToken);
        await cluster.RestartAsync(host, job);
        workers[victim].Rejoin(0, round, 5000);
        var last = LoopbackCluster.Start(() => workers[late].AllReduce(AllReduceTests.Values(late, 1, 5000)));
        var restored = LoopbackCluster.Start(() => round is { } number ? workers[victim].Await(0, number, 5000) : workers[victim].AllReduce(AllReduceTests.Values(victim, 1, 5000)));

        var results = await Task.WhenAll([.. others, last, restored]);

        Assert.All(results, r => Assert.Equal(AllReduceTests.Sum(4, 1, 5000), r));
        await ReduceAllAsync(workers, 2);
    }

    [Fact]
    public async Task HelperDiesForGood_TheRoundInProgressAndLaterOnesGoOnWithoutIt()
    {
        await using var cluster = await LoopbackCluster.StartAsync([.. Hosts, "h"]);
        var job = cluster.Job("j", 1, Hosts, [new Shard(1, ["h", "b"], [new("a", "h"), new("b", "h"), new("c", "h"), new("d", "h")])]);
        cluster.Apply(job);
        var workers = await cluster.JoinAllAsync(job);
        await ReduceAllAsync(workers, 0);
        var others = workers.Where(w => w.Rank != 3).Select(w => LoopbackCluster.Start(() => w.AllReduce(AllReduceTests.Values(w.Rank, 1, 5000)))).ToArray();
        await Task.Delay(100, TestContext.Current.CancellationToken);

        await cluster.StopAsync("h");
        var last = LoopbackCluster.Start(() => workers[3].AllReduce(AllReduceTests.Values(3, 1, 5000)));

        Assert.All(await Task.WhenAll([.. others, last]), r => Assert.Equal(AllReduceTests.Sum(4, 1, 5000), r));
        await ReduceAllAsync(workers, 2);
        await ReduceAllAsync(workers, 3);
    }

    [Fact]
    public async Task Restore_MemoryOfSomebodyElsesMaking_IsNotTaken()
    {
        await using var cluster = await LoopbackCluster.StartAsync("a");
        var job = cluster.Job("j", 1, ["a"], [new Shard(1, ["a"], [])]);
        cluster.Apply(job);
        var file = Path.GetTempFileName();
        await File.WriteAllBytesAsync(file, new byte[24_576], TestContext.Current.CancellationToken);
        using (var stream = File.Open(file, FileMode.Open, FileAccess.ReadWrite))
        using (var worker = TestWorker.Knock(cluster.SocketOf("a")))
        {
            worker.Send(new WorkerMessage { Type = "join", Protocol = WorkerMessage.CurrentProtocol, Job = "j", Rank = 0, Restore = 1 });
            worker.Send(new WorkerMessage { Type = "restore", Stream = 0, Round = 5, Capacity = 4096 }, (int)stream.SafeFileHandle.DangerousGetHandle());
            Assert.Equal("joined", worker.Receive().Type);

            // A plain file can be cut under a mapping, so it was left alone: the stream is not open.
            worker.Send(new WorkerMessage { Type = "reduce", Stream = 0, Round = 5, Bytes = 4, Dtype = "float32", Op = "sum" });
            Assert.Equal("refused", worker.Receive().Type);
        }

        File.Delete(file);
        await cluster.UntilAsync(() => !cluster.Hosts["a"].Status().Workers[0].Joined);
        await ReduceAllAsync([cluster.Join(job, 0)], 0);
    }

    [Fact]
    public async Task ShapesDiffer_EveryWorkerHearsWhoHasWhat_AndTheNextRoundIsRight()
    {
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        var job = cluster.Job("j", 1, [.. Hosts, "a"], LoopbackCluster.Direct(Hosts));
        cluster.Apply(job);
        var workers = await cluster.JoinAllAsync(job);

        var failures = await Task.WhenAll(workers.Select(w => LoopbackCluster.Start(() => Assert.Throws<RoundFailedException>(() => w.AllReduce(new float[w.Rank == 4 ? 101 : 100])))));

        foreach (var failure in failures)
        {
            Assert.Equal(FailureCode.ShapeMismatch, failure.Code);
            Assert.Contains("ranks 0-3 reduce float32 x 100 (400 bytes), sum; rank 4 reduces float32 x 101 (404 bytes), sum", failure.Message, StringComparison.Ordinal);
        }

        await ReduceAllAsync(workers, 1);
    }

    [Fact]
    public async Task JobWithdrawn_WaitingWorkersHearIt()
    {
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        var job = cluster.Job("j", 1, Hosts, LoopbackCluster.Direct(Hosts));
        cluster.Apply(job);
        var workers = await cluster.JoinAllAsync(job);
        var waiting = workers.Where(w => w.Rank != 0).Select(w => LoopbackCluster.Start(() => Assert.Throws<RoundFailedException>(() => w.AllReduce(new float[500])))).ToArray();
        await cluster.UntilAsync(() => cluster.Hosts["c"].Status().Workers[0].WaitsFor is not null || waiting.Any(w => w.IsCompleted));

        cluster.Apply();

        var failures = await Task.WhenAll(waiting);
        Assert.All(failures, f => Assert.Contains("job j was withdrawn", f.Message, StringComparison.Ordinal));
        Assert.All(failures, f => Assert.Equal(FailureCode.JobClosed, f.Code));
    }

    [Fact]
    public async Task Join_RankTakenForeignOrUnknown_IsRefusedWithTheReason()
    {
        await using var cluster = await LoopbackCluster.StartAsync("a", "b");
        var job = cluster.Job("j", 1, ["a", "b"], LoopbackCluster.Direct(["a", "b"]));
        cluster.Apply(job);
        using var first = cluster.Join(job, 0);

        AssertRefused("has joined already", 0);
        AssertRefused("belongs on host b, this is a", 1);
        AssertRefused("its ranks are 0 to 1", 2);
        AssertRefused("has joined already", null);

        void AssertRefused(string text, int? rank) =>
            Assert.Contains(text, Assert.Throws<RoundFailedException>(() => TestWorker.Join(cluster.SocketOf("a"), "j", rank)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(null)]
    public async Task Join_AsSoonAsTheOneBeforeHasDied_IsLetIn(int? rank)
    {
        await using var cluster = await LoopbackCluster.StartAsync("a");
        var job = cluster.Job("j", 1, ["a"], [new Shard(1, ["a"], [])]);
        cluster.Apply(job);
        for (var life = 0; life < 300; life++)
        {
            var worker = TestWorker.Join(cluster.SocketOf("a"), "j", rank);
            worker.Submit([life]);
            worker.Dispose();
        }
    }

    [Fact]
    public async Task Join_AnotherUser_IsRefused()
    {
        await using var cluster = await LoopbackCluster.StartAsync("a");
        var job = cluster.Job("j", 1, ["a"], [new Shard(1, ["a"], [])]) with { OwnerUid = 4_000_000 };
        cluster.Apply(job);

        var refusal = Assert.Throws<RoundFailedException>(() => cluster.Join(job, 0));

        Assert.Contains("belongs to user 4000000", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Apply_PlanAtFault_LeavesTheJobAsItIsAndSaysWhy()
    {
        await using var cluster = await LoopbackCluster.StartAsync("a", "b");
        var job = cluster.Job("j", 1, ["a", "b"], LoopbackCluster.Direct(["a", "b"]));
        cluster.Apply(job);
        var workers = await cluster.JoinAllAsync(job);

        cluster.Apply(job with { TreesRevision = new TreesRevision(1, 2), Shards = [new Shard(1, ["a"], [])] });

        Assert.Contains(cluster.Hosts["a"].Status().Troubles, t => t.Contains("not every host is connected with root a", StringComparison.Ordinal));
        await ReduceAllAsync(workers, 0);
    }

    [Fact]
    public async Task Strangers_OnTheDataPort_AreRefusedAndCountedAndDisturbNobody()
    {
        await using var cluster = await LoopbackCluster.StartAsync("a", "b");
        var job = cluster.Job("j", 1, ["a", "b"], LoopbackCluster.Direct(["a", "b"]));
        cluster.Apply(job);
        var workers = await cluster.JoinAllAsync(job);
        var random = new Random(2);
        for (var i = 0; i < 40; i++)
        {
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            socket.Connect(IPAddress.Loopback, cluster.Hosts["b"].DataPort);
            var bytes = new byte[random.Next(1, 300)];
            random.NextBytes(bytes);
            if (i % 2 == 0)
            {
                // The right start, but then no proof.
                socket.Send(new Hello(ConnectionRole.Data, 0, 1, 1, "a", "b", new byte[32], 1).Serialize());
            }

            socket.Send(bytes);
        }

        await ReduceAllAsync(workers, 0);
        await cluster.UntilAsync(() => cluster.Hosts["b"].RefusedConnections >= 40);
    }

    [Fact]
    public async Task Worker_SayingNonsense_IsSentAwayAndDisturbsNobodyElse()
    {
        await using var cluster = await LoopbackCluster.StartAsync("a", "b");
        var job = cluster.Job("j", 1, ["a", "b"], LoopbackCluster.Direct(["a", "b"]));
        var other = cluster.Job("k", 2, ["a", "b"], LoopbackCluster.Direct(["a", "b"]));
        cluster.Apply(job, other);
        var calm = await cluster.JoinAllAsync(other);
        string[] nonsense =
        [
            "x\n", "{}\n", "[]\n", "null\n", "{\"type\":\"dance\"}\n", "{\"type\":\"open\",\"stream\":0,\"bytes\":-1}\n", "{\"type\":\"open\",\"stream\":0,\"bytes\":99999999999999}\n",
            "{\"type\":\"reduce\",\"stream\":0,\"round\":0,\"bytes\":4,\"dtype\":\"float32\",\"op\":\"sum\"}\n", "{\"type\":\"reduce\",\"stream\":5}\n",
            "{\"type\":\"join\",\"protocol\":1,\"job\":\"j\"}\n", new string('z', 70_000),
        ];
        foreach (var text in nonsense)
        {
            using var worker = cluster.Join(job, 0);
            worker.SendRaw(System.Text.Encoding.UTF8.GetBytes(text));
            Assert.Equal("refused", worker.Receive().Type);
            Assert.Throws<EndOfStreamException>(() => worker.Receive());
            await cluster.UntilAsync(() => !cluster.Hosts["a"].Status().Workers[0].Joined);
        }

        await ReduceAllAsync(calm, 0);
        await ReduceAllAsync(await cluster.JoinAllAsync(job), 0);
    }

    [Fact]
    public async Task StartAsync_WorkerSocketInUse_SaysSo_AndAStaleOneIsTakenOver()
    {
        await using var cluster = await LoopbackCluster.StartAsync("a");
        var options = new AggregationOptions { Host = "z", Listen = new IPEndPoint(IPAddress.Loopback, 0), WorkerSocket = cluster.SocketOf("a") };
        await using var second = new AggregationHost(options, TimeProvider.System, Microsoft.Extensions.Logging.Abstractions.NullLogger<AggregationHost>.Instance);

        var fault = await Assert.ThrowsAsync<IOException>(() => second.StartAsync(CancellationToken.None));
        Assert.Contains("Another agent listens on the worker socket", fault.Message, StringComparison.Ordinal);

        using (var stale = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            stale.Bind(new UnixDomainSocketEndPoint(cluster.SocketOf("stale")));
        }

        await using var third = new AggregationHost(options with { WorkerSocket = cluster.SocketOf("stale") }, TimeProvider.System, Microsoft.Extensions.Logging.Abstractions.NullLogger<AggregationHost>.Instance);
        await third.StartAsync(CancellationToken.None);
    }

    internal static async Task ReduceAllAsync(TestWorker[] workers, int round)
    {
        var results = await Task.WhenAll(workers.Select(w => LoopbackCluster.Start(() => w.AllReduce(AllReduceTests.Values(w.Rank, round, 5000)))));
        Assert.All(results, r => Assert.Equal(AllReduceTests.Sum(workers.Length, round, 5000), r));
    }
}
