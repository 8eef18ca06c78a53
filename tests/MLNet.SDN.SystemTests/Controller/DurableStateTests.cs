using System.Net;
using Dapper;
using MLNet.SDN.Contracts;
using MLNet.SDN.Tests.Controller;
using Npgsql;

namespace MLNet.SDN.SystemTests.Controller;

public class DurableStateTests(PostgresCluster cluster) : IClassFixture<PostgresCluster>
{
    [Fact]
    public async Task Restart_AfterKill_KeepsJobsTreesAndLevelUnderAHigherTerm()
    {
        var database = await cluster.CreateDatabaseAsync();
        HostPolicy before;
        JobView job;
        await using (var first = await ControllerBinary.StartAsync(database))
        {
            job = await first.PlaceAsync("bert", "h0-0-0", "h0-1-0", "h1-1-1");
            await first.PlaceAsync("resnet", "h0-0-0", "h1-0-0");
            await using var agent = await AgentDouble.JoinAsync(first.Address, "h0-0-0", port: 7500);
            before = (await agent.HelloAgainAsync()).Policy!;
            await first.KillAsync();
        }

        await using var second = await ControllerBinary.StartAsync(database);
        await using var back = await AgentDouble.DialAsync(second.Address, "h0-0-0");
        var after = (await back.HelloAsync(7500, before.Revision)).Policy!;

        // Under the same name the lease is taken at once, with a higher term; what the host is told is else the same, secrets included.
        Assert.True(after.Revision.Term > before.Revision.Term, $"{after.Revision} is no higher term than {before.Revision}");
        Assert.Equal(Text(before with { Revision = default }), Text(after with { Revision = default }));
        Assert.Equal(job.Plan!.TreesRevision, (await second.GetAsync<JobView>("jobs/bert")).Plan!.TreesRevision);

        static string Text(HostPolicy policy) => System.Text.Json.JsonSerializer.Serialize(policy, ContractsJson.Default.HostPolicy);
    }

    [Fact]
    public async Task Restart_AfterADiscoveredJobWasWithdrawn_ItIsStillLeftAlone()
    {
        var database = await cluster.CreateDatabaseAsync();
        await using (var first = await ControllerBinary.StartAsync(database))
        {
            await using var left = await AgentDouble.JoinAsync(first.Address, "h0-0-0");
            await using var right = await AgentDouble.JoinAsync(first.Address, "h1-0-0");
            await DiscoverAsync(left, right);
            await ControllerBinary.UntilAsync(async () => (await first.GetAsync<List<DiscoveredJobView>>("discovered")).Exists(j => j.JobId is not null), () => "the job is made");
            using var answer = await first.Http.DeleteAsync("/api/v1/jobs/torch-a-1", TestContext.Current.CancellationToken);
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            await first.KillAsync();
        }

        await using var second = await ControllerBinary.StartAsync(database);
        await using var leftAgain = await AgentDouble.JoinAsync(second.Address, "h0-0-0");
        await using var rightAgain = await AgentDouble.JoinAsync(second.Address, "h1-0-0");
        await DiscoverAsync(leftAgain, rightAgain);
        await ControllerBinary.UntilAsync(
            async () => (await second.GetAsync<List<DiscoveredJobView>>("discovered")).Exists(j => j.Reason?.Contains("operator", StringComparison.Ordinal) == true), () => "it is left alone");

        static async Task DiscoverAsync(AgentDouble left, AgentDouble right)
        {
            await left.InvokeAsync(AgentHubMethods.ReportDiscovery, Report("h0-0-0", left.Boot, 0, new("10.0.0.2", 40_000, "10.1.0.2", 5000)));
            await right.InvokeAsync(AgentHubMethods.ReportDiscovery, Report("h1-0-0", right.Boot, 1, new("10.1.0.2", 5000, "10.0.0.2", 40_000)));
        }

        static DiscoveryReport Report(string host, Guid boot, int rank, DiscoveredConnection connection) => new()
        {
            Host = host,
            Boot = boot,
            Jobs = [new() { Key = "torch//a:1", Name = "torch-a-1", Uid = 1000, WorldSize = 2, Ranks = [rank], Connections = [connection] }],
        };
    }

    [Fact]
    public async Task Lease_SecondInstance_WaitsThenTakesOver()
    {
        var database = await cluster.CreateDatabaseAsync();
        await using var leader = await ControllerBinary.StartAsync(database, "one", "--Controller:LeaseTime=00:00:02");
        var job = await leader.PlaceAsync("bert", "h0-0-0", "h1-0-0");
        await using var standby = await ControllerBinary.LaunchAsync(database, "two", "--Controller:LeaseTime=00:00:02");
        await ControllerBinary.UntilAsync(async () => await standby.HealthAsync() == HttpStatusCode.ServiceUnavailable, () => "the second one stands by");
        using (var refused = await standby.Http.GetAsync("/api/v1/jobs", TestContext.Current.CancellationToken))
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        }

        await leader.KillAsync();

        await ControllerBinary.UntilAsync(async () => await standby.HealthAsync() == HttpStatusCode.OK, () => $"the second one leads; it said\n{standby.Output}");
        Assert.Equal(job.Id, (await standby.GetAsync<JobView>("jobs/bert")).Id);
    }

    [Fact]
    public async Task Lease_LeaderThatWasStopped_CanChangeNothingAndStepsBack()
    {
        var database = await cluster.CreateDatabaseAsync();
        await using var former = await ControllerBinary.StartAsync(database, "one", "--Controller:LeaseTime=00:00:02");
        await using (var connection = new NpgsqlConnection(database))
        {
            // As if it had been stopped for longer than its lease while another took over.
            await connection.ExecuteAsync("update mlnet.lease set term = term + 1, instance = 'two', process = gen_random_uuid(), expires_at = now() + interval '1 hour'");
        }

        using var refused = await former.SubmitAsync(new() { Name = "bert", Workers = ["h0-0-0"] });

        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        await ControllerBinary.UntilAsync(async () => await former.HealthAsync() == HttpStatusCode.ServiceUnavailable, () => "the former leader stands by");
        await using var check = new NpgsqlConnection(database);
        Assert.Equal(0, await check.ExecuteScalarAsync<int>("select count(*) from mlnet.job"));
    }

    [Fact]
    public async Task Database_GoneForAWhile_ChangesAreRefusedAndNothingIsLost()
    {
        await using var own = new PostgresCluster();
        var database = await own.CreateDatabaseAsync();
        await using var controller = await ControllerBinary.StartAsync(database, "one", "--Controller:LeaseTime=00:00:02");
        await controller.PlaceAsync("bert", "h0-0-0", "h1-0-0");

        await own.StopAsync();
        using (var refused = await controller.SubmitAsync(new() { Name = "late", Workers = ["h0-0-0"] }))
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
            Assert.Equal("application/problem+json", refused.Content.Headers.ContentType?.MediaType);
        }

        // Agents are served on.
        await using (var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0"))
        {
            Assert.Equal(HttpStatusCode.OK, await controller.HealthAsync());
        }

        await own.StartAsync();
        await ControllerBinary.UntilAsync(async () => (await controller.SubmitAsync(new() { Name = "later", Workers = ["h0-0-0"] })).IsSuccessStatusCode, () => "changes are taken again");
        Assert.Equal(["later", "bert"], (await controller.GetAsync<List<JobView>>("jobs")).Select(j => j.Spec.Name));
    }
}
