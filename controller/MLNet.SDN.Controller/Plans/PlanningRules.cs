using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.Plans;

/// <summary>What an operator may choose for planning.</summary>
internal static class PlanningRules
{
    /// <summary>Strategies for trees.</summary>
    public static readonly IReadOnlyList<string> Strategies = ["direct-single", "direct-sharded", "rack"];

    /// <summary>Policies for levels.</summary>
    public static readonly IReadOnlyList<string> Policies = ["fair", "srpt"];

    /// <summary>Every fault of the settings.</summary>
    public static IReadOnlyList<FieldFault> Check(PlanningSettings settings)
    {
        List<FieldFault> faults = [];
        if (!Strategies.Contains(settings.Strategy))
        {
            faults.Add(new("strategy", settings.Strategy, $"is no strategy; one of {string.Join(", ", Strategies)}."));
        }

        if (!Policies.Contains(settings.Policy))
        {
            faults.Add(new("policy", settings.Policy, $"is no policy; one of {string.Join(", ", Policies)}."));
        }

        return faults;
    }
}
