using System.Globalization;
using System.Text;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Cli.Jobs;

/// <summary>Jobs in words. Pure.</summary>
internal static class JobText
{
    public static readonly string[] Heads = [">number", "name", "state", ">workers", ">rounds", ">s a round", ">level", "trees", "wrong"];

    public static string[] Row(JobView job) =>
    [
        Invariant($"{job.Id}"), job.Spec.Name, State(job), Workers(job), Rounds(job), job.SecondsPerRound > 0 ? Invariant($"{job.SecondsPerRound:0.00}") : "",
        job.Plan is { } plan ? Level(plan) : "", job.Plan?.Strategy ?? "", job.Troubles.Count > 0 ? Invariant($"{job.Troubles.Count}") : "",
    ];

    /// <summary>All that a person would want to know of one job, a line each.</summary>
    public static string Of(JobView job)
    {
        var text = new StringBuilder();
        text.AppendLine(CultureInfo.InvariantCulture, $"{job.Spec.Name} ({job.Id}): {State(job)}, submitted {job.SubmittedAt.ToUniversalTime():yyyy-MM-dd HH:mm:ss} UTC{(job.EndedAt is { } end ? Invariant($", ended {end.ToUniversalTime():yyyy-MM-dd HH:mm:ss} UTC") : "")}");
        text.AppendLine(CultureInfo.InvariantCulture, $"workers {Workers(job)}, rounds {Rounds(job)}{(job.SecondsPerRound > 0 ? Invariant($", {job.SecondsPerRound:0.00} s a round") : "")}{(job.SocketBytesSent > 0 ? Invariant($", {job.SocketBytesSent / 1e6:0.0} MB sent") : "")}");
        if (job.Plan is { } plan)
        {
            text.AppendLine(plan.LevelReason).AppendLine(CultureInfo.InvariantCulture, $"{plan.Strategy}: {plan.TreeReason}");
        }

        if (job.WaitingFor.Count > 0)
        {
            text.AppendLine(CultureInfo.InvariantCulture, $"waits for the agents of {Names(job.WaitingFor)}");
        }

        foreach (var trouble in job.Troubles)
        {
            text.AppendLine(CultureInfo.InvariantCulture, $"wrong: {PrintableText.Of(trouble)}");
        }

        return text.ToString();
    }

    private static string State(JobView job) => job.State.ToString().ToLowerInvariant();

    private static string Workers(JobView job) => Invariant($"{job.WorkersJoined}/{job.Spec.Workers.Count}");

    private static string Rounds(JobView job) => Invariant($"{job.RoundsDone + 1}{(job.Spec.Rounds > 0 ? Invariant($"/{job.Spec.Rounds}") : "")}");

    private static string Level(JobPlan plan) => plan.Level == 0 ? "-" : Invariant($"{plan.Level} {plan.Dscp}");

    // A job may wait for hundreds.
    private static string Names(IReadOnlyList<string> hosts) => hosts.Count <= 8 ? string.Join(", ", hosts) : $"{string.Join(", ", hosts.Take(8))} and {hosts.Count - 8} more";

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
