using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Agents;
using MLNet.SDN.Controller.Discovery;
using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Tests.Controller.Discovery;

public sealed class DiscoveryUpkeepTests : IAsyncLifetime
{
    private static readonly DiscoveredConnection[] There = [new("10.0.0.2", 40_000, "10.1.0.2", 5000)];
    private static readonly DiscoveredConnection[] Back = [new("10.1.0.2", 5000, "10.0.0.2", 40_000)];

    private readonly SteppedTime time = new();
    private ControllerProcess controller = null!;
    private AgentRegistry registry = null!;
    private DiscoveryReports reports = null!;
    private DiscoveryUpkeep upkeep = null!;

    private DesiredState State => controller.Get<ControlPlane>().Current!;

    // Beside the one that runs by itself, which hears nothing.
    public async ValueTask InitializeAsync()
    {
        controller = await ControllerProcess.StartAsync();
        Lead();
    }

    public ValueTask DisposeAsync() => controller.DisposeAsync();

    [Fact]
    public async Task Turn_WholeJob_ComesIsRevisedAndGoes()
    {
        Connect("h0-0-0");
        Connect("h1-0-0");

        // 1. Not at first sight.
        Say(There, Back);
        await TurnAsync(1);
        Assert.Empty(State.Jobs);
        Assert.NotNull(Assert.Single(upkeep.Views).Reason);

        // 2. Then with the selectors, the owner and the key, on both hosts.
        await TurnAsync(2);
        var job = Assert.Single(State.Jobs.Values);
        Assert.Equal(("torch-10.0.0.1-29500", 1000, 0L), (job.Name, job.Record.Spec.OwnerUid, job.Record.Spec.GradientBytes));
        Assert.Equal(["h0-0-0", "h1-0-0"], job.Record.Spec.Workers);
        Assert.All(job.Record.Spec.Workers, h => Assert.Equal("torch//10.0.0.1:29500", Assert.Single(State.Policies[h].Policy.Jobs).DiscoveryKey));
        Assert.Equal(40_000, Assert.Single(job.Content.Selectors).SourcePortFrom);
        Assert.NotEqual(Dscp.Default, job.Plan.Dscp);
        Assert.Equal(job.Id, Assert.Single(upkeep.Views).JobId);

        // 3. Its traffic tells its size; small changes of it are none.
        Say(There, Back, DiscoveredJobTests.Profile(0.5, 4_000_000));
        await TurnAsync(6);
        Assert.Equal((4_000_000L, 0.4), (Only().Record.Spec.GradientBytes, Only().Record.Spec.ComputeSeconds));
        var revision = State.Revision;
        Say(There, Back, DiscoveredJobTests.Profile(0.52, 4_100_000));
        await TurnAsync(6);
        Assert.Equal(revision, State.Revision);

        // 4. Another connection: no longer the old selector.
        Say([There[0] with { LocalPort = 40_001 }], [Back[0] with { RemotePort = 40_001 }], DiscoveredJobTests.Profile(0.5, 4_000_000));
        await TurnAsync(6);
        Assert.Equal(40_001, Assert.Single(Only().Content.Selectors).SourcePortFrom);
        Assert.Equal(job.Plan.TreesRevision, Only().Plan.TreesRevision);

        // 5. One rank is gone: over, but not at the first look that misses it.
        Say([], null);
        Assert.True(reports.HasTold("h1-0-0"));
        await TurnAsync(2);
        Assert.Single(State.Jobs);
        await TurnAsync(1);
        Assert.Empty(State.Jobs);
        Assert.Equal(JobState.Finished, State.RecentlyEnded[^1].State);
        Assert.All(job.Record.Spec.Workers, h => Assert.Empty(State.Policies[h].Policy.Jobs));
    }

    [Fact]
    public async Task Turn_SilentAgents_KeepTheJobUntilNobodyCanHoldItForRunning()
    {
        Say(There, Back);
        await TurnAsync(3);
        await TurnAsync(10, TimeSpan.FromSeconds(30));
        Assert.Single(State.Jobs);

        await TurnAsync(12, TimeSpan.FromMinutes(1));
        Assert.Empty(State.Jobs);
    }

