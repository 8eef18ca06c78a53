using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using MLNet.SDN.Agent.Discovery;

namespace MLNet.SDN.Tests.Agent.Discovery;

public sealed class DiscoveryUnitTests
{
    [Theory]
    [InlineData(5, 1, 5000)] // a small host: as the operator wants it
    [InlineData(5, 40, 5000)]
    [InlineData(5, 100, 9900)] // at most a hundredth of the time
    [InlineData(1, 40, 3960)]
    [InlineData(5, 400, 15_000)] // but the agent does not believe for ever what it was told
    [InlineData(20, 400, 20_000)]
    public void Rest_AfterALook_CostsAtMostAHundredth(int intervalSeconds, int lookMilliseconds, int restMilliseconds) =>
        Assert.Equal(TimeSpan.FromMilliseconds(restMilliseconds), DiscoveryUnit.Rest(TimeSpan.FromSeconds(intervalSeconds), TimeSpan.FromMilliseconds(lookMilliseconds)));

    [Fact]
    public async Task Run_AgentStartedAnew_HearsAtOnceNotAfterAnInterval()
    {
        var directory = Directory.CreateTempSubdirectory("mlnet-unit-");
        Directory.CreateDirectory(Path.Combine(directory.FullName, "self", "ns"));
        File.CreateSymbolicLink(Path.Combine(directory.FullName, "self", "ns", "net"), "net:[7]");
        var path = Path.Combine(directory.FullName, "d.sock");
        using var agent = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        agent.Bind(new UnixDomainSocketEndPoint(path));
        agent.Listen();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);

        // An interval of a day would be 14 minutes at this pace, the wait before it dials again 20 ms.
        var running = new DiscoveryUnit(path, TimeSpan.FromDays(1), new ProcessScan([], directory.FullName), new HurriedTime(), NullLogger.Instance).RunAsync(stop.Token);
        for (var start = 0; start < 3; start++)
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(stop.Token);
            patience.CancelAfter(TimeSpan.FromSeconds(60));
            using var unit = await agent.AcceptAsync(patience.Token);
            Assert.NotEqual(0, await unit.ReceiveAsync(new byte[1000], patience.Token));
        }

        await stop.CancelAsync();
        await running;
        directory.Delete(recursive: true);
    }

    /// <summary>Everything that is waited for comes a hundred times as soon.</summary>
    private sealed class HurriedTime : TimeProvider
    {
        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => System.CreateTimer(callback, state, dueTime / 100, period);
    }
}
