using System.Diagnostics;
using System.Globalization;
using System.Net;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.SystemTests.Aggregation;

/// <summary>What an aggregator holds is bounded by its window and fan-in, not by the model.</summary>
[Collection(nameof(AgentFabric))]
public sealed class AggregatorMemoryTests
{
    private const int FanIn = 16;
    private const int Shards = 4;
    private const long ModelBytes = 1L << 30;
    private const long MostOverIdle = 256L << 20;

    /// <summary>How much of the model passes through: a part of it; all of it in <c>./run soak memory</c>.</summary>
    private static long Bytes => long.Parse(Environment.GetEnvironmentVariable("MLNET_SOAK_MODEL_MIB") ?? "48", CultureInfo.InvariantCulture) << 20;

    [Theory]
    [InlineData(false)]
    [InlineData(true)] // what comes before its turn waits: the most that an aggregator may have to hold
    public async Task Aggregator_FanInSixteenAndAGibibyteModel_StaysWithin256MebibytesOverIdle(bool fixedOrder)
    {
        HostJob? job = null;
        await using var fabric = await AgentFabric.StartAsync(1, f => [job = Job(f)]);
        using var children = new WindowedChildren(job!, "n0", new IPEndPoint(IPAddress.Parse(AgentFabric.DataAddress(0)), 7471), ModelBytes, fixedOrder);
        Assert.True(fabric.InNamespaceOf("n0", () => children.Connect(TimeSpan.FromSeconds(30))), "the agent took no connection");
        var idle = fabric.ResidentAnonymous("n0");
        var chunks = (int)(Bytes / Shards / job!.ChunkBytes);

        // So slow that whatever the others may send ahead has come before each of its chunks, for the first windows; then at speed.
        var begun = Stopwatch.StartNew();
        var round = children.RoundAsync(chunks, TimeSpan.FromMilliseconds(fixedOrder ? 5 : 1));
        var most = 0L;
        while (!round.IsCompleted)
        {
            most = Math.Max(most, fabric.ResidentAnonymous("n0"));
            await Task.WhenAny(round, Task.Delay(20, TestContext.Current.CancellationToken));
        }

        await round;
        Assert.Equal((long)FanIn * Shards * chunks, children.Results);
        TestContext.Current.TestOutputHelper!.WriteLine($"idle {idle >> 20} MiB, at most {most >> 20} MiB with {Bytes >> 20} MiB from each of {FanIn} children in {begun.Elapsed.TotalSeconds:0.0} s");
        Assert.InRange(most - idle, 0, MostOverIdle);
    }

    /// <summary>The agent is a helper and the root of all shards; the children's names come before its own, so they dial.</summary>
    private static HostJob Job(AgentFabric fabric)
    {
        string[] children = [.. Enumerable.Range(0, FanIn).Select(i => $"child{i:00}")];
        var address = AgentFabric.DataAddress(0);
        return fabric.Job(AgentFabric.JobName, 1, 0, []) with
        {
            Members = [.. children.Select((c, rank) => new JobMember(rank, c))],
            Endpoints = [.. children.Select(c => new HostEndpoint(c, address, 7470, "r")), new HostEndpoint("n0", address, 7471, "r")],
            Shards = [.. Enumerable.Range(0, Shards).Select(_ => new ShardTree { Weight = 1, Roots = ["n0"], Edges = [.. children.Select(c => new TreeEdge(c, "n0"))] })],

            // The controller's usual ones.
            ChunkBytes = 256 << 10,
            WindowChunks = 8,
        };
    }
}
