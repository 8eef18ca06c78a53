using System.Net;
using System.Net.Http.Json;
using System.Text;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Controller.Rest;

public class InquiryApiTests
{
    private const string Bert = """{"name":"bert","workers":["h0-0-0","h1-1-1"],"gradientBytes":4000000,"computeSeconds":0.5,"rounds":100}""";
    private const string Resnet = """{"name":"resnet","workers":["h0-0-0","h1-1-1"],"gradientBytes":1000000,"computeSeconds":0.1,"rounds":10}""";

    [Fact]
    public async Task Preview_ChangesNothing_AndSubmittingGivesThePlanItTold()
    {
        await using var controller = await ControllerProcess.StartAsync();
        using var first = await PostAsync(controller, "jobs", Bert);
        Assert.Equal(HttpStatusCode.Created, first.StatusCode);
        var before = await controller.GetAsync<JobView>("jobs/bert");

        using var answer = await PostAsync(controller, "plans/preview", Resnet);

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        var preview = (await answer.Content.ReadFromJsonAsync(ContractsJson.Default.PlanPreview, TestContext.Current.CancellationToken))!;
        Assert.Equal(("bert", 1, 2), Assert.Single(preview.Others) switch { var o => (o.Name, o.LevelNow, o.LevelThen) });
        Assert.Single(await controller.GetAsync<List<JobView>>("jobs"));
        Assert.Equal(before.Plan!.Level, (await controller.GetAsync<JobView>("jobs/bert")).Plan!.Level);

        using var second = await PostAsync(controller, "jobs", Resnet);
        Assert.Equal(HttpStatusCode.Created, second.StatusCode);
        var explanation = await controller.GetAsync<PlanExplanation>("jobs/resnet/explanation");
        Assert.Equal(preview.Plan.Level, explanation.Level);
        Assert.Equal(preview.RoundSeconds, explanation.RoundSecondsNow, 6);
        Assert.StartsWith("Job resnet waits for link ", explanation.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"name":"x","workers":["nowhere"]}""", 422, "workers[0]")]
    [InlineData("""{"name":"x","workers":[]}""", 422, "workers")]
    [InlineData("""{"name":""", 400, "$")]
    public async Task Preview_OfAJobThatCouldNotBeSubmitted_IsRefusedAsSubmittingWouldBe(string body, int status, string field)
    {
        await using var controller = await ControllerProcess.StartAsync();

        using var answer = await PostAsync(controller, "plans/preview", body);

        Assert.Contains(field, (await Problem.ReadAsync(answer, status)).GetProperty("errors")[0].GetProperty("field").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Explain_OfNoJobOrOneThatEnded_SaysSo()
    {
        await using var controller = await ControllerProcess.StartAsync();
        using var missing = await controller.Http.GetAsync("/api/v1/jobs/bert/explanation", TestContext.Current.CancellationToken);
        await Problem.ReadAsync(missing, 404);

        using var job = await PostAsync(controller, "jobs", Bert);
        using var cancelled = await controller.Http.DeleteAsync("/api/v1/jobs/bert", TestContext.Current.CancellationToken);
        using var ended = await controller.Http.GetAsync("/api/v1/jobs/bert/explanation", TestContext.Current.CancellationToken);
        Assert.Contains("only jobs that run have a plan", (await Problem.ReadAsync(ended, 409)).GetProperty("detail").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Preview_GivenUpByItsClient_KeepsNobodyWaiting()
    {
        await using var controller = await ControllerProcess.StartAsync();
        using var impatient = new CancellationTokenSource();
        var given = Enumerable.Range(0, 20).Select(_ => controller.Http.PostAsync("/api/v1/plans/preview", new StringContent(Resnet, Encoding.UTF8, "application/json"), impatient.Token)).ToList();
        await Task.WhenAny(given);
        await impatient.CancelAsync();
        await Task.WhenAll(given).ContinueWith(_ => { }, TaskScheduler.Default);

        using var answer = await PostAsync(controller, "plans/preview", Resnet);

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
    }

    private static Task<HttpResponseMessage> PostAsync(ControllerProcess controller, string path, string body) =>
        controller.Http.PostAsync($"/api/v1/{path}", new StringContent(body, Encoding.UTF8, "application/json"), TestContext.Current.CancellationToken);
}
