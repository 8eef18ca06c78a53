namespace MLNet.SDN.Planning.Simulation;

/// <summary>What a job puts on links in a round.</summary>
/// <param name="Links">Links, each once.</param>
/// <param name="Bytes">Bytes on each of them.</param>
public sealed record JobTraffic(int[] Links, double[] Bytes);

/// <summary>Lays the jobs' traffic anew as a run goes on, as the controller does with trees. One object serves one run.</summary>
public abstract class TrafficPlan
{
    /// <summary>Called at every event, before shares are given.</summary>
    /// <param name="now">Seconds from the start.</param>
    /// <param name="states">By job number.</param>
    /// <param name="jobsChanged">Whether a job came or finished since the last call.</param>
    /// <param name="traffic">By job number; an entry that is replaced holds from the job's next round on, as trees change between rounds only.</param>
    /// <returns>Whether any entry was replaced.</returns>
    internal abstract bool Change(double now, ReadOnlySpan<JobState> states, bool jobsChanged, Span<JobTraffic> traffic);
}