    [Fact]
    public async Task Turn_WithdrawnByAnOperator_IsLeftAloneUntilItRunsAnew()
    {
        Connect("h0-0-0");
        Connect("h1-0-0");
        Say(There, Back);
        await TurnAsync(3);
        using (var answer = await controller.Http.DeleteAsync("/api/v1/jobs/torch-10.0.0.1-29500", TestContext.Current.CancellationToken))
        {
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        }

        await TurnAsync(5);
        Assert.Empty(State.Jobs);
        Assert.Contains("operator", Assert.Single(upkeep.Views).Reason, StringComparison.Ordinal);

        // Another leader finds it stored, and does not take the silence of agents that are still on their way for its end.
        var stored = await controller.Get<IStateStore>().TryLeadAsync(TestContext.Current.CancellationToken);
        await controller.Get<ControlPlane>().BeginAsync(stored.State!, State.Fabric, State.Settings);
        Lead();
        await TurnAsync(5);
        Connect("h0-0-0");
        Connect("h1-0-0");
        Say(There, Back);
        await TurnAsync(20);
        Assert.Empty(State.Jobs);
        Assert.Contains("operator", Assert.Single(upkeep.Views).Reason, StringComparison.Ordinal);

        // Its end is stored too: the next run is another one, whoever leads.
        Nothing("h0-0-0");
        Nothing("h1-0-0");
        await TurnAsync(3);
        stored = await controller.Get<IStateStore>().TryLeadAsync(TestContext.Current.CancellationToken);
        await controller.Get<ControlPlane>().BeginAsync(stored.State!, State.Fabric, State.Settings);
        Lead();
        Say(There, Back);
        await TurnAsync(3);
        Assert.Single(State.Jobs);
    }

    [Fact]
    public async Task Turn_NewLeader_WaitsForTheAgentsOfAllHosts()
    {
        Say(There, Back);
        await TurnAsync(3);
        var id = Only().Id;

        // Agents dial again one after the other: what the first says is not all there is.
        Lead();
        await TurnAsync(5);
        Connect("h0-0-0");
        reports.Take(DiscoveredJobTests.Report("h0-0-0", [0], There));
        await TurnAsync(25);
        Assert.Equal(id, Only().Id);
        Connect("h1-0-0");
        reports.Take(DiscoveredJobTests.Report("h0-0-0", [0], There));
        reports.Take(DiscoveredJobTests.Report("h1-0-0", [1], Back));
        await TurnAsync(20);
        Assert.Equal(id, Only().Id);

        // It has not forgotten how to end it.
        Say([], null);
        await TurnAsync(3);
        Assert.Empty(State.Jobs);
    }

    [Fact]
    public async Task Turn_AgentStartedAnew_WhatItsHostSaidCountsUntilItsUnitHasLooked()
    {
        Connect("h0-0-0");
        Connect("h1-0-0");
        Say(There, Back);
        await TurnAsync(20);
        var id = Only().Id;

        var boot = Guid.NewGuid();
        Connect("h1-0-0", boot);
        await TurnAsync(10);
        Assert.Null(Assert.Single(upkeep.Views).Reason);
        reports.Take(DiscoveredJobTests.Report("h1-0-0", [1], Back) with { Boot = boot });
        reports.Take(DiscoveredJobTests.Report("h0-0-0", [0], There));
        await TurnAsync(10);
        Assert.Equal(id, Only().Id);

        // One that never says anything: nobody discovers there any more.
        Connect("h1-0-0", Guid.NewGuid());
        for (var i = 0; i < 7; i++)
        {
            reports.Take(DiscoveredJobTests.Report("h0-0-0", [0], There));
            await TurnAsync(10);
        }

        Assert.Empty(State.Jobs);
    }

    [Fact]
    public async Task Turn_JobOfWhichAPartIsMissing_StillGivesWayToASubmittedOne()
    {
        Say(There, Back);
        await TurnAsync(3);
        Nothing("h1-0-0");
        await TurnAsync(5);
        Assert.Single(State.Jobs);
        using var answer = await controller.SubmitAsync(new() { Name = "mine", Workers = ["h0-0-0", "h1-0-0"], Selectors = [new() { Protocol = "tcp", DestinationPortFrom = 5000 }] });
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);

