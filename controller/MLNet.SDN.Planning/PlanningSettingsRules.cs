using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Trees;

namespace MLNet.SDN.Planning;

/// <summary>Checks <see cref="PlanningSettings"/>.</summary>
public static class PlanningSettingsRules
{
    /// <summary>Strategies that can be chosen.</summary>
    public static IReadOnlyList<string> Strategies { get; } = ["direct-single", "direct-sharded", "rack", "binary", "optimized"];

    /// <summary>Policies that can be chosen.</summary>
    public static IReadOnlyList<string> Policies { get; } = ["fair", .. Priorities.PriorityPolicies.Names, "weighted"];

    /// <summary>Everything wrong with the settings; empty when they can be planned by.</summary>
    /// <param name="settings">The settings.</param>
    /// <param name="ladder">Levels that the fabric has; null for the standard ones.</param>
    public static IReadOnlyList<FieldFault> Check(PlanningSettings settings, PriorityLadder? ladder = null)
    {
        var faults = new List<FieldFault>();
        if (!Strategies.Contains(settings.Strategy, StringComparer.Ordinal))
        {
            var why = TrafficStrategies.Names.Contains(settings.Strategy, StringComparer.Ordinal)
                ? "Agents cannot carry out this strategy, it is a model for simulations only"
                : "There is no such strategy";
            faults.Add(new("strategy", settings.Strategy ?? "", $"{why}; choose one of {string.Join(", ", Strategies)}."));
        }

        if (!Policies.Contains(settings.Policy, StringComparer.Ordinal))
        {
            faults.Add(new("policy", settings.Policy ?? "", $"There is no such policy; choose one of {string.Join(", ", Policies)}."));
        }

        if (settings.Policy == "weighted" && (ladder ?? PriorityLadder.Standard).JobWeights().Count == 0)
        {
            faults.Add(new("policy", settings.Policy, "This policy needs queues that share links by weights; those of this fabric serve levels in strict order. Choose another, srpt for example."));
        }

        return faults;
    }
}
