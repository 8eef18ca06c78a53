using System.Net;
using System.Threading.Channels;
using Dapper;
using Microsoft.Extensions.Options;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Hosting;
using MLNet.SDN.Controller.Postgres;
using Npgsql;
using NpgsqlTypes;

namespace MLNet.SDN.Controller.History;

/// <summary>Appends flow records to the database by binary COPY, each report exactly once: its number is noted in the same transaction.</summary>
/// <remarks>
/// While the database is away, records wait in memory up to <see cref="HistoryOptions.QueueRecords"/>; more are dropped and counted.
/// Order of a batch: (1) make the partitions of its days, (2) note the numbers of its reports, which leaves out those seen before, (3) COPY, (4) commit.
/// </remarks>
internal sealed class FlowHistoryWriter : BackgroundService, IFlowHistory
{
    // One day ahead of the clock is a time zone mistaken for UTC; more is no time at all.
    private const int DaysAhead = 1;

    private static readonly TimeSpan FirstRetry = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LastRetry = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan UpkeepInterval = TimeSpan.FromHours(1);

    private readonly Database _database;
    private readonly HistoryOptions _options;
    private readonly OperatorWarnings _warnings;
    private readonly TimeProvider _time;
    private readonly ILogger<FlowHistoryWriter> _logger;
    private readonly Channel<Waiting> _queue = Channel.CreateUnbounded<Waiting>(new() { SingleReader = true });
    private readonly HashSet<DateOnly> _partitions = [];
    private long _waitingRecords;
    private long _dropped;
    private long _outside;
    private volatile bool _away;
    private DateTimeOffset _upkeepAt;

    public FlowHistoryWriter(Database database, IOptions<HistoryOptions> options, OperatorWarnings warnings, TimeProvider time, ILogger<FlowHistoryWriter> logger) =>
        (_database, _options, _warnings, _time, _logger) = (database, options.Value, warnings, time, logger);

    /// <summary>Records dropped because too many waited.</summary>
    public long Dropped => Interlocked.Read(ref _dropped);

    /// <summary>Records left out because their day is before retention or in the future.</summary>
    public long Outside => Interlocked.Read(ref _outside);

    /// <inheritdoc />
    public Task Offer(FlowBatch batch)
    {
        // A report without records is offered too: its number closes the range of those seen.
        var records = Math.Max(1, batch.Rows.Count);
        if (Interlocked.Add(ref _waitingRecords, records) > _options.QueueRecords)
        {
            Interlocked.Add(ref _waitingRecords, -records);
            var dropped = Interlocked.Add(ref _dropped, batch.Rows.Count);
            if (dropped == batch.Rows.Count || dropped / 100_000 != (dropped - batch.Rows.Count) / 100_000)
            {
                HistoryLog.Dropped(_logger, dropped, _options.QueueRecords);
            }

            return Task.CompletedTask;
        }

        var waiting = new Waiting(batch, records);
        if (!_queue.Writer.TryWrite(waiting))
        {
            // The process is stopping and its connections are closed: the agent gets no answer and will send it again.
            Interlocked.Add(ref _waitingRecords, -records);
            return Task.CompletedTask;
        }

        return _away ? Task.CompletedTask : waiting.Stored.Task;
    }

    /// <inheritdoc />
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        // What waits is written while there is time: the loop ends when the queue is empty.
        _queue.Writer.TryComplete();
        if (ExecuteTask is { } loop)
        {
            await Task.WhenAny(loop, Task.Delay(TimeSpan.FromSeconds(5), _time, cancellationToken));
        }

