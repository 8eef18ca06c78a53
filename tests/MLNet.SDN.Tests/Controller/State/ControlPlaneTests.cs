using System.Net;
using Microsoft.Extensions.DependencyInjection;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Tests.Controller.State;

public class ControlPlaneTests
{
    [Fact]
    public async Task Commit_StoreAway_ChangesNothingAndLeadsOn()
    {
        var store = new DoubtfulStore(TimeProvider.System);
        await using var controller = await StartAsync(store);
        await controller.PlaceAsync("bert", "h0-0-0", "h1-1-1");
        var before = Policies(controller);
        store.Next = Answer.Away;

        using var refused = await controller.SubmitAsync(new() { Name = "late", Workers = ["h0-0-0"] });

        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.Equal(before, Policies(controller));
        Assert.Equal(1, store.Leaderships);
        await controller.PlaceAsync("late", "h0-0-0");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Commit_AnswerLost_ReadsAnewWhatIsStored(bool wasStored)
    {
        var store = new DoubtfulStore(TimeProvider.System);
        await using var controller = await StartAsync(store);
        var bert = await controller.PlaceAsync("bert", "h0-0-0", "h1-1-1");
        await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        store.Next = wasStored ? Answer.LostAfterStoring : Answer.LostBeforeStoring;

        using (var doubtful = await controller.SubmitAsync(new() { Name = "late", Workers = ["h0-0-0"] }))
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, doubtful.StatusCode);
        }

        // Either way it goes on with what the store holds, the same trees, and the agent stays.
        await ControllerProcess.UntilAsync(() => store.Leaderships == 2, "what is stored is read anew");
        await ControllerProcess.UntilAsync(async () => (await controller.GetAsync<List<JobView>>("jobs")).Count == (wasStored ? 2 : 1), "jobs are as stored");
        var policy = await agent.NextPolicyAsync();
        Assert.Equal(wasStored ? ["bert", "late"] : ["bert"], policy.Jobs.Select(j => j.Name));
        Assert.Equal(bert.Plan!.TreesRevision, policy.Jobs[0].TreesRevision);
        Assert.False(agent.Closed.Task.IsCompleted);
        using var again = await controller.SubmitAsync(new() { Name = "late", Workers = ["h0-0-0"] });
        Assert.Equal(wasStored ? HttpStatusCode.Conflict : HttpStatusCode.Created, again.StatusCode);
    }

    [Fact]
    public async Task Lease_TakenByAnother_SendsAgentsAway()
    {
        var store = new DoubtfulStore(TimeProvider.System);
        await using var controller = await StartAsync(store);
        await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");

        store.Taken = true;
        using (var refused = await controller.SubmitAsync(new() { Name = "late", Workers = ["h0-0-0"] }))
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        }

        await agent.Closed.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        using var health = await controller.Http.GetAsync("/healthz", TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, health.StatusCode);
        Assert.Contains("standing by for other", await health.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);

        store.Taken = false;
        await ControllerProcess.UntilAsync(() => controller.Get<ControlPlane>().Current is not null, "it leads again");
    }

    [Fact]
    public async Task Submit_ManyAtOnce_EndInOneConsistentState()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await Task.WhenAll(Enumerable.Range(0, 24).Select(i => i % 4 == 3
            ? CancelAsync($"job{i - 1}")
            : controller.PlaceAsync($"job{i}", ControllerProcess.Hosts[i % 8], ControllerProcess.Hosts[(i + 3) % 8])));

        var state = controller.Get<ControlPlane>().Current!;
        foreach (var (host, desired) in state.Policies)
        {
            // Each host holds exactly the jobs that have a part there, as the plans say.
            Assert.Equal(state.Jobs.Values.Where(j => j.Hosts.Contains(host)).Select(j => j.Id), desired.Policy.Jobs.Select(j => j.JobId));
            Assert.All(desired.Policy.Jobs, j => Assert.Same(state.Jobs[j.JobId].Content, j));
            Assert.True(desired.Policy.Revision <= state.Revision);
        }

        async Task CancelAsync(string name)
        {
            using var answer = await controller.Http.DeleteAsync($"/api/v1/jobs/{name}", TestContext.Current.CancellationToken);
        }
    }

    private static Task<ControllerProcess> StartAsync(DoubtfulStore store) => ControllerProcess.StartAsync(s => s.AddSingleton<IStateStore>(store), "--Controller:LeaseTime=00:00:02");

    private static string Policies(ControllerProcess controller) =>
        string.Join('\n', controller.Get<ControlPlane>().Current!.Policies.OrderBy(p => p.Key, StringComparer.Ordinal).Select(p => $"{p.Key} {p.Value.Policy.Revision} {p.Value.Key}"));
}
