using System.Globalization;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Jobs;

/// <summary>Checks a submitted job against the fabric and the other unfinished jobs; reports every fault.</summary>
public static class JobRules
{
    /// <summary>Everything wrong with a job. Whether its name is free is for the caller to see, who owns the names.</summary>
    /// <param name="spec">As submitted; nothing is trusted.</param>
    /// <param name="fabric">Where it is to run.</param>
    /// <param name="unfinished">The other unfinished jobs, whose selectors must not pick the same packets.</param>
    /// <returns>Faults in the order of the fields; empty when the job is fit to run.</returns>
    public static IReadOnlyList<FieldFault> Check(JobSpec spec, Topology.Fabric fabric, IReadOnlyList<JobSpec> unfinished)
    {
        var faults = new List<FieldFault>();
        CheckName(spec.Name, faults);
        CheckHosts(spec, fabric, faults);
        if (spec.GradientBytes < 0)
        {
            faults.Add(new("gradientBytes", Text(spec.GradientBytes), "Bytes of gradient per round must be 0 (unknown) or more."));
        }

        if (!(spec.ComputeSeconds is >= 0 and <= MaxComputeSeconds))
        {
            faults.Add(new("computeSeconds", spec.ComputeSeconds.ToString(CultureInfo.InvariantCulture), $"Seconds of computation per round must be 0 (unknown) to {MaxComputeSeconds}."));
        }

        if (spec.Rounds < 0)
        {
            faults.Add(new("rounds", Text(spec.Rounds), "Rounds to train must be 0 (unknown) or more."));
        }

        if (spec.OwnerUid is { } uid and < 0)
        {
            faults.Add(new("ownerUid", Text(uid), "A user id must be 0 or more; leave it out to take the user of the first worker."));
        }

        CheckSelectors(spec, unfinished, faults);
        return faults.Count <= MaxFaults
            ? faults
            : [.. faults.Take(MaxFaults), new("", "", $"And {faults.Count - MaxFaults} more{(faults.Count > MostCounted ? " at least" : "")}; mend these first.")];
    }

    /// <summary>As many as a person will read.</summary>
    private const int MaxFaults = 50;

    /// <summary>Where looking for more of them ends.</summary>
    private const int MostCounted = 10_000;

    /// <summary>Each is compared with those of every other job, and is a rule on the hosts.</summary>
    private const int MaxSelectors = 256;

    /// <summary>The set of ranks in a data-plane frame has so many bits.</summary>
    private const int MaxWorkers = 8_192;

    /// <summary>Twelve days, as in scenarios: what is computed from longer ones could be no number any more.</summary>
    private const int MaxComputeSeconds = 1_000_000;

    private static void CheckName(string? name, List<FieldFault> faults)
    {
        var valid = name is { Length: >= 1 and <= 63 } && (char.IsAsciiLetterLower(name[0]) || char.IsAsciiDigit(name[0]))
            && name.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c is '-' or '_' or '.');
        if (!valid)
        {
            faults.Add(new("name", name ?? "", "A job's name must have 1-63 characters of a-z, 0-9, '-', '_' and '.', and start with a letter or digit."));
        }
    }

    private static void CheckHosts(JobSpec spec, Topology.Fabric fabric, List<FieldFault> faults)
    {
        if (spec.Workers is not { Count: > 0 })
        {
            faults.Add(new("workers", "", "A job needs at least one worker; name the host of each."));
        }

        var most = MaxWorkers - (spec.Server is null ? 0 : 1);
        if (spec.Workers is not null && spec.Workers.Count > most)
        {
            faults.Add(new("workers", Text(spec.Workers.Count), $"At most {most} workers are possible{(spec.Server is null ? "" : " beside a server")}."));
            return;
        }

        var workers = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < (spec.Workers?.Count ?? 0); i++)
        {
            if (CheckHost(spec.Workers![i], $"workers[{i}]", fabric, faults))
            {
                workers.Add(spec.Workers[i]);
            }
        }

        if (spec.Server is not null && CheckHost(spec.Server, "server", fabric, faults))
        {
            workers.Add(spec.Server);
        }

        var helpers = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < (spec.Helpers?.Count ?? 0); i++)
        {
            var helper = spec.Helpers![i];
            if (!CheckHost(helper, $"helpers[{i}]", fabric, faults))
            {
                continue;
            }

            if (workers.Contains(helper))
            {
                faults.Add(new($"helpers[{i}]", helper, $"The host has {(helper == spec.Server ? "the server" : "a worker")} of this job and may sum anyway; leave it out of the helpers."));
            }
            else if (!helpers.Add(helper))
            {
                faults.Add(new($"helpers[{i}]", helper, "The helper is named twice; name it once."));
            }
        }
    }

    private static bool CheckHost(string? host, string field, Topology.Fabric fabric, List<FieldFault> faults)
    {
        if (host is not null && fabric.Hosts.ContainsKey(host))
        {
            return true;
        }

        faults.Add(new(field, host ?? "", "The topology has no such host; name one of its hosts."));
        return false;
    }

    private static void CheckSelectors(JobSpec spec, IReadOnlyList<JobSpec> unfinished, List<FieldFault> faults)
    {
        if (spec.Selectors is { Count: > MaxSelectors })
        {
            faults.Add(new("selectors", Text(spec.Selectors.Count), $"At most {MaxSelectors} selectors are possible; join them by wider prefixes or port ranges."));
            return;
        }

        // Agents of a host hold the selectors of all jobs with a part there, and of no others.
        var hosts = spec.Workers is null ? [] : HostsOf(spec);
        var taken = spec.Selectors is not { Count: > 0 } ? [] : unfinished
            .Where(o => o.Selectors is { Count: > 0 } && HostsOf(o).Overlaps(hosts))
            .SelectMany(o => o.Selectors!.Select((s, k) => (Job: o.Name, Index: k, Valid: PacketMatch.TryRead(s, "", [], out var match), Match: match)))
            .Where(t => t.Valid).ToList();
        for (var i = 0; i < (spec.Selectors?.Count ?? 0) && faults.Count <= MostCounted; i++)
        {
            var field = $"selectors[{i}]";
            if (spec.Selectors![i] is not { } selector)
            {
                faults.Add(new(field, "null", "A selector is an object; remove the null."));
                continue;
            }

            if (!PacketMatch.TryRead(selector, field, faults, out var match))
            {
                continue;
            }

            foreach (var other in taken)
            {
                if (match.Collides(other.Match) && faults.Count <= MostCounted)
                {
                    faults.Add(new(
                        field,
                        match.ToString(),
                        $"It picks packets, or answers to them, that selectors[{other.Index}] of job {other.Job} ({other.Match}) picks too on a host of both; narrow one of them so that every packet belongs to one job."));
                }
            }
        }
    }

    private static HashSet<string> HostsOf(JobSpec spec) => [.. spec.MemberHosts().Concat(spec.Helpers ?? []).OfType<string>()];

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);
}
