using System.Diagnostics.Metrics;

namespace MLNet.SDN.Aggregation;

/// <summary>
/// The data plane's figures as metrics of the meter <c>MLNet.SDN.Aggregation</c>, tagged with the job's id, for whatever collects those of a .NET process
/// (<c>dotnet-counters</c>, OpenTelemetry). Computed when somebody asks.
/// </summary>
internal sealed class AggregationMetrics : IDisposable
{
    public const string MeterName = "MLNet.SDN.Aggregation";

    private readonly Meter _meter = new(MeterName);

    public AggregationMetrics(Func<AggregationStatus> status)
    {
        _meter.CreateObservableCounter("mlnet.aggregation.received", () => Each(status, r => r.BytesReceived), "By", "Data frames from other agents, headers included");
        _meter.CreateObservableCounter("mlnet.aggregation.sent", () => Each(status, r => r.BytesSent), "By", "Data frames to other agents, headers included");
        _meter.CreateObservableCounter("mlnet.aggregation.rounds.redone", () => Each(status, r => r.RoundsRedone), "{round}", "Rounds that local workers waited for and that were tried again");
        _meter.CreateObservableGauge("mlnet.aggregation.buffers", () => Each(status, r => r.BufferBytes), "By", "Partial sums and results held");
        _meter.CreateObservableGauge("mlnet.aggregation.round", () => Each(status, r => r.Round), "{round}", "Last round of stream 0 finished");
        _meter.CreateObservableGauge("mlnet.aggregation.gather", () => Each(status, r => r.GatherSeconds), "s", "Of that round: until the last sum was complete");
        _meter.CreateObservableGauge("mlnet.aggregation.deliver", () => Each(status, r => r.DeliverSeconds), "s", "Of that round: from the last sum to the last result");
    }

    public void Dispose() => _meter.Dispose();

    private static IEnumerable<Measurement<T>> Each<T>(Func<AggregationStatus> status, Func<ReductionStatus, T> value)
        where T : struct =>
        status().Reductions.Select(r => new Measurement<T>(value(r), new KeyValuePair<string, object?>("job.id", r.JobId)));
}
