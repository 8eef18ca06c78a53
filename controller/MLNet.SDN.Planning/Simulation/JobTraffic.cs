using MLNet.SDN.Planning.Topology;
using MLNet.SDN.Planning.Trees;

namespace MLNet.SDN.Planning.Simulation;

/// <summary>What a job puts on links in a round.</summary>
/// <param name="Links">Links, each once.</param>
/// <param name="Bytes">Bytes on each of them.</param>
public sealed record JobTraffic(int[] Links, double[] Bytes)
{
    /// <summary>Every link by itself, also those that carry the same as others: which those are changes when links go.</summary>
    internal static JobTraffic OfAll(LinkLoad load, double gradientBytes, Fabric fabric)
    {
        var all = load.Links.Zip(load.Bytes).SelectMany(l => fabric.Classes.Members(l.First).Select(member => (Link: member, Bytes: l.Second * gradientBytes))).OrderBy(l => l.Link).ToArray();
        return new([.. all.Select(l => l.Link)], [.. all.Select(l => l.Bytes)]);
    }

    /// <summary>The first link of those that carry the same for all of them.</summary>
    internal static JobTraffic Of(LinkLoad load, double gradientBytes) => new(load.Links, [.. load.Bytes.Select(b => b * gradientBytes)]);
}

/// <summary>Lays the jobs' traffic anew as a run goes on, as the controller does with trees and routers with paths. One object serves one run.</summary>
public abstract class TrafficPlan
{
    /// <summary>Called at every event, before shares are given.</summary>
    /// <param name="now">Seconds from the start.</param>
    /// <param name="states">By job number.</param>
    /// <param name="jobsChanged">Whether a job came or finished since the last call.</param>
    /// <param name="traffic">By job number; an entry that is replaced holds from the job's next round on, as trees change between rounds only, unless <see cref="AtOnce"/>.</param>
    /// <returns>Whether any entry was replaced or any job waits that did not, or no longer.</returns>
    internal abstract bool Change(double now, ReadOnlySpan<JobState> states, bool jobsChanged, Span<JobTraffic> traffic);

    /// <summary>Whether what the last change replaced holds for rounds under way too: what is left of them moves as the new entries say.</summary>
    internal virtual bool AtOnce => false;

    /// <summary>When <see cref="Change"/> must be called next, whatever else happens; infinity for never.</summary>
    internal virtual double NextChange(double now) => double.PositiveInfinity;

    /// <summary>Whether the job makes no progress at all until another change.</summary>
    internal virtual bool Waits(int job) => false;
}
