using System.Text.Json;
using System.Text.Json.Nodes;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Client;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>A cluster with a job, and its server.</summary>
internal sealed class ParameterRun : IAsyncDisposable
{
    //      a: server, rank 0        Two shards: one over b, one straight.
    //     / \
    //    b   c
    public static readonly string[] Hosts = ["a", "b", "c"];

    // As mixed_training.py serves them.
    public static readonly (string Key, int Length)[] Tensors = [("weight", 15), ("bias", 7), ("head", 3001)];

    private readonly LoopbackCluster _cluster;
    private readonly AggregationJob _job;
    private readonly CancellationTokenSource _patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
    private readonly PythonTraining? _server;

    private ParameterRun(LoopbackCluster cluster, AggregationJob job, PythonTraining? server)
    {
        _cluster = cluster;
        _job = job;
        _server = server;
        _patience.CancelAfter(TimeSpan.FromMinutes(1));
    }

    public CancellationToken Patience => _patience.Token;

    public PythonTraining Server => _server!;

    /// <param name="serving">What else <c>mlnet.serve</c> is told; null for no server.</param>
    public static async Task<ParameterRun> StartAsync(object? serving)
    {
        if (serving is not null)
        {
            PythonTraining.SkipUnlessThere();
        }

        var cluster = await LoopbackCluster.StartAsync(Hosts);
        var job = cluster.Job("ps", 1, [.. Hosts, "a"], [new Shard(1, ["a"], [new("b", "a"), new("c", "b")]), new Shard(2, ["a"], [new("b", "a"), new("c", "a")])]) with { ServerRank = Hosts.Length };
        cluster.Apply(job, cluster.Job("plain", 2, ["a"], [new Shard(1, ["a"], [])]));
        return new ParameterRun(cluster, job, serving is null ? null : Python("serve", cluster.SocketOf("a"), serving));
    }

    /// <summary>The ranks that are C#'s.</summary>
    public IEnumerable<int> Ranks(bool withPython) => _job.Members.Select(m => m.Rank).Where(r => r < Hosts.Length && !(withPython && r == 1));

    public PythonTraining Python(string what, int rank, int rounds) => Python(what, _cluster.SocketOf(_job.Members[rank].Host), new { rank, rounds });

    public WorkerOptions Options(int? rank) => new() { Job = _job.Name, Rank = rank, Socket = _cluster.SocketOf(rank is { } worker ? _job.Members[worker].Host : "a") };

    public Task<ParameterWorker> JoinAsync(int rank) => ParameterWorker.JoinAsync(Options(rank), Patience);

    public Task PushAsync(ParameterWorker worker, string key, double[] gradient) =>
        key == "bias" ? worker.PushAsync<double>(key, gradient, Patience) : worker.PushAsync<float>(key, gradient.Select(v => (float)v).ToArray(), Patience);

    public async Task<(double[] Values, long Version)> PullAsync(ParameterWorker worker, string key)
    {
        var length = worker.Parameters.Single(p => p.Key == key).Length;
        if (key == "bias")
        {
            var values = new double[length];
            return (values, await worker.PullAsync<double>(key, values, Patience));
        }

        var single = new float[length];
        var version = await worker.PullAsync<float>(key, single, Patience);
        return ([.. single.Select(v => (double)v)], version);
    }

    public Task RestartAsync(string host) => _cluster.RestartAsync(host, _job);

    /// <summary>The server's end.</summary>
    public async Task<(Dictionary<string, double[]> Final, Dictionary<string, int> Updates)> ServedAsync()
    {
        var said = await Server.SaysAsync(line => line.TryGetProperty("final", out _));
        return (Tensors.ToDictionary(t => t.Key, t => Numbers(said.GetProperty("final").GetProperty(t.Key))), Tensors.ToDictionary(t => t.Key, t => said.GetProperty("updates").GetProperty(t.Key).GetInt32()));
    }

    public static double[] Numbers(JsonElement list) => [.. list.EnumerateArray().Select(n => n.GetDouble())];

    public async ValueTask DisposeAsync()
    {
        _server?.Dispose();
        await _cluster.DisposeAsync();
        _patience.Dispose();
    }

    private static PythonTraining Python(string what, string socket, object arguments)
    {
        var all = JsonSerializer.SerializeToNode(arguments)!.AsObject();
        all["socket"] = socket;
        return new PythonTraining("mixed_training.py", what, all.ToJsonString());
    }
}
