using Microsoft.AspNetCore.SignalR;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Controller.Agents;

public class AgentHubTests
{
    [Fact]
    public async Task Hello_KnownHost_AnswersItsPolicy()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await controller.PlaceAsync("bert", "h0-0-0", "h1-1-1");
        await using var agent = await AgentDouble.DialAsync(controller.Address, "h0-0-0");

        var reply = await agent.HelloAsync();

        Assert.True(reply.Accepted);
        var job = Assert.Single(reply.Policy!.Jobs);
        Assert.Equal("bert", job.Name);
        Assert.Equal([new JobMember(0, "h0-0-0"), new JobMember(1, "h1-1-1")], job.Members);
        Assert.Equal(32, Convert.FromBase64String(job.Secret).Length);
        Assert.Contains(job.Endpoints, e => e is { Host: "h1-1-1", Address: "10.1.1.6", Port: 7471, Rack: "e1-1" });
        Assert.Equal(100_000_000, reply.Policy.LinkRateBitsPerSecond);
    }

    [Fact]
    public async Task Submit_ConnectedAgents_ArePushedToAndPlaceTheJobByAcknowledging()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await using var first = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        await using var second = await AgentDouble.JoinAsync(controller.Address, "h1-1-1");
        await using var stranger = await AgentDouble.JoinAsync(controller.Address, "h0-1-0");

        var job = await controller.PlaceAsync("bert", "h0-0-0", "h1-1-1");
        Assert.Equal(JobState.Pending, job.State);
        Assert.Equal(["h0-0-0", "h1-1-1"], job.WaitingFor);
        await first.AcknowledgeAsync((await first.NextPolicyAsync()).Revision);
        Assert.Equal(["h1-1-1"], (await controller.GetAsync<JobView>("jobs/bert")).WaitingFor);
        await second.AcknowledgeAsync((await second.NextPolicyAsync()).Revision);

        var placed = await controller.GetAsync<JobView>($"jobs/{job.Id}");
        Assert.Equal(JobState.Placed, placed.State);
        Assert.Empty(placed.WaitingFor);
        Assert.False(stranger.Policies.Reader.TryRead(out _), "a host that nothing concerns was told something");
    }

    [Fact]
    public async Task Hello_UnknownHostOrImpossibleFields_IsRefusedWithAReason()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await using var stranger = await AgentDouble.DialAsync(controller.Address, "h7-7-7");
        var unknown = await stranger.HelloAsync();
        Assert.False(unknown.Accepted);
        Assert.Contains("'h7-7-7' is not in the topology", unknown.Reason, StringComparison.Ordinal);

        await using var port = await AgentDouble.DialAsync(controller.Address, "h0-0-0");
        Assert.Contains("dataPort 0", (await port.HelloAsync(port: 0)).Reason, StringComparison.Ordinal);
        await using var term = await AgentDouble.DialAsync(controller.Address, "h0-0-0");
        Assert.Contains("installed", (await term.HelloAsync(installed: new(long.MaxValue, 1))).Reason, StringComparison.Ordinal);
        await using var silent = await AgentDouble.DialAsync(controller.Address, "h0-0-0");
        Assert.Contains("Hello needs", (await silent.InvokeAsync<HelloReply>(AgentHubMethods.Hello, null)).Reason, StringComparison.Ordinal);
        Assert.All(await controller.GetAsync<List<AgentView>>("agents"), a => Assert.Equal("never", a.State));
    }

    [Fact]
    public async Task Message_BeforeHelloOrForAnotherHost_IsRefused()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await using var early = await AgentDouble.DialAsync(controller.Address, "h0-0-0");
        Assert.Contains("Say Hello first", (await Assert.ThrowsAsync<HubException>(() => early.ReportAsync(Flow(1)))).Message, StringComparison.Ordinal);

        await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        var forged = new FlowReport { Host = "h1-1-1", Boot = agent.Boot, Sequence = 1, Records = [Flow(1)] };
        var fault = await Assert.ThrowsAsync<HubException>(() => agent.InvokeAsync(AgentHubMethods.ReportFlows, forged));
        Assert.Contains("speaks for host 'h0-0-0'", fault.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<HubException>(() => agent.InvokeAsync(AgentHubMethods.ReportFlows, forged with { Host = "h0-0-0", Boot = Guid.NewGuid() }));
        Assert.False((await agent.HelloAsync()).Accepted);
        Assert.Empty(await controller.GetAsync<List<LiveFlow>>("flows"));
    }

    [Fact]
    public async Task Message_Hostile_IsRefusedAndTheNextOneServed()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        object?[] hostile =
        [
            null, 5, "text", new { }, new { host = "h0-0-0" },
            new { host = "h0-0-0", boot = agent.Boot, sequence = -1, records = Array.Empty<object>() },
            new { host = "h0-0-0", boot = agent.Boot, sequence = 1, records = (object?)null },
            new { host = "h0-0-0", boot = agent.Boot, sequence = 1, records = new object[] { new { octetDeltaCount = "x" } } },
            new FlowReport { Host = "h0-0-0", Boot = agent.Boot, Sequence = 1, Records = [.. Enumerable.Repeat(Flow(1), FlowReport.MaxRecords + 1)] },
        ];
        foreach (var argument in hostile)
        {
            await Assert.ThrowsAsync<HubException>(() => agent.InvokeAsync(AgentHubMethods.ReportFlows, argument));
        }

        // Bad records are left out, the good one of the same report is taken.
        await agent.InvokeAsync(AgentHubMethods.ReportFlows, new
        {
            host = "h0-0-0",
            boot = agent.Boot,
            sequence = 1,
            records = new object?[]
            {
                null, Flow(-1), Flow(1) with { SourceAddress = "nowhere" }, Flow(1) with { SourceTransportPort = 70_000 }, Flow(1) with { ProtocolIdentifier = 300 },
                Flow(1) with { Role = new string('r', 1_000) }, Flow(1) with { Role = "a\u0000b" }, Flow(1) with { FlowEnd = DateTimeOffset.UnixEpoch }, Flow(4711),
            },
        });
        var flow = Assert.Single(await controller.GetAsync<List<LiveFlow>>("flows"));
        Assert.Equal(4711, flow.Octets);
        Assert.False(agent.Closed.Task.IsCompleted);
    }

    [Fact]
    public async Task Message_LargerThanTheLimit_EndsOnlyThatConnection()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await using var other = await AgentDouble.JoinAsync(controller.Address, "h0-0-1");
        await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");

        await Assert.ThrowsAnyAsync<Exception>(() => agent.InvokeAsync(AgentHubMethods.ReportFlows, new string('x', 8 << 20)));
        await agent.Closed.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);

        await other.ReportAsync(Flow(5) with { SourceAddress = "10.0.0.6" });
        Assert.Single(await controller.GetAsync<List<LiveFlow>>("flows"));
    }

    [Fact]
    public async Task Hello_SameBootAgain_TakesOverFromTheOlderConnection()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await using var older = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        await using var newer = await AgentDouble.JoinAsync(controller.Address, "h0-0-0", older.Boot);

        await older.Closed.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        await controller.PlaceAsync("bert", "h0-0-0");
        Assert.Single((await newer.NextPolicyAsync()).Jobs);
        Assert.Equal("connected", Agent(await controller.GetAsync<List<AgentView>>("agents"), "h0-0-0").State);
    }

    [Fact]
    public async Task Hello_BootThatWasReplaced_IsRefusedWhileTheOtherIsConnected()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await using var first = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        await using (var second = await AgentDouble.JoinAsync(controller.Address, "h0-0-0"))
        {
            await using var again = await AgentDouble.DialAsync(controller.Address, "h0-0-0", first.Boot);
            var refused = await again.HelloAsync();
            Assert.False(refused.Accepted);
            Assert.Contains("Two agents run as 'h0-0-0'", refused.Reason, StringComparison.Ordinal);
            Assert.False(second.Closed.Task.IsCompleted);
        }

        // Once the other is gone it may speak.
        await ControllerProcess.UntilAsync(
            async () => Agent(await controller.GetAsync<List<AgentView>>("agents"), "h0-0-0").State == "silent", "the second agent is seen to be gone");
        await using var alone = await AgentDouble.DialAsync(controller.Address, "h0-0-0", first.Boot);
        Assert.True((await alone.HelloAsync()).Accepted);
    }

    [Fact]
    public async Task Hello_HigherRevisionFromElsewhere_RaisesTheTermAndKeepsTrees()
    {
        await using var controller = await ControllerProcess.StartAsync();
        var job = await controller.PlaceAsync("bert", "h0-0-0", "h1-1-1");
        await using var other = await AgentDouble.JoinAsync(controller.Address, "h1-1-1");
        var term = (await controller.GetAsync<HostPolicy>("policies/h1-1-1")).Revision.Term;
        await using var agent = await AgentDouble.DialAsync(controller.Address, "h0-0-0");

        var reply = await agent.HelloAsync(installed: new(term + 1_000, 77));

        Assert.True(reply.Policy!.Revision.Term > term + 1_000);
        Assert.Equal(job.Plan!.TreesRevision, Assert.Single(reply.Policy.Jobs).TreesRevision);

        // The other host hears the new term too, with the same content.
        var pushed = await other.NextPolicyAsync();
        Assert.Equal(reply.Policy.Revision.Term, pushed.Revision.Term);
        Assert.Equal(job.Plan.TreesRevision, Assert.Single(pushed.Jobs).TreesRevision);
    }

    [Fact]
    public async Task Hello_TermFarInTheFuture_IsRefusedAndLocksNobodyOut()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await using var other = await AgentDouble.JoinAsync(controller.Address, "h1-1-1");
        var revision = (await controller.GetAsync<HostPolicy>("policies/h1-1-1")).Revision;
        foreach (var term in (long[])[revision.Term + (1L << 21), 1L << 40, 1L << 48])
        {
            await using var agent = await AgentDouble.DialAsync(controller.Address, "h0-0-0");
            var reply = await agent.HelloAsync(installed: new(term, 1));
            Assert.False(reply.Accepted);
            Assert.Contains("h0-0-0.policy.json", reply.Reason, StringComparison.Ordinal);
        }

        Assert.Equal(revision, (await controller.GetAsync<HostPolicy>("policies/h1-1-1")).Revision);

        // However often the most that is believed is said, the clock bounds it.
        for (var i = 0; i < 3; i++)
        {
            await using var agent = await AgentDouble.DialAsync(controller.Address, "h0-0-0");
            var now = (await controller.GetAsync<HostPolicy>("policies/h1-1-1")).Revision.Term;
            _ = await agent.HelloAsync(installed: new(now + (1 << 19), 1));
        }

        Assert.InRange((await controller.GetAsync<HostPolicy>("policies/h1-1-1")).Revision.Term, revision.Term, DateTimeOffset.UtcNow.ToUnixTimeSeconds() + (1 << 20) + 1);
        await using var back = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
    }

    [Fact]
    public async Task Acknowledge_JobWhosePlanWasNotTaken_IsNotPlacedAndSaysWhy()
    {
        await using var controller = await ControllerProcess.StartAsync();
        var bert = await controller.PlaceAsync("bert", "h0-0-0");
        var good = await controller.PlaceAsync("good", "h0-0-0");
        await using var agent = await AgentDouble.DialAsync(controller.Address, "h0-0-0");
        var policy = (await agent.HelloAsync()).Policy!;
        PolicyAck Ack(params JobFault[] faults) => new() { Host = agent.Host, Boot = agent.Boot, Revision = policy.Revision, Applied = true, Hash = "ab12", JobFaults = faults };

        await agent.InvokeAsync(AgentHubMethods.Acknowledge, Ack(new JobFault(bert.Id, "shard 0 has no root")));

        var view = await controller.GetAsync<JobView>("jobs/bert");
        Assert.Equal(JobState.Pending, view.State);
        Assert.Equal(["h0-0-0"], view.WaitingFor);
        Assert.Contains(view.Troubles, t => t.Contains("h0-0-0", StringComparison.Ordinal) && t.Contains("shard 0 has no root", StringComparison.Ordinal));
        Assert.Equal(JobState.Placed, (await controller.GetAsync<JobView>($"jobs/{good.Id}")).State);

        await agent.InvokeAsync(AgentHubMethods.Acknowledge, Ack());
        Assert.Equal(JobState.Placed, (await controller.GetAsync<JobView>("jobs/bert")).State);
        await Assert.ThrowsAsync<HubException>(() => agent.InvokeAsync(AgentHubMethods.Acknowledge, Ack(new JobFault(1, new string('x', 2000)))));
    }

    [Fact]
    public async Task Hello_AnotherDataPort_IsToldToTheOtherHostsOfItsJobs()
    {
        await using var controller = await ControllerProcess.StartAsync();
        var job = await controller.PlaceAsync("bert", "h0-0-0", "h1-1-1");
        await using var peer = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        await using var bystander = await AgentDouble.JoinAsync(controller.Address, "h0-1-0");

        await using var moved = await AgentDouble.JoinAsync(controller.Address, "h1-1-1", port: 9_000);

        var told = Assert.Single((await peer.NextPolicyAsync()).Jobs);
        Assert.Equal(9_000, told.Endpoints.Single(e => e.Host == "h1-1-1").Port);
        Assert.Equal(7_471, told.Endpoints.Single(e => e.Host == "h0-0-0").Port);
        Assert.Equal(job.Plan!.TreesRevision, told.TreesRevision);
        Assert.False(bystander.Policies.Reader.TryRead(out _));
    }

    [Fact]
    public async Task Acknowledge_Refusal_IsShownAndThePolicyIsPushedAgain()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        await controller.PlaceAsync("bert", "h0-0-0");
        var policy = await agent.NextPolicyAsync();

        await agent.AcknowledgeAsync(policy.Revision, applied: false, error: "nft: no such table");

        var shown = Agent(await controller.GetAsync<List<AgentView>>("agents"), "h0-0-0");
        Assert.Equal("nft: no such table", shown.Error);
        Assert.True(shown.Acknowledged < shown.Desired);
        var job = await controller.GetAsync<JobView>("jobs/bert");
        Assert.Equal(JobState.Pending, job.State);
        Assert.Contains(job.Troubles, t => t.Contains("nft: no such table", StringComparison.Ordinal));

        // Nobody asks for it: it comes again until it is acknowledged.
        Assert.Equal(policy.Revision, (await agent.NextPolicyAsync()).Revision);
        await agent.AcknowledgeAsync(policy.Revision);
        shown = Agent(await controller.GetAsync<List<AgentView>>("agents"), "h0-0-0");
        Assert.Equal((null, shown.Desired, "ab12"), (shown.Error, shown.Acknowledged, shown.Hash));
        Assert.Equal(JobState.Placed, (await controller.GetAsync<JobView>("jobs/bert")).State);
    }

    [Fact]
    public async Task Submit_OnOtherHosts_LeavesDesiredAndPlacedAsTheyAre()
    {
        await using var controller = await ControllerProcess.StartAsync("--Planning:Policy=fair");
        await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        await controller.PlaceAsync("bert", "h0-0-0");
        await agent.AcknowledgeAsync((await agent.NextPolicyAsync()).Revision);
        var before = Agent(await controller.GetAsync<List<AgentView>>("agents"), "h0-0-0");

        await controller.PlaceAsync("resnet", "h1-0-0", "h1-0-1");

        var after = Agent(await controller.GetAsync<List<AgentView>>("agents"), "h0-0-0");
        Assert.Equal((before.Desired, before.Desired), (after.Desired, after.Acknowledged));
        Assert.Equal(JobState.Placed, (await controller.GetAsync<JobView>("jobs/bert")).State);
        Assert.False(agent.Policies.Reader.TryRead(out _));
    }

    [Fact]
    public async Task Progress_AllWorkersLeft_FinishesTheJobAndWithdrawsIt()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await using var first = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        await using var second = await AgentDouble.JoinAsync(controller.Address, "h1-1-1");
        var job = await controller.PlaceAsync("bert", "h0-0-0", "h0-0-0", "h1-1-1");
        await first.NextPolicyAsync();

        await first.ReportAsync(Worker(job.Id, 0, rounds: 12), Worker(job.Id, 1, rounds: 10));
        await second.ReportAsync(Worker(job.Id, 2, rounds: 11), Worker(job.Id, 0, rounds: 99), Worker(job.Id, 7, rounds: 1));
        var running = await controller.GetAsync<JobView>("jobs/bert");
        Assert.Equal((9, 3, 2.0), (running.RoundsDone, running.WorkersJoined, running.SecondsPerRound));

        await first.ReportAsync(Worker(job.Id, 0, 20, left: true), Worker(job.Id, 1, 20, left: true));
        await second.ReportAsync(Worker(job.Id, 2, 20, left: true));

        Assert.Empty((await first.NextPolicyAsync()).Jobs);
        var finished = await controller.GetAsync<JobView>("jobs/bert");
        Assert.Equal((JobState.Finished, 19L, 0), (finished.State, finished.RoundsDone, finished.WorkersJoined));
        Assert.NotNull(finished.EndedAt);
        Assert.Null(finished.Plan);
    }

    [Fact]
    public async Task Progress_JobNearItsEnd_OvertakesInPriority()
    {
        await using var controller = await ControllerProcess.StartAsync("--Planning:Dwell=00:00:01");
        await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        await using var peer = await AgentDouble.JoinAsync(controller.Address, "h1-1-1");
        var shorter = await SubmitAsync("shorter", rounds: 100);
        var longer = await SubmitAsync("longer", rounds: 1_000);
        Assert.True(shorter.Plan!.Level < longer.Plan!.Level || longer.Plan.Level == 0, "the job with less left comes first");

        // The longer one has 5 rounds left, the shorter still 100; trees stay, only levels change.
        await agent.ReportAsync(Worker(longer.Id, 0, rounds: 995), Worker(shorter.Id, 0, rounds: 0));
        await peer.ReportAsync(Worker(longer.Id, 1, rounds: 995), Worker(shorter.Id, 1, rounds: 0));

        await ControllerProcess.UntilAsync(
            async () => (await controller.GetAsync<JobView>("jobs/longer")).Plan!.Level < (await controller.GetAsync<JobView>("jobs/shorter")).Plan!.Level,
            "the job with less left overtakes");
        Assert.Equal(longer.Plan.TreesRevision, (await controller.GetAsync<JobView>("jobs/longer")).Plan!.TreesRevision);

        async Task<JobView> SubmitAsync(string name, long rounds)
        {
            using var answer = await controller.SubmitAsync(new() { Name = name, Workers = ["h0-0-0", "h1-1-1"], GradientBytes = 1_000_000, Rounds = rounds });
            return (await System.Net.Http.Json.HttpContentJsonExtensions.ReadFromJsonAsync(answer.Content, ContractsJson.Default.JobView, TestContext.Current.CancellationToken))!;
        }
    }

    private static AgentView Agent(IEnumerable<AgentView> agents, string host) => agents.Single(a => a.Host == host);

    private static WorkerProgress Worker(long job, int rank, long rounds, bool left = false) =>
        new() { JobId = job, Rank = rank, Joined = true, Left = left, RoundsDone = rounds, SecondsPerRound = 2 };

    private static FlowRecord Flow(long octets) => new()
    {
        FlowStart = DateTimeOffset.UtcNow,
        FlowEnd = DateTimeOffset.UtcNow.AddSeconds(1),
        Direction = FlowDirection.Egress,
        SourceAddress = "10.0.0.2",
        DestinationAddress = "10.1.1.6",
        SourceTransportPort = 40_000,
        DestinationTransportPort = 7_471,
        ProtocolIdentifier = 6,
        IpDiffServCodePoint = new(34),
        PostIpDiffServCodePoint = new(34),
        OctetDeltaCount = octets,
        PacketDeltaCount = 1,
        EndReason = FlowEndReason.Active,
    };
}
