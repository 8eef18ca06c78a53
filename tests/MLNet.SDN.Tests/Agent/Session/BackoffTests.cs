using MLNet.SDN.Agent.Session;

namespace MLNet.SDN.Tests.Agent.Session;

public sealed class BackoffTests
{
    [Fact]
    public void Next_Failures_DoubleUpToTheLimitAndNeverStop()
    {
        double[] ceilings = [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000];
        for (var seed = 0; seed < 100; seed++)
        {
            var backoff = new Backoff(new Random(seed));
            foreach (var ceiling in ceilings)
            {
                Assert.InRange(backoff.Next().TotalMilliseconds, ceiling / 2, ceiling);
            }

            for (var i = 0; i < 5000; i++)
            {
                Assert.InRange(backoff.Next().TotalMilliseconds, 15_000, 30_000);
            }

            backoff.Reset();
            Assert.InRange(backoff.Next().TotalMilliseconds, 125, 250);
        }
    }

    [Fact]
    public void Next_ManyAgents_AreSpread()
    {
        var waits = Enumerable.Range(0, 1000).Select(seed => new Backoff(new Random(seed)).Next().TotalMilliseconds).ToList();

        // A tenth of the range holds about a tenth of the agents: 100, and never 200 by chance.
        Assert.All(Enumerable.Range(0, 10), i => Assert.InRange(waits.Count(w => w >= 125 + (12.5 * i) && w < 137.5 + (12.5 * i)), 40, 200));
    }
}
