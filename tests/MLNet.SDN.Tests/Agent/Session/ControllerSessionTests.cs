using System.Threading.Channels;
using Microsoft.AspNetCore.SignalR;
using Microsoft.Extensions.Logging.Abstractions;
using MLNet.SDN.Agent;
using MLNet.SDN.Agent.Flows;
using MLNet.SDN.Agent.Marking;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Agent.Session;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Contracts;
using MLNet.SDN.Tests.Agent.Policies;

namespace MLNet.SDN.Tests.Agent.Session;

public sealed class ControllerSessionTests : IAsyncDisposable
{
    // Only a guard against hanging: no test waits for it to pass.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly string directory = Directory.CreateTempSubdirectory("mlnet-session-").FullName;
    private readonly Guid boot = Guid.NewGuid();
    private readonly ReportQueue queue = new(10_000);
    private readonly CancellationTokenSource stop = new();
    private readonly CancellationTokenSource drained = new();
    private readonly Channel<bool> watched = Channel.CreateUnbounded<bool>();
    private readonly List<IReadOnlyList<AggregationJob>> applied = [];
    private readonly PolicyInstaller installer;
    private Task session = Task.CompletedTask;

    public ControllerSessionTests()
    {
        var marker = new Marker(new SystemProgram("nft", "/nonexistent"), NullLogger.Instance);
        marker.Disable("not in this test");
        installer = new PolicyInstaller(PolicySamples.Host, boot, marker, Take, 7471, new PolicyStore(directory, PolicySamples.Host), NullLogger.Instance);
    }

    private IReadOnlyList<PlanFault> Take(IReadOnlyList<AggregationJob> jobs)
    {
        applied.Add(jobs);
        return [];
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        installer.Dispose();
        queue.Dispose();
        Directory.Delete(directory, recursive: true);
    }

    [Fact]
    public async Task Hello_ReplyHoldsPolicy_IsAppliedAndAcknowledged()
    {
        await using var controller = await ControllerDouble.StartAsync();
        controller.Reply = new HelloReply { Accepted = true, Watched = true, Policy = PolicySamples.Policy(3, PolicySamples.Job()) };

        Start(controller.Address);

        var hello = await Next(controller.Hellos);
        Assert.Equal((PolicySamples.Host, boot, Revision.None), (hello.Host, hello.Boot, hello.Installed));
        var ack = await Next(controller.Acks);
        Assert.True(ack.Applied, ack.Error);
        Assert.Equal((new Revision(1, 3), boot), (ack.Revision, ack.Boot));
        Assert.Equal(new Revision(1, 3), installer.Current.Revision);
        Assert.Equal("resnet", Assert.Single(Assert.Single(applied)).Name);
        Assert.True(await Next(watched));
    }

    [Fact]
    public async Task ApplyPolicy_LowerRevision_IsRefusedInTheAck()
    {
        await using var controller = await ControllerDouble.StartAsync();
        controller.Reply = new HelloReply { Accepted = true, Policy = PolicySamples.Policy(5, PolicySamples.Job()) };
        Start(controller.Address);
        await Next(controller.Acks);

        await controller.SendAsync(AgentHubMethods.ApplyPolicy, PolicySamples.Policy(4));

        var ack = await Next(controller.Acks);
        Assert.False(ack.Applied);
        Assert.Equal(new Revision(1, 4), ack.Revision);
        Assert.Contains("older than 1.5", ack.Error, StringComparison.Ordinal);
        Assert.Equal(new Revision(1, 5), installer.Current.Revision);
        Assert.Single(applied);
    }

    [Fact]
    public async Task ApplyPolicy_Pushed_IsAppliedAndAcknowledged()
    {
        await using var controller = await ControllerDouble.StartAsync();
        Start(controller.Address);
        await Next(controller.Hellos);

        await controller.SendAsync(AgentHubMethods.ApplyPolicy, PolicySamples.Policy(1, PolicySamples.Job()));

        Assert.True((await Next(controller.Acks)).Applied);
        Assert.Equal(new Revision(1, 1), installer.Current.Revision);
    }

