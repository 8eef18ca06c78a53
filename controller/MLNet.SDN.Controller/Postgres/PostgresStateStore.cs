using System.Text.Json;
using System.Text.Json.Serialization;
using Dapper;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.State;
using Npgsql;

namespace MLNet.SDN.Controller.Postgres;

/// <summary>Desired state in PostgreSQL. Every change of policy locks the lease's row and checks term and generation, so a former leader can change nothing.</summary>
internal sealed class PostgresStateStore(Database database, string instance, TimeSpan leaseTime) : IStateStore
{
    private const int RecentJobs = 50;
    private const string JobColumns =
        "j.id, j.spec::text as spec, j.state, j.submitted_at as SubmittedAt, j.ended_at as EndedAt, encode(j.secret, 'base64') as secret, j.figures::text as figures, j.idempotency_key as IdempotencyKey, j.body_sha256 as BodySha256";

    private readonly Guid _process = Guid.NewGuid();
    private volatile bool _migrated;

    /// <inheritdoc />
    public bool Durable => true;

    /// <inheritdoc />
    public Task<LeaseAnswer> TryLeadAsync(CancellationToken cancellationToken) => Database.AskAsync(
        async () =>
        {
            if (!_migrated)
            {
                await Migrations.RunAsync(database.Policy, cancellationToken);
                _migrated = true;
            }

            await using var connection = await database.Policy.OpenConnectionAsync(cancellationToken);
            await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
            CommandDefinition Sql(string sql, object? parameters = null) => new(sql, parameters, transaction, cancellationToken: cancellationToken);

            // (1) Compare and swap on the database's clock. The holder's own name takes it at once: its process was killed and started again.
            var term = await connection.ExecuteScalarAsync<long?>(Sql(
                """
                update mlnet.lease set term = term + 1, generation = 1, instance = @instance, process = @process, expires_at = clock_timestamp() + @leaseTime
                where id = 1 and (expires_at <= clock_timestamp() or instance = @instance) returning term
                """,
                new { instance, process = _process, leaseTime }));
            if (term is null)
            {
                var holder = await connection.QuerySingleAsync<Holder>(Sql("select instance, expires_at - clock_timestamp() as FreeIn from mlnet.lease"));
                return new LeaseAnswer(null, holder.Instance, holder.FreeIn > TimeSpan.Zero ? holder.FreeIn : TimeSpan.Zero);
            }

            // (2) The row is locked by now, so what is read belongs together.
            await connection.ExecuteAsync(Sql(
                "insert into mlnet.policy_event (term, generation, actor, action, subject, reason) values (@term, 1, @actor, 'lease.take', @instance, 'leads from here on')",
                new { term, actor = $"controller {instance}", instance }));
            var topology = await connection.QuerySingleOrDefaultAsync<TopologyRow>(Sql("select body::text as body, file_sha256 as FileSha256 from mlnet.topology order by id desc limit 1"));
            var settings = await connection.ExecuteScalarAsync<string?>(Sql("select body::text from mlnet.planning_settings order by id desc limit 1"));
            var jobs = await connection.QueryAsync<JobRow>(Sql(
                $"""
                select {JobColumns}, p.body::text as plan from mlnet.job j
                left join lateral (select body from mlnet.plan where job_id = j.id order by term desc, generation desc limit 1) p on true
                where j.state = 'Pending' order by j.id
                """));
            var ended = await connection.QueryAsync<JobRow>(Sql($"select {JobColumns} from mlnet.job j where j.state <> 'Pending' order by j.ended_at desc limit {RecentJobs}"));
            var withdrawn = await connection.QueryAsync<JobRow>(Sql($"select {JobColumns} from mlnet.job j where j.state = 'Cancelled' and j.spec ->> 'discoveryKey' is not null order by j.id"));
            var agents = await connection.QueryAsync<AgentRow>(Sql("select host, data_port as DataPort, boot, version, last_seen as LastSeen from mlnet.agent"));
            var transports = await connection.QueryAsync<TransportRow>(Sql(
                """
                select t.job_id as JobId, t.host, t.boot, t.bytes_sent as BytesSent, t.bytes_retransmitted as BytesRetransmitted, t.segments_sent as SegmentsSent, t.connections
                from mlnet.job_transport t join mlnet.job j on j.id = t.job_id where j.state = 'Pending'
                """));
            await transaction.CommitAsync(cancellationToken);
            return new LeaseAnswer(
                new()
                {
                    Term = term.Value,
                    Topology = topology is null ? null : new(JsonSerializer.Deserialize(topology.Body, ContractsJson.Default.Topology)!, topology.FileSha256),
                    Settings = settings is null ? null : JsonSerializer.Deserialize(settings, ContractsJson.Default.PlanningSettings),
                    Jobs = [.. jobs.Select(j => j.ToRecord())],
                    RecentlyEnded = [.. ended.Reverse().Select(j => j.ToRecord())],
                    Withdrawn = [.. withdrawn.Select(j => j.ToRecord())],
                    Ports = agents.Where(a => a.DataPort is not null).ToDictionary(a => a.Host, a => a.DataPort!.Value),
                    Agents = [.. agents.Where(a => a.LastSeen is not null).Select(a => new KnownAgent(a.Host, a.Boot ?? Guid.Empty, a.Version ?? "", Utc(a.LastSeen!.Value)))],
                    Transports = [.. transports.Select(t => t.ToTransport())],
                },
                instance,
                TimeSpan.Zero);
        },
        cancellationToken);

