using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;
using MLNet.SDN.Planning.Trees;

namespace MLNet.SDN.Planning.Explanation;

/// <summary>Answers questions about plans: why a job runs as it does, and what a new one would bring and cost. Pure, deterministic, thread-safe; changes nothing.</summary>
public static class PlanInquiry
{
    // Hosts tried as one more helper; the best of them is named.
    private const int MostHelpersTried = 8;

    // Less is not worth a person's time.
    private const double WorthNaming = 0.02;

    /// <summary>Explains a job's plan.</summary>
    /// <param name="jobId">One of the jobs.</param>
    /// <param name="jobs">All unfinished jobs with the plans in force; those without a plan, or with hosts that the fabric lacks, are left out of account.</param>
    /// <param name="fabric">Where they run.</param>
    /// <param name="settings">As the plans were made.</param>
    /// <param name="ladder">Levels that the fabric has.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>Null when the job has no plan that fits the fabric.</returns>
    public static PlanExplanation? Explain(
        long jobId, IReadOnlyList<PlanningJob> jobs, Fabric fabric, PlanningSettings settings, PriorityLadder ladder, CancellationToken cancellationToken)
    {
        var running = Running.Of(jobs, fabric);
        var at = running.FindIndex(r => r.Job.JobId == jobId);
        if (at < 0)
        {
            return null;
        }

        var mine = running[at];
        var forecast = mine.Forecast;
        var known = forecast.GradientBytes > 0;
        var now = RoundForecast.Run([.. running.Select(r => r.Forecast)], fabric, ladder, cancellationToken)[at];
        var link = forecast.Load.Bottleneck;
        var sharers = link < 0 ? [] : Sharers(link, at, running);
        var explanation = new PlanExplanation
        {
            JobId = jobId,
            Name = mine.Job.Spec.Name,
            Text = "",
            Level = mine.Plan.Level,
            LevelReason = mine.Plan.LevelReason,
            TreeReason = mine.Plan.TreeReason,
            Bottleneck = link < 0 ? null : fabric.LinkName(link),
            SharedWith = sharers,
            RoundSecondsAlone = known ? forecast.AloneSeconds : 0,
            RoundSecondsNow = now,
            OneMoreHelper = known && settings.Strategy == "optimized" ? OneMoreHelper(mine, running, fabric, settings, ladder, cancellationToken) : null,
        };
        return explanation with { Text = InquiryText.Of(explanation, mine.Job.Spec, mine.Plan, settings) };
    }

