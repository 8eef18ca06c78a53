using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.SignalR;
using Microsoft.AspNetCore.SignalR.Client;
using Microsoft.AspNetCore.SignalR.Protocol;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using MLNet.SDN.Agent.Discovery;
using MLNet.SDN.Agent.Flows;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Session;

/// <summary>Keeps a session with one of the controllers, for ever: dials them in turn, says Hello, applies what it is sent, and reports. Losing the controller changes nothing but that.</summary>
internal sealed class ControllerSession
{
    // A controller that is there answers in milliseconds; one that does not within this is taken for gone.
    private static readonly TimeSpan AnswerPatience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan ProgressInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RepeatAfter = TimeSpan.FromMinutes(10);

    private readonly IReadOnlyList<Uri> controllers;
    private readonly Func<string?> token;
    private readonly Func<AgentHello> hello;
    private readonly PolicyInstaller installer;
    private readonly ReportQueue reports;
    private readonly ProgressSource progress;
    private readonly DiscoverySource? discovery;
    private readonly Action<bool> setWatched;
    private readonly TimeProvider time;
    private readonly ILogger logger;
    private readonly Backoff backoff;
    private readonly Dictionary<Uri, (string Reason, long At)> told = [];

    /// <summary>Creates a session that has not dialled yet.</summary>
    public ControllerSession(
        IReadOnlyList<Uri> controllers, Func<string?> token, Func<AgentHello> hello, PolicyInstaller installer, ReportQueue reports, ProgressSource progress,
        Action<bool> setWatched, TimeProvider time, ILogger logger, Random random, DiscoverySource? discovery = null)
    {
        (this.controllers, this.hello, this.installer, this.reports, this.progress) = (controllers, hello, installer, reports, progress);
        (this.token, this.setWatched, this.time, this.logger) = (token, setWatched, time, logger);
        this.discovery = discovery;
        backoff = new Backoff(random);
    }

    /// <summary>The controller that this agent is attached to; null when none. Safe to read from any thread.</summary>
    public Uri? Controller { get; private set; }

