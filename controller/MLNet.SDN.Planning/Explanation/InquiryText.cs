using System.Globalization;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Explanation;

/// <summary>Answers in sentences, as one engineer would tell them another.</summary>
internal static class InquiryText
{
    // Others named one by one; the rest is counted.
    private const int MostNamed = 3;

    public static string Of(PlanExplanation job, JobSpec spec, JobPlan plan, PlanningSettings settings)
    {
        var text = new List<string>();
        if (job.Bottleneck is not { } link)
        {
            text.Add($"Job {job.Name} uses no link: all its workers are on host {spec.Workers[0]}, which sums without the network.");
        }
        else if (job.RoundSecondsAlone == 0)
        {
            text.Add($"Job {job.Name} did not say how many bytes a round has, so its times are unknown. Its busiest link is {link}, {Sharing(job)}.");
            text.Add("Submit it with gradientBytes, computeSeconds and rounds to have it planned by its length.");
        }
        else
        {
            var above = plan.BoundSeconds > 0 ? (plan.PredictedSeconds / plan.BoundSeconds) - 1 : 0;
            text.Add($"Job {job.Name} waits for link {link}, {Sharing(job)}: {Words.Seconds(plan.PredictedSeconds)} a round, "
                + (above < 0.005 ? "the least that any plan can reach." : $"{Words.Percent(above)} above the least that any plan could reach."));
            var compute = spec.ComputeSeconds > 0 ? $", {Words.Seconds(spec.ComputeSeconds)} of it computation" : ", with no computation known";
            var slower = (job.RoundSecondsNow / job.RoundSecondsAlone) - 1;
            text.Add($"Alone a round would take {Words.Seconds(job.RoundSecondsAlone)}{compute}; "
                + (slower < 0.005 ? "no other job delays it." : $"beside the other jobs it takes about {Words.Seconds(job.RoundSecondsNow)}, {Longer(slower)}."));
        }

        text.Add(plan.LevelReason);
        if (job.OneMoreHelper is { } helper)
        {
            text.Add($"One more helper, {helper.Host}, would make a round alone {Words.Seconds(helper.RoundSeconds)}, {Words.Percent(helper.Gain)} less.");
        }
        else if (job.RoundSecondsAlone > 0 && job.Bottleneck is not null)
        {
            text.Add(settings.Strategy == "optimized"
                ? "One more helper would bring nothing worth naming."
                : $"Helpers sum only under strategy 'optimized'; '{settings.Strategy}' is set.");
        }

        return string.Join(' ', text);
    }

    public static string Of(PlanPreview preview, JobSpec spec, int running)
    {
        var text = new List<string>();
        if (spec.GradientBytes == 0)
        {
            text.Add($"Job {spec.Name} would get level {preview.Plan.Level}; its times are unknown until gradientBytes are.");
        }
        else if (preview.RoundSeconds == 0)
        {
            text.Add($"Job {spec.Name} would get level {preview.Plan.Level} and use no link: all its workers are on host {spec.Workers[0]}, which sums without the network.");
        }
        else
        {
            text.Add($"Job {spec.Name} would get level {preview.Plan.Level} and take about {Words.Seconds(preview.RoundSeconds)} a round ({Words.Seconds(preview.RoundSecondsAlone)} alone).");
            text.Add(Math.Abs(preview.Gain) < 0.005
                ? "A plain sharded server, unmarked, would do as well."
                : $"By a plain sharded server, unmarked, it would take {Words.Seconds(preview.PlainRoundSeconds)}, {(preview.Gain > 0 ? Longer((preview.PlainRoundSeconds / preview.RoundSeconds) - 1) : $"{Words.Percent(1 - (preview.PlainRoundSeconds / preview.RoundSeconds))} shorter")}.");
        }

        PreviewedJob[] losers = [.. preview.Others.Where(o => o.Loss >= 0.005)];
        if (losers.Length > 0)
        {
            text.Add($"It would slow {List([.. losers.Take(MostNamed).Select(o => $"{o.Name} (a round {Longer(o.Loss)})")], losers.Length - MostNamed)}.");
        }
        else
        {
            text.Add(running == 0 ? "No other job runs." : "No other job would be slowed.");
        }

        PreviewedJob[] moved = [.. preview.Others.Where(o => o.LevelNow != o.LevelThen)];
        if (moved.Length > 0)
        {
            text.Add($"Levels would change for {List([.. moved.Take(MostNamed).Select(o => $"{o.Name} ({o.LevelNow} to {o.LevelThen})")], moved.Length - MostNamed)}.");
        }

        text.AddRange(preview.Warnings);
        return string.Join(' ', text);
    }

    private static string Sharing(PlanExplanation job) => job.SharedWith.Count == 0
        ? "which it has to itself"
        : $"shared with {List([.. job.SharedWith.Take(MostNamed).Select(s => s.Job)], job.SharedWith.Count - MostNamed)}";

    private static string Longer(double part) => part < 1 ? $"{Words.Percent(part)} longer" : string.Create(CultureInfo.InvariantCulture, $"{1 + part:0.0} times as long");

    private static string List(string[] parts, int more)
    {
        string[] all = more > 0 ? [.. parts, $"{more} more"] : parts;
        return all.Length == 1 ? all[0] : $"{string.Join(", ", all[..^1])} and {all[^1]}";
    }
}
