using MLNet.SDN.Agent.Flows;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Agent.Flows;

public sealed class ReportQueueTests
{
    [Fact]
    public async Task Next_UntilTaken_IsTheSame()
    {
        using var queue = new ReportQueue(100);
        queue.Enqueue(Report(1, 1));
        queue.Enqueue(Report(2, 1));

        var first = await queue.NextAsync(default);
        Assert.Same(first, await queue.NextAsync(default));
        queue.Taken(first);

        Assert.Equal(2, (await queue.NextAsync(default)).Sequence);
    }

    [Fact]
    public async Task Enqueue_Full_OldestGiveWayAndAreCounted()
    {
        using var queue = new ReportQueue(10);
        for (var i = 1; i <= 6; i++)
        {
            queue.Enqueue(Report(i, 4));
        }

        Assert.Equal((2, 16L), (queue.Count, queue.LostRecords));
        Assert.Equal(5, (await queue.NextAsync(default)).Sequence);
    }

    [Fact]
    public async Task Enqueue_OneReportLargerThanTheCapacity_IsKept()
    {
        using var queue = new ReportQueue(10);
        queue.Enqueue(Report(1, 50));

        Assert.Equal(1, (await queue.NextAsync(default)).Sequence);
        Assert.Equal(0, queue.LostRecords);
    }

    [Fact]
    public async Task Taken_GaveWayMeanwhile_NothingElseIsForgotten()
    {
        using var queue = new ReportQueue(10);
        queue.Enqueue(Report(1, 6));
        var underWay = await queue.NextAsync(default);
        queue.Enqueue(Report(2, 6));

        queue.Taken(underWay);

        Assert.Equal(2, (await queue.NextAsync(default)).Sequence);
    }

    [Fact]
    public async Task Refused_ThreeTimes_GivesWayAndIsCounted()
    {
        using var queue = new ReportQueue(100);
        queue.Enqueue(Report(1, 5));
        queue.Enqueue(Report(2, 5));
        queue.Refused(await queue.NextAsync(default));
        queue.Refused(await queue.NextAsync(default));
        Assert.Equal(1, (await queue.NextAsync(default)).Sequence);

        queue.Refused(await queue.NextAsync(default));

        Assert.Equal(2, (await queue.NextAsync(default)).Sequence);
        Assert.Equal(5, queue.LostRecords);
        queue.Refused(await queue.NextAsync(default));
        Assert.Equal(1, queue.Count); // counted anew for each report
    }

    [Fact]
    public async Task Next_Empty_WaitsForTheNextReport()
    {
        using var queue = new ReportQueue(10);
        queue.Enqueue(Report(1, 1));
        queue.Taken(await queue.NextAsync(default));
        var waiting = queue.NextAsync(default);
        Assert.False(waiting.IsCompleted);

        queue.Enqueue(Report(2, 1));

        Assert.Equal(2, (await waiting.WaitAsync(TimeSpan.FromSeconds(30))).Sequence);
    }

    private static FlowReport Report(long sequence, int records) => new() { Host = "h", Boot = Guid.Empty, Sequence = sequence, Records = new FlowRecord[records] };
}
