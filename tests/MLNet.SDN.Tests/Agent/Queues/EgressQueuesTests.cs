using MLNet.SDN.Agent.Queues;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Agent.Queues;

public sealed class EgressQueuesTests
{
    private static readonly PriorityLadder Small = new()
    {
        Classes =
        [
            new() { Dscp = new(40), Floor = 0.05, Signalling = true },
            new() { Dscp = new(26), Floor = 0.1 },
            new() { Dscp = new(0), Floor = 0 },
        ],
    };

    [Fact]
    public void Render_Strict_OrderIsThatOfTheLadder()
    {
        var text = EgressQueues.Render("eth0", 1_000_000_000, Small);

        Assert.Equal(
            """
            qdisc add dev eth0 root handle 6d6c: htb default 12 R2Q
            class add dev eth0 parent 6d6c: classid 6d6c:1 htb rate 1000000000bit ceil 1000000000bit burst 500000 cburst 500000 quantum 60000
            class add dev eth0 parent 6d6c:1 classid 6d6c:10 htb rate 50000000bit ceil 1000000000bit burst 500000 cburst 500000 prio 0 quantum 60000
            qdisc add dev eth0 parent 6d6c:10 handle 10: bfifo limit 4000000
            filter add dev eth0 parent 6d6c: protocol ip prio 1 u32 match u8 0xa0 0xfc at 1 flowid 6d6c:10
            filter add dev eth0 parent 6d6c: protocol ipv6 prio 2 u32 match u16 0x0a00 0x0fc0 at 0 flowid 6d6c:10
            class add dev eth0 parent 6d6c:1 classid 6d6c:11 htb rate 100000000bit ceil 1000000000bit burst 500000 cburst 500000 prio 1 quantum 60000
            qdisc add dev eth0 parent 6d6c:11 handle 11: bfifo limit 4000000
            filter add dev eth0 parent 6d6c: protocol ip prio 1 u32 match u8 0x68 0xfc at 1 flowid 6d6c:11
            filter add dev eth0 parent 6d6c: protocol ipv6 prio 2 u32 match u16 0x0680 0x0fc0 at 0 flowid 6d6c:11
            class add dev eth0 parent 6d6c:1 classid 6d6c:12 htb rate 1000bit ceil 1000000000bit burst 500000 cburst 500000 prio 2 quantum 60000
            qdisc add dev eth0 parent 6d6c:12 handle 12: bfifo limit 4000000

            """,
            System.Text.RegularExpressions.Regex.Replace(text, @"r2q \d+", "R2Q"));
        Assert.Equal(text, EgressQueues.Render("eth0", 1_000_000_000, Small));
        Assert.NotEqual(text.Split('\n')[0], EgressQueues.Render("eth0", 1_000_000_001, Small).Split('\n')[0]);
    }

    [Fact]
    public void Render_Weighted_JobLevelsShareOneOrder()
    {
        var ladder = Small with { Classes = [Small.Classes[0], Small.Classes[1] with { Weight = 3 }, Small.Classes[2] with { Weight = 1 }] };

        var classes = EgressQueues.Render("eth0", 10_000_000, ladder).Split('\n').Where(l => l.StartsWith("class", StringComparison.Ordinal)).ToList();

        Assert.EndsWith("prio 0 quantum 1514", classes[1], StringComparison.Ordinal);
        Assert.EndsWith("prio 1 quantum 60000", classes[2], StringComparison.Ordinal);
        Assert.EndsWith("prio 1 quantum 20000", classes[3], StringComparison.Ordinal);
    }
}