    /// <inheritdoc />
    public Task<LeaseStatus> RenewAsync(CancellationToken cancellationToken) => Database.AskAsync(
        async () =>
        {
            await using var connection = await database.Policy.OpenConnectionAsync(cancellationToken);
            var renewed = await connection.ExecuteAsync(new(
                "update mlnet.lease set expires_at = clock_timestamp() + @leaseTime where id = 1 and process = @process",
                new { process = _process, leaseTime }, cancellationToken: cancellationToken));
            if (renewed == 1)
            {
                return LeaseStatus.Held;
            }

            var holder = await connection.QuerySingleAsync<LeaseRow>(new("select term, generation, instance, process from mlnet.lease", cancellationToken: cancellationToken));
            return holder.Instance == instance ? LeaseStatus.TakenBySameInstance : LeaseStatus.TakenByOther;
        },
        cancellationToken);

    /// <inheritdoc />
    public Task ReleaseAsync(CancellationToken cancellationToken) => Database.AskAsync(
        async () =>
        {
            await using var connection = await database.Policy.OpenConnectionAsync(cancellationToken);
            return await connection.ExecuteAsync(new(
                "update mlnet.lease set expires_at = '-infinity' where id = 1 and process = @process", new { process = _process }, cancellationToken: cancellationToken));
        },
        cancellationToken);

    /// <inheritdoc />
    public Task<long> NextJobIdAsync(CancellationToken cancellationToken) => Database.AskAsync(
        async () =>
        {
            await using var connection = await database.Policy.OpenConnectionAsync(cancellationToken);
            return await connection.ExecuteScalarAsync<long>(new("select nextval(pg_get_serial_sequence('mlnet.job', 'id'))", cancellationToken: cancellationToken));
        },
        cancellationToken);

    /// <inheritdoc />
    public async Task CommitAsync(PolicyChange change, CancellationToken cancellationToken)
    {
        var committing = false;
        try
        {
            await using var connection = await database.Policy.OpenConnectionAsync(cancellationToken);
            await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
            await WriteAsync(connection, transaction, change, cancellationToken);
            committing = true;
            await transaction.CommitAsync(cancellationToken);
        }
        catch (Exception fault) when (Database.IsAway(fault) || fault is OperationCanceledException)
        {
            throw new StoreUnavailableException(Database.Describe(fault), fault, maybeStored: committing);
        }
    }

    /// <inheritdoc />
    public Task<JobRecord?> FindJobAsync(long id, CancellationToken cancellationToken) => FindAsync("where j.id = @id", new { id }, cancellationToken);

