using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Simulation;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>How a message goes through trees chunk by chunk: a host passes a chunk on when it has all of it.</summary>
public static class Pipeline
{
    /// <summary>What a chunk costs a host besides its bytes, seconds: receiving, summing, queueing and sending it.</summary>
    private const double HandlingSeconds = 10e-6;

    /// <summary>Header of a frame, behind which come contributors, a bit each (docs/protocol.md).</summary>
    private const int HeaderBytes = 96;

    /// <summary>Header and contributors of up to 128 workers.</summary>
    private const int FrameBytes = 112;

    // Below this the handling of frames, not the links, would set the pace.
    private const int LeastSegments = 3;

    // Larger ones are given only where links are faster than hosts sum; the time to fill a tree is no question there.
    private const int MostBytes = 65_536;

    // From the last byte of a chunk received to the first byte of its sum sent: two wake-ups and what the network between two hosts takes.
    private const double HandOverSeconds = 100e-6;

    private const double SmallPart = 0.1;

    // Where nobody knows how large messages are, a chunk takes a link no longer than this.
    private const double UnknownRoundSeconds = 0.010;

    /// <summary>
    /// Bytes of a chunk. Smaller ones fill the trees sooner, larger ones cost less: a round that keeps a link of rate <c>r</c> busy for <c>T</c> takes about
    /// <c>T·(1 + h/c) + 4·c/r</c> with chunks of <c>c</c> bytes, each of which costs a host as much as <c>h</c> more bytes; that is least for <c>c = √(T·r·h/4)</c>. Shards go
    /// through their trees beside one another, so however deep these are, a host waits for about one chunk at the beginning and at the end, of sums and of results. A frame fills whole segments,
    /// for connections send a chunk when they have it: a rest of one would travel with headers of its own.
    /// </summary>
    /// <param name="plan">The plan.</param>
    /// <param name="workers">Workers of the job; frames name them. ≥ 1.</param>
    /// <param name="fabric">Where it runs.</param>
    /// <param name="most">Never more than this.</param>
    public static int ChunkBytes(JobPlan plan, int workers, Fabric fabric, int most)
    {
        var slowest = plan.Shards.SelectMany(s => s.Edges.Select(e => e.Child).Concat(s.Roots.Take(1))).Distinct(StringComparer.Ordinal)
            .Where(fabric.Hosts.ContainsKey).Select(fabric.HostRateBitsPerSecond).DefaultIfEmpty(long.MaxValue).Min();
        return ChunkBytes(plan.PredictedSeconds, Math.Min(slowest, plan.Bottleneck is { } name ? RateOf(name, fabric) : slowest), most, HeaderBytes + ((workers + 7) / 8));
    }

    /// <summary>What a round takes besides its bytes on the slowest link, when it is cut into chunks of the size that <see cref="ChunkBytes(JobPlan, int, Fabric, int)"/> gives.</summary>
    /// <param name="roundSeconds">What the slowest link needs for its bytes.</param>
    /// <param name="bitsPerSecond">Its rate.</param>
    /// <returns>By what part headers of frames lengthen it, and the seconds in which trees are filled and drained.</returns>
    internal static (double Part, double Seconds) Overhead(double roundSeconds, double bitsPerSecond)
    {
        double chunk = ChunkBytes(roundSeconds, bitsPerSecond, MostBytes);
        return (FrameBytes / chunk, 4 * chunk * 8 / bitsPerSecond);
    }

    private static long RateOf(string link, Fabric fabric)
    {
        foreach (var candidate in fabric.Graph.Links)
        {
            var (source, target) = (fabric.Nodes[candidate.Source].Id, fabric.Nodes[candidate.Target].Id);
            if (link.Length == source.Length + 2 + target.Length && link.StartsWith(source, StringComparison.Ordinal) && link.EndsWith(target, StringComparison.Ordinal))
            {
                return candidate.RateBitsPerSecond;
            }
        }

        return long.MaxValue;
    }

    private static int ChunkBytes(double roundSeconds, double bitsPerSecond, int most, int frameBytes = FrameBytes)
    {
        var rate = bitsPerSecond / 8;
        var bytes = roundSeconds > 0 ? Math.Sqrt(roundSeconds * rate * (frameBytes + (HandlingSeconds * rate)) / 4) : rate * UnknownRoundSeconds;
        if (bytes >= most)
        {
            return most;
        }

        var segments = Math.Max(LeastSegments, (int)Math.Round((bytes + frameBytes) / WireCost.SegmentBytes));

        // No element is cut.
        return Math.Min(most, ((segments * WireCost.SegmentBytes) - frameBytes) & ~7);
    }

    /// <summary>Whether trees of the given depth are filled and drained in a small part of a round, so that their depth does not count.</summary>
    /// <param name="depth">Edges between the root and the host furthest from it.</param>
    /// <param name="roundSeconds">What the slowest link needs for a round.</param>
    /// <param name="bitsPerSecond">Rate of the slowest host.</param>
    internal static bool IsShallow(int depth, double roundSeconds, double bitsPerSecond)
    {
        var chunk = ChunkBytes(roundSeconds, bitsPerSecond, MostBytes);
        return 2 * depth * ((chunk * 8 / bitsPerSecond) + HandOverSeconds) <= SmallPart * roundSeconds;
    }
}
