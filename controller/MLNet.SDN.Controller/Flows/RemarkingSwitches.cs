using System.Globalization;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Tomography;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Controller.Flows;

/// <summary>Names the switches that probably change marks: flows of all pairs of hosts vote on what lies on their way. <see cref="Suspects"/> may be read from any thread.</summary>
internal sealed class RemarkingSwitches(PathVerification paths, TimeProvider time, ILogger<RemarkingSwitches> logger)
{
    /// <summary>Time between two votes. A switch is named when two in a row agree on it: the first flows to be heard of are not the whole story.</summary>
    public static readonly TimeSpan VoteInterval = TimeSpan.FromSeconds(5);

    private HashSet<string> _lastVote = [];
    private DateTimeOffset _votedAt = DateTimeOffset.MinValue;
    private volatile MarkingSuspect[] _suspects = [];

    /// <summary>Switches suspected now, faults one after the other, the likeliest of each first; the same list as long as nothing changes.</summary>
    public IReadOnlyList<MarkingSuspect> Suspects => _suspects;

    /// <summary>Votes, when it is time to. Called each second, by one caller at a time, after <see cref="PathVerification.Advance"/>.</summary>
    /// <param name="fabric">Null while there is none: nobody is suspected then.</param>
    public void Advance(Fabric? fabric)
    {
        if (fabric is null || paths.Faults.Count == 0)
        {
            _lastVote = [];
            Publish([]);
            return;
        }

        // Without anything newly changed the last vote stands until the pairs are cleared: a mended switch cannot have its flows speak for it and blame others.
        var now = time.GetUtcNow();
        if (paths.ChangedAt is not { } changed || changed <= _votedAt || now - _votedAt < VoteInterval)
        {
            return;
        }

        _votedAt = now;
        var vote = FaultLocation.Find(fabric, paths.Evidence());
        Publish([.. vote.Where(s => _lastVote.Contains(s.Switch)).Select(s => Describe(s, now))]);
        _lastVote = [.. vote.Select(s => s.Switch)];
    }

    private MarkingSuspect Describe(Suspicion suspicion, DateTimeOffset now) => new()
    {
        Switch = suspicion.Switch,
        Neighbour = suspicion.Neighbour,
        Fault = suspicion.Fault,
        Confidence = Math.Round(suspicion.Confidence, 2),
        Reason = string.Create(
            CultureInfo.InvariantCulture,
            $"{Words(suspicion.Changed, "flow")} of {Words(suspicion.Pairs, "pair")} of hosts on its way{(suspicion.Neighbour is { } n ? $" by the port to {n}" : "")} arrived changed, {suspicion.Intact} that crossed it for certain did not"),
        Since = _suspects.FirstOrDefault(s => s.Switch == suspicion.Switch && s.Neighbour == suspicion.Neighbour && s.Fault == suspicion.Fault)?.Since ?? now,
    };

    private void Publish(MarkingSuspect[] suspects)
    {
        if (suspects.SequenceEqual(_suspects))
        {
            return;
        }

        foreach (var suspect in suspects.Where(s => _suspects.All(known => known.Switch != s.Switch)))
        {
            FlowLog.SwitchSuspected(logger, suspect.Switch, (int)Math.Round(suspect.Confidence * 100), suspect.Reason);
        }

        foreach (var name in _suspects.Select(s => s.Switch).Except(suspects.Select(s => s.Switch)))
        {
            FlowLog.SwitchCleared(logger, name);
        }

        _suspects = suspects;
    }

    private static string Words(int count, string noun) => string.Create(CultureInfo.InvariantCulture, $"{count} {noun}{(count == 1 ? "" : "s")}");
}