    [Fact]
    public async Task ApplyPolicy_Unreadable_IsPassedOverAndTheNextIsApplied()
    {
        await using var controller = await ControllerDouble.StartAsync();
        Start(controller.Address);
        await Next(controller.Hellos);

        await controller.SendAsync(AgentHubMethods.ApplyPolicy, true);
        await controller.SendAsync(AgentHubMethods.ApplyPolicy, PolicySamples.Policy(1));

        Assert.True((await Next(controller.Acks)).Applied);
        Assert.Empty(Assert.Single(applied));
    }

    [Fact]
    public async Task Connection_Cut_AgentReturnsWithWhatItHas()
    {
        await using var controller = await ControllerDouble.StartAsync();
        controller.Reply = new HelloReply { Accepted = true, Policy = PolicySamples.Policy(2) };
        Start(controller.Address);
        await Next(controller.Hellos);
        await Next(controller.Acks);

        controller.Cut();

        Assert.Equal(new Revision(1, 2), (await Next(controller.Hellos)).Installed);
    }

    [Fact]
    public async Task Controller_StartedAgainOnItsPort_AgentReturns()
    {
        var first = await ControllerDouble.StartAsync();
        var port = first.Address.Port;
        Start(first.Address);
        await Next(first.Hellos);
        await first.DisposeAsync();

        await using var second = await ControllerDouble.StartAsync(port);

        Assert.Equal(boot, (await Next(second.Hellos)).Boot);
    }

    [Fact]
    public async Task Controllers_FirstIsAbsent_SecondIsFound()
    {
        await using var controller = await ControllerDouble.StartAsync();

        Start(new Uri("http://127.0.0.1:1"), controller.Address);

        Assert.Equal(boot, (await Next(controller.Hellos)).Boot);
    }

    [Fact]
    public async Task Hello_Refused_NothingIsReportedAndTheOtherControllerIsAsked()
    {
        await using var refusing = await ControllerDouble.StartAsync();
        refusing.Reply = new HelloReply { Accepted = false, Reason = "unknown host", Policy = PolicySamples.Policy(1, PolicySamples.Job()) };
        await using var other = await ControllerDouble.StartAsync();
        queue.Enqueue(Report(1));

        Start(refusing.Address, other.Address);

        Assert.Equal(1, (await Next(other.Reports)).Sequence);
        Assert.False(refusing.Reports.Reader.TryPeek(out _));
        Assert.Empty(applied);
    }

