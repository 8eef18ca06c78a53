using System.Net;
using System.Text.Json;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.SignalR.Client;
using Microsoft.AspNetCore.SignalR.Protocol;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using MLNet.SDN.Agent.Session;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.SystemTests.Dashboard;

/// <summary>An agent as the controller sees it, over the agent's own transport: applies whatever it is sent and reports what the test tells it to.</summary>
internal sealed class ScriptedAgent(Uri controller, string host) : IAsyncDisposable
{
    private readonly Guid _boot = Guid.NewGuid();
    private readonly Channel<HostPolicy> _policies = Channel.CreateUnbounded<HostPolicy>();
    private readonly CancellationTokenSource _stop = new();
    private HubConnection? _connection;
    private Task _acknowledging = Task.CompletedTask;
    private long _sequence;

    /// <summary>The host.</summary>
    public string Host { get; } = host;

    /// <summary>Why it refuses its policies; null when it applies them.</summary>
    public string? Refusal { get; set; }

    /// <summary>What it cannot do.</summary>
    public IReadOnlyList<string> Limits { get; init; } = [];

    /// <summary>Dials and says Hello.</summary>
    public async Task ConnectAsync()
    {
        var address = new Uri(controller, AgentHubMethods.Path);
        var builder = new HubConnectionBuilder();
        builder.Services.AddSingleton<IHubProtocol>(new JsonHubProtocol(Options.Create(
            new Microsoft.AspNetCore.SignalR.JsonHubProtocolOptions { PayloadSerializerOptions = new JsonSerializerOptions(ContractsJson.Default.Options) })));
        builder.Services.AddSingleton<IConnectionFactory>(new WebSocketConnectionFactory(() => null));
        builder.Services.AddSingleton<EndPoint>(new UriEndPoint(address));
        var connection = builder.Build();
        connection.On<HostPolicy>(AgentHubMethods.ApplyPolicy, policy => _policies.Writer.TryWrite(policy));
        connection.On<bool>(AgentHubMethods.SetWatched, _ => { });
        await connection.StartAsync();
        var reply = await connection.InvokeAsync<HelloReply>(AgentHubMethods.Hello, new AgentHello
        {
            Host = Host,
            Boot = _boot,
            Version = "0.1.0",
            Capabilities = ["capture", "mark", "aggregate"],
            Limits = Limits,
            DataPort = 7471,
            Installed = Revision.None,
            InstalledHash = "",
        });
        Assert.True(reply.Accepted, reply.Reason);
        _connection = connection;
        if (reply.Policy is { } policy)
        {
            _policies.Writer.TryWrite(policy);
        }

        _acknowledging = AcknowledgeAsync(connection);
    }

    /// <summary>Reports flows.</summary>
    public Task ReportAsync(IReadOnlyList<FlowRecord> records) =>
        _connection!.InvokeAsync(AgentHubMethods.ReportFlows, new FlowReport { Host = Host, Boot = _boot, Sequence = Interlocked.Increment(ref _sequence), Records = records });

    /// <summary>What it complains of in every report of its workers.</summary>
    public IReadOnlyList<string> Troubles { get; set; } = [];

    /// <summary>Reports workers and troubles.</summary>
    public Task ReportAsync(IReadOnlyList<WorkerProgress> workers) =>
        _connection!.InvokeAsync(AgentHubMethods.ReportProgress, new ProgressReport { Host = Host, Boot = _boot, Workers = workers, Transports = [], Troubles = Troubles });

    /// <summary>Goes without a word.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _acknowledging;
        if (_connection is not null)
        {
            await _connection.DisposeAsync();
        }

        _stop.Dispose();
    }

    private async Task AcknowledgeAsync(HubConnection connection)
    {
        try
        {
            await foreach (var policy in _policies.Reader.ReadAllAsync(_stop.Token))
            {
                await connection.InvokeAsync(
                    AgentHubMethods.Acknowledge,
                    new PolicyAck { Host = Host, Boot = _boot, Revision = policy.Revision, Applied = Refusal is null, Hash = $"{policy.Revision.Generation:x8}c0ffee", Error = Refusal },
                    _stop.Token);
            }
        }
        catch (Exception fault) when (fault is OperationCanceledException or InvalidOperationException or IOException or System.Net.WebSockets.WebSocketException)
        {
            // Stopped, or the controller was killed under it: that is what some tests do.
        }
    }
}
