using System.Net;
using Dapper;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.History;
using MLNet.SDN.Tests.Controller;
using Npgsql;

namespace MLNet.SDN.SystemTests.Controller;

public class FlowHistoryTests(PostgresCluster cluster) : IClassFixture<PostgresCluster>
{
    private static readonly DateTimeOffset Now = new(DateTime.UtcNow.Date.AddHours(12), TimeSpan.Zero);

    [Fact]
    public async Task Report_Answered_IsStoredWithNames()
    {
        var database = await cluster.CreateDatabaseAsync();
        await using var controller = await ControllerBinary.StartAsync(database);
        var job = await controller.PlaceAsync("bert", "h0-0-0", "h1-1-1");
        await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");

        await agent.ReportAsync(Record(34, 1_000_000, job.Id), Record(0, 5_000, null) with { DestinationAddress = "192.0.2.1", ProtocolIdentifier = 17 });

        // The answer says that it is stored, so nothing is waited for.
        await using var connection = new NpgsqlConnection(database);
        var rows = (await connection.QueryAsync("select * from mlnet.v_flow order by octets desc")).Select(r => (IDictionary<string, object>)r).ToList();
        Assert.Equal(2, rows.Count);
        Assert.Equal("bert", rows[0]["job"]);
        Assert.Equal(job.Id, rows[0]["job_id"]);
        Assert.Equal("push", rows[0]["role"]);
        Assert.Equal("h0-0-0", rows[0]["source_host"]);
        Assert.Equal("h1-1-1", rows[0]["destination_host"]);
        Assert.Equal("AF41", rows[0]["dscp"]);
        Assert.Equal("AF41", rows[0]["dscp_sent"]);
        Assert.Null(rows[0]["dscp_arrived"]);
        Assert.Equal("AF31", rows[0]["dscp_policy"]);
        Assert.Equal("tcp", rows[0]["protocol"]);
        Assert.Equal("egress", rows[0]["direction"]);
        Assert.Equal(1_000_000L, rows[0]["octets"]);
        Assert.Equal("h0-0-0", rows[0]["observing_host"]);
        Assert.Null(rows[1]["job"]);
        Assert.Null(rows[1]["destination_host"]);
        Assert.Equal("udp", rows[1]["protocol"]);
    }

    [Fact]
    public async Task Report_SentAgain_IsStoredOnceAcrossARestart()
    {
        var database = await cluster.CreateDatabaseAsync();
        var boot = Guid.NewGuid();
        FlowReport Report(long sequence) => new() { Host = "h0-0-0", Boot = boot, Sequence = sequence, Records = [Record(34, 1_000 + sequence, null)] };
        await using (var first = await ControllerBinary.StartAsync(database))
        {
            await using var agent = await AgentDouble.JoinAsync(first.Address, "h0-0-0", boot);
            foreach (var sequence in (long[])[1, 2, 2, 5, 1])
            {
                await agent.InvokeAsync(AgentHubMethods.ReportFlows, Report(sequence));
            }

            await first.KillAsync();
        }

        await using var second = await ControllerBinary.StartAsync(database);
        await using var back = await AgentDouble.JoinAsync(second.Address, "h0-0-0", boot);
        foreach (var sequence in (long[])[5, 3, 6])
        {
            await back.InvokeAsync(AgentHubMethods.ReportFlows, Report(sequence));
        }

        await using var connection = new NpgsqlConnection(database);
        Assert.Equal([1_001, 1_002, 1_003, 1_005, 1_006], await connection.QueryAsync<long>("select octets from mlnet.flow order by octets"));
        Assert.Equal("{[1,4),[5,7)}", await connection.ExecuteScalarAsync<string>("select seen::text from mlnet.flow_report"));
    }

