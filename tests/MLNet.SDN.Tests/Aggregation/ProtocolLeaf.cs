using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Threading.Channels;
using MLNet.SDN.Aggregation;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>A round as the stranger tells of it.</summary>
/// <param name="Round">Number.</param>
/// <param name="Attempt">The highest in which a chunk came.</param>
/// <param name="HeldAnswers">Chunks that were answered with a held result.</param>
/// <param name="Values">The result.</param>
internal sealed record LeafResult(int Round, int Attempt, int HeldAnswers, float[] Values);

/// <summary>A host whose agent and worker are <c>protocol_leaf.py</c>, which shares nothing with ours but docs/protocol.md.</summary>
internal sealed class ProtocolLeaf : IAsyncDisposable
{
    private readonly Process _process;
    private readonly Channel<string> _lines = Channel.CreateUnbounded<string>();
    private readonly List<string> _errors = [];

    private ProtocolLeaf(Process process) => _process = process;

    /// <summary>A port that is free now, for the plan to name.</summary>
    public static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    public static ProtocolLeaf Start(AggregationJob job, string host)
    {
        var process = new Process
        {
            StartInfo = new ProcessStartInfo("/usr/bin/python3", [Path.Combine(AppContext.BaseDirectory, "Aggregation", "protocol_leaf.py")])
            {
                RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
            },
        };
        var leaf = new ProtocolLeaf(process);
        process.OutputDataReceived += (_, line) => _ = line.Data is null ? leaf._lines.Writer.TryComplete() : leaf._lines.Writer.TryWrite(line.Data);
        process.ErrorDataReceived += (_, line) => leaf.Note(line.Data);
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        process.StandardInput.WriteLine(Plan(job, host));
        process.StandardInput.Flush();
        return leaf;
    }

    /// <summary>Begins the next round.</summary>
    public void Submit(float[] values)
    {
        _process.StandardInput.WriteLine(Convert.ToBase64String(MemoryMarshal.AsBytes(values.AsSpan())));
        _process.StandardInput.Flush();
    }

    /// <summary>Waits until all of a shard of the round in progress has come.</summary>
    public async Task WholeAsync(int round, int shard) =>
        Assert.Equal(string.Create(CultureInfo.InvariantCulture, $"whole {round} {shard}"), await NextAsync(l => !l.StartsWith("whole", StringComparison.Ordinal) || l.EndsWith($" {shard}", StringComparison.Ordinal)));

    public async Task<LeafResult> ResultAsync()
    {
        var parts = (await NextAsync(l => !l.StartsWith("whole", StringComparison.Ordinal))).Split(' ');
        Assert.True(parts[0] == "result", string.Join(' ', parts));
        var numbers = parts[1..4].Select(p => int.Parse(p, CultureInfo.InvariantCulture)).ToArray();
        return new LeafResult(numbers[0], numbers[1], numbers[2], MemoryMarshal.Cast<byte, float>(Convert.FromBase64String(parts[4])).ToArray());
    }

    /// <summary>The error that ended the round.</summary>
    public async Task<string> FailureAsync()
    {
        var line = await NextAsync(l => !l.StartsWith("whole", StringComparison.Ordinal));
        Assert.StartsWith("failed ", line, StringComparison.Ordinal);
        return line;
    }

    public async ValueTask DisposeAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    private async Task<string> NextAsync(Func<string, bool> wanted)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        patience.CancelAfter(TimeSpan.FromMinutes(1));
        try
        {
            while (true)
            {
                var line = await _lines.Reader.ReadAsync(patience.Token);
                if (wanted(line))
                {
                    return line;
                }
            }
        }
        catch (Exception e) when (e is ChannelClosedException or OperationCanceledException)
        {
            lock (_errors)
            {
                throw new InvalidOperationException($"the stranger said nothing more: {string.Join('\n', _errors)}", e);
            }
        }
    }

    private void Note(string? line)
    {
        if (line is not null)
        {
            lock (_errors)
            {
                _errors.Add(line);
            }
        }
    }

    private static string Plan(AggregationJob job, string host) => new JsonObject
    {
        ["host"] = host,
        ["rank"] = job.Members.Single(m => m.Host == host).Rank,
        ["port"] = job.Endpoints.Single(e => e.Host == host).Address.Port,
        ["job"] = job.JobId,
        ["secret"] = Convert.ToBase64String(job.Secret.Span),
        ["members"] = new JsonArray([.. job.Members.OrderBy(m => m.Rank).Select(m => (JsonNode)m.Host)]),
        ["endpoints"] = new JsonArray([.. job.Endpoints.Select(e => (JsonNode)new JsonArray(e.Host, e.Address.Address.ToString(), e.Address.Port))]),
        ["racks"] = new JsonObject(job.Endpoints.Select(e => KeyValuePair.Create<string, JsonNode?>(e.Host, e.Rack))),
        ["shards"] = new JsonArray([.. job.Shards.Select(s => (JsonNode)new JsonObject
        {
            ["weight"] = s.Weight,
            ["roots"] = new JsonArray([.. s.Roots.Select(r => (JsonNode)r)]),
            ["edges"] = new JsonArray([.. s.Edges.Select(e => (JsonNode)new JsonArray(e.Child, e.Parent))]),
        })]),
        ["chunkBytes"] = job.ChunkBytes,
        ["window"] = job.WindowChunks,
        ["stripes"] = job.Stripes,
        ["term"] = job.TreesRevision.Term,
        ["generation"] = job.TreesRevision.Generation,
        ["dscp"] = job.Dscp,
        ["signallingDscp"] = 40,
        ["dtype"] = "float32",
        ["op"] = "sum",
    }.ToJsonString(new JsonSerializerOptions { WriteIndented = false });
}
