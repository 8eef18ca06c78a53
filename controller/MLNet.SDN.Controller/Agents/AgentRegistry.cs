using System.Collections.Concurrent;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Controller.Agents;

/// <summary>Which agents are connected and what they hold. One connection speaks for a host at a time. Safe to call from any thread.</summary>
internal sealed class AgentRegistry
{
    private readonly ControlPlane _control;
    private readonly TimeProvider _time;
    private readonly ILogger<AgentRegistry> _logger;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, AgentSession> _sessions = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Guid> _replaced = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (Guid Boot, ReportSequence Sequence)> _sequences = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, AgentStatus> _status = new(StringComparer.Ordinal);
    private bool _watched;

    public AgentRegistry(ControlPlane control, TimeProvider time, ILogger<AgentRegistry> logger)
    {
        (_control, _time, _logger) = (control, time, logger);
        control.Changed += OnChanged;
    }

    /// <summary>Whether somebody watches the live view.</summary>
    public bool Watched
    {
        get => _watched;
        set
        {
            _watched = value;
            WakeAll();
        }
    }

    /// <summary>What is known of the host's agent.</summary>
    public AgentStatus Status(string host) => _status.TryGetValue(host, out var status) ? status : new() { Host = host };

    /// <summary>Changes what is known of a host's agent, and says that it was just heard.</summary>
    public AgentStatus Heard(string host, Func<AgentStatus, AgentStatus> change) =>
        _status.AddOrUpdate(host, h => change(new() { Host = h, LastSeen = _time.GetUtcNow() }), (_, s) => change(s with { LastSeen = _time.GetUtcNow() }));

    /// <summary>Notes that a revision is about to be sent to the host.</summary>
    public void MarkSent(string host, Revision revision) =>
        _status.AddOrUpdate(host, h => new() { Host = h, Sent = revision }, (_, s) => revision > s.Sent ? s with { Sent = revision } : s);

    /// <summary>Remembers agents of a former run of the controller.</summary>
    public void Remember(IEnumerable<KnownAgent> agents)
    {
        foreach (var agent in agents)
        {
            _status.TryAdd(agent.Host, new() { Host = agent.Host, Boot = agent.Boot, Version = agent.Version, LastSeen = agent.LastSeen });
        }
    }

    /// <summary>All agents that have been here.</summary>
    public IReadOnlyList<AgentStatus> All() => [.. _status.Values];

    /// <summary>Makes a connection the one that speaks for its host.</summary>
    /// <remarks>
    /// The newest Hello wins: a restarted agent has a new boot, and an agent that lost its connection comes back with its old one, often before the old connection is known to be dead.
    /// Only a boot that was replaced by another and yet comes back proves that two agents run under one name: it is refused as long as the other is connected.
    /// </remarks>
    /// <returns>Null, or why the host is refused.</returns>
    public string? Connect(AgentSession session, AgentHello hello)
    {
        AgentSession? former;
        lock (_lock)
        {
            _sessions.TryGetValue(session.Host, out former);
            if (former is not null && former.Boot != session.Boot)
            {
                if (_replaced.GetValueOrDefault(session.Host) == session.Boot)
                {
                    AgentLog.TwoAgents(_logger, session.Host, session.Endpoint, former.Endpoint);
                    return $"Two agents run as '{session.Host}': the one at {former.Endpoint} (boot {former.Boot}) took over from this one. Stop one of them, or give it another Agent:Host.";
                }

                _replaced[session.Host] = former.Boot;
            }

            _sessions[session.Host] = session;
            if (_sequences.TryGetValue(session.Host, out var known) && known.Boot == session.Boot)
            {
                session.Sequence = known.Sequence;
            }

            _sequences[session.Host] = (session.Boot, session.Sequence);
        }

        // Data of a former boot do not speak for the new one.
        Heard(session.Host, s => s with
        {
            Boot = hello.Boot,
            Connected = true,
            ConnectedAt = _time.GetUtcNow(),
            Version = hello.Version,
            Capabilities = hello.Capabilities,
            Limits = hello.Limits,
            Hash = hello.InstalledHash,
            Error = s.Boot == hello.Boot ? s.Error : null,
            JobFaults = hello.JobFaults,

            // Only what this process gave out counts as acknowledged.
            Acknowledged = hello.Installed > s.Sent ? Revision.None : hello.Installed,
            KernelDrops = s.Boot == hello.Boot ? s.KernelDrops : 0,
            LostRecords = s.Boot == hello.Boot ? s.LostRecords : 0,
        });
        if (former is not null)
        {
            AgentLog.Replaced(_logger, session.Host, former.Endpoint, session.Endpoint);
            former.Abort();
        }

        AgentLog.Connected(_logger, session.Host, session.Endpoint, hello.Version, hello.Installed);
        return null;
    }

    /// <summary>A connection has ended.</summary>
    public void Disconnect(AgentSession session)
    {
        lock (_lock)
        {
            if (!_sessions.TryGetValue(session.Host, out var current) || current != session)
            {
                return;
            }

            _sessions.Remove(session.Host);
        }

        _status.AddOrUpdate(session.Host, h => new() { Host = h }, (_, s) => s with { Connected = false });
        AgentLog.Disconnected(_logger, session.Host);
    }

    /// <summary>Whether the host's agent has been connected for at least this long, so that what it has to report has arrived.</summary>
    public bool ConnectedFor(string host, TimeSpan time) =>
        _status.TryGetValue(host, out var status) && status.Connected && _time.GetUtcNow() - status.ConnectedAt >= time;

    private void OnChanged()
    {
        if (_control.Current is null)
        {
            // Another controller leads: agents are to find it.
            foreach (var session in Sessions())
            {
                session.Abort();
            }

            return;
        }

        WakeAll();
    }

    private void WakeAll()
    {
        foreach (var session in Sessions())
        {
            session.Wake();
        }
    }

    private List<AgentSession> Sessions()
    {
        lock (_lock)
        {
            return [.. _sessions.Values];
        }
    }
}
