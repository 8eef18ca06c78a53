using System.Globalization;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.SystemTests.Aggregation;

/// <summary>Real agents, the real library, real network namespaces.</summary>
[Collection(nameof(AgentFabric))]
public sealed class TrainingRoundsTests
{
    private const int Workers = 10;
    private const int Rounds = 200;

    /// <summary>Sizes from 1 element to 4 million, the same at every rank; half of them spread evenly over the magnitudes. The largest is round 12.</summary>
    private const string RandomSizes = """
        import random, sys, time, numpy, mlnet
        rounds = int(sys.argv[1])
        with mlnet.join(timeout=60) as job:
            common, own = random.Random(7), random.Random(job.rank)
            world = job.world_size
            for number in range(rounds):
                size = common.choice([common.randint(1, 4_000_000), int(10 ** common.uniform(0, 6.602))])
                size = 4_000_000 if number == 12 else 1 if number == 5 else size
                pattern = numpy.arange(size, dtype=numpy.float32) % 1009
                if own.random() < 0.1:
                    time.sleep(own.uniform(0, 0.3))
                result = job.allreduce(pattern * (job.rank + 1) + number)
                expected = pattern * (world * (world + 1) // 2) + world * number
                if not numpy.array_equal(result, expected):
                    print(f"wrong in round {number} of {size} elements", flush=True)
                    sys.exit(1)
                print(f"round {number} right", flush=True)
            sys.stdin.readline()
        """;

    private const string UntilFailure = """
        import time, numpy, mlnet
        with mlnet.join(timeout=60) as job:
            for number in range(100_000):
                try:
                    job.allreduce(numpy.ones(50_000, numpy.float32))
                except mlnet.RoundFailed as failure:
                    print(f"failed: {failure}", flush=True)
                    break
                if number == 20:
                    print("in the middle", flush=True)
        """;

    [Fact]
    public async Task TenWorkers_RandomSizesAndPauses_EveryResultRightAndMemoryFlat()
    {
        await using var fabric = await AgentFabric.StartAsync(Workers, Workers, Chains);
        var workers = Enumerable.Range(0, Workers).Select(rank => fabric.StartWorker(rank, RandomSizes, Rounds.ToString(CultureInfo.InvariantCulture))).ToList();
        var highest = fabric.Hosts.ToDictionary(h => h, _ => 0L);

        await fabric.UntilAsync(
            () =>
            {
                foreach (var host in fabric.Hosts)
                {
                    highest[host] = Math.Max(highest[host], fabric.ResidentAnonymous(host));
                }

                return RightRounds(fabric, host: "n0") >= 20;
            },
            "round 20");
        await fabric.UntilAsync(() => fabric.Hosts.All(h => RightRounds(fabric, h) == Rounds) || workers.Any(w => w.HasExited), "the last round");

        Assert.DoesNotContain(fabric.Output(), line => line.Contains("wrong", StringComparison.Ordinal) || line.Contains("Error", StringComparison.Ordinal));
        Assert.All(fabric.Hosts, host => Assert.Equal(Rounds, RightRounds(fabric, host)));
        foreach (var host in fabric.Hosts)
        {
            // A collection may be due just now: the least of a few seconds is what the agent keeps.
            var after = fabric.ResidentAnonymous(host);
            for (var sample = 0; sample < 20 && after > 1.05 * highest[host]; sample++)
            {
                await Task.Delay(250, TestContext.Current.CancellationToken);
                after = Math.Min(after, fabric.ResidentAnonymous(host));
            }

            TestContext.Current.TestOutputHelper!.WriteLine($"{host}: {highest[host] >> 10} KiB at most in rounds 1 to 20, {after >> 10} KiB after round {Rounds}");
            Assert.True(after <= 1.05 * highest[host], $"{host}: {after} bytes after round {Rounds}, {highest[host]} at most in rounds 1 to 20");
        }

        foreach (var worker in workers)
        {
            worker.StandardInput.Close();
            await worker.WaitForExitAsync(TestContext.Current.CancellationToken);
            Assert.Equal(0, worker.ExitCode);
        }
    }

    [Fact]
    public async Task WorkerKilled_EveryOtherWorkerGetsAnErrorThatNamesIt()
    {
        await using var fabric = await AgentFabric.StartAsync(4, 4, Chains);
        var workers = Enumerable.Range(0, 4).Select(rank => fabric.StartWorker(rank, UntilFailure)).ToList();
        await fabric.UntilAsync(() => fabric.Output().Count(l => l.EndsWith("in the middle", StringComparison.Ordinal)) == 4, "all in the middle");

        workers[2].Kill();

        await fabric.UntilAsync(() => workers.All(w => w.HasExited), "all ended");
        foreach (var host in new[] { "n0", "n1", "n3" })
        {
            Assert.Contains(fabric.Output(), l => l.StartsWith($"{host}: failed: round ", StringComparison.Ordinal) && l.Contains("rank 2 on n2 is gone", StringComparison.Ordinal));
        }
    }

    [Theory]
    [InlineData("n3")] // a leaf or inner node with a worker
    [InlineData("n0")] // the host of rank 0, which decides for all
    [InlineData("n4")] // a helper: no worker dies, but nothing can be summed any more
    public async Task AgentKilled_EveryWorkerElsewhereGetsAnErrorThatNamesTheHost(string victim)
    {
        await using var fabric = await AgentFabric.StartAsync(5, 4, Chains);
        var workers = Enumerable.Range(0, 4).Select(rank => fabric.StartWorker(rank, UntilFailure)).ToList();
        await fabric.UntilAsync(() => fabric.Output().Count(l => l.EndsWith("in the middle", StringComparison.Ordinal)) == 4, "all in the middle");

        await fabric.KillAgentAsync(victim);

        await fabric.UntilAsync(() => workers.All(w => w.HasExited), "all ended");
        foreach (var host in fabric.Hosts.Take(4).Where(h => h != victim))
        {
            Assert.Contains(fabric.Output(), l => l.StartsWith($"{host}: failed: round ", StringComparison.Ordinal) && l.Contains(victim, StringComparison.Ordinal));
        }
    }

    private static int RightRounds(AgentFabric fabric, string host) => fabric.Output().Count(l => l.StartsWith($"{host}: round ", StringComparison.Ordinal));

    /// <summary>One shard rooted at each host; the others in three chains to it, so that every host is root, inner node and leaf.</summary>
    private static List<ShardTree> Chains(IReadOnlyList<string> hosts)
    {
        var shards = new List<ShardTree>();
        for (var root = 0; root < hosts.Count; root++)
        {
            var order = hosts.Skip(root).Concat(hosts.Take(root)).ToList();
            shards.Add(new ShardTree
            {
                Weight = 1,
                Roots = [order[0]],
                Edges = [.. order.Skip(1).Select((host, i) => new TreeEdge(host, i < 3 ? order[0] : order[i - 2]))],
            });
        }

        return shards;
    }
}