        // Even before the discovered one ends the agents ask the submitted one first.
        Assert.Equal("mine", State.Policies["h0-0-0"].Policy.Jobs[0].Name);
        await TurnAsync(1);
        Assert.Equal("mine", Only().Name);
    }

    [Fact]
    public async Task Submit_SelectorsOfADiscoveredJob_TheSubmittedOneGoesFirst()
    {
        Say(There, Back);
        await TurnAsync(3);
        using var answer = await controller.SubmitAsync(new()
        {
            Name = "mine", Workers = ["h0-0-0", "h1-0-0"], Selectors = [new() { Protocol = "tcp", DestinationPortFrom = 5000 }],
        });
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        await TurnAsync(20);

        Assert.Equal("mine", Only().Name);
        Assert.Contains("mine", Assert.Single(upkeep.Views).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Submit_WithADiscoveryKey_IsRefused()
    {
        using var answer = await controller.SubmitAsync(new() { Name = "mine", Workers = ["h0-0-0", "h1-0-0"], DiscoveryKey = "torch//10.0.0.1:29500" });

        Assert.Equal(HttpStatusCode.UnprocessableEntity, answer.StatusCode);
    }

    [Fact]
    public async Task Report_OverTheHub_MakesTheJobAndNonsenseIsRefused()
    {
        await using var left = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        await using var right = await AgentDouble.JoinAsync(controller.Address, "h1-0-0");
        await left.InvokeAsync(AgentHubMethods.ReportDiscovery, DiscoveredJobTests.Report("h0-0-0", [0], There) with { Boot = left.Boot });
        await right.InvokeAsync(AgentHubMethods.ReportDiscovery, DiscoveredJobTests.Report("h1-0-0", [1], Back) with { Boot = right.Boot });
        await ControllerProcess.UntilAsync(() => State.Jobs.Count == 1, "the job is made of what both said");
        Assert.NotNull(Assert.Single(await controller.GetAsync<List<DiscoveredJobView>>("discovered")).JobId);

        foreach (var bad in new[] { DiscoveredJobTests.Report("h0-0-0", [2], There), DiscoveredJobTests.Report("h1-0-0", [0], There), DiscoveredJobTests.Report("h0-0-0", [0], [new("x", 0, "y", 1)]) })
        {
            await Assert.ThrowsAsync<Microsoft.AspNetCore.SignalR.HubException>(() => left.InvokeAsync(AgentHubMethods.ReportDiscovery, bad with { Boot = left.Boot }));
        }
    }

    private PlacedJob Only() => Assert.Single(State.Jobs.Values);

    // A controller that begins to lead: it knows of no agent, and of nothing that is discovered.
    private void Lead()
    {
        registry = new(controller.Get<ControlPlane>(), time, NullLogger<AgentRegistry>.Instance);
        reports = new(registry, time);
        upkeep = new(controller.Get<ControlPlane>(), reports, time, NullLogger<DiscoveryUpkeep>.Instance);
    }

    private void Connect(string host, Guid boot = default) => Assert.Null(registry.Connect(
        new AgentSession(host, boot, "test", null!, () => { }, time),
        new() { Host = host, Boot = boot, Version = "1", Capabilities = [], DataPort = 7471, Installed = Revision.None, InstalledHash = "" }));

    private void Nothing(string host) => reports.Take(new() { Host = host, Boot = Guid.Empty, Jobs = [] });

    private void Say(DiscoveredConnection[] there, DiscoveredConnection[]? back, TrafficProfile? profile = null)
    {
        reports.Take(DiscoveredJobTests.Report("h0-0-0", [0], there, profile));
        reports.Take(back is null ? new() { Host = "h1-0-0", Boot = Guid.Empty, Jobs = [] } : DiscoveredJobTests.Report("h1-0-0", [1], back, profile));
    }

    private async Task TurnAsync(int turns, TimeSpan? step = null)
    {
        for (var i = 0; i < turns; i++)
        {
            time.Step(step ?? TimeSpan.FromSeconds(1));
            await upkeep.RunOnceAsync();
        }
    }

    private sealed class SteppedTime : TimeProvider
    {
        private DateTimeOffset now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

        public void Step(TimeSpan by) => now += by;

        public override DateTimeOffset GetUtcNow() => now;
    }
}
