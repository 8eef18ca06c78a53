using Dapper;
using MLNet.SDN.Controller.Postgres;

namespace MLNet.SDN.Controller.History;

/// <summary>A stored record with names, as REST shows it; the columns of <c>mlnet.v_flow</c>.</summary>
public sealed record HistoryFlow
{
    /// <summary>First packet of the interval, UTC.</summary>
    public required DateTimeOffset Time { get; init; }

    /// <summary>Last packet of the interval, UTC.</summary>
    public required DateTimeOffset EndTime { get; init; }

    /// <summary>Null when it belongs to none.</summary>
    public string? Job { get; init; }

    /// <summary>Null when it belongs to none.</summary>
    public long? JobId { get; init; }

    /// <summary>What the flow does in the job.</summary>
    public string? Role { get; init; }

    /// <summary>Null when no host of the fabric had the address.</summary>
    public string? SourceHost { get; init; }

    /// <summary>Null when no host of the fabric had the address.</summary>
    public string? DestinationHost { get; init; }

    /// <summary>IP address.</summary>
    public required string SourceAddress { get; init; }

    /// <summary>Transport port.</summary>
    public required int SourcePort { get; init; }

    /// <summary>IP address.</summary>
    public required string DestinationAddress { get; init; }

    /// <summary>Transport port.</summary>
    public required int DestinationPort { get; init; }

    /// <summary><c>tcp</c>, <c>udp</c>, or a number.</summary>
    public required string Protocol { get; init; }

    /// <summary><c>egress</c>: the observing host sent it; <c>ingress</c>: it received it.</summary>
    public required string Direction { get; init; }

    /// <summary>Code point on the wire at the observing host.</summary>
    public required string Dscp { get; init; }

    /// <summary>Code point that the policy wanted.</summary>
    public required string DscpPolicy { get; init; }

    /// <summary>Octets of IP packets.</summary>
    public required long Octets { get; init; }

    /// <summary>Packets.</summary>
    public required long Packets { get; init; }

    /// <summary>Host whose agent counted.</summary>
    public required string ObservingHost { get; init; }
}

/// <summary>What is asked of history.</summary>
/// <param name="Job">Name; null for all.</param>
/// <param name="From">Not before, UTC.</param>
/// <param name="To">Before, UTC.</param>
/// <param name="Before">Place after which to go on; null for the newest.</param>
/// <param name="Limit">Records at most.</param>
internal sealed record HistoryQuery(string? Job, DateTimeOffset From, DateTimeOffset To, (DateTimeOffset Time, long Id)? Before, int Limit);

/// <summary>Reads flow records, newest first.</summary>
internal sealed class FlowHistoryReader(Database database)
{
    // Somebody waits for the answer; a longer question is one for psql.
    private const int TimeoutSeconds = 15;

    /// <summary>A page of records, and where the next one goes on; null when this is the last.</summary>
    /// <exception cref="State.StoreUnavailableException">The database is away, or the question takes too long.</exception>
    public Task<(IReadOnlyList<HistoryFlow> Flows, (DateTimeOffset Time, long Id)? Next)> ReadAsync(HistoryQuery query, CancellationToken cancellationToken) => Database.AskAsync(
        async () =>
        {
            await using var connection = await database.History.OpenConnectionAsync(cancellationToken);

            // The job is looked up first: with its number the index on (job, time) is used in every partition.
            long[]? jobs = null;
            if (query.Job is { } name)
            {
                jobs = [.. await connection.QueryAsync<long>(new("select id from mlnet.job where name = @name", new { name }, cancellationToken: cancellationToken))];
            }

            var rows = (await connection.QueryAsync<Row>(new(
                $"""
                select time, end_time as EndTime, job, job_id as JobId, role, source_host as SourceHost, destination_host as DestinationHost,
                    host(source_address) as SourceAddress, source_port as SourcePort, host(destination_address) as DestinationAddress, destination_port as DestinationPort,
                    protocol, direction, dscp, dscp_policy as DscpPolicy, octets, packets, observing_host as ObservingHost, id
                from mlnet.v_flow
                where time >= @from and time < @to {(jobs is null ? "" : "and job_id = any(@jobs)")} {(query.Before is null ? "" : "and time <= @time and (time, id) < (@time, @id)")}
                order by time desc, id desc limit @limit
                """,
                new { from = query.From.UtcDateTime, to = query.To.UtcDateTime, jobs, time = query.Before?.Time.UtcDateTime, id = query.Before?.Id, limit = query.Limit },
                commandTimeout: TimeoutSeconds, cancellationToken: cancellationToken))).ToList();
            (DateTimeOffset, long)? next = rows.Count == query.Limit ? (Utc(rows[^1].Time), rows[^1].Id) : null;
            return ((IReadOnlyList<HistoryFlow>)[.. rows.Select(r => r.ToFlow())], next);
        },
        cancellationToken);

    private static DateTimeOffset Utc(DateTime time) => new(DateTime.SpecifyKind(time, DateTimeKind.Utc));

    private sealed class Row
    {
        public DateTime Time { get; init; }

        public DateTime EndTime { get; init; }

        public string? Job { get; init; }

        public long? JobId { get; init; }

        public string? Role { get; init; }

        public string? SourceHost { get; init; }

        public string? DestinationHost { get; init; }

        public string SourceAddress { get; init; } = "";

        public int SourcePort { get; init; }

        public string DestinationAddress { get; init; } = "";

        public int DestinationPort { get; init; }

        public string Protocol { get; init; } = "";

        public string Direction { get; init; } = "";

        public string Dscp { get; init; } = "";

        public string DscpPolicy { get; init; } = "";

        public long Octets { get; init; }

        public long Packets { get; init; }

        public string ObservingHost { get; init; } = "";

        public long Id { get; init; }

        public HistoryFlow ToFlow() => new()
        {
            Time = Utc(Time),
            EndTime = Utc(EndTime),
            Job = Job,
            JobId = JobId,
            Role = Role,
            SourceHost = SourceHost,
            DestinationHost = DestinationHost,
            SourceAddress = SourceAddress,
            SourcePort = SourcePort,
            DestinationAddress = DestinationAddress,
            DestinationPort = DestinationPort,
            Protocol = Protocol,
            Direction = Direction,
            Dscp = Dscp,
            DscpPolicy = DscpPolicy,
            Octets = Octets,
            Packets = Packets,
            ObservingHost = ObservingHost,
        };
    }
}
