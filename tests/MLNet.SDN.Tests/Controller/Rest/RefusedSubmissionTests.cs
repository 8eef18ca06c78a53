using System.Text;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Controller.Rest;

/// <summary>One controller takes them all: a refused request changes nothing, so none disturbs the next.</summary>
public class RefusedSubmissionTests(SharedController shared) : IClassFixture<SharedController>
{
    /// <summary>Body, status, and the field that must be named.</summary>
    public static TheoryData<string, int, string> Refused => new()
    {
        { """{"name":"bert","workers":["h0-0-0","h9-9-9"]}""", 422, "workers[1]" },
        { """{"name":"bert","workers":[]}""", 422, "workers" },
        { """{"name":"Bert!","workers":["h0-0-0"]}""", 422, "name" },
        { """{"name":"bert","workers":["h0-0-0"],"gradientBytes":-1}""", 422, "gradientBytes" },
        { """{"name":"bert","workers":["h0-0-0"],"rounds":-5}""", 422, "rounds" },
        { """{"name":"bert","workers":["h0-0-0"],"computeSeconds":-0.5}""", 422, "computeSeconds" },
        { """{"name":"bert","workers":["h0-0-0"],"helpers":["h0-0-0"]}""", 422, "helpers[0]" },
        { """{"name":"bert","workers":["h0-0-0"],"selectors":[{"sourcePortFrom":70000,"protocol":"tcp"}]}""", 422, "selectors[0]" },
        { """{"name":"bert","workers":["h0-0-0"],"gradientBytes":1e30}""", 400, "gradientBytes" },
        { """{"name":"bert","workers":["h0-0-0"],"rounds":1.5}""", 400, "rounds" },
        { """{"name":"bert","workers":["h0-0-0"],"rounds":"10"}""", 400, "rounds" },
        { """{"name":"bert","workers":"h0-0-0"}""", 400, "workers" },
        { """{"name":"bert","workers":["h0-0-0",null]}""", 400, "workers[1]" },
        { """{"name":"bert","workers":[{}]}""", 400, "workers[0]" },
        { """{"name":null,"workers":["h0-0-0"]}""", 400, "name" },
        { """{"workers":["h0-0-0"]}""", 400, "name" },
        { """{"name":"bert"}""", 400, "workers" },
        { """{"name":"bert","workers":["h0-0-0"],"priority":1}""", 400, "priority" },
        { """{"Name":"bert","workers":["h0-0-0"]}""", 400, "Name" },
        { """{"name":"bert","workers":["h0-0-0"],"selectors":[{"proto":"tcp"}]}""", 400, "selectors[0].proto" },
        { """{"name":"a\u0000b","workers":["h0-0-0"]}""", 400, "name" },
        { """{"name":"bert","name":"bert","workers":["h0-0-0"]}""", 400, "name" },
        { """{"name":"bert","workers":["h0-0-0"]""", 400, "line 1" },
        { """{"name":"bert" "workers":["h0-0-0"]}""", 400, "byte 16" },
        { "", 400, "$" },
        { "null", 400, "$" },
        { "[]", 400, "$" },
        { "\"bert\"", 400, "$" },
        { """{"name":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}""", 400, "depth" },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public async Task Submit_FaultyBody_IsRefusedWithTheFieldNamedAndNothingChanged(string body, int status, string named)
    {
        var before = await shared.Controller.Http.GetStringAsync("/api/v1/policies/h0-0-0", TestContext.Current.CancellationToken);

        using var answer = await shared.Controller.Http.PostAsync("/api/v1/jobs", new StringContent(body, Encoding.UTF8, "application/json"), TestContext.Current.CancellationToken);

        var problem = await Problem.ReadAsync(answer, status);
        var detail = problem.GetProperty("detail").GetString()!;
        Assert.Contains(named, detail, StringComparison.Ordinal);
        var errors = problem.GetProperty("errors").EnumerateArray().ToList();
        Assert.NotEmpty(errors);
        Assert.All(errors, e => Assert.True(e.GetProperty("field").GetString()!.Length > 0 && e.GetProperty("message").GetString()!.Length > 0 && e.TryGetProperty("value", out _)));
        Assert.Empty(await shared.Controller.GetAsync<List<JobView>>("jobs"));
        Assert.Equal(before, await shared.Controller.Http.GetStringAsync("/api/v1/policies/h0-0-0", TestContext.Current.CancellationToken));
    }
}
