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
        }, time);

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
        }, time);

        Assert.False(await gap.WaitAsync(Policy(34), Policy(26), TestContext.Current.CancellationToken));
        Assert.True(time.Passed >= IdleGap.Patience);
    }

    [Fact]
    public async Task Wait_NothingThatChanges_AsksForNothing()
    {
        var gap = new IdleGap(() => [Socket(80), Selected], _ => throw new InvalidOperationException("asked"), TimeProvider.System);

        Assert.True(await gap.WaitAsync(Policy(34), Policy(34), TestContext.Current.CancellationToken));
        Assert.True(await gap.WaitAsync(Policy(34, discovered: false), Policy(26, discovered: false), TestContext.Current.CancellationToken));
    }

    private static InstalledPolicy Policy(int dscp, bool discovered = true)
    {
        var job = PolicySamples.Job(7, "job", dscp == 0 ? 0 : 1, dscp, Port) with { DiscoveryKey = discovered ? "key" : null };
        return PolicyRules.Read(PolicySamples.Policy(1, job), PolicySamples.Host, out _)!;
    }

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
