using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Flows;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;
using static MLNet.SDN.Tests.Agent.Capture.Frames;

namespace MLNet.SDN.Tests.Agent.Flows;

public sealed class FlowReporterTests : IDisposable
{
    private readonly FakeTimeProvider time = new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
    private readonly FlowMeter meter = new(2000, TimeSpan.FromSeconds(30));
    private readonly ReportQueue queue = new(10_000);
    private readonly FlowReporter reporter;

    public FlowReporterTests() => reporter = new FlowReporter(
        "h0-0-0", Guid.NewGuid(), "eth0", TimeSpan.FromSeconds(10), meter, new FlowAttribution(null), () => InstalledPolicy.None, queue, time, NullLogger.Instance);

    public void Dispose() => queue.Dispose();

    [Fact]
    public async Task Report_NobodyWatches_EveryTenSeconds()
    {
        for (var second = 1; second <= 21; second++)
        {
            Send(1);
            Tick();
            Assert.Equal(second < 10 ? 0 : second < 20 ? 1 : 2, queue.Count);
        }

        var first = await Take();
        Assert.Equal((1L, 10L), (first.Sequence, Assert.Single(first.Records).PacketDeltaCount));
        var second2 = await Take();
        Assert.Equal((2L, 10L), (second2.Sequence, Assert.Single(second2.Records).PacketDeltaCount));
    }

    [Fact]
    public void Report_SomebodyWatches_EverySecond()
    {
        reporter.Watched = true;
        for (var second = 1; second <= 3; second++)
        {
            Send(1);
            Tick();
            Assert.Equal(second, queue.Count);
        }
    }

    [Fact]
    public void Report_NothingHappened_SendsNothing()
    {
        reporter.Watched = true;
        Tick();
        Assert.Equal(0, queue.Count);
    }

    [Fact]
    public async Task Report_FlowEnds_IsToldWithinSecondsThoughNobodyWatches()
    {
        Send(1, flags: 0x11);
        Tick();
        Assert.Equal(0, queue.Count); // its last acknowledgements may still come
        Tick();

        Assert.Equal(FlowEndReason.EndOfFlow, Assert.Single((await Take()).Records).EndReason);
    }

    [Fact]
    public async Task Finish_Rest_EndsForced()
    {
        Send(1);
        Send(2);
        reporter.Finish();

        Assert.All((await Take()).Records, r => Assert.Equal(FlowEndReason.Forced, r.EndReason));
    }

    [Fact]
    public async Task Report_ManyFlows_AreCutIntoReportsInSequence()
    {
        for (var port = 1; port <= 1200; port++)
        {
            Send(port);
        }

        reporter.Watched = true;
        Tick();

        FlowReport[] reports = [await Take(), await Take(), await Take()];
        Assert.Equal(0, queue.Count);
        Assert.Equal([1L, 2, 3], reports.Select(r => r.Sequence));
        Assert.All(reports, r => Assert.InRange(r.Records.Count, 1, FlowReport.MaxRecords));
        Assert.Equal(1200, reports.SelectMany(r => r.Records).Select(r => r.SourceTransportPort).Distinct().Count());
    }

    [Fact]
    public async Task Report_Totals_AreTold()
    {
        meter.AddDrops(7);
        using (meter.Batch())
        {
            meter.Add(new FrameInfo(Now, 60, FrameOrigin.Received, 0), Ethernet(new byte[46], 0x0806), LinkLayer.Ethernet, 1500);
            meter.Add(new FrameInfo(Now, 66, FrameOrigin.Foreign, 0), EthernetIPv4(IPv4(TcpSegment(1, 2))), LinkLayer.Ethernet, 1500);
        }

        Send(1);
        reporter.Finish();

        var report = await Take();
        Assert.Equal((7L, 2L, 0L), (report.KernelDrops, report.IgnoredFrames, report.LostRecords));
    }

    [Fact]
    public async Task Run_Ticks_ComeFromTheClock()
    {
        using var stop = new CancellationTokenSource();
        reporter.Watched = true;
        Send(1);
        var running = reporter.RunAsync(stop.Token);
        time.Advance(TimeSpan.FromSeconds(1));
        var report = await queue.NextAsync(default).WaitAsync(TimeSpan.FromSeconds(30));
        await stop.CancelAsync();
        await running;

        Assert.Single(report.Records);
    }

    private long Now => time.GetUtcNow().UtcTicks;

    private void Tick()
    {
        time.Advance(TimeSpan.FromSeconds(1));
        reporter.Report();
    }

    private void Send(int port, int flags = 0x10)
    {
        var frame = EthernetIPv4(IPv4(TcpSegment(port, 7471, 100, flags)));
        using (meter.Batch())
        {
            meter.Add(new FrameInfo(Now, frame.Length, FrameOrigin.Sent, 0), frame, LinkLayer.Ethernet, 1500);
        }
    }

    private async Task<FlowReport> Take()
    {
        Assert.NotEqual(0, queue.Count);
        var report = await queue.NextAsync(default);
        queue.Taken(report);
        return report;
    }
}
