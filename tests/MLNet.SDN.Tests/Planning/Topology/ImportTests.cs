using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology.Import;
using static MLNet.SDN.Tests.Planning.Fabrics;

namespace MLNet.SDN.Tests.Planning.Topology;

public class ImportTests
{
    [Fact]
    public void Slurm_ThreeTiers_GiveRacksPodsAndRates()
    {
        const string conf = """
            # two pods of two racks
            SwitchName=leaf1 Nodes=gpu[08-10]
            switchname=leaf2 nodes=gpu11,login LinkSpeed=900
            SwitchName=leaf[3] Nodes=x
            SwitchName=leaf3 Nodes=a[1-2]b[1-2]
            SwitchName=leaf4 \
                Nodes=z  # the last
            SwitchName=pod1 Switches=leaf[1-2]
            SwitchName=pod2 Switches=leaf3,leaf4
            SwitchName=top Switches=pod[1-2]
            """;

        var fabric = Of(Slurm(conf.Replace("SwitchName=leaf[3] Nodes=x\n", "", StringComparison.Ordinal), new() { HostMbps = 100, RackOversubscription = 4, PodOversubscription = 2 }));

        Assert.Equal(["a1b1", "a1b2", "a2b1", "a2b2", "gpu08", "gpu09", "gpu10", "gpu11", "login", "z"], HostNames(fabric));
        Assert.Equal(["leaf1", "leaf2", "leaf3", "leaf4"], fabric.Sites.Racks);
        Assert.Equal(["pod1", "pod2"], fabric.Sites.Pods);
        Assert.Equal("pod2", fabric.Hosts["z"].Pod);

        // The fullest rack has four hosts of 100 Mbit/s: 100 up from each rack at 4:1, 100 up from each pod at 2:1 again.
        Assert.All(fabric.Sites.RackUplinkBitsPerSecond, r => Assert.Equal(100_000_000, r));
        Assert.All(fabric.Sites.PodUplinkBitsPerSecond, r => Assert.Equal(100_000_000, r));
    }

