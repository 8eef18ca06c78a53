using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Client;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>The C# client with real agents over loopback.</summary>
public class WorkerJobTests
{
    private static readonly string[] Hosts = ["a", "b", "c"];

    [Fact]
    public async Task Reduce_EveryTypeAndOperation_IsThatOfTheReferenceAtEveryWorker()
    {
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        // Two workers on one host, an inner node, a helper-free chain, and chunks that 16-bit partial sums fill.
        var job = cluster.Job("j", 1, ["a", "b", "c", "a"], [new Shard(1, ["a"], [new("b", "a"), new("c", "b")]), new Shard(2, ["c"], [new("b", "c"), new("a", "b")])], chunkBytes: 64);
        cluster.Apply(job);
        await using var workers = await Workers.JoinAsync(cluster, job);

        foreach (var operation in Enum.GetValues<ReduceOperation>().Where(o => !Elements.NeedsServer(o)))
        {
            foreach (var deterministic in new[] { false, true })
            {
                await CheckAsync<float>(workers, ElementType.Float32, operation, deterministic);
                await CheckAsync<double>(workers, ElementType.Float64, operation, deterministic);
                await CheckAsync<Half>(workers, ElementType.Float16, operation, deterministic);
                await CheckAsync<ushort>(workers, ElementType.BFloat16, operation, deterministic);
                await CheckAsync<int>(workers, ElementType.Int32, operation, deterministic);
                await CheckAsync<long>(workers, ElementType.Int64, operation, deterministic);
            }
        }
    }

    [Fact]
    public async Task ReduceAsync_StreamsOverlapAndGrow_AndRoundsOfOneStreamFollowEachOther()
    {
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        await using var workers = await Workers.DirectAsync(cluster);

        await Task.WhenAll(workers.All.Select(async worker =>
        {
            // All at once: those of one stream wait for each other by themselves.
            await Task.WhenAll(Enumerable.Range(0, 24).Select(async i =>
            {
                var values = AllReduceTests.Values(worker.Rank, i, 300 * (i + 1));
                await worker.ReduceAsync<float>(values, stream: (uint)(i % 4), cancellationToken: TestContext.Current.CancellationToken);
                Assert.Equal(AllReduceTests.Sum(3, i, values.Length), values);
            }));
        }));
    }

    [Fact]
    public async Task ReduceAsync_Cancelled_TheNextCallOfTheStreamWaitsForTheRound()
    {
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        var job = cluster.Job("j", 1, ["a", "b"], [new Shard(1, ["a"], [new("b", "a"), new("c", "b")])]);
        cluster.Apply(job);
        await using var workers = await Workers.JoinAsync(cluster, job);
        using var impatience = new CancellationTokenSource();

        var first = workers.All[0].ReduceAsync<int>(new[] { 1 }, cancellationToken: impatience.Token);
        await impatience.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
        int[] mine = [3];
        var second = workers.All[0].ReduceAsync<int>(mine, cancellationToken: TestContext.Current.CancellationToken);
        foreach (var (value, sum) in new[] { (10, 11), (20, 23) })
        {
            int[] values = [value];
            workers.All[1].Reduce<int>(values, values);
            Assert.Equal(sum, values[0]);
        }

        await second;
        Assert.Equal(23, mine[0]);
    }

    [Fact]
    public async Task ReduceAsync_ShapesDifferThenAgentEndsForGood_ErrorsSayWhat()
    {
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        await using var workers = await Workers.DirectAsync(cluster, TimeSpan.FromSeconds(0.5));

        var mismatch = await Task.WhenAll(workers.All.Select(w => Assert.ThrowsAsync<WorkerException>(() => w.ReduceAsync<int>(new int[10 + w.Rank % 2]))));
        Assert.All(mismatch, e => Assert.Equal(WorkerError.ShapeMismatch, e.Error));
        Assert.Contains("rank 1 reduces int32 x 11", mismatch[0].Message, StringComparison.Ordinal);

        var waiting = workers.All[0].ReduceAsync<int>(new int[10]);
        await cluster.StopAsync("a");
        Assert.Contains((await Assert.ThrowsAsync<WorkerException>(() => waiting)).Error, new[] { WorkerError.AgentUnavailable, WorkerError.JobClosed });
        await Assert.ThrowsAsync<WorkerException>(() => workers.All[0].ReduceAsync<int>(new int[10]));
    }

