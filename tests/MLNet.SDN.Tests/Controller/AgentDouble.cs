using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.SignalR;
using Microsoft.AspNetCore.SignalR.Client;
using Microsoft.AspNetCore.SignalR.Protocol;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using MLNet.SDN.Agent.Session;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Controller;

/// <summary>An agent as the controller sees it: a real SignalR client over a WebSocket, driven by the test.</summary>
internal sealed class AgentDouble : IAsyncDisposable
{
    private readonly HubConnection _connection;
    private readonly Uri _controller;
    private long _sequence;
    private int _port;

    private AgentDouble(Uri controller, string host, Guid boot)
    {
        var connection = Connect(controller, AgentHubMethods.Path);
        (_controller, _connection, Host, Boot) = (controller, connection, host, boot);
        connection.On(AgentHubMethods.ApplyPolicy, [typeof(HostPolicy)], (a, _) => Write(Policies, (HostPolicy)a[0]!), new object());
        connection.On(AgentHubMethods.SetWatched, [typeof(bool)], (a, _) => Write(Watched, (bool)a[0]!), new object());
        connection.Closed += _ =>
        {
            Closed.TrySetResult();
            return Task.CompletedTask;
        };

        static Task Write<T>(Channel<T> channel, T value)
        {
            channel.Writer.TryWrite(value);
            return Task.CompletedTask;
        }
    }

    public string Host { get; }

    public Guid Boot { get; }

    public Channel<HostPolicy> Policies { get; } = Channel.CreateUnbounded<HostPolicy>();

    public Channel<bool> Watched { get; } = Channel.CreateUnbounded<bool>();

    public TaskCompletionSource Closed { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Dials, says nothing yet.</summary>
    public static async Task<AgentDouble> DialAsync(Uri controller, string host, Guid? boot = null)
    {
        var agent = new AgentDouble(controller, host, boot ?? Guid.NewGuid());
        await agent._connection.StartAsync(TestContext.Current.CancellationToken);
        return agent;
    }

    /// <summary>Dials and says a Hello that must be accepted, and acknowledges what it is told.</summary>
    public static async Task<AgentDouble> JoinAsync(Uri controller, string host, Guid? boot = null, int port = 7471, Revision installed = default)
    {
        var agent = await DialAsync(controller, host, boot);
        var reply = await agent.HelloAsync(port, installed);
        Assert.True(reply.Accepted, reply.Reason);
        await agent.AcknowledgeAsync(reply.Policy!.Revision);
        return agent;
    }

    /// <summary>A hub connection without a session of an agent.</summary>
    public static HubConnection Connect(Uri controller, string path, string? token = null)
    {
        // What a hostile client sends is none of our records, so anything can be written.
        var options = new JsonSerializerOptions(ContractsJson.Default.Options) { TypeInfoResolver = JsonTypeInfoResolver.Combine(ContractsJson.Default, new DefaultJsonTypeInfoResolver()) };
        var builder = new HubConnectionBuilder();
        builder.Services.AddSingleton<IHubProtocol>(new JsonHubProtocol(Options.Create(new JsonHubProtocolOptions { PayloadSerializerOptions = options })));
        builder.Services.AddSingleton<IConnectionFactory>(new WebSocketConnectionFactory(() => token));
        builder.Services.AddSingleton<EndPoint>(new UriEndPoint(new(controller, path)));
        return builder.Build();
    }

    public Task<HelloReply> HelloAsync(int port = 7471, Revision installed = default)
    {
        _port = port;
        return InvokeAsync<HelloReply>(AgentHubMethods.Hello, new AgentHello
        {
            Host = Host,
            Boot = Boot,
            Version = "test",
            Capabilities = ["capture", "mark", "aggregate"],
            DataPort = port,
            Installed = installed,
            InstalledHash = "",
        });
    }

    /// <summary>Dials once more under the same boot, as after a broken connection.</summary>
    public async Task<HelloReply> HelloAgainAsync()
    {
        await using var again = new AgentDouble(_controller, Host, Boot);
        await again._connection.StartAsync(TestContext.Current.CancellationToken);
        return await again.HelloAsync(_port);
    }

    public Task<T> InvokeAsync<T>(string method, object? argument) => _connection.InvokeAsync<T>(method, argument, TestContext.Current.CancellationToken);

    public Task InvokeAsync(string method, object? argument) => _connection.InvokeAsync(method, argument, TestContext.Current.CancellationToken);

    public Task AcknowledgeAsync(Revision revision, bool applied = true, string? error = null) =>
        InvokeAsync(AgentHubMethods.Acknowledge, new PolicyAck { Host = Host, Boot = Boot, Revision = revision, Applied = applied, Hash = "ab12", Error = error });

    public Task ReportAsync(params FlowRecord[] records) => InvokeAsync(
        AgentHubMethods.ReportFlows, new FlowReport { Host = Host, Boot = Boot, Sequence = Interlocked.Increment(ref _sequence), Records = records });

    public Task ReportAsync(params WorkerProgress[] workers) =>
        InvokeAsync(AgentHubMethods.ReportProgress, new ProgressReport { Host = Host, Boot = Boot, Workers = workers, Transports = [] });

    /// <summary>The next policy that is pushed.</summary>
    public async Task<HostPolicy> NextPolicyAsync()
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        patience.CancelAfter(TimeSpan.FromSeconds(30));
        return await Policies.Reader.ReadAsync(patience.Token);
    }

    public ValueTask DisposeAsync() => _connection.DisposeAsync();
}
