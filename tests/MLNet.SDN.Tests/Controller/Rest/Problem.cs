using System.Text.Json;

namespace MLNet.SDN.Tests.Controller.Rest;

internal static class Problem
{
    /// <summary>The refusal in an answer, which must be problem+json of this status.</summary>
    public static async Task<JsonElement> ReadAsync(HttpResponseMessage answer, int status)
    {
        var text = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True((int)answer.StatusCode == status, $"{answer.StatusCode}: {text}");
        Assert.Equal("application/problem+json", answer.Content.Headers.ContentType?.MediaType);
        return JsonDocument.Parse(text).RootElement.Clone();
    }
}
