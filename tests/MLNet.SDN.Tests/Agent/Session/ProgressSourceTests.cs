using Microsoft.Extensions.Time.Testing;
using MLNet.SDN.Agent.Session;
using MLNet.SDN.Aggregation;

namespace MLNet.SDN.Tests.Agent.Session;

public sealed class ProgressSourceTests
{
    private readonly FakeTimeProvider time = new();
    private readonly List<string> troubles = [];
    private AggregationStatus status = new([new WorkerStatus(1, 0, true, false, 5, 0.5, 0.2, "rank 3")], [new TransportStatus(1, 1000, 10, 5, 2)], ["resnet: rank 3 is gone"]);

    [Fact]
    public void Due_Unchanged_IsRepeatedEveryTenSeconds()
    {
        var source = Source();
        Assert.NotNull(source.Due());
        time.Advance(TimeSpan.FromSeconds(9));
        Assert.Null(source.Due());
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.NotNull(source.Due());
    }

    [Fact]
    public void Due_Changed_IsToldAtOnce()
    {
        var source = Source();
        source.Due();
        status = status with { Transports = [new TransportStatus(1, 2000, 10, 6, 2)] };
        Assert.Equal(2000, source.Due()!.Transports[0].BytesSent);
        troubles.Add("Not capturing");
        Assert.Equal(["Not capturing", "resnet: rank 3 is gone"], source.Due()!.Troubles);
    }

    [Fact]
    public void Due_NewSession_TellsAll()
    {
        var source = Source();
        source.Due();
        source.Forget();
        Assert.NotNull(source.Due());
    }

    [Fact]
    public void Current_Worker_IsCarriedOver()
    {
        var worker = Assert.Single(Source().Current().Workers);
        Assert.Equal((1L, 0, true, false, 5L, 0.5, 0.2, "rank 3"),
            (worker.JobId, worker.Rank, worker.Joined, worker.Left, worker.RoundsDone, worker.SecondsPerRound, worker.CommunicationSeconds, worker.WaitsFor));
    }

    private ProgressSource Source() => new("h0-0-0", Guid.NewGuid(), () => status, () => troubles, time);
}
