using System.Text;
using System.Text.Json;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Client;
using static MLNet.SDN.Tests.Aggregation.ParameterRun;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>Workers in C#, alone and beside one in Python, with the Python library's parameter server and real agents over loopback. All numbers are whole, so every sum is exact.</summary>
public sealed class ParameterWorkerTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task BulkSynchronous_WorkersPushWhatFollowsFromWhatTheyPulled_EveryPullOfEveryWorkerIsExact(bool withPython)
    {
        const int Rounds = 24;
        await using var run = await ParameterRun.StartAsync(new { });
        var expected = BulkValues(Rounds);
        using var python = withPython ? run.Python("bulk", 1, Rounds) : null;
        var reached = Enumerable.Range(0, Rounds + 1).Select(_ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).ToArray(); // by rank 2
        var restarts = AgentsAreStartedAnewAsync(withPython ? [] : ["b", "c", "a"]);
        var workers = run.Ranks(withPython).Select(async rank =>
        {
            await using var worker = await run.JoinAsync(rank);
            Assert.Equal((rank, 3, 0, null), (worker.Rank, worker.WorldSize, worker.Staleness, worker.Deadline));
            Assert.Equal(["float32 x 15, of shape (3, 5)", "float64 x 7, of shape (7)", "float32 x 3001, of shape (3001)"], worker.Parameters.Select(p => p.ToString()));
            Assert.All(Tensors, t => Assert.Equal(-1, worker.Version(t.Key)));
            for (var number = 0; number <= Rounds; number++)
            {
                if (rank == 2)
                {
                    reached[number].SetResult();
                }

                // Different parameters at once.
                await Task.WhenAll(Tensors.Select(async tensor =>
                {
                    var (values, version) = await run.PullAsync(worker, tensor.Key);
                    Assert.Equal((number, number), (version, worker.Version(tensor.Key)));
                    Assert.Equal(expected[number][tensor.Key], values);
                    if (number < Rounds)
                    {
                        await run.PushAsync(worker, tensor.Key, [.. values.Select(v => Gradient(v, rank, number))]);
                    }
                }));
            }

            await worker.CloseAsync(run.Patience);
        }).ToArray();
        if (python is not null)
        {
            await python.SaysAsync(line => line.GetProperty("round").GetInt32() == 6);
            await run.RestartAsync("b");
            for (var number = 7; number <= Rounds; number++)
            {
                var said = (await python.SaysAsync(line => line.GetProperty("round").GetInt32() == number)).GetProperty("pulled");
                Assert.All(Tensors, t => Assert.Equal(expected[number][t.Key], Numbers(said.GetProperty(t.Key))));
            }
        }

        await Task.WhenAll(workers);
        await restarts;
        var (final, updates) = await run.ServedAsync();
        Assert.All(Tensors, t => Assert.Equal(expected[Rounds][t.Key], final[t.Key]));
        Assert.All(Tensors, t => Assert.Equal(Rounds, updates[t.Key]));

        async Task AgentsAreStartedAnewAsync(string[] hosts)
        {
            for (var i = 0; i < hosts.Length; i++)
            {
                await reached[(i + 1) * 6].Task.WaitAsync(run.Patience);
                await run.RestartAsync(hosts[i]);
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task BoundedStaleness_OneWorkerIsLate_OthersRunAheadAsFarAsTheyMayAndEveryVersionIsExact(bool withPython)
    {
        const int Rounds = 16;
        const int Staleness = 3;
        await using var run = await ParameterRun.StartAsync(new { staleness = Staleness });
        using var python = withPython ? run.Python("constant", 1, Rounds) : null;
        var ahead = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var workers = run.Ranks(withPython).Select(async rank =>
        {
            await using var worker = await run.JoinAsync(rank);
            Assert.Equal((Staleness, null), (worker.Staleness, worker.Deadline));
            if (rank == 0)
            {
                await ahead.Task.WaitAsync(run.Patience);
            }

            for (var number = 0; number < Rounds; number++)
            {
                foreach (var (key, length) in Tensors)
                {
                    await run.PushAsync(worker, key, Constant(length, rank, number));
                    var pull = run.PullAsync(worker, key);
                    if (rank == 2 && number == Staleness && key == Tensors[0].Key)
                    {
                        // So far without rank 0, which has pushed nothing; not a round further.
                        Assert.False(pull.IsCompleted);
                        Assert.Equal(0, worker.Version(key));
                        await run.RestartAsync("c");
                        ahead.SetResult();
                    }

                    var (values, version) = await pull;
                    Assert.InRange(version, number + 1 - Staleness, Rounds);
                    Assert.Equal(ConstantValues(key, (int)version), values);
                }
            }

            await worker.CloseAsync(run.Patience);
        }).ToArray();
        for (var line = 0; python is not null && line < Rounds * Tensors.Length; line++)
        {
            var said = await python.SaysAsync(_ => true);
            var version = said.GetProperty("version").GetInt32();
            Assert.InRange(version, said.GetProperty("clock").GetInt32() - Staleness, Rounds);
            Assert.Equal(ConstantValues(said.GetProperty("key").GetString()!, version), Numbers(said.GetProperty("pulled")));
        }

        await Task.WhenAll(workers);
        var (final, updates) = await run.ServedAsync();
        Assert.All(Tensors, t => Assert.Equal(ConstantValues(t.Key, Rounds), final[t.Key]));
        Assert.All(Tensors, t => Assert.Equal(Rounds, updates[t.Key]));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Deadline_OneWorkerIsLate_OthersDoNotWaitAndEachPushCountsOnce(bool withPython)
    {
        const int Rounds = 12;
        await using var run = await ParameterRun.StartAsync(new { deadline = 0.02 });
        using var python = withPython ? run.Python("constant", 1, Rounds) : null;
        var othersAreDone = new CountdownEvent(withPython ? 1 : 2);
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var workers = run.Ranks(withPython).Select(async rank =>
        {
            await using var worker = await run.JoinAsync(rank);
            Assert.Equal((0, TimeSpan.FromSeconds(0.02)), (worker.Staleness, worker.Deadline));
            if (rank == 0)
            {
                await done.Task.WaitAsync(run.Patience);
            }

            for (var number = 0; number < Rounds; number++)
            {
                foreach (var (key, length) in Tensors)
                {
                    var (_, before) = await run.PullAsync(worker, key);
                    await run.PushAsync(worker, key, Constant(length, rank, number));
                    while (rank != 0 && number % 3 == 0 && worker.Version(key) == before)
                    {
                        // Comes although rank 0 has nothing. In the other rounds several pushes may go as one.
                        await Task.Delay(1, run.Patience);
                    }

                    var (values, _) = await run.PullAsync(worker, key);
                    Assert.Equal(values[0] + ((length - 1) % 11), values[^1]); // one update for all elements, or none
                }
            }

            if (rank != 0 && othersAreDone.Signal())
            {
                // Of this very worker: what it pushed is in a round under way, or waits for the next.
                await run.RestartAsync("c");
                done.SetResult();
            }

            await worker.CloseAsync(run.Patience);
        }).ToArray();

        await Task.WhenAll(workers);
        var (final, updates) = await run.ServedAsync();
        Assert.All(Tensors, t =>
        {
            Assert.Equal(ConstantValues(t.Key, Rounds), final[t.Key]);
            Assert.InRange(updates[t.Key], 1, 3 * Rounds);
        });
    }

    [Theory]
    [InlineData(null)]
    [InlineData(0.01)]
    public async Task ServerIsKilled_EveryWorkerHearsItByName_AndEveryLaterCallSaysTheSame(double? deadline)
    {
        await using var run = await ParameterRun.StartAsync(new { deadline });
        var workers = await Task.WhenAll(run.Ranks(false).Select(run.JoinAsync));
        await Task.WhenAll(workers.Select(async worker =>
        {
            await run.PushAsync(worker, "bias", new double[7]);
            await run.PullAsync(worker, "bias");
        }));

        var heard = new WorkerException[workers.Length];
        run.Server.Kill();

        await Task.WhenAll(workers.Select(async worker =>
        {
            heard[worker.Rank] = await Assert.ThrowsAsync<WorkerException>(async () =>
            {
                while (true)
                {
                    await run.PushAsync(worker, "bias", new double[7]);
                    await run.PullAsync(worker, "bias");
                    await Task.Yield();
                }
            });
        }));

        // Nobody goes before all have heard.
        await Task.WhenAll(workers.Select(async worker =>
        {
            var error = heard[worker.Rank];
            Assert.Equal(WorkerError.RoundFailed, error.Error);
            Assert.Contains("the server (rank 3) on a is gone", error.Message, StringComparison.Ordinal);
            Assert.Same(error, await Assert.ThrowsAsync<WorkerException>(() => run.PullAsync(worker, "weight")));
            Assert.Same(error, await Assert.ThrowsAsync<WorkerException>(() => run.PushAsync(worker, "bias", new double[7])));
            Assert.Same(error, Assert.Throws<WorkerException>(() => worker.Version("weight")));
            Assert.Same(error, await Assert.ThrowsAsync<WorkerException>(() => worker.CloseAsync(run.Patience)));
        }));
    }

    [Fact]
    public async Task Deadline_AgentEndsForGoodWhileNoRoundIsDue_EveryCallSaysSoAndNothingIsPushedIntoTheVoid()
    {
        await using var run = await ParameterRun.StartAsync(new { deadline = 3600.0 });
        var workers = await Task.WhenAll(run.Ranks(false).Select(r => ParameterWorker.JoinAsync(run.Options(r) with { RestartPatience = TimeSpan.Zero }, run.Patience)));
        var worker = workers[1];

        await run.RestartAsync("b");

        // Nothing goes on in the background that could notice.
        WorkerException? error = null;
        while (error is null)
        {
            run.Patience.ThrowIfCancellationRequested();
            error = Record.Exception(() => worker.Version("bias")) as WorkerException;
            await Task.Yield();
        }

        Assert.Equal(WorkerError.AgentUnavailable, error.Error);
        Assert.Equal(WorkerError.AgentUnavailable, (await Assert.ThrowsAsync<WorkerException>(() => run.PushAsync(worker, "bias", new double[7]))).Error);
        Assert.Equal(WorkerError.AgentUnavailable, (await Assert.ThrowsAsync<WorkerException>(() => run.PullAsync(worker, "bias"))).Error);
        await Task.WhenAll(workers.Select(w => w.DisposeAsync().AsTask()));
    }

    [Theory]
    [InlineData(null)]
    [InlineData(0.01)]
    public async Task DisposeAsync_WithoutGoodbye_OthersHearThatTheWorkerIsGone(double? deadline)
    {
        await using var run = await ParameterRun.StartAsync(new { deadline });
        var workers = await Task.WhenAll(run.Ranks(false).Select(run.JoinAsync));
        await Task.WhenAll(workers.Select(w => run.PushAsync(w, "bias", new double[7])));

        await workers[1].DisposeAsync();

        Assert.Equal(WorkerError.JobClosed, Assert.Throws<WorkerException>(() => workers[1].Version("bias")).Error);
        Assert.Equal(WorkerError.JobClosed, (await Assert.ThrowsAsync<WorkerException>(() => run.PushAsync(workers[1], "bias", new double[7]))).Error);
        await Task.WhenAll(new[] { workers[0], workers[2] }.Select(async worker =>
        {
            // The server ends with the first round that fails, and the other one with its error: either may be heard of first.
            var error = await Assert.ThrowsAsync<WorkerException>(() => worker.CloseAsync(run.Patience));
            Assert.Equal(WorkerError.RoundFailed, error.Error);
            Assert.Matches("rank 1 on b is gone|the server [(]rank 3[)] on a is gone|rank [02] on [ac] left the job", error.Message);
            await worker.DisposeAsync();
        }));

        Assert.Contains("rank 1 on b is gone: its process ended without leaving", await run.Server.FailsAsync(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null)]
    [InlineData(0.01)]
    public async Task Misuse_OfAnyKind_IsOneClearErrorAndPushesNothing(double? deadline)
    {
        await using var run = await ParameterRun.StartAsync(new { deadline });
        var mistaken = await Assert.ThrowsAsync<WorkerException>(() => WorkerJob.JoinAsync(run.Options(0), run.Patience));
        Assert.Equal(WorkerError.Refused, mistaken.Error);
        Assert.Contains("has a parameter server: join it with mlnet.worker(), in C# with ParameterWorker.JoinAsync()", mistaken.Message, StringComparison.Ordinal);
        mistaken = await Assert.ThrowsAsync<WorkerException>(() => ParameterWorker.JoinAsync(run.Options(0) with { Job = "plain" }, run.Patience));
        Assert.Equal(WorkerError.Refused, mistaken.Error);
        Assert.Contains("has no parameter server", mistaken.Message, StringComparison.Ordinal);

        // Gives up before the others come, and is waited for.
        mistaken = await Assert.ThrowsAsync<WorkerException>(() => ParameterWorker.JoinAsync(run.Options(0) with { Timeout = TimeSpan.FromSeconds(0.5) }, run.Patience));
        Assert.Equal(WorkerError.NotReady, mistaken.Error);
        Assert.Contains("after 0.5 s its server does not serve yet, or some worker has not asked it", mistaken.Message, StringComparison.Ordinal);

        await Task.WhenAll(run.Ranks(false).Select(async rank =>
        {
            await using var worker = await run.JoinAsync(rank);
            var unknown = await Assert.ThrowsAsync<KeyNotFoundException>(() => worker.PullAsync<float>("v", new float[1]));
            Assert.Contains("no parameter 'v'; it has bias, head, weight", unknown.Message, StringComparison.Ordinal);
            await Assert.ThrowsAsync<KeyNotFoundException>(() => worker.PushAsync<float>("v", new float[1]));
            Assert.Throws<KeyNotFoundException>(() => worker.Version("v"));
            await MismatchAsync("the gradient of 'weight' is float64 x 15; the parameter is float32 x 15, of shape (3, 5)", () => worker.PushAsync<double>("weight", new double[15]));
            await MismatchAsync("the gradient of 'weight' is float32 x 14; the parameter is float32 x 15", () => worker.PushAsync<float>("weight", new float[14]));
            await MismatchAsync("is Int32 x 15; the parameter", () => worker.PushAsync<int>("weight", new int[15]));
            await MismatchAsync("the memory for the values of 'bias' is float32 x 7; the parameter is float64 x 7", () => worker.PullAsync<float>("bias", new float[7]));

            // Values before any push are the server's.
            var (values, version) = await run.PullAsync(worker, "bias");
            Assert.Equal(Initial(7), values);
            Assert.True(deadline is not null || version == 0);
            await run.PushAsync(worker, "bias", Constant(7, rank, 0));
            await worker.CloseAsync(run.Patience);
            await worker.CloseAsync(run.Patience);
            var left = await Assert.ThrowsAsync<WorkerException>(() => run.PushAsync(worker, "bias", new double[7]));
            Assert.Equal((WorkerError.JobClosed, "this worker has left job ps; join it again"), (left.Error, left.Message));
            await Assert.ThrowsAsync<WorkerException>(() => run.PullAsync(worker, "bias"));
        }));

        var (final, updates) = await run.ServedAsync();
        Assert.Equal(ConstantValues("bias", 1), final["bias"]);
        Assert.Equal(0, updates["weight"] + updates["head"]);
    }

    [Fact]
    public async Task PushAsync_CancelledWhileItWaits_PushesNothing()
    {
        await using var run = await ParameterRun.StartAsync(new { });
        var workers = await Task.WhenAll(run.Ranks(false).Select(run.JoinAsync));
        using var impatience = new CancellationTokenSource();
        await run.PushAsync(workers[0], "bias", Constant(7, 0, 0));
        var second = workers[0].PushAsync<double>("bias", Constant(7, 100, 100), impatience.Token);
        Assert.False(second.IsCompleted);
        var pull = workers[0].PullAsync<double>("bias", new double[7], impatience.Token);

        await impatience.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => second);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => pull);
        await Task.WhenAll(workers.Select(async worker =>
        {
            if (worker.Rank != 0)
            {
                await run.PushAsync(worker, "bias", Constant(7, worker.Rank, 0));
            }

            await run.PushAsync(worker, "bias", Constant(7, worker.Rank, 1));
            Assert.Equal(ConstantValues("bias", 2), (await run.PullAsync(worker, "bias")).Values);
            await worker.CloseAsync(run.Patience);
        }));
        Assert.Equal(ConstantValues("bias", 2), (await run.ServedAsync()).Final["bias"]);
    }

    [Theory]
    [InlineData(7, 2, 1, "", "magic is 0x7; it must be 0x5350544E4C4D: serve with mlnet.serve()")]
    [InlineData(ParameterLayout.Magic, 3, 1, "", "version of parameter exchange is 3; this library speaks 2")]
    [InlineData(ParameterLayout.Magic, 2, long.MaxValue, "", "bytes of the description is 9223372036854775807; it must be 1 to")]
    [InlineData(ParameterLayout.Magic, 2, 14, "{\"staleness\":2", "description is")]
    [InlineData(ParameterLayout.Magic, 2, 13, "{\"deadline\":2}", "description is")] // cut off
    public async Task JoinAsync_WhatTheServerSaysIsNoLayout_IsOneClearErrorAtEveryWorker(long magic, long version, long bytes, string description, string expected)
    {
        await using var run = await ParameterRun.StartAsync(null);
        await using var server = await WorkerJob.JoinAsync(run.Options(null), "server", run.Patience);
        var joining = run.Ranks(false).Select(rank => Assert.ThrowsAsync<WorkerException>(() => run.JoinAsync(rank))).ToArray();
        var head = await server.BeginAsync(ParameterLayout.Control, ReduceOperation.Pull, ElementType.Int64, 3, Bytes([magic, version, bytes]), run.Patience);
        await head.Over.WaitAsync(run.Patience);
        if (description.Length > 0)
        {
            var words = new byte[(bytes + 3) / 4 * 4];
            Encoding.UTF8.GetBytes(description).AsSpan(0, (int)bytes).CopyTo(words);
            await server.BeginAsync(ParameterLayout.Control, ReduceOperation.Pull, ElementType.Int32, words.Length / 4, words, run.Patience);
        }

        foreach (var worker in joining)
        {
            var error = await worker;
            Assert.Equal(WorkerError.Other, error.Error);
            Assert.StartsWith($"the server of job ps cannot be worked with: {expected}", error.Message, StringComparison.Ordinal);
        }
    }

    private static async Task MismatchAsync(string expected, Func<Task> call)
    {
        var error = await Assert.ThrowsAsync<WorkerException>(call);
        Assert.Equal(WorkerError.ShapeMismatch, error.Error);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    private static byte[] Bytes(long[] words) => [.. words.SelectMany(BitConverter.GetBytes)];

    private static double[] Initial(int length) => [.. Enumerable.Range(0, length).Select(i => (i % 11) - 5.0)];

    private static double[] Constant(int length, int rank, int number) => [.. Enumerable.Repeat((rank + 1.0) * (number + 1), length)];

    /// <summary>After so many rounds of <see cref="Constant"/> of all three.</summary>
    private static double[] ConstantValues(string key, int rounds) => [.. Initial(Tensors.Single(t => t.Key == key).Length).Select(v => v - (6.0 * rounds * (rounds + 1) / 2))];

    private static double Gradient(double value, int rank, int number) => (((((value + (3 * rank) + number) % 5) + 5) % 5) - 1);

    private static Dictionary<string, double[]>[] BulkValues(int rounds)
    {
        var values = new Dictionary<string, double[]>[rounds + 1];
        values[0] = Tensors.ToDictionary(t => t.Key, t => Initial(t.Length));
        for (var number = 0; number < rounds; number++)
        {
            var before = values[number];
            values[number + 1] = before.ToDictionary(t => t.Key, t => t.Value.Select(v => v - Enumerable.Range(0, 3).Sum(rank => Gradient(v, rank, number))).ToArray());
        }

        return values;
    }
}