    /// <inheritdoc />
    public Task<JobRecord?> FindJobAsync(string name, CancellationToken cancellationToken) =>
        FindAsync("where j.name = @name order by j.id desc limit 1", new { name }, cancellationToken);

    /// <inheritdoc />
    public Task<JobRecord?> FindJobByKeyAsync(string idempotencyKey, CancellationToken cancellationToken) =>
        FindAsync("where j.idempotency_key = @idempotencyKey", new { idempotencyKey }, cancellationToken);

    /// <inheritdoc />
    public Task<IReadOnlyList<JobRecord>> ListJobsAsync(long before, int limit, CancellationToken cancellationToken) => Database.AskAsync<IReadOnlyList<JobRecord>>(
        async () =>
        {
            await using var connection = await database.Policy.OpenConnectionAsync(cancellationToken);
            var rows = await connection.QueryAsync<JobRow>(new(
                $"select {JobColumns} from mlnet.job j where j.id < @before order by j.id desc limit @limit", new { before, limit }, cancellationToken: cancellationToken));
            return [.. rows.Select(r => r.ToRecord())];
        },
        cancellationToken);

    /// <inheritdoc />
    public Task SaveFiguresAsync(IReadOnlyList<(long JobId, JobFigures Figures)> figures, IReadOnlyList<HostTransport> transports, CancellationToken cancellationToken) => Database.AskAsync(
        async () =>
        {
            await using var connection = await database.Policy.OpenConnectionAsync(cancellationToken);
            await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
            await connection.ExecuteAsync(new(
                "update mlnet.job j set figures = f.figures::jsonb from unnest(@ids, @bodies) as f (id, figures) where j.id = f.id",
                new { ids = figures.Select(f => f.JobId).ToArray(), bodies = figures.Select(f => JsonSerializer.Serialize(f.Figures, StoreJson.Default.JobFigures)).ToArray() },
                transaction, cancellationToken: cancellationToken));

            // A report that came late must not take totals back. A job whose commit was never stored has no row and is passed over.
            await connection.ExecuteAsync(new(
                """
                insert into mlnet.job_transport as t (job_id, host, boot, bytes_sent, bytes_retransmitted, segments_sent, connections)
                select n.* from unnest(@jobs, @hosts, @boots, @bytes, @retransmitted, @segments, @connections) as n (job_id, host, boot, bytes, retransmitted, segments, connections)
                join mlnet.job j on j.id = n.job_id
                on conflict (job_id, host, boot) do update set
                    bytes_sent = excluded.bytes_sent, bytes_retransmitted = excluded.bytes_retransmitted,
                    segments_sent = excluded.segments_sent, connections = excluded.connections, updated_at = now()
                where t.bytes_sent <= excluded.bytes_sent
                """,
                new
                {
                    jobs = transports.Select(t => t.Transport.JobId).ToArray(),
                    hosts = transports.Select(t => t.Host).ToArray(),
                    boots = transports.Select(t => t.Boot).ToArray(),
                    bytes = transports.Select(t => t.Transport.BytesSent).ToArray(),
                    retransmitted = transports.Select(t => t.Transport.BytesRetransmitted).ToArray(),
                    segments = transports.Select(t => t.Transport.SegmentsSent).ToArray(),
                    connections = transports.Select(t => t.Transport.Connections).ToArray(),
                },
                transaction, cancellationToken: cancellationToken));
            await transaction.CommitAsync(cancellationToken);
            return 0;
        },
        cancellationToken);

    /// <inheritdoc />
    public Task SaveAgentsAsync(IReadOnlyList<KnownAgent> agents, CancellationToken cancellationToken) => Database.AskAsync(
        async () =>
        {
            await using var connection = await database.Policy.OpenConnectionAsync(cancellationToken);
            return await connection.ExecuteAsync(new(
                """
                insert into mlnet.agent as a (host, boot, version, last_seen)
                select * from unnest(@hosts, @boots, @versions, @seen)
                on conflict (host) do update set boot = excluded.boot, version = excluded.version, last_seen = greatest(a.last_seen, excluded.last_seen)
                """,
                new
                {
                    hosts = agents.Select(a => a.Host).ToArray(),
                    boots = agents.Select(a => a.Boot).ToArray(),
                    versions = agents.Select(a => a.Version).ToArray(),
                    seen = agents.Select(a => a.LastSeen.UtcDateTime).ToArray(),
                },
                cancellationToken: cancellationToken));
        },
        cancellationToken);

