using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.Flows;

/// <summary>What changed from one snapshot to another. Pure.</summary>
internal static class LiveDelta
{
    /// <summary>The update that turns <paramref name="before"/> into <paramref name="now"/>.</summary>
    /// <param name="whole">True when the client is to forget what it has; <paramref name="before"/> is then empty.</param>
    public static LiveUpdate Between(
        LiveSnapshot before, IReadOnlyDictionary<string, LiveFlow> flowsBefore, LiveSnapshot now, IReadOnlyDictionary<string, LiveFlow> flowsNow, bool whole) => new()
        {
            Time = now.Time,
            Whole = whole,
            Flows = Changed(flowsBefore, flowsNow),
            FlowsGone = ReferenceEquals(flowsBefore, flowsNow) ? [] : [.. flowsBefore.Keys.Where(k => !flowsNow.ContainsKey(k))],
            Jobs = Changed(before.Jobs, now.Jobs),
            Agents = Changed(before.Agents, now.Agents),
            Links = Changed(before.Links, now.Links),
            MarkingFaults = whole || !ReferenceEquals(before.MarkingFaults, now.MarkingFaults) ? now.MarkingFaults : null,
            MarkingSuspects = whole || !ReferenceEquals(before.MarkingSuspects, now.MarkingSuspects) ? now.MarkingSuspects : null,
            Warnings = whole || !ReferenceEquals(before.Warnings, now.Warnings) ? now.Warnings : null,
        };

    /// <summary>Whether an update says nothing.</summary>
    public static bool IsEmpty(LiveUpdate update) =>
        !update.Whole && update.Flows.Count + update.FlowsGone.Count + update.Jobs.Count + update.Agents.Count + update.Links.Count == 0
        && update.MarkingFaults is null && update.MarkingSuspects is null && update.Warnings is null;

    // What did not change is the same object.
    private static List<TValue> Changed<TKey, TValue>(IReadOnlyDictionary<TKey, TValue> before, IReadOnlyDictionary<TKey, TValue> now)
        where TValue : class => ReferenceEquals(before, now) ? [] : [.. now.Where(n => !ReferenceEquals(before.GetValueOrDefault(n.Key), n.Value)).Select(n => n.Value)];
}