    [Fact]
    public async Task ReportFlows_CutBeforeTheAnswer_IsSentAgainWithItsSequence()
    {
        await using var controller = await ControllerDouble.StartAsync();
        var cuts = 0;
        controller.BeforeAnswer = async (_, context) =>
        {
            if (Interlocked.Increment(ref cuts) == 1)
            {
                context.Abort();
                await Task.Delay(Timeout.Infinite, context.ConnectionAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        };
        queue.Enqueue(Report(1));
        queue.Enqueue(Report(2));

        Start(controller.Address);

        long[] sequences = [(await Next(controller.Reports)).Sequence, (await Next(controller.Reports)).Sequence, (await Next(controller.Reports)).Sequence];
        Assert.Equal([1, 1, 2], sequences);
        await WaitFor(() => queue.Count == 0);
    }

    [Fact]
    public async Task ReportFlows_RefusedForEver_GivesWayToTheNext()
    {
        await using var controller = await ControllerDouble.StartAsync();
        controller.BeforeAnswer = (report, _) => report.Sequence == 1 ? throw new HubException("a bad record") : Task.CompletedTask;
        queue.Enqueue(Report(1));
        queue.Enqueue(Report(2));

        Start(controller.Address);

        var sequences = new List<long>();
        while (!sequences.Contains(2))
        {
            sequences.Add((await Next(controller.Reports)).Sequence);
        }

        Assert.Equal([1, 1, 1, 2], sequences);
        Assert.Equal(1, queue.LostRecords);
    }

    [Fact]
    public async Task ReportFlows_Record_SurvivesTheWire()
    {
        await using var controller = await ControllerDouble.StartAsync();
        var sent = Report(7);
        queue.Enqueue(sent);

        Start(controller.Address);

        var arrived = await Next(controller.Reports);
        Assert.Equal(sent.Records, arrived.Records);
        Assert.Equal(sent with { Records = [] }, arrived with { Records = [] });
    }

    [Fact]
    public async Task SetWatched_Pushed_ReachesTheReporter()
    {
        await using var controller = await ControllerDouble.StartAsync();
        Start(controller.Address);
        await Next(controller.Hellos);
        Assert.False(await Next(watched));

        await controller.SendAsync(AgentHubMethods.SetWatched, true);

        Assert.True(await Next(watched));
    }

    [Fact]
    public async Task Stop_ReportsWait_AreDeliveredFirst()
    {
        await using var controller = await ControllerDouble.StartAsync();
        var release = new TaskCompletionSource();
        controller.BeforeAnswer = (report, _) => report.Sequence == 1 ? release.Task : Task.CompletedTask;
        queue.Enqueue(Report(1));
        Start(controller.Address);
        await Next(controller.Reports);
        queue.Enqueue(Report(2));
        queue.Enqueue(Report(3));

        await stop.CancelAsync();
        release.SetResult();
        await session.WaitAsync(Patience);

        Assert.Equal(2, (await Next(controller.Reports)).Sequence);
        Assert.Equal(3, (await Next(controller.Reports)).Sequence);
        Assert.Equal(0, queue.Count);
        Assert.Equal(boot, (await Next(controller.Progress)).Boot);
    }

    [Fact]
    public async Task Stop_ControllerNeverAnswers_EndsWithTheDrainPatience()
    {
        await using var controller = await ControllerDouble.StartAsync();
        controller.BeforeAnswer = (_, context) => Task.Delay(Timeout.Infinite, context.ConnectionAborted);
        queue.Enqueue(Report(1));
        Start(controller.Address);
        await Next(controller.Reports);

        await stop.CancelAsync();
        Assert.False(session.IsCompleted);
        await drained.CancelAsync();

        await session.WaitAsync(Patience);
        Assert.Equal(1, queue.Count);
    }

    private static FlowReport Report(long sequence) => new()
    {
        Host = PolicySamples.Host,
        Boot = new Guid("11111111-2222-3333-4444-555555555555"),
        Sequence = sequence,
        Records =
        [
            new FlowRecord
            {
                FlowStart = DateTimeOffset.UnixEpoch.AddTicks(1234567),
                FlowEnd = DateTimeOffset.UnixEpoch.AddTicks(7654321),
                Direction = FlowDirection.Egress,
                SourceAddress = "10.0.0.2",
                DestinationAddress = "10.0.0.6",
                SourceTransportPort = 40_000,
                DestinationTransportPort = 7471,
                ProtocolIdentifier = 6,
                IpDiffServCodePoint = new Dscp(34),
                PostIpDiffServCodePoint = new Dscp(26),
                OctetDeltaCount = 5_000_000_000,
                PacketDeltaCount = 4_000_000,
                EndReason = FlowEndReason.EndOfFlow,
                JobId = 9,
                Role = "push",
            },
        ],
        KernelDrops = 1,
        IgnoredFrames = 2,
        LostRecords = 3,
    };

    private static async Task<T> Next<T>(Channel<T> channel) => await channel.Reader.ReadAsync().AsTask().WaitAsync(Patience);

    private static async Task WaitFor(Func<bool> condition)
    {
        using var patience = new CancellationTokenSource(Patience);
        while (!condition())
        {
            await Task.Delay(10, patience.Token);
        }
    }

    private void Start(params Uri[] controllers)
    {
        var progress = new ProgressSource(PolicySamples.Host, boot, null, () => [], TimeProvider.System);
        session = new ControllerSession(
            controllers,
            () => null,
            () => new AgentHello
            {
                Host = PolicySamples.Host,
                Boot = boot,
                Version = "1",
                Capabilities = [],
                DataPort = 7471,
                Installed = installer.Current.Revision,
                InstalledHash = installer.Hash,
            },
            installer, queue, progress, value => watched.Writer.TryWrite(value), TimeProvider.System, NullLogger.Instance, new Random(1))
            .RunAsync(stop.Token, drained.Token);
    }

    private async Task StopAsync()
    {
        await stop.CancelAsync();
        await drained.CancelAsync();
        await session.WaitAsync(Patience);
    }
}
