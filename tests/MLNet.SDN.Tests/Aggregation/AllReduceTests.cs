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
        var shards = Enumerable.Range(0, random.Next(1, 5)).Select(_ => LoopbackCluster.RandomTree(random, hosts)).ToArray();
        var job = cluster.Job("j", 1, workers, shards, chunkBytes: 8 * random.Next(1, 60), window: random.Next(1, 5), stripes: random.Next(1, 4));
        cluster.Apply(job);
        var joined = await cluster.JoinAllAsync(job);
        var sizes = Enumerable.Range(0, 12).Select(i => i == 0 ? 1 : random.Next(1, 5000)).ToArray();

        var results = await Task.WhenAll(joined.Select(worker => Task.Run(() =>
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
