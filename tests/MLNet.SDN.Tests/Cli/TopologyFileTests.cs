using MLNet.SDN.Cli.Simulation;
using MLNet.SDN.Cli.Topology;
using MLNet.SDN.Planning.Simulation;

namespace MLNet.SDN.Tests.Cli;

public sealed class TopologyFileTests : IDisposable
{
    private readonly string path = Path.Combine(Path.GetTempPath(), $"mlnet-topology-{Guid.NewGuid():N}");

    public void Dispose() => File.Delete(path);

    [Theory]
    [InlineData("""{"nodes": [{"id": "a", "kind": "host", "address": "10.0.0.1"}, {"id": "b", "kind": "host", "address": "10.0.0.2"}], "links": [{"source": "a", "target": "b", "rateBitsPerSecond": 5}]}""", 2)]
    [InlineData("SwitchName=s Nodes=a[1-5]", 5)]
    [InlineData("ip,DSW,PSW,ASW\nx,G,P,S\n", 1)]
    public void Read_EveryKind_IsKnownByItsContent(string content, int hosts)
    {
        File.WriteAllText(path, content);

        Assert.Equal(hosts, TopologyFile.Read(path, new(), out _)?.Hosts.Count);
    }

    [Theory]
    [InlineData("{\n\"nodes\": 3}", ":2: ")]
    [InlineData("""{"nodes": [], "links": []}""", ":1: nodes: ")]
    [InlineData("SwitchName=s Nodes=a\nSwitchName=t Nodes=a", ":2: a: ")]
    [InlineData("host,rack", ":1: host,rack: ")]
    [InlineData("SwitchName=s Nodes=h[1-5]\n\nSwitchName=t Nodes=h[6-9] # cut off", ":3: h6: Host h6 and 3 more beside it cannot be reached")]
    [InlineData("\0\u001b[2J\u0007garbage", ":1:   [2J garbage: ")]
    public void Read_FaultyFile_SaysWhere(string content, string expected)
    {
        File.WriteAllText(path, content);

        Assert.Null(TopologyFile.Read(path, new(), out var errors));

        Assert.StartsWith(path + expected, Assert.Single(errors), StringComparison.Ordinal);
    }

    [Fact]
    public void Read_ImportThatMakesALinkTooSlow_SaysWhoseLineItIs()
    {
        File.WriteAllText(path, "# one host\nSwitchName=s Nodes=h1\nSwitchName=t Switches=s");

        Assert.Null(TopologyFile.Read(path, new() { HostMbps = 0.001, RackOversubscription = 1e4 }, out var errors));

        Assert.StartsWith(path + ":2: 0: The rate of link s-t", Assert.Single(errors), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("/")]
    [InlineData("/dev/zero")]
    [InlineData("/no/such/file")]
    public void Read_WhatIsNoFile_IsOneLineThatNamesIt(string name)
    {
        Assert.Null(TopologyFile.Read(name, new(), out var errors));

        Assert.StartsWith(name.Length > 0 ? name + ": " : "A file has an empty name", Assert.Single(errors), StringComparison.Ordinal);
        Assert.DoesNotContain("denied", errors[0], StringComparison.Ordinal);
    }

    [Fact]
    public void Read_ByteOrderMark_IsNoPartOfTheFile()
    {
        File.WriteAllText(path, """{"nodes": [{"id": "a", "kind": "host", "address": "10.0.0.1"}], "links": []}""", System.Text.Encoding.UTF8);

        Assert.Null(TopologyFile.Read(path, new(), out var errors));

        Assert.Contains("a: Host a has no link", Assert.Single(errors), StringComparison.Ordinal);
    }

    [Fact]
    public void On_AnotherFabric_PutsJobsOnItsHostsRackByRack()
    {
        File.WriteAllText(path, "SwitchName=r1 Nodes=b[1-2]\nSwitchName=r2 Nodes=a[1-2]\nSwitchName=top Switches=r[1-2]");
        var fabric = TopologyFile.Read(path, new(), out _)!;
        File.WriteAllText(path, """
            {"name": "s", "topology": {"racks": 2, "hostsPerRack": 4, "pods": 1, "racksPerPod": 2, "hostBytesPerSecond": 1, "rackUplinkBytesPerSecond": 1, "podUplinkBytesPerSecond": 1},
             "jobs": [{"model": "m", "workers": [0, 1, 2, 3], "bytes": 1, "computeSeconds": 1, "iterations": 1, "arrivalSeconds": 0}]}
            """);
        var @case = CaseFile.Read(path, 0, [1], out _)!.Single();

        Assert.Equal(["b1", "b2", "a1", "a2"], @case.On(fabric, out _)!.Jobs.Single().Workers);

        var wider = @case with { Jobs = [@case.Jobs[0] with { Workers = ["h0004"] }] };
        Assert.Null(wider.On(fabric, out var faults));
        Assert.Contains("need 5 hosts", Assert.Single(faults).Message, StringComparison.Ordinal);
    }
}