    [Theory]
    [InlineData("a")]
    [InlineData("b")]
    [InlineData("c")]
    public async Task ReduceAsync_AgentIsStartedAnewAgainAndAgain_EveryRoundIsExactAndNobodyHearsOfIt(string host)
    {
        const int Rounds = 60;
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        var job = cluster.Job("j", 1, ["a", "b", "c", "a"], [new Shard(1, ["a"], [new("b", "a"), new("c", "b")]), new Shard(2, ["c"], [new("b", "c"), new("a", "b")])], chunkBytes: 256);
        cluster.Apply(job);
        await using var workers = await Workers.JoinAsync(cluster, job);
        var round = 0;

        var reducing = Task.WhenAll(workers.All.Select(worker => Task.WhenAll(Enumerable.Range(0, 3).Select(async stream =>
        {
            for (var i = 0; i < Rounds; i++)
            {
                // Longer every time, so that memory is often being replaced.
                var values = AllReduceTests.Values(worker.Rank, i, 500 * (1 + (i % 20)) * (1 + (i / 20)));
                await worker.ReduceAsync<float>(values, stream: (uint)stream, cancellationToken: TestContext.Current.CancellationToken);
                Assert.Equal(AllReduceTests.Sum(4, i, values.Length), values);
                await Task.Delay(5, TestContext.Current.CancellationToken);
                _ = Interlocked.Increment(ref round);
            }
        }))));
        for (var restart = 0; restart < 4; restart++)
        {
            var before = Volatile.Read(ref round);
            await cluster.RestartAsync(host, job);
            await cluster.UntilAsync(() => Volatile.Read(ref round) > before + 60 || reducing.IsCompleted);
        }

        await reducing;
    }

    [Fact]
    public async Task DisposeAsync_WhileTheAgentIsAway_EndsAtOnceAndSaysSoToWhoWaits()
    {
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        await using var workers = await Workers.DirectAsync(cluster, TimeSpan.FromDays(1));
        var waiting = workers.All[2].ReduceAsync<int>(new int[10], cancellationToken: TestContext.Current.CancellationToken);
        await cluster.StopAsync("c");
        await Task.Delay(300, TestContext.Current.CancellationToken);
        Assert.False(waiting.IsCompleted);

        await workers.All[2].DisposeAsync();

        Assert.Equal(WorkerError.JobClosed, (await Assert.ThrowsAsync<WorkerException>(() => waiting)).Error);
    }

    [Fact]
    public async Task ReduceAsync_AgentComesBackAndIsNotToldOfTheJob_AnErrorSaysThatItEnded()
    {
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        await using var workers = await Workers.DirectAsync(cluster, TimeSpan.FromSeconds(1));
        var waiting = workers.All[2].ReduceAsync<int>(new int[10], cancellationToken: TestContext.Current.CancellationToken);

        // One that has not been told of the job.
        await cluster.RestartAsync("c");

        Assert.Equal(WorkerError.AgentUnavailable, (await Assert.ThrowsAsync<WorkerException>(() => waiting)).Error);
    }

