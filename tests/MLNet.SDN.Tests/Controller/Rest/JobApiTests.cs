using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Controller.Rest;

public class JobApiTests
{
    private const string Good = """{"name":"bert","workers":["h0-0-0","h1-1-1"],"gradientBytes":1000000,"rounds":10}""";

    [Fact]
    public async Task Submit_SeveralFaults_NamesThemAll()
    {
        await using var controller = await ControllerProcess.StartAsync();

        using var answer = await PostAsync(controller, """{"name":"!","workers":["x","y"],"rounds":-1}""");

        var errors = (await Problem.ReadAsync(answer, 422)).GetProperty("errors").EnumerateArray().Select(e => e.GetProperty("field").GetString());
        Assert.Equal(["name", "workers[0]", "workers[1]", "rounds"], errors);
    }

    [Fact]
    public async Task Submit_NameTaken_IsRefusedUntilThatJobHasEnded()
    {
        await using var controller = await ControllerProcess.StartAsync();
        using var first = await PostAsync(controller, Good);
        Assert.Equal(HttpStatusCode.Created, first.StatusCode);

        using var second = await PostAsync(controller, Good);
        var problem = await Problem.ReadAsync(second, 409);
        Assert.Equal("name", problem.GetProperty("errors")[0].GetProperty("field").GetString());
        Assert.Contains("name 'bert'", problem.GetProperty("detail").GetString(), StringComparison.Ordinal);
        Assert.Single(await controller.GetAsync<List<JobView>>("jobs"));

        using var cancelled = await controller.Http.DeleteAsync("/api/v1/jobs/bert", TestContext.Current.CancellationToken);
        Assert.Equal(JobState.Cancelled, (await ReadJobAsync(cancelled)).State);
        using var third = await PostAsync(controller, Good);
        Assert.Equal(HttpStatusCode.Created, third.StatusCode);
        var again = await ReadJobAsync(third);
        Assert.True(again.Id > (await ReadJobAsync(first)).Id, "a number was given twice");
        Assert.Equal(again.Id, (await controller.GetAsync<JobView>("jobs/bert")).Id);
    }

    [Fact]
    public async Task Submit_Accepted_AnswersTheJobWithItsAddressAndNeverItsSecret()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");

        using var answer = await PostAsync(controller, Good);

        var job = await ReadJobAsync(answer);
        Assert.Equal(new Uri($"/api/v1/jobs/{job.Id}", UriKind.Relative), answer.Headers.Location);
        Assert.Equal(["h0-0-0", "h1-1-1"], job.WaitingFor);
        Assert.Equal(-1, job.RoundsDone);
        var secret = Assert.Single((await agent.NextPolicyAsync()).Jobs).Secret;
        foreach (var path in (string[])["jobs", "jobs/bert", $"jobs/{job.Id}", "policies/h0-0-0", "agents", "events"])
        {
            Assert.DoesNotContain(secret, await controller.Http.GetStringAsync($"/api/v1/{path}", TestContext.Current.CancellationToken), StringComparison.Ordinal);
        }

        Assert.DoesNotContain(controller.Log, line => line.Contains(secret, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Submit_RepeatedKey_AnswersTheSameJobAndRefusesAnotherBody()
    {
        await using var controller = await ControllerProcess.StartAsync();
        using var first = await PostAsync(controller, Good, "k-1");
        using var second = await PostAsync(controller, Good, "k-1");
        using var other = await PostAsync(controller, Good.Replace("bert", "resnet", StringComparison.Ordinal), "k-1");

        Assert.Equal((await ReadJobAsync(first)).Id, (await ReadJobAsync(second)).Id);
        Assert.Equal("true", second.Headers.GetValues("Idempotency-Replayed").Single());
        Assert.False(first.Headers.Contains("Idempotency-Replayed"));
        Assert.Contains("Idempotency-Key", (await Problem.ReadAsync(other, 422)).GetProperty("detail").GetString(), StringComparison.Ordinal);
        Assert.Single(await controller.GetAsync<List<JobView>>("jobs"));
    }

    [Fact]
    public async Task Submit_AtTheSameTimeWithOneKey_MakesOneJob()
    {
        await using var controller = await ControllerProcess.StartAsync();
        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => PostAsync(controller, Good, "k")));

        Assert.All(answers, a => Assert.Equal(HttpStatusCode.Created, a.StatusCode));
        Assert.Single(await controller.GetAsync<List<JobView>>("jobs"));
    }

    [Fact]
    public async Task Submit_NoJsonOrTooMuch_IsRefused()
    {
        await using var controller = await ControllerProcess.StartAsync();
        using var form = new StringContent(Good, Encoding.UTF8, "application/x-www-form-urlencoded");
        using var answer = await controller.Http.PostAsync("/api/v1/jobs", form, TestContext.Current.CancellationToken);
        Assert.Contains("Content-Type", (await Problem.ReadAsync(answer, 415)).GetProperty("detail").GetString(), StringComparison.Ordinal);

        using var large = await PostAsync(controller, $$"""{"name":"bert","workers":["{{new string('x', 2 << 20)}}"]}""");
        await Problem.ReadAsync(large, 413);
        using var foreign = new HttpRequestMessage(HttpMethod.Post, "/api/v1/jobs") { Content = Json(Good) };
        foreign.Headers.Add("Origin", "http://elsewhere.example");
        using var refused = await controller.Http.SendAsync(foreign, TestContext.Current.CancellationToken);
        await Problem.ReadAsync(refused, 403);
        Assert.Empty(await controller.GetAsync<List<JobView>>("jobs"));
    }

