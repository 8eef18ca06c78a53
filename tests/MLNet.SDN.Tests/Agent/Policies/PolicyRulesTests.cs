using System.Net;
using System.Text.Json;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Agent.Policies;

public sealed class PolicyRulesTests
{
    [Fact]
    public void Read_GoodPolicy_BecomesWhatTheDataPlaneNeeds()
    {
        var policy = PolicyRules.Read(PolicySamples.Policy(7, PolicySamples.Job()), PolicySamples.Host, out var faults);

        Assert.Empty(faults);
        Assert.NotNull(policy);
        var job = Assert.Single(policy.AggregationJobs);
        Assert.Equal((1L, "resnet", (byte)34, 65_536, 8, 2), (job.JobId, job.Name, job.Dscp, job.ChunkBytes, job.WindowChunks, job.Stripes));
        Assert.Equal(PolicySamples.Secret, Convert.ToBase64String(job.Secret.Span));
        Assert.Equal(new TreesRevision(1, 1), job.TreesRevision);
        Assert.Equal([new Member(0, "h0-0-0"), new Member(1, "h0-0-1")], job.Members);
        Assert.Equal(new Endpoint("h0-0-1", IPEndPoint.Parse("10.0.0.6:7471"), "e0-0"), job.Endpoints[1]);
        Assert.Equal([new Edge("h0-0-1", "h0-0-0")], Assert.Single(job.Shards).Edges);
        Assert.Equal(new Revision(1, 7), policy.Revision);
        Assert.Equal(new Dscp(40), policy.SignallingDscp);
    }

    [Fact]
    public void Read_JobWithServer_TheDataPlaneKnowsIt() => Assert.Equal(
        1, Assert.Single(PolicyRules.Read(PolicySamples.Policy(7, PolicySamples.Job() with { ServerRank = 1 }), PolicySamples.Host, out _)!.AggregationJobs).ServerRank);