    [Fact]
    public async Task JoinAsync_NoAgentUnknownJobOrOtherSize_IsOneClearError()
    {
        await using var cluster = await LoopbackCluster.StartAsync("a");
        cluster.Apply(cluster.Job("j", 1, ["a"], [new Shard(1, ["a"], [])]));
        var options = new WorkerOptions { Job = "j", Socket = cluster.SocketOf("a"), Timeout = TimeSpan.FromSeconds(0.3) };

        var patience = await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => WorkerJob.JoinAsync(options with { RestartPatience = TimeSpan.FromDays(-1) }));
        Assert.Matches("RestartPatience must be 0 to 30 days[.](.|\n)*-1[.]00:00:00", patience.Message);
        var noSocket = await Assert.ThrowsAsync<WorkerException>(() => WorkerJob.JoinAsync(options with { Socket = new string('s', 200) }));
        Assert.Equal(WorkerError.AgentUnavailable, noSocket.Error);
        Assert.Contains("s cannot be used: ", noSocket.Message, StringComparison.Ordinal);
        var noAgent = await Assert.ThrowsAsync<WorkerException>(() => WorkerJob.JoinAsync(options with { Socket = cluster.SocketOf("none") }));
        Assert.Equal(WorkerError.AgentUnavailable, noAgent.Error);
        Assert.Matches("no agent listens on .*none[.]sock .*: start mlnet-agent", noAgent.Message);
        var unknown = await Assert.ThrowsAsync<WorkerException>(() => WorkerJob.JoinAsync(options with { Job = "other" }));
        Assert.Equal(WorkerError.UnknownJob, unknown.Error);
        Assert.Contains("(waited 0.3 s)", unknown.Message, StringComparison.Ordinal);
        var size = await Assert.ThrowsAsync<WorkerException>(() => WorkerJob.JoinAsync(options with { WorldSize = 3, Timeout = TimeSpan.FromMinutes(1) }));
        Assert.Contains("started 3 workers, but job j has 1", size.Message, StringComparison.Ordinal);
        await using var joined = await WorkerJob.JoinAsync(options with { Timeout = TimeSpan.FromMinutes(1) }, TestContext.Current.CancellationToken);
        await Assert.ThrowsAsync<ArgumentException>(() => joined.ReduceAsync<byte>(new byte[3]));
        await Assert.ThrowsAsync<ArgumentException>(() => joined.ReduceAsync<int>(Array.Empty<int>()));
        await Assert.ThrowsAsync<ArgumentException>(() => joined.ReduceAsync<ushort>(new ushort[3], type: ElementType.Float16));
    }

    [Theory]
    [InlineData("MLNET_JOB=j;RANK=2;WORLD_SIZE=4", "j", 2, 4)]
    [InlineData("TORCHELASTIC_RUN_ID=r;RANK=0", "r", 0, null)]
    [InlineData("SLURM_JOB_ID=7;SLURM_PROCID=1;SLURM_NTASKS=2", "slurm-7", 1, 2)]
    [InlineData("MLNET_JOB=j;OMPI_COMM_WORLD_RANK=3;OMPI_COMM_WORLD_SIZE=8;MLNET_RANK=5", "j", 5, 8)]
    public void FromEnvironment_Launchers_NameJobRankAndSize(string environment, string job, int? rank, int? size)
    {
        var variables = environment.Split(';').Append("MLNET_AGENT_SOCKET=/s").Select(v => v.Split('=')).ToDictionary(v => v[0], v => v[1]);

        var options = WorkerOptions.FromEnvironment(variables.GetValueOrDefault);

        Assert.Equal((job, rank, size, "/s"), (options.Job, options.Rank, options.WorldSize, options.Socket));
    }

    private static async Task CheckAsync<T>(Workers workers, ElementType type, ReduceOperation operation, bool deterministic)
        where T : unmanaged
    {
        const int N = 333;
        byte[][] contributions = [.. workers.All.Select(w => Reference.Encode(type, Enumerable.Range(0, N).Select(i => ((i * 31) + (w.Rank * 17)) % 900)))];
        var expected = Reference.Of<T>(Reference.Reduce(type, operation, contributions));
        await Task.WhenAll(workers.All.Select(async worker =>
        {
            var result = new T[N];
            await worker.ReduceAsync<T>(Reference.Of<T>(contributions[worker.Rank]), result, operation, 3, deterministic, type == ElementType.BFloat16 ? type : null);
            Assert.True(expected.AsSpan().SequenceEqual(result), $"{type} {operation} {deterministic}");
        }));
    }

    private sealed class Workers : IAsyncDisposable
    {
        public required WorkerJob[] All { get; init; }

        /// <summary>One on each host, directly sharded.</summary>
        public static Task<Workers> DirectAsync(LoopbackCluster cluster, TimeSpan? restartPatience = null)
        {
            var job = cluster.Job("j", 1, Hosts, LoopbackCluster.Direct(Hosts));
            cluster.Apply(job);
            return JoinAsync(cluster, job, restartPatience);
        }

        public static async Task<Workers> JoinAsync(LoopbackCluster cluster, AggregationJob job, TimeSpan? restartPatience = null)
        {
            var options = new WorkerOptions { Job = job.Name, Socket = "" };
            return new()
            {
                All = await Task.WhenAll(job.Members.Select(m => WorkerJob.JoinAsync(
                    options with { Rank = m.Rank, Socket = cluster.SocketOf(m.Host), RestartPatience = restartPatience ?? options.RestartPatience }))),
            };
        }

        public async ValueTask DisposeAsync()
        {
            foreach (var worker in All)
            {
                await worker.DisposeAsync();
            }
        }
    }
}