    [Fact]
    public async Task Records_OfSeveralDays_LandInTheirPartitionsAndOldOnesAreDropped()
    {
        var database = await cluster.CreateDatabaseAsync();
        await using (var controller = await ControllerBinary.StartAsync(database, "one", "--History:RetentionDays=10"))
        {
            await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
            await agent.ReportAsync([.. Enumerable.Range(-12, 16).Select(day => At(day))]);
        }

        // Nine days back, today, and one ahead are kept; an answer was given, so they are there.
        await using var connection = new NpgsqlConnection(database);
        Assert.Equal(
            Enumerable.Range(-9, 11).Select(d => Partition(d)),
            await connection.QueryAsync<string>("select distinct tableoid::regclass::text from mlnet.flow order by 1"));

        // A shorter retention drops partitions, and never rows one by one.
        await using var shorter = await ControllerBinary.StartAsync(database, "one", "--History:RetentionDays=3");
        await using var other = await AgentDouble.JoinAsync(shorter.Address, "h0-0-1");
        await other.ReportAsync(At(0));
        await ControllerBinary.UntilAsync(
            async () => (await connection.QueryAsync<string>("select distinct tableoid::regclass::text from mlnet.flow order by 1")).SequenceEqual(Enumerable.Range(-2, 4).Select(d => Partition(d))),
            () => $"only three days and the next are left; it said\n{shorter.Output}");

        static FlowRecord At(int day) => Record(0, 1_000, null) with { FlowStart = Now.AddDays(day), FlowEnd = Now.AddDays(day) };
        static string Partition(int day) => $"mlnet.flow_{Now.AddDays(day):yyyyMMdd}";
    }

    [Fact]
    public async Task History_OverRest_PagesThroughAJobNewestFirst()
    {
        var database = await cluster.CreateDatabaseAsync();
        await using var controller = await ControllerBinary.StartAsync(database);
        var job = await controller.PlaceAsync("bert", "h0-0-0", "h1-1-1");
        await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");

        // Several records of one instant: the cursor must neither repeat nor lose any.
        await agent.ReportAsync([.. Enumerable.Range(0, 25).Select(i => Record(34, i, job.Id) with { FlowStart = Now.AddSeconds(i / 10), FlowEnd = Now.AddSeconds(30) }), Record(0, 99, null)]);
        List<long> seen = [];
        var path = $"/api/v1/history/flows?job=bert&limit=4&from={Uri.EscapeDataString(Now.AddHours(-1).ToString("O"))}&to={Uri.EscapeDataString(Now.AddHours(1).ToString("O"))}";
        while (path is not null)
        {
            using var answer = await controller.Http.GetAsync(path, TestContext.Current.CancellationToken);
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            var page = (await System.Net.Http.Json.HttpContentJsonExtensions.ReadFromJsonAsync<List<HistoryFlow>>(answer.Content, TestContext.Current.CancellationToken))!;
            Assert.All(page, f => Assert.Equal(("bert", "AF41", "h1-1-1"), (f.Job, f.Dscp, f.DestinationHost)));
            seen.AddRange(page.Select(f => f.Octets));
            path = answer.Headers.TryGetValues("Link", out var link) ? link.Single()[1..link.Single().IndexOf('>')] : null;
        }

        Assert.Equal(Enumerable.Range(0, 25).Select(i => (long)i), seen.Order());
        Assert.Equal(seen.Select(s => s / 10).OrderDescending(), seen.Select(s => s / 10));
    }