    /// <summary>Runs until told to stop, then delivers what waits as long as a controller takes it.</summary>
    /// <param name="stopping">Stop dialling; deliver the rest.</param>
    /// <param name="drained">Stop at once.</param>
    public async Task RunAsync(CancellationToken stopping, CancellationToken drained)
    {
        for (var turn = 0; !stopping.IsCancellationRequested; turn++)
        {
            var controller = controllers[turn % controllers.Count];
            string reason;
            try
            {
                reason = await RunOnceAsync(controller, stopping, drained);
            }
            catch (Exception exception) when (!stopping.IsCancellationRequested)
            {
                reason = exception is OperationCanceledException ? "no answer" : exception.GetBaseException().Message;
            }
            catch (Exception exception) when (exception is not OutOfMemoryException)
            {
                return;
            }

            if (stopping.IsCancellationRequested)
            {
                return;
            }

            Controller = null;
            setWatched(false);
            var delay = backoff.Next();
            Tell(controller, reason, delay);
            try
            {
                await Task.Delay(delay, time, stopping);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private HubConnection Build(Uri controller)
    {
        var json = new JsonSerializerOptions(ContractsJson.Default.Options) { TypeInfoResolver = JsonTypeInfoResolver.Combine(ContractsJson.Default, UntypedJson.Default) };
        var options = new JsonHubProtocolOptions { PayloadSerializerOptions = json };
        var address = new UriBuilder(controller);
        address.Path = address.Path.TrimEnd('/') + AgentHubMethods.Path;
        var builder = new HubConnectionBuilder();
        builder.Services.AddSingleton<IHubProtocol>(new JsonHubProtocol(Options.Create(options)));
        builder.Services.AddSingleton<IConnectionFactory>(new WebSocketConnectionFactory(token));
        builder.Services.AddSingleton<System.Net.EndPoint>(new UriEndPoint(address.Uri));
        return builder.Build();
    }

    // News at once, the same again only now and then: an agent may be without a controller for days.
    private void Tell(Uri controller, string reason, TimeSpan delay)
    {
        var isNews = told.GetValueOrDefault(controller).Reason != reason || time.GetElapsedTime(told[controller].At) > RepeatAfter;
        SessionLog.Disconnected(logger, isNews ? LogLevel.Warning : LogLevel.Debug, controller, reason, (long)delay.TotalMilliseconds);
        if (isNews)
        {
            told[controller] = (reason, time.GetTimestamp());
        }
    }

    private async Task<string> RunOnceAsync(Uri controller, CancellationToken stopping, CancellationToken drained)
    {
        await using var connection = Build(controller);
        var closed = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        connection.Closed += exception =>
        {
            closed.TrySetResult(exception?.Message ?? "the controller closed the connection");
            return Task.CompletedTask;
        };

        // Read here and not by the hub protocol, which would pass over a policy that it cannot read without a word.
        connection.On(
            AgentHubMethods.ApplyPolicy, [typeof(JsonElement)],
            (arguments, _) => TryRead((JsonElement)arguments[0]!, out var policy) ? ApplyAsync(connection, policy, drained) : Task.CompletedTask, new object());
        connection.On(AgentHubMethods.SetWatched, [typeof(bool)], (arguments, _) =>
        {
            setWatched(arguments[0] is true);
            return Task.CompletedTask;
        }, new object());

        // 1. Hello, before anything else.
        using (var patience = Patience(stopping))
        {
            await connection.StartAsync(patience.Token);
        }

        var reply = (HelloReply?)await InvokeAsync(connection, AgentHubMethods.Hello, typeof(HelloReply), hello(), stopping)
            ?? throw new InvalidDataException("the controller answered Hello with nothing");
        if (!reply.Accepted)
        {
            return $"this host is refused: {reply.Reason ?? "no reason given"}";
        }

        SessionLog.Connected(logger, controller);
        Controller = controller;
        backoff.Reset();
        told.Clear();
        setWatched(reply.Watched);
        if (reply.Policy is not null)
        {
            await ApplyAsync(connection, reply.Policy, drained);
        }

        // 2. Reports, until the connection or the agent ends; whichever fails first ends the other.
        progress.Forget();
        discovery?.Forget();
        using var over = CancellationTokenSource.CreateLinkedTokenSource(drained);
        var flows = ReportFlowsAsync(connection, stopping, over.Token);
        var rounds = ReportProgressAsync(connection, stopping, over.Token);
        var first = await Task.WhenAny(closed.Task, flows, rounds);
        if (first != closed.Task && first.IsCompletedSuccessfully)
        {
            // Told to stop: the one has delivered everything, the other may still be at it.
            await Task.WhenAny(closed.Task, Task.WhenAll(flows, rounds));
        }

        await over.CancelAsync();
        await Task.WhenAll(flows, rounds).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        var failure = (flows.Exception ?? rounds.Exception)?.GetBaseException();
        return closed.Task.IsCompletedSuccessfully ? await closed.Task : failure?.Message ?? "no answer";
    }

    private bool TryRead(JsonElement json, [NotNullWhen(true)] out HostPolicy? policy)
    {
        policy = null;
        try
        {
            policy = json.Deserialize(ContractsJson.Default.HostPolicy);
        }
        catch (JsonException exception)
        {
            SessionLog.PolicyUnreadable(logger, installer.Current.Revision, exception.Message);
            return false;
        }

        return policy is not null;
    }

    private async Task ApplyAsync(HubConnection connection, HostPolicy policy, CancellationToken cancellationToken)
    {
        var ack = await installer.InstallAsync(policy, cancellationToken);

        // Lost with the connection, it matters no more: the next Hello tells the same.
        await connection.SendCoreAsync(AgentHubMethods.Acknowledge, [ack], cancellationToken);
    }

    // A report stays at the head of the queue until the controller has answered for it, so it is sent again, with the same sequence, by the next session.
    private async Task ReportFlowsAsync(HubConnection connection, CancellationToken stopping, CancellationToken over)
    {
        while (!stopping.IsCancellationRequested || reports.Count > 0)
        {
            FlowReport report;
            using (var waiting = CancellationTokenSource.CreateLinkedTokenSource(over, reports.Count > 0 ? CancellationToken.None : stopping))
            {
                try
                {
                    report = await reports.NextAsync(waiting.Token);
                }
                catch (OperationCanceledException) when (!over.IsCancellationRequested)
                {
                    continue;
                }
            }

            try
            {
                await InvokeAsync(connection, AgentHubMethods.ReportFlows, typeof(object), report, over);
            }
            catch (HubException)
            {
                reports.Refused(report);
                throw;
            }

            reports.Taken(report);
        }
    }

    private async Task ReportProgressAsync(HubConnection connection, CancellationToken stopping, CancellationToken over)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stopping, over);
        while (!stopping.IsCancellationRequested)
        {
            over.ThrowIfCancellationRequested();
            if (progress.Due() is { } report)
            {
                await connection.SendCoreAsync(AgentHubMethods.ReportProgress, [report], over);
            }

            if (discovery?.Due() is { } found)
            {
                await connection.SendCoreAsync(AgentHubMethods.ReportDiscovery, [found], over);
            }

            await Task.Delay(ProgressInterval, time, either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        // The last word: invoked, so that it has arrived when this returns.
        await InvokeAsync(connection, AgentHubMethods.ReportProgress, typeof(object), progress.Current(), over);
    }

    private static async Task<object?> InvokeAsync(HubConnection connection, string method, Type answer, object argument, CancellationToken cancellationToken)
    {
        using var patience = Patience(cancellationToken);
        return await connection.InvokeCoreAsync(method, answer, [argument], patience.Token);
    }

    private static CancellationTokenSource Patience(CancellationToken cancellationToken)
    {
        var source = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        source.CancelAfter(AnswerPatience);
        return source;
    }
}

/// <summary>Lets the hub protocol hand over an argument as it stands.</summary>
[JsonSerializable(typeof(JsonElement))]
internal sealed partial class UntypedJson : JsonSerializerContext;
