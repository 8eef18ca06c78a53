using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.Jobs;

/// <summary>Puts together what the hosts of a job say of its rounds.</summary>
internal static class JobSight
{
    // A sentence, however many ranks it names.
    private const int MaxWords = 500;

    /// <summary>A child that took a smaller part of its parent's wait than this does not stand out.</summary>
    private const double StandsOut = 0.5;

    /// <summary>Whether an agent in its right mind says so.</summary>
    public static bool IsSound(JobReduction r) =>
        r is { BytesReceived: >= 0, BytesSent: >= 0, BufferBytes: >= 0, RoundsRedone: >= 0, Round: >= -1, GatherSeconds: >= 0, DeliverSeconds: >= 0, SlowestShare: >= 0 and <= 1 }
        && double.IsFinite(r.GatherSeconds) && double.IsFinite(r.DeliverSeconds) && (r.WaitsFor?.Length ?? 0) <= MaxWords && (r.SlowestChild?.Length ?? 0) <= MaxWords;

    /// <summary>The whole; null of nothing.</summary>
    /// <param name="reductions">By host, in the hosts' order.</param>
    public static RoundSight? Of(IReadOnlyDictionary<string, JobReduction> reductions)
    {
        if (reductions.Count == 0)
        {
            return null;
        }

        var newest = reductions.Values.Max(r => r.Round);
        var last = reductions.Values.Where(r => r.Round == newest).ToList();

        // Of a chain of hosts that wait for each other, the slowest is below the one that waits longest for its children.
        var slowest = last.Where(r => r.SlowestChild is not null && r.SlowestShare >= StandsOut).OrderByDescending(r => r.GatherSeconds).FirstOrDefault();
        return new RoundSight
        {
            Round = newest,
            BytesReceived = reductions.Values.Sum(r => r.BytesReceived),
            BytesSent = reductions.Values.Sum(r => r.BytesSent),
            BufferBytes = reductions.Values.Max(r => r.BufferBytes),
            RoundsRedone = reductions.Values.Max(r => r.RoundsRedone),
            GatherSeconds = last.Max(r => r.GatherSeconds),
            DeliverSeconds = last.Max(r => r.DeliverSeconds),
            Slowest = slowest?.SlowestChild,
            SlowestShare = slowest?.SlowestShare ?? 0,
            WaitsFor = reductions.Values.Select(r => r.WaitsFor).OfType<string>().OrderByDescending(NamesAWorker).FirstOrDefault(),
        };
    }

    /// <summary>Who waits for results only passes on the wait of those above it; who misses a contribution knows whose.</summary>
    private static bool NamesAWorker(string waitsFor) => !waitsFor.Contains("(results of", StringComparison.Ordinal);
}
