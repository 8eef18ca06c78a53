using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Flows;

/// <summary>Flow reports that no controller has taken yet, in order. Bounded: the oldest give way and are counted. Thread-safe.</summary>
internal sealed class ReportQueue : IDisposable
{
    private const int MaxRefusals = 3;

    private readonly Lock sync = new();
    private readonly LinkedList<FlowReport> reports = [];
    private readonly SemaphoreSlim arrived = new(0, 1);
    private readonly int capacity;
    private int records;
    private int refusals;

    /// <summary>Creates an empty queue.</summary>
    /// <param name="capacity">Most records that wait, over all reports.</param>
    public ReportQueue(int capacity) => this.capacity = capacity;

    /// <summary>Records that gave way, ever.</summary>
    public long LostRecords { get; private set; }

    /// <summary>Reports that wait.</summary>
    public int Count
    {
        get
        {
            lock (sync)
            {
                return reports.Count;
            }
        }
    }

    /// <summary>Adds a report behind the others.</summary>
    public void Enqueue(FlowReport report)
    {
        lock (sync)
        {
            reports.AddLast(report);
            records += report.Records.Count;
            while (records > capacity && reports.Count > 1)
            {
                LostRecords += reports.First!.Value.Records.Count;
                RemoveFirst();
            }

            if (arrived.CurrentCount == 0)
            {
                arrived.Release();
            }
        }
    }

    /// <summary>Waits for a report and gives the oldest, which stays until <see cref="Taken"/> says that a controller has it.</summary>
    public async Task<FlowReport> NextAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            lock (sync)
            {
                if (reports.First is { } first)
                {
                    return first.Value;
                }
            }

            await arrived.WaitAsync(cancellationToken);
        }
    }

    /// <summary>Forgets a report that a controller has taken over.</summary>
    public void Taken(FlowReport report)
    {
        lock (sync)
        {
            // It may have given way meanwhile, with the answer under way.
            if (reports.First is { } first && first.Value.Sequence == report.Sequence)
            {
                RemoveFirst();
            }
        }
    }

    /// <summary>Tells that a controller answered for a report with an error. After the third time it gives way: it must not block those behind it for ever.</summary>
    public void Refused(FlowReport report)
    {
        lock (sync)
        {
            if (reports.First is { } first && first.Value.Sequence == report.Sequence && ++refusals >= MaxRefusals)
            {
                LostRecords += report.Records.Count;
                RemoveFirst();
            }
        }
    }

    /// <inheritdoc />
    public void Dispose() => arrived.Dispose();

    private void RemoveFirst()
    {
        records -= reports.First!.Value.Records.Count;
        reports.RemoveFirst();
        refusals = 0;
    }
}