    [Theory]
    [InlineData("SwitchName=s Nodes=a[1-", "line 1")]
    [InlineData("SwitchName=s Nodes=a[1-99999999999]", "line 1")]
    [InlineData("SwitchName=s Nodes=a[3-1]", "line 1")]
    [InlineData("SwitchName=s Nodes=", "line 1")]
    [InlineData("SwitchName=s Nodes=a[[1]]", "line 1")]
    [InlineData("SwitchName=s Nodes=a[1][1][1][1][1][1][1][1][1]", "line 1")]
    [InlineData("SwitchName=s Nodes=a,a", "line 1")]
    [InlineData("\n\nSwitchName=s Nodes=a\nSwitchName=s Nodes=b", "line 4")]
    [InlineData("SwitchName=s Nodes=a\nSwitchName=t Nodes=a", "line 2")]
    [InlineData("SwitchName=s Nodes=a\nSwitchName=t Switches=u", "line 2")]
    [InlineData("SwitchName=s Nodes=t\nSwitchName=t Nodes=a", "line 1")]
    [InlineData("Nodes=a", "line 1")]
    [InlineData("SwitchName=s Color=red", "line 1")]
    [InlineData("# nothing", "line 1")]
    [InlineData("SwitchName=s", "line 1")]
    public void Slurm_FaultyFile_NamesTheLine(string conf, string line)
    {
        Assert.Null(SlurmTopology.TryRead(conf, new(), out var faults));
        Assert.Equal(line, faults[0].Field);
        Assert.EndsWith(".", faults[0].Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("SwitchName=s Switches=t Nodes=a\nSwitchName=t Switches=s", "line 2: t")]
    [InlineData("SwitchName=t Switches=s\nSwitchName=below Nodes=b\nSwitchName=s Switches=t,below Nodes=a", "line 3: s")]
    [InlineData("SwitchName=s0 Nodes=a\nSwitchName=r Switches=s0,r", "line 2: r")]
    [InlineData("SwitchName=a Switches=a\nSwitchName=b Switches=c\nSwitchName=c Switches=d\nSwitchName=d Switches=b,e\nSwitchName=e Nodes=x", "line 1: a", "line 4: d")]
    public void Slurm_SwitchesInACircle_AreNamedAtTheLineThatClosesIt(string conf, params string[] expected)
    {
        Assert.Null(SlurmTopology.TryRead(conf, new(), out var faults));
        Assert.Equal(expected, faults.Select(f => $"{f.Field}: {f.Value}"));
        Assert.All(faults, f => Assert.StartsWith("The switch hangs on itself", f.Message, StringComparison.Ordinal));
    }

    [Fact]
    public void Slurm_SwitchNamedTwiceBesideACircle_IsNotBlamedForIt()
    {
        Assert.Null(SlurmTopology.TryRead("SwitchName=s0 Nodes=a\nSwitchName=r Switches=s0,s0,r", new(), out var faults));
        Assert.Equal(["line 2: s0", "line 2: r"], faults.Select(f => $"{f.Field}: {f.Value}"));
    }

    [Fact]
    public void Slurm_ChainDeeperThanTheStack_IsRead()
    {
        const int depth = 50_000;
        var conf = "SwitchName=s0 Nodes=a\n" + string.Concat(Enumerable.Range(1, depth).Select(i => $"SwitchName=s{i} Switches=s{i - 1}\n"));

        Assert.Equal(depth + 2, Slurm(conf, new()).Nodes.Count);
    }

    [Fact]
    public void Import_NodeLines_AreWhereTheFileNamesThem()
    {
        var lines = new Dictionary<string, int>();
        Assert.NotNull(SlurmTopology.TryRead("# top\nSwitchName=s \\\n Nodes=a[1-2]\nSwitchName=t Switches=s Nodes=b", new(), out _, lines));
        Assert.Equal([("a1", 2), ("a2", 2), ("b", 4), ("s", 2), ("t", 4)], lines.Select(l => (l.Key, l.Value)).Order());

        lines.Clear();
        Assert.NotNull(LayeredCsvTopology.TryRead("ip,DSW,PSW,ASW\nx,G,P,S\ny,G,P,T\n", new(), out _, lines));
        Assert.Equal((2, 3, 2, 3), (lines["x"], lines["y"], lines["G.P.S"], lines["G.P.T"]));
    }

    [Fact]
    public void Slurm_TwoTrees_AreATopologyCutInTwo() =>
        Assert.Equal("d", Assert.Single(FaultsOf(Slurm("SwitchName=s Nodes=a,b\nSwitchName=t Nodes=d", new()))).Value);

    [Fact]
    public void LayeredCsv_UnevenRacks_HaveEqualUplinks()
    {
        const string csv = "ip,DSW,PSW,ASW\nx1,G1,P1,S1\nx2,G1,P1,S1\nx3,G1,P1,S2\r\nx4,G1,P2,S1\nx5,G2,P3,S1\n";

        var fabric = Of(LayeredCsvTopology.TryRead(csv, new() { HostMbps = 1000, RackOversubscription = 2 }, out _)!);

        Assert.Equal(5, fabric.Hosts.Count);
        Assert.Equal(["G1.P1.S1", "G1.P1.S2", "G1.P2.S1", "G2.P3.S1"], fabric.Sites.Racks);
        Assert.Equal(["G1.P1", "G1.P2", "G2.P3"], fabric.Sites.Pods);
        Assert.All(fabric.Sites.RackUplinkBitsPerSecond, r => Assert.Equal(1_000_000_000, r));
        Assert.Equal(2_000_000_000, fabric.Sites.PodUplinkBitsPerSecond[0]);
    }

    [Theory]
    [InlineData("ip,ASW\nx,S1", "line 1")]
    [InlineData("", "line 1")]
    [InlineData("ip,DSW,PSW,ASW\n", "line 2")]
    [InlineData("ip,DSW,PSW,ASW\nx,G1,P1,S1\ny,G1,P1", "line 3")]
    [InlineData("ip,DSW,PSW,ASW\nx,G1,,S1", "line 2")]
    [InlineData("ip,DSW,PSW,ASW\nx,G1,P1,S1\nx,G1,P1,S2", "line 3")]
    public void LayeredCsv_FaultyFile_NamesTheLine(string csv, string line)
    {
        Assert.Null(LayeredCsvTopology.TryRead(csv, new(), out var faults));
        Assert.Equal(line, Assert.Single(faults).Field);
    }

    [Fact]
    public void Import_RatesThatCannotBe_AreRefused()
    {
        Assert.Null(SlurmTopology.TryRead("SwitchName=s Nodes=a", new() { HostMbps = 0, RackOversubscription = double.NaN, PodOversubscription = -1 }, out var faults));
        Assert.Equal(["hostMbps", "rackOversubscription", "podOversubscription"], faults.Select(f => f.Field));
    }

    private static Contracts.Topology Slurm(string conf, ImportRates rates)
    {
        var topology = SlurmTopology.TryRead(conf, rates, out var faults);
        Assert.True(topology is not null, string.Join('\n', faults));
        return topology;
    }
}
