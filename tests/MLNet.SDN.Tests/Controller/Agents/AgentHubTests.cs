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
}
