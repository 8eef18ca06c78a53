using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.SignalR;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Agent.Session;

/// <summary>A controller as agents see it: a real SignalR hub behind Kestrel on a port of its own, which keeps what it was told.</summary>
internal sealed class ControllerDouble : IAsyncDisposable
{
    private readonly WebApplication application;

    private ControllerDouble(WebApplication application) => this.application = application;

    public Uri Address => new(application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());

    public Channel<AgentHello> Hellos { get; } = Channel.CreateUnbounded<AgentHello>();

    public Channel<PolicyAck> Acks { get; } = Channel.CreateUnbounded<PolicyAck>();

    public Channel<FlowReport> Reports { get; } = Channel.CreateUnbounded<FlowReport>();

    public Channel<ProgressReport> Progress { get; } = Channel.CreateUnbounded<ProgressReport>();

    public ConcurrentDictionary<string, HubCallerContext> Connections { get; } = new();

    public HelloReply Reply { get; set; } = new() { Accepted = true };

    /// <summary>What happens to a flow report before it is answered.</summary>
    public Func<FlowReport, HubCallerContext, Task> BeforeAnswer { get; set; } = (_, _) => Task.CompletedTask;

    /// <param name="port">0 picks one.</param>
    /// <param name="listenSocket">Makes the listening socket, where it must belong to another network namespace.</param>
    public static async Task<ControllerDouble> StartAsync(int port = 0, Func<EndPoint, Socket>? listenSocket = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls($"http://127.0.0.1:{port}");
        if (listenSocket is not null)
        {
            builder.WebHost.UseSockets(sockets => sockets.CreateBoundListenSocket = listenSocket);
        }

        builder.Services.AddSignalR(hub => hub.MaximumReceiveMessageSize = 4 << 20)
            .AddJsonProtocol(json => json.PayloadSerializerOptions = new(ContractsJson.Default.Options));
        ControllerDouble? self = null;
        builder.Services.AddSingleton(_ => self!);
        var application = builder.Build();
        application.MapHub<AgentHub>(AgentHubMethods.Path);
        self = new ControllerDouble(application);
        await application.StartAsync();
        return self;
    }

    public Task SendAsync(string method, object argument) =>
        application.Services.GetRequiredService<IHubContext<AgentHub>>().Clients.All.SendAsync(method, argument);

    /// <summary>Cuts every connection, as a crash would.</summary>
    public void Cut()
    {
        foreach (var connection in Connections.Values)
        {
            connection.Abort();
        }
    }

    public ValueTask DisposeAsync() => application.DisposeAsync();

    internal sealed class AgentHub(ControllerDouble controller) : Hub
    {
        public override Task OnConnectedAsync()
        {
            controller.Connections[Context.ConnectionId] = Context;
            return Task.CompletedTask;
        }

        public override Task OnDisconnectedAsync(Exception? exception)
        {
            controller.Connections.TryRemove(Context.ConnectionId, out _);
            return Task.CompletedTask;
        }

        public HelloReply Hello(AgentHello hello)
        {
            controller.Hellos.Writer.TryWrite(hello);
            return controller.Reply;
        }

        public void Acknowledge(PolicyAck ack) => controller.Acks.Writer.TryWrite(ack);

        public async Task ReportFlows(FlowReport report)
        {
            controller.Reports.Writer.TryWrite(report);
            await controller.BeforeAnswer(report, Context);
        }

        public void ReportProgress(ProgressReport report) => controller.Progress.Writer.TryWrite(report);
    }
}