    /// <summary>Plans a job that has not been submitted, beside those that run.</summary>
    /// <param name="spec">Free of faults (<see cref="Jobs.JobRules"/>).</param>
    /// <param name="jobs">All unfinished jobs with the plans in force.</param>
    /// <param name="fabric">Where they run.</param>
    /// <param name="settings">Strategy and policy.</param>
    /// <param name="ladder">Levels that the fabric has.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public static PlanPreview Preview(
        JobSpec spec, IReadOnlyList<PlanningJob> jobs, Fabric fabric, PlanningSettings settings, PriorityLadder ladder, CancellationToken cancellationToken)
    {
        // Ids are given from 1 on, and the newest job has the highest.
        var id = jobs.Select(j => j.JobId).DefaultIfEmpty(0).Max() + 1;
        var added = new PlanningJob { JobId = id, Spec = spec, RoundsLeft = spec.Rounds };
        var planned = Planner.Plan(fabric, [.. jobs, added], settings, ladder, new(1, 1));
        var planOf = planned.Jobs.ToDictionary(p => p.JobId);
        var before = Running.Of(jobs, fabric);
        var after = Running.Of([.. jobs.Append(added).Select(j => j with { Previous = planOf[j.JobId] })], fabric);
        var mine = after.Single(r => r.Job.JobId == id);

        // Plain: the same job by a sharded server, unmarked, beside the others as they are.
        var plain = new ForecastJob(DirectTrees.Sharded(mine.WorkerNodes).Load(fabric), spec.GradientBytes, spec.ComputeSeconds, before.Any(r => r.Plan.Level > 0) ? Unmarked(ladder) : 0);
        var secondsBefore = Seconds(before);
        var secondsAfter = Seconds(after);
        var plainSeconds = RoundForecast.Run([.. before.Select(r => r.Forecast), plain], fabric, ladder, cancellationToken)[^1];

        var others = new List<PreviewedJob>();
        foreach (var (i, then) in after.Index())
        {
            if (then.Job.JobId != id && before.Find(r => r.Job.JobId == then.Job.JobId) is { } now)
            {
                var (was, becomes) = (secondsBefore[before.IndexOf(now)], secondsAfter[i]);
                others.Add(new(now.Job.JobId, now.Job.Spec.Name, now.Plan.Level, then.Plan.Level, !SameTrees(now.Plan, then.Plan), was, becomes, was > 0 ? (becomes / was) - 1 : 0));
            }
        }

        var at = after.IndexOf(mine);
        var preview = new PlanPreview
        {
            Plan = mine.Plan with { JobId = 0 },
            Text = "",
            RoundSecondsAlone = spec.GradientBytes > 0 ? mine.Forecast.AloneSeconds : 0,
            RoundSeconds = secondsAfter[at],
            PlainRoundSeconds = plainSeconds,
            Gain = plainSeconds > 0 ? 1 - (secondsAfter[at] / plainSeconds) : 0,
            Others = [.. others.Where(o => o.NewTrees || o.LevelNow != o.LevelThen || Math.Abs(o.Loss) > 1e-3).OrderByDescending(o => o.Loss).ThenBy(o => o.JobId)],
            Warnings = planned.Warnings,
        };
        return preview with { Text = InquiryText.Of(preview, spec, others.Count) };

        double[] Seconds(List<Running> running) => RoundForecast.Run([.. running.Select(r => r.Forecast)], fabric, ladder, cancellationToken);
    }

    // Unmarked traffic is CS0; where the ladder does not serve it as a class of its own it comes last.
    private static int Unmarked(PriorityLadder ladder)
    {
        var levels = ladder.JobLevels();
        var at = levels.ToList().FindIndex(d => d.Value == 0);
        return at < 0 ? levels.Count : at + 1;
    }

    private static bool SameTrees(JobPlan one, JobPlan other) =>
        one.TreesRevision == other.TreesRevision || (one.Shards.Count == other.Shards.Count && one.Shards.Zip(other.Shards).All(s =>
            s.First.Weight == s.Second.Weight && s.First.Roots.SequenceEqual(s.Second.Roots) && s.First.Edges.SequenceEqual(s.Second.Edges)));

    private static List<LinkSharer> Sharers(int link, int at, List<Running> running)
    {
        var sharers = new List<LinkSharer>();
        foreach (var (other, job) in running.Index())
        {
            var position = Array.BinarySearch(job.Forecast.Load.Links, link);
            if (other != at && position >= 0)
            {
                var round = job.Forecast.AloneSeconds;
                sharers.Add(new(job.Job.Spec.Name, job.Plan.Level, round > 0 ? Math.Min(1, job.Forecast.Load.SecondsPerByte[position] * job.Forecast.GradientBytes / round) : 0));
            }
        }

        return [.. sharers.OrderByDescending(s => s.Share).ThenBy(s => s.Job, StringComparer.Ordinal)];
    }

    /// <summary>The best of a few hosts, one a rack, that have no part in the job: which the others load least.</summary>
    private static HelperGain? OneMoreHelper(
        Running mine, List<Running> running, Fabric fabric, PlanningSettings settings, PriorityLadder ladder, CancellationToken cancellationToken)
    {
        var spec = mine.Job.Spec;
        var taken = spec.MemberHosts().Concat(spec.Helpers ?? []).Select(fabric.HostNumber).ToHashSet();
        var busy = new double[fabric.Nodes.Length];
        foreach (var other in running.Where(r => r != mine && r.Forecast.AloneSeconds > 0))
        {
            foreach (var (i, link) in other.Forecast.Load.Links.Index())
            {
                busy[fabric.Graph.Links[link].Source] += other.Forecast.Load.SecondsPerByte[i] * other.Forecast.GradientBytes / other.Forecast.AloneSeconds;
            }
        }

        var candidates = fabric.Hosts.Keys.Select(fabric.HostNumber).Where(h => !taken.Contains(h))
            .GroupBy(fabric.Sites.RackOf).Where(g => mine.WorkerNodes.Any(w => fabric.Sites.RackOf(w) == g.Key))
            .Select(g => g.OrderBy(h => busy[h]).ThenBy(h => h).First()).Order().Take(MostHelpersTried);
        HelperGain? best = null;
        var without = double.NaN;
        foreach (var host in candidates)
        {
            // Each is a plan of its own, which for thousands of workers takes its time.
            cancellationToken.ThrowIfCancellationRequested();
            without = double.IsNaN(without) ? Alone(spec) : without;
            var name = fabric.Nodes[host].Id;
            var with = Alone(spec with { Helpers = [.. spec.Helpers ?? [], name] });
            var gain = 1 - (with / without);
            if (gain >= WorthNaming && (best is null || gain > best.Gain + 1e-9))
            {
                best = new(name, with, gain);
            }
        }

        return best;

        double Alone(JobSpec of) => of.ComputeSeconds
            + Planner.Plan(fabric, [new() { JobId = 1, Spec = of, RoundsLeft = mine.Job.RoundsLeft }], settings, ladder, new(1, 1)).Jobs[0].PredictedSeconds;
    }

    /// <summary>A job with a plan that fits the fabric.</summary>
    private sealed record Running(PlanningJob Job, JobPlan Plan, int[] WorkerNodes, ForecastJob Forecast)
    {
        public static List<Running> Of(IReadOnlyList<PlanningJob> jobs, Fabric fabric)
        {
            var running = new List<Running>();
            foreach (var job in jobs.OrderBy(j => j.JobId))
            {
                var spec = job.Spec;
                if (job.Previous is not { } plan || !spec.MemberHosts().Concat(spec.Helpers ?? []).All(fabric.Hosts.ContainsKey))
                {
                    continue;
                }

                int[] workers = [.. spec.MemberHosts().Distinct(StringComparer.Ordinal).Select(fabric.HostNumber).Order()];
                int[] helpers = [.. (spec.Helpers ?? []).Distinct(StringComparer.Ordinal).Select(fabric.HostNumber).Except(workers).Order()];
                if (Forest.TryRead(plan.Shards, workers, helpers, fabric) is { } forest)
                {
                    running.Add(new(job, plan, workers, new(forest.Load(fabric), spec.GradientBytes, spec.ComputeSeconds, plan.Level)));
                }
            }

            return running;
        }
    }
}
