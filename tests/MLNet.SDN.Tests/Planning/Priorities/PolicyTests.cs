using MLNet.SDN.Planning.Priorities;

namespace MLNet.SDN.Tests.Planning.Priorities;

public class PolicyTests
{
    [Fact]
    public void Order_EachPolicy_LooksAtWhatItSays()
    {
        // Communication left 40, 30, 20 s; a round 1, 3, 2 s; computation for a second of communication 4, 1, 16.
        CommunicationWork[] works = [Work(1, 1, 40, compute: 1, workers: 4), Work(2, 3, 10, compute: 3, workers: 1), Work(3, 2, 10, compute: 4, workers: 8)];

        Assert.Equal([2, 1, 0], PriorityPolicies.Order("srpt", works));
        Assert.Equal([0, 2, 1], PriorityPolicies.Order("spt", works));
        Assert.Equal([2, 0, 1], PriorityPolicies.Order("gpu-intensity", works));
        Assert.Equal([2, 1, 0], PriorityPolicies.Order("bssi", works));
    }

    [Theory]
    [InlineData("srpt")]
    [InlineData("spt")]
    [InlineData("gpu-intensity")]
    [InlineData("bssi")]
    public void Order_JobHeldUpTooLong_MovesUp(string policy)
    {
        // Five times as long, and as much less computation for it; alike but for that.
        CommunicationWork[] works = [Work(1, 5, 10, compute: 1, workers: 1) with { Known = policy is "spt" or "gpu-intensity" }, Work(2, 1, 10, compute: 1, workers: 1)];

        Assert.Equal([1, 0], PriorityPolicies.Order(policy, works));
        Assert.Equal([1, 0], PriorityPolicies.Order(policy, [works[0] with { Urgency = Aging.Urgency(4) }, works[1]]));
        Assert.Equal([0, 1], PriorityPolicies.Order(policy, [works[0] with { Urgency = Aging.Urgency(24) }, works[1]]));
    }

    [Fact]
    public void Urgency_GrowsWithoutBoundOnlyBeyondWhatIsUsual()
    {
        Assert.Equal(1, Aging.Urgency(null));
        Assert.Equal(1, Aging.Urgency(1));
        Assert.Equal(1, Aging.Urgency(4));
        Assert.Equal(2, Aging.Urgency(8), 12);
        Assert.Equal(25, Aging.Urgency(100), 12);
    }

    [Fact]
    public void Bssi_JobThatNeedsBothLinks_GivesWayToTwoThatNeedOneEach()
    {
        // Link 0: A 2, C 3; link 1: B 2, C 3. Serving A and B first, at once, costs C 2 and spares them 3 each.
        CommunicationWork[] works =
        [
            Work(1, 1, 1) with { Links = [0, 1], LinkSeconds = [3, 3], RoundSeconds = 3, Name = "C" },
            Work(2, 1, 1) with { Links = [0], LinkSeconds = [2], RoundSeconds = 2, Name = "A" },
            Work(3, 1, 1) with { Links = [1], LinkSeconds = [2], RoundSeconds = 2, Name = "B" },
        ];

        Assert.Equal(0, PriorityPolicies.Order("bssi", works)[^1]);
    }

    [Fact]
    public void Order_UnknownLengthsAndNoTraffic_HavePlacesToo()
    {
        CommunicationWork[] works = [Work(1, 1, 1) with { Known = false }, Work(2, 1, 50), Work(3, 0, 1) with { Links = [], LinkSeconds = [], RoundSeconds = 0 }];

        foreach (var policy in PriorityPolicies.Names)
        {
            Assert.Equal([0, 1, 2], PriorityPolicies.Order(policy, works).Order());
        }

        Assert.Equal([2, 1, 0], PriorityPolicies.Order("srpt", works));
        Assert.Equal([2, 1, 0], PriorityPolicies.Order("bssi", works));
    }

    [Fact]
    public void Compress_RandomJobs_LosesNoMoreThanTheBestCutAndKeepsTheOrder()
    {
        var random = new Random(17);
        for (var round = 0; round < 400; round++)
        {
            var works = Enumerable.Range(0, random.Next(1, 8)).Select(i =>
            {
                int[] links = [.. Enumerable.Range(0, 4).Where(_ => random.Next(2) == 0)];
                double[] seconds = [.. links.Select(_ => 1 + random.NextDouble())];
                return Work(i, seconds.DefaultIfEmpty(0).Max(), random.Next(1, 100), compute: random.NextDouble() * 3) with { Links = links, LinkSeconds = seconds };
            }).ToArray();
            var order = PriorityPolicies.Order("srpt", works);
            var contention = new Contention(works, order);
            var levels = random.Next(1, 4);

            var level = LevelCompression.Compress(order, contention, levels);

            Assert.All(level, l => Assert.InRange(l, 1, levels));
            for (var i = 0; i < order.Length; i++)
            {
                for (var k = i + 1; k < order.Length; k++)
                {
                    Assert.True(!contention.Meet(order[i], order[k]) || level[order[i]] <= level[order[k]], "a job stands below one that should give way to it");
                }
            }

            Assert.True(Loss(order, level, contention) <= BestCut(order, contention, levels, 0) + 1e-9);
        }
    }

    private static double Loss(int[] order, int[] level, Contention contention) =>
        Enumerable.Range(0, order.Length).Sum(i => Enumerable.Range(i + 1, order.Length - i - 1).Where(k => level[order[i]] == level[order[k]]).Sum(k => contention.Loss(order[i], order[k])));

    // Every way to cut the order into runs of one level each.
    private static double BestCut(int[] order, Contention contention, int levels, int start)
    {
        if (start == order.Length)
        {
            return 0;
        }

        if (levels == 0)
        {
            return double.PositiveInfinity;
        }

        return Enumerable.Range(start + 1, order.Length - start).Min(end =>
            Enumerable.Range(start, end - start).Sum(i => Enumerable.Range(i + 1, end - i - 1).Sum(k => contention.Loss(order[i], order[k]))) + BestCut(order, contention, levels - 1, end));
    }

    private static CommunicationWork Work(long id, double roundSeconds, double rounds, double compute = 0, int workers = 1) => new()
    {
        JobId = id,
        Name = $"job-{id}",
        Links = [0],
        LinkSeconds = [roundSeconds],
        RoundSeconds = roundSeconds,
        ComputeSeconds = compute,
        Rounds = rounds,
        Known = true,
        Workers = workers,
    };
}
