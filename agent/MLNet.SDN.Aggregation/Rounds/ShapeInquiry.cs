using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>
/// Shapes differ in a round: before the anchor gives it up, it asks every host what its workers reduce, so that the error names all of them
/// and not just the first two that met. Guarded by the engine's lock.
/// </summary>
internal sealed class ShapeInquiry(uint stream, long round, int world, string firstFound, long begunAt)
{
    /// <summary>Workers that have not submitted by then are left out.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly SortedDictionary<int, MessageShape> _shapes = [];

    public uint Stream { get; } = stream;

    public long Round { get; } = round;

    public long BegunAt { get; } = begunAt;

    public bool IsComplete => _shapes.Count == world;

    public void Add(WorkerShape shape)
    {
        if (shape.Rank >= 0 && shape.Rank < world && Elements.IsKnown((ElementType)shape.Type))
        {
            _shapes[shape.Rank] = new MessageShape(shape.Bytes, (ElementType)shape.Type, (ReduceOperation)shape.Operation, shape.FixedOrder);
        }
    }

    /// <summary>The error, with every rank that was heard of.</summary>
    public string Text()
    {
        if (_shapes.Values.Distinct().Count() < 2)
        {
            return firstFound;
        }

        var groups = _shapes.GroupBy(s => s.Value).Select(group =>
        {
            var ranks = new ulong[ContributorSet.Words(world)];
            foreach (var (rank, _) in group)
            {
                ContributorSet.Add(ranks, rank);
            }

            return $"{RankText.Of(ranks)} {(group.Count() == 1 ? "reduces" : "reduce")} {group.Key}";
        });
        var silent = world - _shapes.Count;
        return $"{string.Join("; ", groups)}{(silent > 0 ? $"; {silent} more did not call yet" : "")}; give all workers arrays of one size and type";
    }
}

internal sealed partial class JobEngine
{
    private readonly List<ShapeInquiry> _inquiries = [];

    private void BeginInquiry(SignalMessage fail)
    {
        if (_inquiries.Any(i => i.Stream == fail.Stream && i.Round == fail.Round) || _ledger!.IsFailed(fail.Stream!.Value, fail.Round!.Value))
        {
            return;
        }

        _inquiries.Add(new ShapeInquiry(fail.Stream!.Value, fail.Round!.Value, _job.Members.Count, fail.Text!, _time.GetTimestamp()));
        AskShapes(fail.Stream!.Value, fail.Round!.Value);
    }

    private void AskShapes(uint stream, long round) =>
        Broadcast(new SignalMessage { Type = SignalMessage.Types.Describe, Stream = stream, Round = round });

    private void Describe(uint stream, long round)
    {
        var shapes = new List<WorkerShape>();
        foreach (var worker in _workers.Values)
        {
            if (worker.Streams.TryGetValue(stream, out var local) && local.Next is { } next && (long)next - 1 == round)
            {
                shapes.Add(new WorkerShape(worker.Rank, local.Submitted.Bytes, (byte)local.Submitted.Type, (byte)local.Submitted.Operation, local.Submitted.FixedOrder));
            }
        }

        ToAnchor(new SignalMessage { Type = SignalMessage.Types.Shapes, Stream = stream, Round = round, Shapes = shapes });
    }

    private void OnShapes(string host, SignalMessage message)
    {
        if (_inquiries.Find(i => i.Stream == message.Stream && i.Round == message.Round) is not { } inquiry)
        {
            return;
        }

        foreach (var shape in message.Shapes!)
        {
            if (_job.Members.Any(m => m.Rank == shape.Rank && m.Host == host))
            {
                inquiry.Add(shape);
            }
        }

        if (inquiry.IsComplete)
        {
            Conclude(inquiry);
        }
    }

    private void ConcludeInquiries(long now)
    {
        foreach (var inquiry in _inquiries.ToList())
        {
            if (_time.GetElapsedTime(inquiry.BegunAt, now) > ShapeInquiry.Patience)
            {
                Conclude(inquiry);
            }
            else
            {
                // Workers may have called since.
                AskShapes(inquiry.Stream, inquiry.Round);
            }
        }
    }

    private void Conclude(ShapeInquiry inquiry)
    {
        _inquiries.Remove(inquiry);
        if (_ledger!.Fail(inquiry.Stream, inquiry.Round, FailureCode.ShapeMismatch, inquiry.Text()) is { } failed)
        {
            Broadcast(failed);
        }
    }
}