    /// <inheritdoc />
    public Task<IReadOnlyList<StoredEvent>> ListEventsAsync(long before, int limit, CancellationToken cancellationToken) => Database.AskAsync<IReadOnlyList<StoredEvent>>(
        async () =>
        {
            await using var connection = await database.Policy.OpenConnectionAsync(cancellationToken);
            var rows = await connection.QueryAsync<EventRow>(new(
                "select id, time, term, generation, actor, action, subject, reason from mlnet.policy_event where id < @before order by id desc limit @limit",
                new { before, limit }, cancellationToken: cancellationToken));
            return [.. rows.Select(r => new StoredEvent(r.Id, Utc(r.Time), new(r.Term, r.Generation), new(r.Actor, r.Action, r.Subject, r.Reason)))];
        },
        cancellationToken);

    private static DateTimeOffset Utc(DateTime time) => new(DateTime.SpecifyKind(time, DateTimeKind.Utc));

    private async Task WriteAsync(NpgsqlConnection connection, NpgsqlTransaction transaction, PolicyChange change, CancellationToken cancellationToken)
    {
        CommandDefinition Sql(string sql, object? parameters = null) => new(sql, parameters, transaction, cancellationToken: cancellationToken);
        var (term, generation) = (change.After.Term, change.After.Generation);

        // (1) The fence.
        var lease = await connection.QuerySingleAsync<LeaseRow>(Sql("select term, generation, instance, process from mlnet.lease where id = 1 for update"));
        if (lease.Process != _process || lease.Term != change.Before.Term)
        {
            throw new LeaseLostException($"Controller '{lease.Instance}' leads with term {lease.Term}.");
        }

        if (lease.Generation != change.Before.Generation)
        {
            throw new LeaseLostException($"The database holds generation {lease.Generation} of term {lease.Term}, this process knows {change.Before.Generation}.");
        }

        await connection.ExecuteAsync(Sql("update mlnet.lease set term = @term, generation = @generation where id = 1", new { term, generation }));

        // (2) The change.
        foreach (var job in change.Jobs)
        {
            await connection.ExecuteAsync(Sql(
                """
                insert into mlnet.job (id, name, spec, state, submitted_at, ended_at, secret, figures, idempotency_key, body_sha256) overriding system value
                values (@Id, @Name, @Spec::jsonb, @State, @SubmittedAt, @EndedAt, decode(@Secret, 'base64'), @Figures::jsonb, @IdempotencyKey, @BodySha256)
                on conflict (id) do update set spec = excluded.spec, state = excluded.state, ended_at = excluded.ended_at, figures = excluded.figures
                """,
                new
                {
                    job.Id,
                    job.Spec.Name,
                    Spec = JsonSerializer.Serialize(job.Spec, ContractsJson.Default.JobSpec),
                    State = (job.Unfinished ? JobState.Pending : job.State).ToString(),
                    SubmittedAt = job.SubmittedAt.UtcDateTime,
                    EndedAt = job.EndedAt?.UtcDateTime,
                    job.Secret,
                    Figures = JsonSerializer.Serialize(job.Figures, StoreJson.Default.JobFigures),
                    job.IdempotencyKey,
                    job.BodySha256,
                }));
        }

        foreach (var plan in change.Plans)
        {
            await connection.ExecuteAsync(Sql(
                "insert into mlnet.plan (job_id, term, generation, body) values (@JobId, @term, @generation, @body::jsonb)",
                new { plan.JobId, term, generation, body = JsonSerializer.Serialize(plan, ContractsJson.Default.JobPlan) }));
        }

        if (change.Settings is { } settings)
        {
            await connection.ExecuteAsync(Sql(
                "insert into mlnet.planning_settings (term, generation, body) values (@term, @generation, @body::jsonb)",
                new { term, generation, body = JsonSerializer.Serialize(settings, ContractsJson.Default.PlanningSettings) }));
        }

        if (change.Topology is { } topology)
        {
            await connection.ExecuteAsync(Sql(
                """
                insert into mlnet.topology (term, generation, body, file_sha256)
                values (@term, @generation, @body::json, coalesce(@FileSha256, (select file_sha256 from mlnet.topology order by id desc limit 1)))
                """,
                new { term, generation, body = JsonSerializer.Serialize(topology.Topology, ContractsJson.Default.Topology), topology.FileSha256 }));
        }

        foreach (var (host, port) in change.Ports)
        {
            await connection.ExecuteAsync(Sql(
                "insert into mlnet.agent (host, data_port) values (@host, @port) on conflict (host) do update set data_port = excluded.data_port", new { host, port }));
        }

        // (3) The audit.
        foreach (var entry in change.Events)
        {
            await connection.ExecuteAsync(Sql(
                "insert into mlnet.policy_event (term, generation, actor, action, subject, reason) values (@term, @generation, @Actor, @Action, @Subject, @Reason)",
                new { term, generation, entry.Actor, entry.Action, entry.Subject, entry.Reason }));
        }
    }

