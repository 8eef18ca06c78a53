using System.Text.Json;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Session;

/// <summary>Makes progress reports of the data plane's state and of what goes wrong in the agent. One caller at a time.</summary>
internal sealed class ProgressSource
{
    private static readonly TimeSpan RepeatAfter = TimeSpan.FromSeconds(10);

    // More would help nobody to find the cause, and a message is bounded.
    private const int MaxTroubles = 64;
    private const int MaxTroubleLength = 1000;
    private const int MaxWords = 500;

    private readonly string host;
    private readonly Guid boot;
    private readonly Func<AggregationStatus>? status;
    private readonly Func<IEnumerable<string>> troubles;
    private readonly TimeProvider time;
    private byte[] told = [];
    private long toldAt;

    /// <summary>Creates a source.</summary>
    /// <param name="host">This host.</param>
    /// <param name="boot">This start of the process.</param>
    /// <param name="status">State of the data plane; null when there is none.</param>
    /// <param name="troubles">What goes wrong now in the rest of the agent.</param>
    /// <param name="time">Tells when to repeat an unchanged report.</param>
    public ProgressSource(string host, Guid boot, Func<AggregationStatus>? status, Func<IEnumerable<string>> troubles, TimeProvider time) =>
        (this.host, this.boot, this.status, this.troubles, this.time) = (host, boot, status, troubles, time);

    /// <summary>The state now.</summary>
    public ProgressReport Current()
    {
        var state = status?.Invoke() ?? new AggregationStatus([], [], []);
        return new ProgressReport
        {
            Host = host,
            Boot = boot,
            Workers =
            [
                .. state.Workers.Select(w => new WorkerProgress
                {
                    JobId = w.JobId,
                    Rank = w.Rank,
                    Joined = w.Joined,
                    Left = w.Left,
                    RoundsDone = w.RoundsDone,
                    SecondsPerRound = w.SecondsPerRound,
                    CommunicationSeconds = w.CommunicationSeconds,
                    WaitsFor = Shortened(w.WaitsFor),
                }),
            ],
            Transports =
            [
                .. state.Transports.Select(t => new JobTransport
                {
                    JobId = t.JobId,
                    BytesSent = t.BytesSent,
                    BytesRetransmitted = t.BytesRetransmitted,
                    SegmentsSent = t.SegmentsSent,
                    Connections = t.Connections,
                }),
            ],
            Reductions =
            [
                .. state.Reductions.Select(r => new JobReduction
                {
                    JobId = r.JobId,
                    BytesReceived = r.BytesReceived,
                    BytesSent = r.BytesSent,
                    BufferBytes = r.BufferBytes,
                    RoundsRedone = r.RoundsRedone,
                    Round = r.Round,
                    GatherSeconds = r.GatherSeconds,
                    DeliverSeconds = r.DeliverSeconds,
                    SlowestChild = r.SlowestChild,
                    SlowestShare = r.SlowestShare,
                    WaitsFor = Shortened(r.WaitsFor),
                }),
            ],
            Troubles = [.. troubles().Concat(state.Troubles).Take(MaxTroubles).Select(t => t.Length > MaxTroubleLength ? t[..MaxTroubleLength] : t)],
        };
    }

    // The controller takes no more: with many ranks apart from each other their numbers alone would be longer.
    private static string? Shortened(string? words) => words is { Length: > MaxWords } ? words[..(MaxWords - 1)] + "…" : words;

    /// <summary>The state now, if it differs from what was told last or that was long ago; else null.</summary>
    public ProgressReport? Due()
    {
        var report = Current();
        var bytes = JsonSerializer.SerializeToUtf8Bytes(report, ContractsJson.Default.ProgressReport);
        if (bytes.AsSpan().SequenceEqual(told) && time.GetElapsedTime(toldAt) < RepeatAfter)
        {
            return null;
        }

        told = bytes;
        toldAt = time.GetTimestamp();
        return report;
    }

    /// <summary>A new session knows nothing: tell all.</summary>
    public void Forget() => told = [];
}