    [Fact]
    public async Task Cancel_WithFormerVersion_IsRefused()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await controller.PlaceAsync("bert", "h0-0-0", "h1-1-1");
        using var read = await controller.Http.GetAsync("/api/v1/jobs/bert", TestContext.Current.CancellationToken);
        using var stale = new HttpRequestMessage(HttpMethod.Delete, "/api/v1/jobs/bert");
        stale.Headers.IfMatch.Add(new EntityTagHeaderValue("\"1-0.0\""));
        using var refused = await controller.Http.SendAsync(stale, TestContext.Current.CancellationToken);
        await Problem.ReadAsync(refused, 412);
        Assert.Equal(JobState.Pending, (await controller.GetAsync<JobView>("jobs/bert")).State);

        using var current = new HttpRequestMessage(HttpMethod.Delete, "/api/v1/jobs/bert");
        current.Headers.IfMatch.Add(read.Headers.ETag!);
        using var cancelled = await controller.Http.SendAsync(current, TestContext.Current.CancellationToken);
        Assert.Equal(JobState.Cancelled, (await ReadJobAsync(cancelled)).State);

        // Ended jobs stay as they are.
        using var again = await controller.Http.DeleteAsync("/api/v1/jobs/bert", TestContext.Current.CancellationToken);
        Assert.Equal(JobState.Cancelled, (await ReadJobAsync(again)).State);
        using var unknown = await controller.Http.DeleteAsync("/api/v1/jobs/nobody", TestContext.Current.CancellationToken);
        await Problem.ReadAsync(unknown, 404);
    }

    [Fact]
    public async Task List_ByPages_ShowsEachJobOnce()
    {
        await using var controller = await ControllerProcess.StartAsync();
        for (var i = 0; i < 7; i++)
        {
            await controller.PlaceAsync($"job{i}", "h0-0-0");
        }

        List<string> seen = [];
        var path = "/api/v1/jobs?limit=3";
        while (path is not null)
        {
            using var answer = await controller.Http.GetAsync(path, TestContext.Current.CancellationToken);
            seen.AddRange((await answer.Content.ReadFromJsonAsync<List<JobView>>(ContractsJson.Default.Options, TestContext.Current.CancellationToken))!.Select(j => j.Spec.Name));
            path = answer.Headers.TryGetValues("Link", out var link) ? link.Single()[1..link.Single().IndexOf('>', StringComparison.Ordinal)] : null;
        }

        Assert.Equal(Enumerable.Range(0, 7).Reverse().Select(i => $"job{i}"), seen);
        foreach (var query in (string[])["limit=0", "limit=x", "limit=100000", "cursor=x"])
        {
            using var refused = await controller.Http.GetAsync($"/api/v1/jobs?{query}", TestContext.Current.CancellationToken);
            Assert.Contains(query[..query.IndexOf('=', StringComparison.Ordinal)], (await Problem.ReadAsync(refused, 400)).GetProperty("detail").GetString(), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Planning_UnknownPolicy_IsRefusedWithWhatIsAllowed()
    {
        await using var controller = await ControllerProcess.StartAsync();

        using var refused = await controller.Http.PutAsync("/api/v1/planning", Json("""{"strategy":"rack","policy":"fastest"}"""), TestContext.Current.CancellationToken);
        var detail = (await Problem.ReadAsync(refused, 422)).GetProperty("detail").GetString()!;
        Assert.Contains("policy 'fastest'", detail, StringComparison.Ordinal);
        Assert.Contains("fair, srpt", detail, StringComparison.Ordinal);
        Assert.Equal(new PlanningSettings(), await controller.GetAsync<PlanningSettings>("planning"));
    }

    [Fact]
    public async Task Planning_Changed_PlansRunningJobsAnew()
    {
        await using var controller = await ControllerProcess.StartAsync();
        var before = await controller.PlaceAsync("bert", "h0-0-0", "h0-0-1", "h1-0-0", "h1-0-1");
        Assert.Equal("rack", before.Plan!.Strategy);
        Assert.True(before.Plan.Level > 0);

        using var answer = await controller.Http.PutAsync("/api/v1/planning", Json("""{"strategy":"direct-sharded","policy":"fair"}"""), TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        var after = (await controller.GetAsync<JobView>("jobs/bert")).Plan!;
        Assert.Equal(("direct-sharded", 0, new Dscp(0)), (after.Strategy, after.Level, after.Dscp));
        Assert.True(after.TreesRevision > before.Plan.TreesRevision);
    }

    [Fact]
    public async Task Topology_WithoutAHostThatAJobUses_IsRefused()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await controller.PlaceAsync("bert", "h0-0-0", "h1-1-1");
        var topology = await controller.GetAsync<Topology>("topology");
        var without = topology with { Nodes = [.. topology.Nodes.Where(n => n.Id != "h1-1-1")], Links = [.. topology.Links.Where(l => l.Source != "h1-1-1" && l.Target != "h1-1-1")] };

        using var refused = await PutTopologyAsync(without);
        Assert.Contains("h1-1-1", (await Problem.ReadAsync(refused, 422)).GetProperty("detail").GetString(), StringComparison.Ordinal);
        using var broken = await controller.Http.PutAsync("/api/v1/topology", Json("""{"nodes":[]}"""), TestContext.Current.CancellationToken);
        await Problem.ReadAsync(broken, 422);

        var other = topology with { Nodes = [.. topology.Nodes.Where(n => n.Id != "h1-1-0")], Links = [.. topology.Links.Where(l => l.Source != "h1-1-0" && l.Target != "h1-1-0")] };
        using var taken = await PutTopologyAsync(other);
        Assert.Equal(HttpStatusCode.OK, taken.StatusCode);
        Assert.DoesNotContain("h1-1-0", (await controller.GetAsync<List<AgentView>>("agents")).Select(a => a.Host));

        Task<HttpResponseMessage> PutTopologyAsync(Topology t) =>
            controller.Http.PutAsync("/api/v1/topology", Json(JsonSerializer.Serialize(t, ContractsJson.Default.Topology)), TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task Events_OfEveryChange_SayWhoWhatAndWhy()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await controller.PlaceAsync("bert", "h0-0-0", "h1-1-1");
        using var cancelled = await controller.Http.DeleteAsync("/api/v1/jobs/bert", TestContext.Current.CancellationToken);

        using var events = JsonDocument.Parse(await controller.Http.GetStringAsync("/api/v1/events", TestContext.Current.CancellationToken));
        var lines = events.RootElement.EnumerateArray().Select(e => (e.GetProperty("actor").GetString(), e.GetProperty("action").GetString(), e.GetProperty("subject").GetString())).ToList();
        Assert.Equal([("rest 127.0.0.1", "job.cancel", "bert"), ("rest 127.0.0.1", "job.submit", "bert")], lines.Take(2));
    }

    [Fact]
    public async Task Document_OfTheApi_DescribesJobsAndTheirFields()
    {
        await using var controller = await ControllerProcess.StartAsync();
        using var document = JsonDocument.Parse(await controller.Http.GetStringAsync("/openapi/v1.json", TestContext.Current.CancellationToken));

        var paths = document.RootElement.GetProperty("paths");
        foreach (var path in (string[])["/api/v1/jobs", "/api/v1/jobs/{nameOrId}", "/api/v1/agents", "/api/v1/topology", "/api/v1/planning", "/api/v1/policies/{host}", "/api/v1/marking-faults", "/api/v1/flows", "/api/v1/history/flows"])
        {
            Assert.True(paths.TryGetProperty(path, out _), $"{path} is not described");
        }

        var spec = document.RootElement.GetProperty("components").GetProperty("schemas").GetProperty("JobSpec");
        Assert.True(spec.GetProperty("properties").TryGetProperty("gradientBytes", out _));
        Assert.Equal(["name", "workers"], spec.GetProperty("required").EnumerateArray().Select(r => r.GetString()));
    }

    [Fact]
    public async Task WithoutDatabase_HistoryIsRefusedWithTheSettingNamed()
    {
        await using var controller = await ControllerProcess.StartAsync();
        using var answer = await controller.Http.GetAsync("/api/v1/history/flows", TestContext.Current.CancellationToken);

        Assert.Contains("Controller:Postgres", (await Problem.ReadAsync(answer, 503)).GetProperty("detail").GetString(), StringComparison.Ordinal);
        Assert.Contains(controller.Log, line => line.StartsWith("Warning 1055", StringComparison.Ordinal));
        Assert.Contains("dashboard is not built", await controller.Http.GetStringAsync("/", TestContext.Current.CancellationToken), StringComparison.Ordinal);
        using var nowhere = await controller.Http.GetAsync("/api/v1/nothing", TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.NotFound, nowhere.StatusCode);
        Assert.Equal("application/problem+json", nowhere.Content.Headers.ContentType!.MediaType);
    }

    private static StringContent Json(string text) => new(text, Encoding.UTF8, "application/json");

    private static Task<HttpResponseMessage> PostAsync(ControllerProcess controller, string body, string? key = null)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, "/api/v1/jobs") { Content = Json(body) };
        if (key is not null)
        {
            request.Headers.Add("Idempotency-Key", key);
        }

        return controller.Http.SendAsync(request, TestContext.Current.CancellationToken);
    }

    private static async Task<JobView> ReadJobAsync(HttpResponseMessage answer) =>
        (await answer.Content.ReadFromJsonAsync(ContractsJson.Default.JobView, TestContext.Current.CancellationToken))!;
}