    public static TheoryData<string, HostPolicy> BadPolicies
    {
        get
        {
            var job = PolicySamples.Job();
            HostPolicy Of(HostJob changed) => PolicySamples.Policy(1, changed);
            HostPolicy Selecting(FlowSelector selector) => Of(job with { Selectors = [selector] });
            return new TheoryData<string, HostPolicy>
            {
                { "host", PolicySamples.Policy() with { Host = "h9-9-9" } },
                { "revision", PolicySamples.Policy() with { Revision = new Revision(-1, 0) } },
                { "ladder.classes", PolicySamples.Policy() with { Ladder = new PriorityLadder { Classes = [] } } },
                { "jobs[0].dscp", Of(job with { Dscp = new Dscp(46) }) },
                { "jobs[0].dscp", Of(job with { Dscp = new Dscp(40) }) },
                { "jobs[0].level", Of(job with { Level = 0 }) },
                { "jobs[0].level", Of(job with { Level = -1 }) },
                { "jobs[1]", PolicySamples.Policy(1, job, job) },
                { "jobs[0].secret", Of(job with { Secret = "c2hvcnQ=" }) },
                { "jobs[0].secret", Of(job with { Secret = "no base64!" }) },
                { "jobs[0].ownerUid", Of(job with { OwnerUid = -1 }) },
                { "jobs[0].chunkBytes", Of(job with { ChunkBytes = 12 }) },
                { "jobs[0].windowChunks", Of(job with { WindowChunks = 0 }) },
                { "jobs[0].stripes", Of(job with { Stripes = 0 }) },
                { "jobs[0].paceBitsPerSecond", Of(job with { PaceBitsPerSecond = -1 }) },
                { "jobs[0].members", Of(job with { Members = [] }) },
                { "jobs[0].serverRank", Of(job with { ServerRank = 0 }) },
                { "jobs[0].serverRank", Of(job with { ServerRank = 2 }) },
                { "jobs[0].members", Of(job with { Members = [new JobMember(1, "h0-0-0")] }) },
                { "jobs[0].members[0].host", Of(job with { Members = [new JobMember(0, "h9-9-9")] }) },
                { "jobs[0].endpoints[0].address", Of(job with { Endpoints = [new HostEndpoint("h0-0-0", "10.0.0", 7471, null) with { Address = "ten" }, job.Endpoints[1]], Members = [new JobMember(0, "h0-0-1")], Shards = [job.Shards[0] with { Roots = ["h0-0-1"], Edges = [] }] }) },
                { "jobs[0].endpoints[2].port", Of(job with { Endpoints = [.. job.Endpoints, new HostEndpoint("x", "10.0.0.1", 0, null)] }) },
                { "jobs[0].endpoints[2].host", Of(job with { Endpoints = [.. job.Endpoints, job.Endpoints[0]] }) },
                { "jobs[0].shards", Of(job with { Shards = [] }) },
                { "jobs[0].shards[0].weight", Of(job with { Shards = [job.Shards[0] with { Weight = 0 }] }) },
                { "jobs[0].shards[0].roots", Of(job with { Shards = [job.Shards[0] with { Roots = [] }] }) },
                { "jobs[0].shards[0]", Of(job with { Shards = [job.Shards[0] with { Edges = [new TreeEdge("nobody", "h0-0-0")] }] }) },
                { "jobs[0].selectors[0]", Selecting(new FlowSelector { Role = "all" }) },
                { "jobs[0].selectors[0]", Selecting(new FlowSelector { Source = "10.0.0.0/8", Destination = "2001:db8::/32" }) },
                { "jobs[0].selectors[0].protocol", Selecting(new FlowSelector { Protocol = "sctp" }) },
                { "jobs[0].selectors[0].protocol", Selecting(new FlowSelector { SourcePortFrom = 5 }) },
                { "jobs[0].selectors[0].role", Selecting(new FlowSelector { Protocol = "tcp", Role = new string('r', 65) }) },
                { "jobs[0].selectors[0].source", Selecting(new FlowSelector { Source = "10.0.0.0/33" }) },
                { "jobs[0].selectors[0].destination", Selecting(new FlowSelector { Destination = "10.0.0.0/-1" }) },
                { "jobs[0].selectors[0].sourcePortFrom", Selecting(new FlowSelector { Protocol = "tcp", SourcePortTo = 5 }) },
                { "jobs[0].selectors[0].destinationPortFrom", Selecting(new FlowSelector { Protocol = "tcp", DestinationPortFrom = 6, DestinationPortTo = 5 }) },
                { "jobs[0].selectors[0].destinationPortFrom", Selecting(new FlowSelector { Protocol = "tcp", DestinationPortFrom = 70_000 }) },
                { "jobs[0].selectors[0].uid", Selecting(new FlowSelector { Uid = -1 }) },
                { "jobs[0].selectors[0].cgroup", Selecting(new FlowSelector { Cgroup = "/" }) },
                { "jobs[0].selectors[0].cgroup", Selecting(new FlowSelector { Cgroup = "train.slice" }) },
                { "jobs[0].selectors[0].cgroup", Selecting(new FlowSelector { Cgroup = "/train.slice/../system.slice" }) },
                { "jobs[0].selectors[0].cgroup", Selecting(new FlowSelector { Cgroup = "/train.slice/" }) },
                { "jobs[0].selectors[0].cgroup", Selecting(new FlowSelector { Cgroup = "/a\" } accept; #" }) },
                { "jobs[0].selectors[0].cgroup", Selecting(new FlowSelector { Cgroup = "/a*" }) },
                { "jobs[0].selectors[0].cgroup", Selecting(new FlowSelector { Cgroup = "/a\nb" }) },
            };
        }
    }

