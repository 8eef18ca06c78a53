using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace MLNet.SDN.Controller.History;

/// <summary>How flow records are kept. Section <c>History</c>; without effect where there is no database.</summary>
public sealed class HistoryOptions
{
    /// <summary>Days of flow records kept, today included; older partitions are dropped. Default 30.</summary>
    [Range(1, 3_650)]
    public int RetentionDays { get; set; } = 30;

    /// <summary>Records that wait in memory for the database; more are dropped and counted. Default 200,000, about 60 MB.</summary>
    [Range(1_000, 10_000_000)]
    public int QueueRecords { get; set; } = 200_000;

    /// <summary>Records per COPY at most. Default 5,000: larger batches gain less than a fifth.</summary>
    [Range(1, 100_000)]
    public int BatchRecords { get; set; } = 5_000;

    /// <summary>How long the writer waits for more records before it writes. Agents wait for the answer to a report, so this bounds their pace. Default 50 ms.</summary>
    [Range(typeof(TimeSpan), "00:00:00.001", "00:00:01")]
    public TimeSpan BatchDelay { get; set; } = TimeSpan.FromMilliseconds(50);
}

/// <summary>Field rules of <see cref="HistoryOptions"/>, made by the source generator.</summary>
[OptionsValidator]
public sealed partial class HistoryOptionsFieldRules : IValidateOptions<HistoryOptions>;

/// <summary>Rules that join two fields.</summary>
public sealed class HistoryOptionsCrossRules : IValidateOptions<HistoryOptions>
{
    /// <inheritdoc />
    public ValidateOptionsResult Validate(string? name, HistoryOptions options) =>
        options.BatchRecords <= options.QueueRecords
            ? ValidateOptionsResult.Success
            : ValidateOptionsResult.Fail($"History:BatchRecords ({options.BatchRecords}) must not exceed History:QueueRecords ({options.QueueRecords}).");
}