    private Task<JobRecord?> FindAsync(string where, object parameters, CancellationToken cancellationToken) => Database.AskAsync(
        async () =>
        {
            await using var connection = await database.Policy.OpenConnectionAsync(cancellationToken);
            var row = await connection.QuerySingleOrDefaultAsync<JobRow>(new($"select {JobColumns} from mlnet.job j {where}", parameters, cancellationToken: cancellationToken));
            return row?.ToRecord();
        },
        cancellationToken);

    // Dapper fills these; names follow the columns.
    private sealed record Holder(string Instance, TimeSpan FreeIn);

    private sealed record LeaseRow(long Term, long Generation, string Instance, Guid Process);

    private sealed record TopologyRow(string Body, string? FileSha256);

    private sealed record EventRow(long Id, DateTime Time, long Term, long Generation, string Actor, string Action, string Subject, string Reason);

    private sealed class AgentRow
    {
        public string Host { get; init; } = "";

        public int? DataPort { get; init; }

        public Guid? Boot { get; init; }

        public string? Version { get; init; }

        public DateTime? LastSeen { get; init; }
    }

    private sealed record TransportRow(long JobId, string Host, Guid Boot, long BytesSent, long BytesRetransmitted, long SegmentsSent, int Connections)
    {
        public HostTransport ToTransport() => new(Host, Boot, new()
        {
            JobId = JobId,
            BytesSent = BytesSent,
            BytesRetransmitted = BytesRetransmitted,
            SegmentsSent = SegmentsSent,
            Connections = Connections,
        });
    }

    private sealed class JobRow
    {
        public long Id { get; init; }

        public string Spec { get; init; } = "";

        public string State { get; init; } = "";

        public DateTime SubmittedAt { get; init; }

        public DateTime? EndedAt { get; init; }

        public string Secret { get; init; } = "";

        public string Figures { get; init; } = "";

        public string? IdempotencyKey { get; init; }

        public string? BodySha256 { get; init; }

        public string? Plan { get; init; }

        public JobRecord ToRecord() => new()
        {
            Id = Id,
            Spec = JsonSerializer.Deserialize(Spec, ContractsJson.Default.JobSpec)!,
            State = Enum.Parse<JobState>(State),
            SubmittedAt = Utc(SubmittedAt),
            EndedAt = EndedAt is { } ended ? Utc(ended) : null,
            Secret = Secret,
            Figures = JsonSerializer.Deserialize(Figures, StoreJson.Default.JobFigures)!,
            IdempotencyKey = IdempotencyKey,
            BodySha256 = BodySha256,
            Plan = Plan is null ? null : JsonSerializer.Deserialize(Plan, ContractsJson.Default.JobPlan),
        };
    }
}

/// <summary>JSON of what only the store keeps.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(JobFigures))]
internal sealed partial class StoreJson : JsonSerializerContext;