    [Fact]
    public async Task JobTraffic_CapturedBesideSockets_IsComparedPerJob()
    {
        var database = await cluster.CreateDatabaseAsync();
        await using var controller = await ControllerBinary.StartAsync(database);
        var job = await controller.PlaceAsync("bert", "h0-0-0", "h1-1-1");
        await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        await using var peer = await AgentDouble.JoinAsync(controller.Address, "h1-1-1");
        JobTransport Totals(long bytes, long segments) => new() { JobId = job.Id, BytesSent = bytes, BytesRetransmitted = 0, SegmentsSent = segments, Connections = 1 };

        await agent.ReportAsync(Record(34, 1_052_000, job.Id), Record(0, 777, job.Id) with { Role = "gloo" });
        await peer.ReportAsync(Record(34, 1_052_000, job.Id) with { Direction = FlowDirection.Ingress });
        await agent.InvokeAsync(AgentHubMethods.ReportProgress, new ProgressReport { Host = "h0-0-0", Boot = agent.Boot, Workers = [], Transports = [Totals(1_000_000, 1_000)] });
        await peer.InvokeAsync(AgentHubMethods.ReportProgress, new ProgressReport { Host = "h1-1-1", Boot = peer.Boot, Workers = [], Transports = [Totals(0, 500)] });

        await using var connection = new NpgsqlConnection(database);
        await ControllerBinary.UntilAsync(
            async () => await connection.ExecuteScalarAsync<long>("select socket_segments from mlnet.v_job_traffic where job = 'bert'") == 1_500, () => "the sockets' totals are stored");
        var row = await connection.QuerySingleAsync<(long Octets, long Bytes, long SocketOctets, decimal Ratio)>(
            "select octets::bigint, socket_bytes::bigint, socket_octets::bigint, ratio from mlnet.v_job_traffic where job = 'bert'");
        Assert.Equal((1_052_000, 1_000_000, 1_000_000 + (52 * 1_500), 0.9759m), row);
        Assert.Equal(
            [("h0-0-0", 1_052_000, 1_052_000), ("h1-1-1", 0, 26_000)],
            await connection.QueryAsync<(string, long, long)>("select host, octets::bigint, socket_octets::bigint from mlnet.v_job_traffic_by_host order by host"));

        // A restarted agent counts from zero: the job's total goes on.
        await using var reborn = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        await reborn.InvokeAsync(AgentHubMethods.ReportProgress, new ProgressReport { Host = "h0-0-0", Boot = reborn.Boot, Workers = [], Transports = [Totals(500, 1)] });
        Assert.Equal(1_000_500, (await controller.GetAsync<JobView>("jobs/bert")).SocketBytesSent);
    }

    [Fact]
    public async Task Database_GoneForAWhile_RecordsWaitAndAreStored()
    {
        await using var own = new PostgresCluster();
        var database = await own.CreateDatabaseAsync();
        await using var controller = await ControllerBinary.StartAsync(database);
        await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        await agent.ReportAsync(Record(34, 1, null));
        await own.StopAsync();
        for (var i = 2; i <= 20; i++)
        {
            await agent.ReportAsync(Record(34, i, null));
        }

        await own.StartAsync();

        NpgsqlConnection.ClearAllPools();
        await using var connection = new NpgsqlConnection(database);
        await ControllerBinary.UntilAsync(async () => await connection.ExecuteScalarAsync<long>("select count(*) from mlnet.flow") >= 20, () => $"all are stored; it said\n{controller.Output}");
        Assert.Equal(Enumerable.Range(1, 20).Select(i => (long)i), await connection.QueryAsync<long>("select octets from mlnet.flow order by octets"));
    }

    [Fact]
    public async Task Partition_DroppedBySomebody_IsMadeAgainAndRefusedRowsCostOnlyTheirReport()
    {
        var database = await cluster.CreateDatabaseAsync();
        await using var controller = await ControllerBinary.StartAsync(database);
        await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        await using var other = await AgentDouble.JoinAsync(controller.Address, "h0-0-1");
        await agent.ReportAsync(Record(34, 1, null));
        await using var connection = new NpgsqlConnection(database);
        await connection.ExecuteAsync($"drop table mlnet.flow_{Now:yyyyMMdd}");

        await agent.ReportAsync(Record(34, 2, null));
        await connection.ExecuteAsync("alter table mlnet.flow add constraint no_thirteen check (octets <> 13)");
        await Task.WhenAll(agent.ReportAsync(Record(34, 13, null), Record(34, 14, null)), other.ReportAsync(Record(34, 3, null)));
        await agent.ReportAsync(Record(34, 4, null));

        Assert.Equal([2L, 3L, 4L], await connection.QueryAsync<long>("select octets from mlnet.flow order by octets"));
    }

    private static FlowRecord Record(int dscp, long octets, long? job) => new()
    {
        FlowStart = Now,
        FlowEnd = Now.AddSeconds(1),
        Direction = FlowDirection.Egress,
        SourceAddress = "10.0.0.2",
        DestinationAddress = "10.1.1.6",
        SourceTransportPort = 40_000,
        DestinationTransportPort = 7_471,
        ProtocolIdentifier = 6,
        IpDiffServCodePoint = new(dscp),
        PostIpDiffServCodePoint = new(26),
        OctetDeltaCount = octets,
        PacketDeltaCount = 1,
        EndReason = FlowEndReason.Active,
        JobId = job,
        Role = job is null ? null : "push",
    };
}
