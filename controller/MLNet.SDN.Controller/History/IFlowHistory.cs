using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Flows;

namespace MLNet.SDN.Controller.History;

/// <summary>A record with what the controller knows of it.</summary>
internal sealed record FlowRow(FlowRecord Record, FlowTuple Tuple, string? SourceHost, string? DestinationHost);

/// <summary>Checked records of one report.</summary>
internal sealed record FlowBatch(string Host, Guid Boot, long Sequence, IReadOnlyList<FlowRow> Rows);

/// <summary>Where flow records are kept, or are not.</summary>
internal interface IFlowHistory
{
    /// <summary>Takes a batch over without waiting; drops and counts it when too much waits already.</summary>
    /// <returns>Ends when the batch is stored, or when nothing is to be waited for: it was dropped, nothing is kept, or the database is away.</returns>
    Task Offer(FlowBatch batch);
}

/// <summary>No database: nothing is kept, and the controller says so elsewhere.</summary>
internal sealed class NoFlowHistory : IFlowHistory
{
    /// <inheritdoc />
    public Task Offer(FlowBatch batch) => Task.CompletedTask;
}
