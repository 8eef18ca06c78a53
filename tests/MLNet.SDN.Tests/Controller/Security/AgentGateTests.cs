using System.Net;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Hosting;
using MLNet.SDN.Controller.Security;

namespace MLNet.SDN.Tests.Controller.Security;

public class AgentGateTests
{
    private const string Token = "0123456789abcdef0123456789abcdef";

    [Theory]
    [InlineData("Bearer " + Token, 200)]
    [InlineData("bearer " + Token, 200)]
    [InlineData("Bearer " + Token + "0", 401)]
    [InlineData("Bearer 0123456789abcdef0123456789abcde", 401)]
    [InlineData("Bearer  " + Token, 401)]
    [InlineData("Bearer", 401)]
    [InlineData("Basic " + Token, 401)]
    [InlineData(Token, 401)]
    [InlineData("", 401)]
    public async Task Token_OnEveryAddress_IsAskedFor(string given, int status)
    {
        Assert.Equal(status, await AskAsync(new() { AgentToken = Token }, "198.18.0.1", given));
        Assert.Equal(status, await AskAsync(new() { AgentToken = Token, AllowUnauthenticatedAgents = true }, "127.0.0.1", given));
    }

    [Theory]
    [InlineData("127.0.0.1", false, 200)]
    [InlineData("::1", false, 200)]
    [InlineData("::ffff:127.0.0.1", false, 200)]
    [InlineData("198.18.0.1", false, 403)]
    [InlineData("2001:db8::1", false, 403)]
    [InlineData("198.18.0.1", true, 200)]
    public async Task NoToken_OtherThanLoopback_IsServedOnlyWhenAllowed(string local, bool allowed, int status)
    {
        Assert.Equal(status, await AskAsync(new() { AllowUnauthenticatedAgents = allowed }, local, ""));
        Assert.Equal(status, await AskAsync(new() { AllowUnauthenticatedAgents = allowed }, local, "", AgentHubMethods.Path + "/negotiate"));
        Assert.Equal(200, await AskAsync(new() { AllowUnauthenticatedAgents = allowed }, local, "", "/api/v1/agents"));
    }

    [Fact]
    public async Task Controller_WithATokenFile_TakesOnlyAgentsThatHaveIt()
    {
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, Token + "\n", TestContext.Current.CancellationToken);
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        try
        {
            await using var controller = await ControllerProcess.StartAsync($"--Controller:AgentTokenFile={file}");
            await using var stranger = AgentDouble.Connect(controller.Address, AgentHubMethods.Path, "another token of some length");
            var refusal = await Assert.ThrowsAsync<IOException>(() => stranger.StartAsync(TestContext.Current.CancellationToken));
            Assert.Contains("Agent:TokenFile", refusal.Message, StringComparison.Ordinal);
            await using var mute = AgentDouble.Connect(controller.Address, AgentHubMethods.Path);
            await Assert.ThrowsAsync<IOException>(() => mute.StartAsync(TestContext.Current.CancellationToken));
            await using var agent = AgentDouble.Connect(controller.Address, AgentHubMethods.Path, Token);
            await agent.StartAsync(TestContext.Current.CancellationToken);
            Assert.Contains(controller.Log, l => l.Contains("turned away", StringComparison.Ordinal));
            Assert.DoesNotContain(controller.Log, l => l.Contains(Token, StringComparison.Ordinal));
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static async Task<int> AskAsync(ControllerOptions options, string local, string authorization, string path = AgentHubMethods.Path)
    {
        var context = new DefaultHttpContext { RequestServices = new ServiceCollection().AddLogging().AddProblemDetails().BuildServiceProvider() };
        context.Connection.LocalIpAddress = IPAddress.Parse(local);
        context.Request.Path = path;
        if (authorization.Length > 0)
        {
            context.Request.Headers.Authorization = authorization;
        }

        await new AgentGate(Options.Create(options), NullLogger<AgentGate>.Instance).ApplyAsync(context, _ => Task.CompletedTask);
        return context.Response.StatusCode;
    }
}
