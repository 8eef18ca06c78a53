using MLNet.SDN.Aggregation;

namespace MLNet.SDN.Tests.Aggregation;

public class AllReduceTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public async Task AllReduce_RandomTreesSizesAndStripes_SumsExactly(int seed)
    {
        var random = new Random(seed);
        string[] hosts = ["a", "b", "c", "d", "e"];
        await using var cluster = await LoopbackCluster.StartAsync(hosts);
        var workers = Enumerable.Range(0, random.Next(2, 8)).Select(_ => hosts[random.Next(hosts.Length)]).ToArray();
        var shards = Enumerable.Range(0, random.Next(1, 5)).Select(_ => Model.RandomJobs.Tree(random, hosts)).ToArray();
        var job = cluster.Job("j", 1, workers, shards, chunkBytes: 8 * random.Next(1, 60), window: random.Next(1, 5), stripes: random.Next(1, 4));
        cluster.Apply(job);
        var joined = await cluster.JoinAllAsync(job);
        var sizes = Enumerable.Range(0, 12).Select(i => i == 0 ? 1 : random.Next(1, 5000)).ToArray();

        var results = await Task.WhenAll(joined.Select(worker => LoopbackCluster.Start(() =>
            sizes.Select((n, round) => worker.AllReduce(Values(worker.Rank, round, n))).ToArray())));

        for (var round = 0; round < sizes.Length; round++)
        {
            var expected = Sum(workers.Length, round, sizes[round]);
            foreach (var result in results)
            {
                Assert.Equal(expected, result[round]);
            }
        }

        foreach (var worker in joined)
        {
            worker.Dispose();
        }
    }

    [Fact]
    public async Task AllReduce_Mean_IsTheSumDividedByTheWorkers()
    {
        string[] hosts = ["a", "b", "c"];
        await using var cluster = await LoopbackCluster.StartAsync(hosts);
        var job = cluster.Job("j", 1, ["a", "b", "c", "a"], LoopbackCluster.Direct(hosts));
        cluster.Apply(job);
        var workers = await cluster.JoinAllAsync(job);

        var results = await Task.WhenAll(workers.Select(w => LoopbackCluster.Start(() => w.AllReduce(Values(w.Rank, 0, 999), "mean"))));

        var expected = Sum(4, 0, 999).Select(v => v / 4).ToArray();
        Assert.All(results, r => Assert.Equal(expected, r));
    }

    [Fact]
    public async Task AllReduce_TwoJobsAndOverlappingStreams_DoNotMix()
    {
        string[] hosts = ["a", "b", "c"];
        await using var cluster = await LoopbackCluster.StartAsync(hosts);
        var one = cluster.Job("one", 1, ["a", "b", "c"], LoopbackCluster.Direct(hosts));
        var two = cluster.Job("two", 2, ["c", "a"], [new Shard(1, ["b"], [new("a", "b"), new("c", "a")])], chunkBytes: 64);
        cluster.Apply(one, two);
        var workers = (await cluster.JoinAllAsync(one)).Select(w => (w, Salt: 0)).Concat((await cluster.JoinAllAsync(two)).Select(w => (w, Salt: 1000))).ToArray();

        await Task.WhenAll(workers.Select(pair => LoopbackCluster.Start(() =>
        {
            var (worker, salt) = pair;
            for (var step = 0; step < 10; step++)
            {
                // Three rounds of three streams are under way at once.
                var rounds = Enumerable.Range(0, 3).Select(s => worker.Submit(Values(worker.Rank, salt + (step * 3) + s, 700 + (100 * s)), "sum", (uint)s)).ToArray();
                for (var s = 2; s >= 0; s--)
                {
                    Assert.Equal(Sum(worker.WorldSize, salt + (step * 3) + s, 700 + (100 * s)), worker.Await((uint)s, rounds[s], 700 + (100 * s)));
                }
            }
        })));
    }

    [Fact]
    public async Task AllReduce_TreesAndCodePointChangeMeanwhile_StaysExactAndAHelperIsLetGo()
    {
        string[] hosts = ["a", "b", "c", "helper"];
        await using var cluster = await LoopbackCluster.StartAsync(hosts);
        var first = cluster.Job("j", 1, ["a", "b", "c"], [new Shard(1, ["helper"], [new("a", "helper"), new("b", "helper"), new("c", "helper")])], window: 2);
        var second = cluster.Job("j", 1, ["a", "b", "c"], LoopbackCluster.Direct(["a", "b", "c"]), generation: 2, dscp: 34);
        second = second with { Endpoints = [.. second.Endpoints.Where(e => e.Host != "helper")] };
        cluster.Apply(first);
        var workers = await cluster.JoinAllAsync(first);
        using var half = new CountdownEvent(3);

        var training = Task.WhenAll(workers.Select(worker => LoopbackCluster.Start(() =>
        {
            for (var round = 0; round < 400; round++)
            {
                if (round == 20)
                {
                    half.Signal();
                }

                Assert.Equal(Sum(3, round, 3000), worker.AllReduce(Values(worker.Rank, round, 3000)));
            }
        })));
        half.Wait(TestContext.Current.CancellationToken);
        cluster.Hosts["a"].Apply([second]);
        cluster.Hosts["helper"].Apply([]);
        await Task.Delay(50, TestContext.Current.CancellationToken);
        cluster.Hosts["b"].Apply([second]);
        cluster.Hosts["c"].Apply([second]);
        await training;

        // Nothing goes through the helper any more, so its part of the job ends by itself.
        await cluster.UntilAsync(() => cluster.Hosts["helper"].Status().Transports.All(t => t.Connections == 0));
        var sent = cluster.Hosts["helper"].Status().Transports.Single().BytesSent;
        Assert.True(sent > 20 * 3000 * 4, "the helper had its part in the first rounds");
    }

    [Fact]
    public async Task Status_AfterRounds_TellsProgressAndBytes_AndConnectionsStayAttributed()
    {
        string[] hosts = ["a", "b"];
        await using var cluster = await LoopbackCluster.StartAsync(hosts);
        var job = cluster.Job("j", 9, ["a", "b"], [new Shard(1, ["a"], [new("b", "a")])], stripes: 1);
        cluster.Apply(job);
        var workers = await cluster.JoinAllAsync(job);
        const int Rounds = 5;
        const int Elements = 10_000;
        await Task.WhenAll(workers.Select(w => LoopbackCluster.Start(() =>
        {
            for (var round = 0; round < Rounds; round++)
            {
                w.AllReduce(Values(w.Rank, round, Elements));
            }

            w.Leave();
        })));
        await cluster.UntilAsync(() => cluster.Hosts.Values.All(h => h.Status().Workers.All(w => w.Left)));

        var status = cluster.Hosts["b"].Status();
        var worker = Assert.Single(status.Workers);
        Assert.Equal((9, 1, false, true, (long)Rounds), (worker.JobId, worker.Rank, worker.Joined, worker.Left, worker.RoundsDone));
        Assert.True(worker.SecondsPerRound > 0 && worker.CommunicationSeconds > 0);
        var open = Assert.Single(status.Transports);
        Assert.Equal((9, 2), (open.JobId, open.Connections));
        const long Payload = Rounds * Elements * 4L;
        Assert.InRange(open.BytesSent, Payload, Payload + 60_000);
        Assert.True(open.SegmentsSent > 0);

        cluster.Apply();
        var closed = Assert.Single(cluster.Hosts["b"].Status().Transports);
        await cluster.UntilAsync(() => cluster.Hosts["b"].Status().Transports.Single().Connections == 0);
        Assert.InRange(cluster.Hosts["b"].Status().Transports.Single().BytesSent, open.BytesSent, open.BytesSent + 10_000);
    }

    [Fact]
    public async Task TryFindOwner_OpenAndClosedConnections_NamesJobAndRoleOnBothEnds()
    {
        string[] hosts = ["a", "b"];
        await using var cluster = await LoopbackCluster.StartAsync(hosts);
        var job = cluster.Job("j", 9, ["a", "b"], [new Shard(1, ["a"], [new("b", "a")])], stripes: 1);
        cluster.Apply(job);
        _ = await cluster.JoinAllAsync(job);

        // a dials the data connection (its name comes first), b dials the anchor's agent, a, for signalling.
        foreach (var (dialler, acceptor, role) in new[] { ("a", "b", "push"), ("b", "a", "signal") })
        {
            var port = cluster.Hosts[acceptor].DataPort;
            var local = LoopbackCluster.PortsConnectedTo(port).Single(p => Owner(dialler, p, port, out _));
            Assert.True(Owner(dialler, local, port, out var near));
            Assert.True(Owner(acceptor, port, local, out var far));
            Assert.Equal((9, role), (near.JobId, near.Role));
            Assert.Equal(near, far);

            if (role == "signal")
            {
                cluster.Apply();
                await cluster.UntilAsync(() => cluster.Hosts.Values.All(h => h.Status().Transports.All(t => t.Connections == 0)));
                Assert.True(Owner(dialler, local, port, out near));
                Assert.Equal(9, near.JobId);
            }
        }

        Assert.False(Owner("a", 1, 2, out _));

        bool Owner(string host, int localPort, int remotePort, out ConnectionOwner owner) =>
            cluster.Hosts[host].TryFindOwner(System.Net.IPAddress.Loopback, localPort, System.Net.IPAddress.Loopback, remotePort, out owner);
    }

    internal static float[] Values(int rank, int round, int n)
    {
        var values = new float[n];
        for (var i = 0; i < n; i++)
        {
            values[i] = ((i * 7) + (rank * 13) + (round * 29)) % 1009;
        }

        return values;
    }

    internal static float[] Sum(int world, int round, int n)
    {
        var sum = new float[n];
        for (var rank = 0; rank < world; rank++)
        {
            var values = Values(rank, round, n);
            for (var i = 0; i < n; i++)
            {
                sum[i] += values[i];
            }
        }

        return sum;
    }
}
