using System.Globalization;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Simulation.Failures;

/// <summary>What a schedule of failures must hold.</summary>
internal static class FailureRules
{
    /// <summary>Everything wrong with a schedule on a fabric.</summary>
    public static IEnumerable<FieldFault> Check(IReadOnlyList<ScheduledFailure> schedule, Fabric fabric)
    {
        for (var i = 0; i < schedule.Count; i++)
        {
            var (field, failure) = ($"failures[{i}]", schedule[i]);
            if (failure is null || (failure.Host is null) == (failure.Link is null))
            {
                yield return new(field, "", "A failure names either a 'host' or a 'link'; leave out the other.");
                continue;
            }

            if (failure.Host is { } host && !fabric.Hosts.ContainsKey(host))
            {
                yield return new($"{field}.host", host, "The fabric has no such host; name one of its hosts.");
            }

            if (failure.Link is { } link && !TryFind(link, fabric, out _))
            {
                yield return new($"{field}.link", string.Join(" - ", link), "The fabric has no link between two such nodes; name both ends of one of its links.");
            }

            if (!(failure.FromSeconds >= 0) || !double.IsFinite(failure.FromSeconds))
            {
                yield return new($"{field}.fromSeconds", failure.FromSeconds.ToString(CultureInfo.InvariantCulture), "The time must be finite and 0 or more.");
            }
            else if (!(failure.ToSeconds > failure.FromSeconds) || !double.IsFinite(failure.ToSeconds))
            {
                yield return new($"{field}.toSeconds", failure.ToSeconds.ToString(CultureInfo.InvariantCulture), string.Create(CultureInfo.InvariantCulture, $"It must be back at a finite time after {failure.FromSeconds}: a job that waits for it would never end."));
            }
        }
    }

    /// <summary>Numbers of both directions of a link.</summary>
    public static bool TryFind(IReadOnlyList<string> ends, Fabric fabric, out (int There, int Back) link)
    {
        link = default;
        if (ends is not [{ } a, { } b] || !fabric.TryFindNode(a, out var from) || !fabric.TryFindNode(b, out var to))
        {
            return false;
        }

        foreach (var there in fabric.Graph.LinksFrom(from))
        {
            if (fabric.Graph.Links[there].Target == to)
            {
                link = (there, fabric.Graph.LinkBetween(to, from));
                return true;
            }
        }

        return false;
    }
}