        await base.StopAsync(cancellationToken);
    }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        List<Waiting> batch = [];
        try
        {
            while (await HasMoreAsync(stoppingToken))
            {
                Fill(batch);
                if (batch.Count > 0)
                {
                    await StoreAsync(batch, stoppingToken);
                    foreach (var done in batch)
                    {
                        done.Stored.TrySetResult();
                        Interlocked.Add(ref _waitingRecords, -done.Records);
                    }

                    batch.Clear();
                }

                await KeepUpAsync(stoppingToken);
            }
        }
        catch (OperationCanceledException)
        {
            HistoryLog.Unwritten(_logger, Interlocked.Read(ref _waitingRecords));
        }
    }

    // Ends at least every minute, so that partitions are made and dropped where no flow is seen.
    private async Task<bool> HasMoreAsync(CancellationToken cancellationToken)
    {
        using var timer = new CancellationTokenSource(TimeSpan.FromMinutes(1), _time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, cancellationToken);
        try
        {
            if (!await _queue.Reader.WaitToReadAsync(both.Token))
            {
                return false;
            }

            if (!_queue.Reader.Completion.IsCompleted)
            {
                await Task.Delay(_options.BatchDelay, _time, cancellationToken);
            }

            return true;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return true;
        }
    }

    private void Fill(List<Waiting> batch)
    {
        var records = 0;
        while (records < _options.BatchRecords && _queue.Reader.TryRead(out var waiting))
        {
            batch.Add(waiting);
            records += waiting.Records;
        }
    }

    private async Task StoreAsync(List<Waiting> batch, CancellationToken cancellationToken)
    {
        var partitionsTrusted = true;
        for (var retry = FirstRetry; ; retry = retry * 2 < LastRetry ? retry * 2 : LastRetry)
        {
            try
            {
                await WriteAsync([.. batch.Select(b => b.Batch)], cancellationToken);
                if (_away)
                {
                    _away = false;
                    _warnings.Clear("history");
                    HistoryLog.Back(_logger);
                }

                return;
            }
            catch (Exception fault) when (fault is PostgresException { SqlState: ['2', '2' or '3', ..] } || (!Database.IsAway(fault) && fault is not OperationCanceledException))
            {
                // Somebody may have dropped a partition that was there: once more, with partitions made anew.
                if (partitionsTrusted)
                {
                    partitionsTrusted = false;
                    _partitions.Clear();
                    continue;
                }

                // The database will never take these data: one report at a time, so that only the bad one is lost.
                if (batch.Count == 1)
                {
                    Interlocked.Add(ref _dropped, batch[0].Batch.Rows.Count);
                    HistoryLog.Refused(_logger, batch[0].Batch.Host, Database.Describe(fault));
                    return;
                }

                foreach (var single in batch)
                {
                    await StoreAsync([single], cancellationToken);
                }

                return;
            }
            catch (Exception fault) when (Database.IsAway(fault))
            {
                if (!_away)
                {
                    _away = true;
                    _warnings.Set("history", "Flow records cannot be written to the database; they wait in memory.");
                    HistoryLog.Away(_logger, Database.Describe(fault));
                }

                // Agents are not kept waiting for a database that is away.
                foreach (var waiting in batch)
                {
                    waiting.Stored.TrySetResult();
                }

                await Task.Delay(retry, _time, cancellationToken);
            }
        }
    }

    private async Task WriteAsync(IReadOnlyList<FlowBatch> reports, CancellationToken cancellationToken)
    {
        var today = DateOnly.FromDateTime(_time.GetUtcNow().UtcDateTime);
        bool IsInside(DateOnly day) => day > today.AddDays(-_options.RetentionDays) && day <= today.AddDays(DaysAhead);
        var days = reports.SelectMany(r => r.Rows).Select(Day).Distinct().Where(IsInside).Order().ToList();
        await using var connection = await _database.History.OpenConnectionAsync(cancellationToken);
        await MakePartitionsAsync(connection, days, cancellationToken);

        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        var (hosts, boots, sequences) = (reports.Select(r => r.Host).ToArray(), reports.Select(r => r.Boot).ToArray(), reports.Select(r => r.Sequence).ToArray());
        var numbers = new { hosts, boots, sequences };

        // Rows are taken in one order by everybody, so that two writers wait for each other and never both.
        await connection.ExecuteAsync(new(
            """
            insert into mlnet.flow_report (host, boot, seen)
            select distinct o.host, o.boot, '{}'::int8multirange from unnest(@hosts, @boots) as o (host, boot) order by 1, 2
            on conflict do nothing;
            select 1 from mlnet.flow_report r join (select distinct * from unnest(@hosts, @boots) as o (host, boot)) o using (host, boot) order by r.host, r.boot for update of r
            """,
            numbers, transaction, cancellationToken: cancellationToken));
        var fresh = (await connection.QueryAsync<(string, Guid, long)>(new(
            """
            select o.host, o.boot, o.sequence from unnest(@hosts, @boots, @sequences) as o (host, boot, sequence)
            join mlnet.flow_report r using (host, boot) where not r.seen @> o.sequence
            """,
            numbers, transaction, cancellationToken: cancellationToken))).ToHashSet();
        await connection.ExecuteAsync(new(
            """
            update mlnet.flow_report r set seen = r.seen + n.added, seen_at = now()
            from (select host, boot, range_agg(int8range(sequence, sequence + 1)) as added from unnest(@hosts, @boots, @sequences) as o (host, boot, sequence) group by 1, 2) n
            where r.host = n.host and r.boot = n.boot
            """,
            numbers, transaction, cancellationToken: cancellationToken));
        await CopyAsync(connection, reports.Where(r => fresh.Remove((r.Host, r.Boot, r.Sequence))), IsInside, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
    }

    private async Task CopyAsync(NpgsqlConnection connection, IEnumerable<FlowBatch> reports, Func<DateOnly, bool> isInside, CancellationToken cancellationToken)
    {
        await using var copy = await connection.BeginBinaryImportAsync(
            """
            copy mlnet.flow (time, end_time, host, direction, source_host, destination_host, source_address, destination_address, source_port, destination_port,
                protocol, dscp, dscp_policy, octets, packets, end_reason, job_id, role) from stdin (format binary)
            """,
            cancellationToken);
        foreach (var report in reports)
        {
            foreach (var row in report.Rows)
            {
                if (!isInside(Day(row)))
                {
                    if (Interlocked.Increment(ref _outside) is 1 or 1_000 or 1_000_000)
                    {
                        HistoryLog.OutsideTime(_logger, report.Host, row.Record.FlowStart);
                    }

                    continue;
                }

                await WriteRowAsync(copy, report.Host, row, cancellationToken);
            }
        }

        await copy.CompleteAsync(cancellationToken);
    }

    private static async Task WriteRowAsync(NpgsqlBinaryImporter copy, string host, FlowRow row, CancellationToken cancellationToken)
    {
        var record = row.Record;
        await copy.StartRowAsync(cancellationToken);
        await copy.WriteAsync(record.FlowStart.UtcDateTime, NpgsqlDbType.TimestampTz, cancellationToken);
        await copy.WriteAsync(record.FlowEnd.UtcDateTime, NpgsqlDbType.TimestampTz, cancellationToken);
        await copy.WriteAsync(host, NpgsqlDbType.Text, cancellationToken);
        await copy.WriteAsync((short)(record.Direction == FlowDirection.Egress ? 1 : 0), NpgsqlDbType.Smallint, cancellationToken);
        await WriteTextAsync(row.SourceHost);
        await WriteTextAsync(row.DestinationHost);
        await WriteAddressAsync(row.Tuple.Source);
        await WriteAddressAsync(row.Tuple.Destination);
        await copy.WriteAsync(record.SourceTransportPort, NpgsqlDbType.Integer, cancellationToken);
        await copy.WriteAsync(record.DestinationTransportPort, NpgsqlDbType.Integer, cancellationToken);
        await copy.WriteAsync((short)record.ProtocolIdentifier, NpgsqlDbType.Smallint, cancellationToken);
        await copy.WriteAsync((short)record.IpDiffServCodePoint.Value, NpgsqlDbType.Smallint, cancellationToken);
        await copy.WriteAsync((short)record.PostIpDiffServCodePoint.Value, NpgsqlDbType.Smallint, cancellationToken);
        await copy.WriteAsync(record.OctetDeltaCount, NpgsqlDbType.Bigint, cancellationToken);
        await copy.WriteAsync(record.PacketDeltaCount, NpgsqlDbType.Bigint, cancellationToken);
        await copy.WriteAsync((short)record.EndReason, NpgsqlDbType.Smallint, cancellationToken);
        if (record.JobId is { } job)
        {
            await copy.WriteAsync(job, NpgsqlDbType.Bigint, cancellationToken);
        }
        else
        {
            await copy.WriteNullAsync(cancellationToken);
        }

        await WriteTextAsync(record.Role);

        Task WriteTextAsync(string? text) => text is null ? copy.WriteNullAsync(cancellationToken) : copy.WriteAsync(text, NpgsqlDbType.Text, cancellationToken);

        Task WriteAddressAsync(IPAddress address) => copy.WriteAsync(address, NpgsqlDbType.Inet, cancellationToken);
    }

    private static DateOnly Day(FlowRow row) => DateOnly.FromDateTime(row.Record.FlowStart.UtcDateTime);

    private async Task MakePartitionsAsync(NpgsqlConnection connection, IReadOnlyList<DateOnly> days, CancellationToken cancellationToken)
    {
        foreach (var day in days.Where(d => !_partitions.Contains(d)))
        {
            await connection.ExecuteAsync(new("select mlnet.make_flow_partition(@day::date)", new { day = day.ToDateTime(default) }, cancellationToken: cancellationToken));
            _partitions.Add(day);
        }
    }

    // Partitions of the coming days, and those past retention.
    private async Task KeepUpAsync(CancellationToken cancellationToken)
    {
        var now = _time.GetUtcNow();
        if (now < _upkeepAt)
        {
            return;
        }

        var today = DateOnly.FromDateTime(now.UtcDateTime);
        try
        {
            await using var connection = await _database.History.OpenConnectionAsync(cancellationToken);
            await MakePartitionsAsync(connection, [today, today.AddDays(1), today.AddDays(2)], cancellationToken);
            await using var transaction = await connection.BeginTransactionAsync(cancellationToken);

            // Dropping waits for readers and makes others wait behind it: not for long, the next hour comes.
            var first = today.AddDays(1 - _options.RetentionDays);
            var dropped = await connection.ExecuteScalarAsync<int>(new(
                "set local lock_timeout = '2s'; select mlnet.drop_flow_partitions(@first::date)", new { first = first.ToDateTime(default) }, transaction, cancellationToken: cancellationToken));
            await connection.ExecuteAsync(new(
                "delete from mlnet.flow_report where seen_at < now() - make_interval(days => @days)", new { days = _options.RetentionDays + 1 }, transaction, cancellationToken: cancellationToken));
            await transaction.CommitAsync(cancellationToken);
            _partitions.RemoveWhere(d => d < first);
            _upkeepAt = now + UpkeepInterval;
            if (dropped > 0)
            {
                HistoryLog.Retired(_logger, dropped, first);
            }
        }
        catch (Exception fault) when (Database.IsAway(fault))
        {
            _upkeepAt = now + TimeSpan.FromMinutes(1);
            HistoryLog.UpkeepPostponed(_logger, Database.Describe(fault));
        }
    }

    private sealed record Waiting(FlowBatch Batch, int Records)
    {
        public TaskCompletionSource Stored { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
