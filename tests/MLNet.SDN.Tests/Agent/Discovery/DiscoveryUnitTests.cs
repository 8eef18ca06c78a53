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
}
