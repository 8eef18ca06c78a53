using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Jobs;
using static MLNet.SDN.Tests.Planning.Fabrics;

namespace MLNet.SDN.Tests.Planning.Jobs;

public class JobRulesTests
{
    private static readonly JobSpec Sound = new() { Name = "bert-a", Workers = ["h0-0-0", "h0-0-0", "h1-1-3"], Helpers = ["h0-0-1"], GradientBytes = 1, ComputeSeconds = 0.5, Rounds = 10, OwnerUid = 0 };

    [Fact]
    public void Check_SoundJob_HasNoFault() =>
        Assert.Empty(Check(Sound with { Selectors = [new() { Source = "10.0.1.0/24", Protocol = "tcp", DestinationPortFrom = 5000, DestinationPortTo = 5100, Role = "gloo" }, new() { Destination = "2001:db8::/32" }, new() { Protocol = "udp" }] }));

    [Fact]
    public void Check_EverythingWrong_NamesEveryFieldAtOnce()
    {
        var faults = Check(new()
        {
            Name = "Bert A",
            Workers = ["h0-0-0", "", "e0-0", "h9-9-9"],
            Helpers = ["h0-0-0", "h0-0-1", "h0-0-1", null!],
            GradientBytes = -1,
            ComputeSeconds = double.NaN,
            Rounds = -2,
            OwnerUid = -3,
        });

        Assert.Equal(
            [("name", "Bert A"), ("workers[1]", ""), ("workers[2]", "e0-0"), ("workers[3]", "h9-9-9"), ("helpers[0]", "h0-0-0"), ("helpers[2]", "h0-0-1"), ("helpers[3]", ""), ("gradientBytes", "-1"), ("computeSeconds", "NaN"), ("rounds", "-2"), ("ownerUid", "-3")],
            faults.Select(f => (f.Field, f.Value)));
    }

    [Fact]
    public void Check_ZeroWorkers_NamesTheField() => Assert.Equal("workers", Assert.Single(Check(Sound with { Workers = [] })).Field);

    [Theory]
    [InlineData("")]
    [InlineData("-a")]
    [InlineData("a/b")]
    [InlineData("ä")]
    [InlineData("a\n")]
    [InlineData("0123456789012345678901234567890123456789012345678901234567890123")]
    public void Check_BadName_IsRefused(string name) => Assert.Equal(("name", name), Check(Sound with { Name = name }).Select(f => (f.Field, f.Value)).Single());

    [Theory]
    [InlineData(double.PositiveInfinity)]
    [InlineData(-0.001)]
    public void Check_BadComputeSeconds_IsRefused(double seconds) => Assert.Equal("computeSeconds", Assert.Single(Check(Sound with { ComputeSeconds = seconds })).Field);

    public static TheoryData<FlowSelector, string> BadSelectors => new()
    {
        { new(), "selectors[0]" },
        { new() { Role = "gloo" }, "selectors[0]" },
        { new() { Source = "10.0.0.1" }, "selectors[0].source" },
        { new() { Source = "10.0/16" }, "selectors[0].source" },
        { new() { Source = "10.0.0.1/24" }, "selectors[0].source" },
        { new() { Source = "10.0.0.0/33" }, "selectors[0].source" },
        { new() { Source = "10.0.0.0/-1" }, "selectors[0].source" },
        { new() { Destination = "h0-0-0/32" }, "selectors[0].destination" },
        { new() { Destination = "/24" }, "selectors[0].destination" },
        { new() { Source = "10.0.0.0/8", Destination = "2001:db8::/32" }, "selectors[0].destination" },
        { new() { Protocol = "sctp" }, "selectors[0].protocol" },
        { new() { SourcePortFrom = 5 }, "selectors[0].protocol" },
        { new() { Protocol = "tcp", SourcePortFrom = 0 }, "selectors[0].sourcePortFrom" },
        { new() { Protocol = "tcp", DestinationPortFrom = 70_000 }, "selectors[0].destinationPortFrom" },
        { new() { Protocol = "tcp", DestinationPortTo = 80 }, "selectors[0].destinationPortFrom" },
        { new() { Protocol = "tcp", DestinationPortFrom = 81, DestinationPortTo = 80 }, "selectors[0].destinationPortTo" },
        { new() { Protocol = "tcp", Role = "a\u001bb" }, "selectors[0].role" },
    };

    [Theory]
    [MemberData(nameof(BadSelectors), DisableDiscoveryEnumeration = true)]
    public void Check_BadSelector_NamesItsField(FlowSelector selector, string field) => Assert.Equal(field, Assert.Single(Check(Sound with { Selectors = [selector] })).Field);

    [Fact]
    public void Check_HostBitsSet_SaysWhatWouldBeRight() =>
        Assert.Contains("10.0.0.0/24", Assert.Single(Check(Sound with { Selectors = [new() { Source = "10.0.0.1/24" }] })).Message, StringComparison.Ordinal);

    public static TheoryData<FlowSelector, FlowSelector, bool> Pairs => new()
    {
        { new() { Source = "10.0.0.0/8" }, new() { Source = "10.7.0.0/16" }, true },
        { new() { Source = "10.0.0.0/16" }, new() { Source = "10.1.0.0/16" }, false },
        { new() { Source = "10.0.0.0/16" }, new() { Destination = "10.1.0.0/16" }, true },
        { new() { Source = "10.0.0.0/8" }, new() { Source = "::/0" }, false },
        { new() { Source = "10.0.0.0/8" }, new() { Destination = "2001:db8::/32" }, false },
        { new() { Protocol = "tcp" }, new() { Protocol = "udp" }, false },
        { new() { Protocol = "tcp", SourcePortFrom = 10, SourcePortTo = 20 }, new() { Protocol = "tcp", SourcePortFrom = 20, SourcePortTo = 30 }, true },
        { new() { Protocol = "tcp", SourcePortFrom = 10, SourcePortTo = 20 }, new() { Protocol = "tcp", SourcePortFrom = 21 }, false },
        { new() { Protocol = "tcp", SourcePortFrom = 10 }, new() { Protocol = "tcp", DestinationPortFrom = 10 }, true },
        { new() { Source = "0.0.0.0/0" }, new() { Protocol = "udp" }, true },
    };

    [Theory]
    [MemberData(nameof(Pairs), DisableDiscoveryEnumeration = true)]
    public void Check_SelectorAgainstAnotherJobs_OverlapIsSymmetricAndNamesTheJob(FlowSelector mine, FlowSelector theirs, bool overlap)
    {
        foreach (var (a, b) in new[] { (mine, theirs), (theirs, mine) })
        {
            var faults = Check(Sound with { Selectors = [a] }, Sound with { Name = "other", Selectors = [b] });

            Assert.Equal(overlap ? 1 : 0, faults.Count);
            Assert.All(faults, f => Assert.True(f.Field == "selectors[0]" && f.Message.Contains("job other", StringComparison.Ordinal)));
        }
    }

    private static IReadOnlyList<FieldFault> Check(JobSpec spec, params JobSpec[] unfinished)
    {
        var faults = JobRules.Check(spec, Demo, unfinished);
        Assert.All(faults, f => Assert.EndsWith(".", f.Message, StringComparison.Ordinal));
        return faults;
    }
}
