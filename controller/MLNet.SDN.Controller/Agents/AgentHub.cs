using Microsoft.AspNetCore.SignalR;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Discovery;
using MLNet.SDN.Controller.Flows;
using MLNet.SDN.Controller.Jobs;
using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Controller.Agents;

/// <summary>Where agents connect. A connection speaks for the host and boot of its accepted Hello and for no other.</summary>
internal sealed class AgentHub(
    ControlPlane control, AgentRegistry registry, JobProgress progress, FlowIntake flows, DiscoveryReports discovery, IHubContext<AgentHub> hub, TimeProvider time, ILogger<AgentHub> logger) : Hub
{
    private const string SeatItem = "seat";

    // A database that is slow must not make agents take the controller for dead; what it has not stored by then waits in memory.
    private static readonly TimeSpan StorePatience = TimeSpan.FromSeconds(2);

    // The rest is in the agent's own log.
    private const int LoggedFaults = 10;

    // An agent says Hello at once; a connection that does not is none of an agent.
    private static readonly TimeSpan HelloTimeout = TimeSpan.FromSeconds(20);

    /// <summary>Closes connections that never say Hello.</summary>
    public override Task OnConnectedAsync()
    {
        var seat = new Seat();
        Context.Items[SeatItem] = seat;
        _ = CloseSilentAsync(Context, seat, time);
        return base.OnConnectedAsync();
    }

    /// <inheritdoc cref="AgentHubMethods.Hello"/>
    [HubMethodName(AgentHubMethods.Hello)]
    public async Task<HelloReply> HelloAsync(AgentHello? hello)
    {
        var endpoint = Context.GetHttpContext()?.Connection is { RemoteIpAddress: { } address } connection ? $"{address}:{connection.RemotePort}" : "?";
        if (AgentMessages.Check(hello) is { } fault)
        {
            return Refuse(endpoint, fault);
        }

        // Messages of one connection may be served side by side, so the claim is made in one step.
        var seat = (Seat)Context.Items[SeatItem]!;
        if (!seat.TryClaim())
        {
            return Refuse(endpoint, "Hello was said on this connection before; open another one.");
        }

        var host = hello!.Host;
        if (control.Current is not { } state)
        {
            return Refuse(endpoint, "This controller does not lead now; try the next one.");
        }

        if (!state.Policies.ContainsKey(host))
        {
            return Refuse(endpoint, $"Host '{Clip(host)}' is not in the topology; set Agent:Host to the name of a host there, or add it to the topology.");
        }

        try
        {
            // (1) What the agent holds must not outrank what it will be told. (2) Others must dial the port that it listens on.
            if (hello.Installed.Term >= state.Revision.Term && hello.Installed > registry.Status(host).Sent)
            {
                if (!control.IsCredible(hello.Installed))
                {
                    return Refuse(endpoint, $"Host '{host}' holds policy {hello.Installed}, of a term far above any that a controller gives (now {state.Revision.Term}): "
                        + $"the file {host}.policy.json in its Agent:StateDirectory is damaged or forged, or this controller's clock is wrong. "
                        + "Remove the file and restart the agent, or set the clock.");
                }

                await control.RaiseTermAsync(host, hello.Installed);
            }

            if (hello.DataPort != state.Ports.GetValueOrDefault(host, PolicyComposer.StandardDataPort))
            {
                await control.SetPortAsync(host, hello.DataPort);
            }
        }
        catch (Exception unavailable) when (unavailable is StoreUnavailableException or LeaseLostException)
        {
            AgentLog.NotStored(logger, host, unavailable.Message);
        }
        catch (NotLeadingException)
        {
            return Refuse(endpoint, "This controller does not lead now; try the next one.");
        }

        var context = Context;
        var session = new AgentSession(host, hello.Boot, endpoint, hub.Clients.Client(context.ConnectionId), context.Abort, time);
        if (registry.Connect(session, hello) is { } refusal)
        {
            return Refuse(endpoint, refusal);
        }

        seat.Session = session;
        var policy = control.Current?.Policies.GetValueOrDefault(host)?.Policy;
        var watched = registry.Watched;
        registry.MarkSent(host, policy?.Revision ?? Revision.None);

        // The loop ends with the connection and observes its own faults.
        _ = session.RunAsync(control, registry, policy?.Revision ?? Revision.None, watched, context.ConnectionAborted);
        return new() { Accepted = true, Policy = policy, Watched = watched };
    }

    /// <inheritdoc cref="AgentHubMethods.Acknowledge"/>
    [HubMethodName(AgentHubMethods.Acknowledge)]
    public void Acknowledge(PolicyAck? ack)
    {
        var session = Require(AgentMessages.Check(ack), ack?.Host, ack?.Boot);
        if (control.Current?.Policies.GetValueOrDefault(session.Host)?.Policy.Revision is not { } desired || ack!.Revision > desired)
        {
            // Nobody was told such a revision by this leader: the agent will hear the one in force.
            session.Wake();
            return;
        }

        registry.Heard(session.Host, s => ack.Applied
            ? s with { Acknowledged = ack.Revision > s.Acknowledged ? ack.Revision : s.Acknowledged, Hash = ack.Hash, Error = ack.Revision >= s.Acknowledged ? null : s.Error, JobFaults = ack.Revision >= s.Acknowledged ? ack.JobFaults : s.JobFaults }
            : s with { Error = ack.Revision == desired ? ack.Error ?? "not applied, no reason given" : s.Error });
        if (ack.Applied)
        {
            AgentLog.Applied(logger, session.Host, ack.Revision);
            foreach (var fault in ack.JobFaults.Take(LoggedFaults))
            {
                AgentLog.PlanRefused(logger, session.Host, fault.JobId, PrintableText.Of(fault.Reason));
            }
        }
        else
        {
            AgentLog.NotApplied(logger, session.Host, ack.Revision, PrintableText.Of(ack.Error ?? "no reason given"));
        }

        session.Wake();
    }

    /// <inheritdoc cref="AgentHubMethods.ReportFlows"/>
    [HubMethodName(AgentHubMethods.ReportFlows)]
    public async Task ReportFlowsAsync(FlowReport? report)
    {
        var session = Require(AgentMessages.Check(report), report?.Host, report?.Boot);
        var before = registry.Status(session.Host).LostRecords;
        registry.Heard(session.Host, s => s with { KernelDrops = report!.KernelDrops, LostRecords = report.LostRecords });
        var stored = flows.Take(report!, session.Sequence.Note(report!.Sequence), report.LostRecords > before);
        await Task.WhenAny(stored, Task.Delay(StorePatience, time, Context.ConnectionAborted));
    }

    /// <inheritdoc cref="AgentHubMethods.ReportProgress"/>
    [HubMethodName(AgentHubMethods.ReportProgress)]
    public void ReportProgress(ProgressReport? report)
    {
        var session = Require(AgentMessages.Check(report), report?.Host, report?.Boot);
        registry.Heard(session.Host, s => s.Troubles.SequenceEqual(report!.Troubles) ? s : s with { Troubles = report.Troubles });
        progress.Report(report!);
    }

    /// <inheritdoc cref="AgentHubMethods.ReportDiscovery"/>
    [HubMethodName(AgentHubMethods.ReportDiscovery)]
    public void ReportDiscovery(DiscoveryReport? report)
    {
        var session = Require(AgentMessages.Check(report), report?.Host, report?.Boot);
        registry.Heard(session.Host, s => s);
        discovery.Take(report!);
    }

    private static async Task CloseSilentAsync(HubCallerContext context, Seat seat, TimeProvider time)
    {
        try
        {
            await Task.Delay(HelloTimeout, time, context.ConnectionAborted);
        }
        catch (OperationCanceledException)
        {
            return;
        }

        if (seat.Session is null)
        {
            context.Abort();
        }
    }

    private static string Clip(string text) => PrintableText.Of(text.Length <= 64 ? text : $"{text.AsSpan(0, 64)}...");

    private HelloReply Refuse(string endpoint, string reason)
    {
        AgentLog.Refused(logger, endpoint, reason);
        return new() { Accepted = false, Reason = reason };
    }

    private AgentSession Require(string? fault, string? host, Guid? boot)
    {
        if (((Seat)Context.Items[SeatItem]!).Session is not { } session)
        {
            throw new HubException("Say Hello first.");
        }

        if (fault is null && (host != session.Host || boot != session.Boot))
        {
            fault = $"This connection speaks for host '{session.Host}', boot {session.Boot}.";
        }

        if (fault is not null)
        {
            AgentLog.MessageRefused(logger, session.Host, fault);
            throw new HubException(fault);
        }

        return session;
    }

    /// <summary>Whom a connection speaks for.</summary>
    private sealed class Seat
    {
        private volatile AgentSession? _session;
        private int _claimed;

        public AgentSession? Session
        {
            get => _session;
            set => _session = value;
        }

        public bool TryClaim() => Interlocked.Exchange(ref _claimed, 1) == 0;
    }
}
