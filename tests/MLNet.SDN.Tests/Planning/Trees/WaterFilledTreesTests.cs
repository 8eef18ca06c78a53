using MLNet.SDN.Planning.Topology;
using MLNet.SDN.Planning.Trees;
using static MLNet.SDN.Tests.Planning.Fabrics;

namespace MLNet.SDN.Tests.Planning.Trees;

public class WaterFilledTreesTests
{
    [Fact]
    public void Build_ManyRacksOfOneHostAndASlowOne_SparesTheSlow()
    {
        // Twelve racks of one host; l11's uplink has a quarter of the others' rate, so the rack can pass its own sums and root next to nothing.
        var topology = LeafSpine.Build(12, 1, 1, 1000);
        var fabric = Of(topology with { Links = [.. topology.Links.Select(l => l.Source == "l11" ? l with { RateBitsPerSecond = 250_000_000 } : l)] });
        int[] workers = [.. HostNames(fabric).Select(fabric.HostNumber).Order()];

        var forest = WaterFilledTrees.Build(workers, [], byPod: false, fabric, null);

        // The slow rack passes the message once: 4 in units of a full link's time, which nothing can beat; the others share the roots within that.
        Assert.Equal(TrafficBound.SecondsPerByte(workers, [], fabric), forest.Load(fabric).BottleneckSecondsPerByte, 8e-9 * 1e-4);
        var slow = Array.IndexOf(forest.Members, fabric.HostNumber("h11-0"));
        Assert.DoesNotContain(forest.Shards, s => s.Root == slow && s.Weight > forest.Shards.Sum(o => (long)o.Weight) / 1000);
    }

    [Fact]
    public void Build_BusyHelperAndIdleHelper_TheIdleOneSumsMore()
    {
        var fabric = Of(LeafSpine.Build(2, 1, 6, 1000, oversubscription: 2));
        int[] workers = [.. new[] { "h0-0", "h0-1", "h0-2", "h1-0", "h1-1", "h1-2" }.Select(fabric.HostNumber).Order()];
        int[] helpers = [.. new[] { "h0-4", "h0-5" }.Select(fabric.HostNumber).Order()];
        var users = new LinkUsers(fabric.Graph.Links.Length);
        foreach (var link in fabric.Graph.LinksFrom(fabric.HostNumber("h0-4")))
        {
            users.Add(link, new(Job: 2, Duty: 3, Length: 100));
        }

        var forest = WaterFilledTrees.Build(workers, helpers, byPod: false, fabric, new(users, job: 1, length: 100));

        Assert.True(Received("h0-5") > 3.9 * Received("h0-4"), $"{Received("h0-5")} against {Received("h0-4")}");
        Assert.True(Received("h0-4") > 0);

        double Received(string host)
        {
            var member = Array.IndexOf(forest.Members, fabric.HostNumber(host));
            return forest.Shards.Sum(s => s.Weight * (double)s.Parent.Count(p => p == member)) / forest.Shards.Sum(s => (double)s.Weight);
        }
    }

    [Fact]
    public void Build_RandomRatesAndHelpers_AreSoundTreesAndBeatNoBound()
    {
        var random = new Random(23);
        for (var round = 0; round < 200; round++)
        {
            var topology = LeafSpine.Build(random.Next(1, 14), 1, random.Next(1, 7), 1000);
            var fabric = Of(topology with { Links = [.. topology.Links.Select(l => l with { RateBitsPerSecond = random.Next(1, 9) * 100_000_000L })] });
            var hosts = HostNames(fabric).OrderBy(_ => random.Next()).ToArray();
            int[] workers = [.. hosts.Take(random.Next(2, hosts.Length + 1)).Select(fabric.HostNumber).Order()];
            int[] helpers = [.. hosts.Select(fabric.HostNumber).Except(workers).Where(_ => random.Next(2) == 0).Order()];
            if (workers.Length < 2)
            {
                continue;
            }

            var forest = WaterFilledTrees.Build(workers, helpers, byPod: false, fabric, null);

            Assert.NotNull(Forest.TryRead(forest.ToTrees(fabric), workers, helpers, fabric));
            Assert.All(forest.Shards, s => Assert.True(s.Weight >= 1));
            Assert.True(forest.Load(fabric).BottleneckSecondsPerByte >= TrafficBound.SecondsPerByte(workers, helpers, fabric) * (1 - 1e-9));
        }
    }
}