    [Theory]
    [MemberData(nameof(BadPolicies))]
    public void Read_BadPolicy_NamesTheField(string field, HostPolicy policy)
    {
        Assert.Null(PolicyRules.Read(policy, PolicySamples.Host, out var faults));

        var fault = Assert.Single(faults);
        Assert.Equal(field, fault.Field);
        Assert.EndsWith(".", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_SelectorsThatNameAProcess_AreAskedBeforeAllOthers()
    {
        var port = new FlowSelector { Protocol = "tcp", DestinationPortFrom = 80 };
        var policy = PolicyRules.Read(
            PolicySamples.Policy(1, PolicySamples.Job(1, "a", 1, 34, port, new FlowSelector { Uid = 5, Source = "10.0.0.0/8" }), PolicySamples.Job(2, "b", 2, 26, new FlowSelector { Cgroup = "/b" })),
            PolicySamples.Host, out var faults)!;

        Assert.Empty(faults);
        Assert.Equal([1L, 2, 1, 2, 1, 1], policy.Selectors.Select(s => s.JobId));
        Assert.Equal([(5u, true, false), (5u, false, true)], policy.Selectors.Where(s => s.Uid is not null).Select(s => (s.Uid!.Value, s.Source is not null, s.Destination is not null)));
        Assert.Equal(["/b"], policy.Cgroups);
        Assert.Equal(["/b", "/b"], policy.Without(new HashSet<long> { 1, 2 }).Selectors.Select(s => s.Cgroup)); // no stranger comes into a control group
    }

    [Fact]
    public void Read_ManyFaults_AreAllTold()
    {
        var job = PolicySamples.Job() with { Dscp = new Dscp(46), ChunkBytes = 1, Selectors = [new FlowSelector { Protocol = "x" }] };

        PolicyRules.Read(PolicySamples.Policy(1, job) with { Host = "other" }, PolicySamples.Host, out var faults);

        Assert.Equal(["host", "jobs[0].dscp", "jobs[0].selectors[0].protocol", "jobs[0].chunkBytes"], faults.Select(f => f.Field));
    }

    [Fact]
    public void Read_Secret_IsNeverInAFault()
    {
        var job = PolicySamples.Job() with { Secret = PolicySamples.Secret + "AAAA", ChunkBytes = 1 };

        PolicyRules.Read(PolicySamples.Policy(1, job), PolicySamples.Host, out var faults);

        Assert.Equal(2, faults.Count);
        Assert.DoesNotContain(faults, f => JsonSerializer.Serialize(f).Contains(PolicySamples.Secret[..8], StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("10.0.1.77/24", "10.0.1.0/24")]
    [InlineData("10.0.1.77", "10.0.1.77/32")]
    [InlineData("0.0.0.0/0", "0.0.0.0/0")]
    [InlineData("2001:db8:1::5/32", "2001:db8::/32")]
    [InlineData("::1", "::1/128")]
    public void Prefix_Good_IsNormalised(string text, string expected)
    {
        Assert.True(AddressPrefix.TryParse(text, out var prefix));
        Assert.Equal(expected, prefix.ToString());
    }

    [Theory]
    [InlineData("")]
    [InlineData("/24")]
    [InlineData("10.0.0.1/")]
    [InlineData("10.0.0.1/+8")]
    [InlineData("10.0.0.1/33")]
    [InlineData("::/129")]
    [InlineData("fe80::1%2/64")]
    [InlineData("h0-0-0")]
    public void Prefix_Bad_IsRefused(string text) => Assert.False(AddressPrefix.TryParse(text, out _));

    [Theory]
    [InlineData(46)]
    [InlineData(48)]
    [InlineData(56)]
    public void Read_ReservedCodePoint_NeedsTheOperatorsWord(int dscp)
    {
        var reserved = new LadderClass { Dscp = new Dscp(dscp), Floor = 0.05 };
        var policy = PolicySamples.Policy(1, PolicySamples.Job(1, "voice", 1, dscp)) with { Ladder = new PriorityLadder { Classes = [reserved, .. PriorityLadder.Standard.Classes] } };

        Assert.Null(PolicyRules.Read(policy, PolicySamples.Host, out var faults));
        Assert.Contains("Agent:AllowedDscp", Assert.Single(faults).Message, StringComparison.Ordinal);
        Assert.NotNull(PolicyRules.Read(policy, PolicySamples.Host, out _, policy.Ladder.Classes.Select(c => c.Dscp).ToHashSet()));
        Assert.Null(PolicyRules.Read(policy, PolicySamples.Host, out _, new HashSet<Dscp> { new(dscp) })); // the others are not on the list
    }
}
