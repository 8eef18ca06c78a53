using System.Net;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Discovery;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;
using MLNet.SDN.Tests.Agent.Policies;

namespace MLNet.SDN.Tests.Agent.Discovery;

public sealed class IdleGapTests
{
    private static readonly FlowSelector Port = new() { Protocol = "tcp", DestinationPortFrom = 5000 };
    private static readonly SocketFacts Selected = Socket(5000);

    [Theory]
    [InlineData(34, 26)]
    [InlineData(34, 0)]
    [InlineData(0, 34)]
    public async Task Wait_BurstOfAJobWhoseMarkChanges_EndsAfterTheBurst(int before, int after)
    {
        var time = new TimePerQuestion();
        var asked = 0;
        var gap = new IdleGap(() => [Socket(80), Selected], s =>
        {
            Assert.Equal(Selected.Connection, s.Connection);
            time.Step();
            return s with { BytesAcknowledged = Math.Min(++asked, 20) };
        }, Anybody, null, time);

        Assert.True(await gap.WaitAsync(Policy(before), Policy(after), TestContext.Current.CancellationToken));
        Assert.InRange(asked, 21, 30);
    }

    [Fact]
    public async Task Wait_TrafficWithoutAPause_EndsAfterItsPatience()
    {
        var time = new TimePerQuestion();
        var asked = 0;
        var gap = new IdleGap(() => [Selected], s =>
        {
            time.Step();
            return s with { BytesAcknowledged = ++asked };
        }, Anybody, null, time);

        Assert.False(await gap.WaitAsync(Policy(34), Policy(26), TestContext.Current.CancellationToken));
        Assert.True(time.Passed >= IdleGap.Patience);
    }

    [Fact]
    public async Task Wait_NothingThatChanges_AsksForNothing()
    {
        var gap = new IdleGap(() => [Socket(80), Selected], _ => throw new InvalidOperationException("asked"), Anybody, null, TimeProvider.System);

        Assert.True(await gap.WaitAsync(Policy(34), Policy(34), TestContext.Current.CancellationToken));
    }

    [Theory]
    [InlineData(5000, "10.0.0.2", 7471)] // this end is where our data plane listens
    [InlineData(40_000, "10.0.0.6", 7471)] // the other end is
    public async Task Wait_ConnectionOfTheDataPlane_IsLeftToItsOwnRounds(ushort localPort, string remote, ushort remotePort)
    {
        var own = new SocketFacts(new TcpConnection(FlowKey.FromAddress(IPAddress.Parse("10.0.0.1")), localPort, FlowKey.FromAddress(IPAddress.Parse(remote)), remotePort, IsIPv6: false), 1, 0, 1, 0);
        var gap = new IdleGap(() => [own], _ => throw new InvalidOperationException("asked"), Anybody, 5000, TimeProvider.System);
        var all = new FlowSelector { Protocol = "tcp" };

        Assert.True(await gap.WaitAsync(Policy(34, all), Policy(26, all), TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Wait_ConnectionOfAnotherUserOrGroup_IsNotWaitedFor()
    {
        var gap = new IdleGap(() => [Selected], _ => throw new InvalidOperationException("asked"), _ => new SocketOwner(1000, "/job"), null, TimeProvider.System);
        foreach (var other in new[] { new FlowSelector { Uid = 1001 }, new FlowSelector { Cgroup = "/job2" }, new FlowSelector { Uid = 1000, Cgroup = "/job/deeper" } })
        {
            Assert.True(await gap.WaitAsync(Policy(34, other), Policy(26, other), TestContext.Current.CancellationToken));
        }

        var its = new FlowSelector { Uid = 1000, Cgroup = "/job" };
        await Assert.ThrowsAsync<InvalidOperationException>(() => gap.WaitAsync(Policy(34, its), Policy(26, its), TestContext.Current.CancellationToken));
    }

    private static SocketOwner Anybody(SocketFacts socket) => new(socket.Uid, null);

    private static InstalledPolicy Policy(int dscp, FlowSelector? selector = null) =>
        PolicyRules.Read(PolicySamples.Policy(1, PolicySamples.Job(7, "job", dscp == 0 ? 0 : 1, dscp, selector ?? Port)), PolicySamples.Host, out _)!;

    private static SocketFacts Socket(ushort port) => new(
        new TcpConnection(FlowKey.FromAddress(IPAddress.Parse("10.0.0.1")), 40_000, FlowKey.FromAddress(IPAddress.Parse("10.0.0.2")), port, IsIPv6: false), port, 0, port, 0);

    /// <summary>Three milliseconds pass with each question.</summary>
    private sealed class TimePerQuestion : TimeProvider
    {
        private long now;

        public TimeSpan Passed => TimeSpan.FromTicks(now);

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public void Step() => now += 3 * TimeSpan.TicksPerMillisecond;

        public override long GetTimestamp() => now;

        // Waiting itself takes none.
        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => System.CreateTimer(callback, state, TimeSpan.Zero, period);
    }
}
