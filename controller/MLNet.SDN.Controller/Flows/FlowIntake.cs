using System.Collections.Immutable;
using System.Net;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Agents;
using MLNet.SDN.Controller.History;
using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Controller.Flows;

/// <summary>Takes flow reports over: each record is checked and named once, then goes to the live view, to path verification and to history.</summary>
internal sealed class FlowIntake(ControlPlane control, LiveFlows live, PathVerification paths, IFlowHistory history, ILogger<FlowIntake> logger)
{
    // Records of an ended job still come for a while; their names are looked up here.
    private const int MaxEndedNames = 1_000;

    private ImmutableDictionary<long, string> _endedNames = ImmutableDictionary<long, string>.Empty;
    private long _badRecords;

    /// <summary>Records that were left out because a field of theirs was impossible.</summary>
    public long BadRecords => Interlocked.Read(ref _badRecords);

    /// <summary>Takes a report over.</summary>
    /// <param name="sequence">What its number says.</param>
    /// <param name="recordsLost">The agent says that it lost records since its last report.</param>
    /// <returns>Ends when history holds the records, or will not.</returns>
    public Task Take(FlowReport report, SequenceStatus sequence, bool recordsLost)
    {
        if (sequence == SequenceStatus.Repeated || control.Current is not { } state)
        {
            return Task.CompletedTask;
        }

        if (sequence == SequenceStatus.AfterGap || recordsLost)
        {
            paths.Forget(report.Host);
        }

        List<FlowRow> rows = new(report.Records.Count);
        Dictionary<(FlowTuple, FlowDirection), List<FlowRow>> groups = [];
        foreach (var record in report.Records)
        {
            if (AgentMessages.Check(record) is not null || !FlowTuple.TryRead(record, out var tuple))
            {
                if (Interlocked.Increment(ref _badRecords) is 1 or 1_000 or 1_000_000)
                {
                    FlowLog.BadRecords(logger, report.Host, BadRecords);
                }

                continue;
            }

            var row = new FlowRow(record, tuple, FindHost(state, tuple.Source, record.SourceAddress), FindHost(state, tuple.Destination, record.DestinationAddress));
            rows.Add(row);
            if (!groups.TryGetValue((tuple, record.Direction), out var group))
            {
                groups[(tuple, record.Direction)] = group = [];
            }

            group.Add(row);
        }

        foreach (var ((tuple, direction), group) in groups)
        {
            var last = group[^1];
            live.Take(tuple, last.SourceHost, last.DestinationHost, last.Record.JobId is { } job ? JobName(state, job) : null, direction, [.. group.Select(r => r.Record)]);
            if (last is { SourceHost: { } from, DestinationHost: { } to } && (direction == FlowDirection.Egress ? from : to) == report.Host)
            {
                foreach (var row in group)
                {
                    paths.Take(tuple, from, to, row.Record, SwitchesOf(state, row.Record));
                }
            }
        }

        return history.Offer(new(report.Host, report.Boot, report.Sequence, rows));
    }

    // IPv4 is written in one way only; IPv6 in many, of which the fabric knows the shortest.
    private static string? FindHost(DesiredState state, IPAddress address, string text) =>
        state.Fabric.TryFindHost(text.Contains(':', StringComparison.Ordinal) ? address.ToString() : text, out var host) ? host.Id : null;

    // Null where a router did not answer or is not known by its address: the path is then as good as unknown.
    private static string[]? SwitchesOf(DesiredState state, FlowRecord record)
    {
        if (record.Routers is not { Count: > 0 } routers)
        {
            return null;
        }

        var switches = new string[routers.Count];
        for (var i = 0; i < switches.Length; i++)
        {
            if (!state.Fabric.TryFindSwitch(routers[i], out var node))
            {
                return null;
            }

            switches[i] = node.Id;
        }

        return switches;
    }

    private string? JobName(DesiredState state, long id)
    {
        if (state.Jobs.TryGetValue(id, out var job))
        {
            if (!_endedNames.ContainsKey(id))
            {
                ImmutableInterlocked.Update(ref _endedNames, n => (n.Count >= MaxEndedNames ? n.Remove(n.Keys.Min()) : n).SetItem(id, job.Name));
            }

            return job.Name;
        }

        return _endedNames.GetValueOrDefault(id);
    }
}
