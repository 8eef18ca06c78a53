using System.Diagnostics.Metrics;
using MLNet.SDN.Aggregation;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>What an agent tells of its rounds, over real sockets.</summary>
public class SightTests
{
    private static readonly string[] Hosts = ["a", "b", "c"];

    //    a        c comes late
    //   / \
    //  b   c
    [Fact]
    public async Task Reduction_OneWorkerComesLate_IsNamedWhileItIsWaitedForAndAfter()
    {
        const int Elements = 20_000;
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        var job = cluster.Job("j", 1, Hosts, [new Shard(1, ["a"], [new("b", "a"), new("c", "a")])]);
        cluster.Apply(job);
        var workers = await cluster.JoinAllAsync(job);
        await FailureTests.ReduceAllAsync(workers, 0);

        var early = workers[..2].Select(w => LoopbackCluster.Start(() => w.AllReduce(AllReduceTests.Values(w.Rank, 1, Elements)))).ToArray();
        await cluster.UntilAsync(() => Of(cluster, "a").WaitsFor is not null && Of(cluster, "b").WaitsFor is not null);
        var waiting = Of(cluster, "a");
        Assert.Equal("round 1 waits for c (the contribution of rank 2)", waiting.WaitsFor);
        Assert.StartsWith("round 1 waits for a (results of ", Of(cluster, "b").WaitsFor, StringComparison.Ordinal);
        Assert.InRange(waiting.BufferBytes, 1, Hosts.Length * job.WindowChunks * Math.Max(job.ChunkBytes, 4096));
        Assert.Equal(0, waiting.Round);

        var late = LoopbackCluster.Start(() => workers[2].AllReduce(AllReduceTests.Values(2, 1, Elements)));
        Assert.All(await Task.WhenAll([.. early, late]), r => Assert.Equal(AllReduceTests.Sum(3, 1, Elements), r));
        await cluster.UntilAsync(() => Hosts.All(h => Of(cluster, h) is { Round: 1, WaitsFor: null, BufferBytes: 0 }));

        var root = Of(cluster, "a");
        Assert.Equal("c", root.SlowestChild);
        Assert.InRange(root.SlowestShare, 0.5, 1);
        Assert.True(root.GatherSeconds > root.DeliverSeconds, $"{root}");
        Assert.Equal(0, Of(cluster, "c").GatherSeconds);
        Assert.Null(Of(cluster, "b").SlowestChild);

        // What one sends another receives; sums go up once for each child. A thread may be about to count its last frame.
        await cluster.UntilAsync(() => Of(cluster, "a").BytesReceived == Of(cluster, "b").BytesSent + Of(cluster, "c").BytesSent);
        await cluster.UntilAsync(() => Of(cluster, "a").BytesSent == Of(cluster, "b").BytesReceived + Of(cluster, "c").BytesReceived);
        Assert.InRange(Of(cluster, "b").BytesSent, (5000 + Elements) * 4, (5000 + Elements) * 4 * 1.2);
        Assert.All(Hosts, h => Assert.Equal(0, Of(cluster, h).RoundsRedone));
    }

    //  b → a        nothing has come from b
    [Fact]
    public async Task Reduction_OnlyTheRootsWorkerHasContributed_ItsContributionIsHeldNowhereElse()
    {
        const int Elements = 20_000;
        string[] hosts = ["a", "b"];
        await using var cluster = await LoopbackCluster.StartAsync(hosts);
        var job = cluster.Job("j", 1, hosts, [new Shard(1, ["a"], [new("b", "a")])]);
        cluster.Apply(job);
        var workers = await cluster.JoinAllAsync(job);
        await FailureTests.ReduceAllAsync(workers, 0);

        var root = LoopbackCluster.Start(() => workers[0].AllReduce(AllReduceTests.Values(0, 1, Elements)));
        await cluster.UntilAsync(() => Of(cluster, "a").WaitsFor is not null);
        Assert.Equal(0, Of(cluster, "a").BufferBytes);

        var leaf = LoopbackCluster.Start(() => workers[1].AllReduce(AllReduceTests.Values(1, 1, Elements)));
        Assert.All(await Task.WhenAll(root, leaf), r => Assert.Equal(AllReduceTests.Sum(2, 1, Elements), r));
    }

    [Fact]
    public async Task Meter_WhoeverListens_GetsTheFiguresOfEachJob()
    {
        await using var cluster = await LoopbackCluster.StartAsync(Hosts);
        const long JobId = 918_273;
        var job = cluster.Job("j", JobId, Hosts, [new Shard(1, ["a"], [new("b", "a"), new("c", "a")])]);
        cluster.Apply(job);
        await FailureTests.ReduceAllAsync(await cluster.JoinAllAsync(job), 0);
        var seen = new Dictionary<string, double>(StringComparer.Ordinal);
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, l) =>
            {
                if (instrument.Meter.Name == "MLNet.SDN.Aggregation")
                {
                    l.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Note(instrument, value, tags));
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Note(instrument, value, tags));
        listener.Start();
        listener.RecordObservableInstruments();

        Assert.Equal(2, seen["mlnet.aggregation.received"] / seen["mlnet.aggregation.sent"] * 2);
        Assert.Equal(0, seen["mlnet.aggregation.round"]);
        Assert.True(seen["mlnet.aggregation.gather"] > 0);

        void Note(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            if (tags[0] is { Key: "job.id", Value: JobId })
            {
                seen[instrument.Name] = seen.GetValueOrDefault(instrument.Name) + (instrument.Name == "mlnet.aggregation.round" ? value / Hosts.Length : value);
            }
        }
    }

    private static ReductionStatus Of(LoopbackCluster cluster, string host) => Assert.Single(cluster.Hosts[host].Status().Reductions);
}
