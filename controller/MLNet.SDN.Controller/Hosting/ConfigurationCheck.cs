using System.Text.RegularExpressions;
using Microsoft.Extensions.Options;
using MLNet.SDN.Controller.History;
using MLNet.SDN.Controller.Plans;

namespace MLNet.SDN.Controller.Hosting;

/// <summary>Checks all configuration at once, the same for a start and for <c>--check-config</c>.</summary>
internal static partial class ConfigurationCheck
{
    private static readonly Regex GeneratedMessage = GeneratedMessageRegex();

    private static readonly (string Section, Type Options)[] Sections =
    [
        ("Controller", typeof(ControllerOptions)),
        ("Planning", typeof(PlanningOptions)),
        ("History", typeof(HistoryOptions)),
    ];

    /// <summary>Binds the options and has them validated when the process starts.</summary>
    public static void AddOptions(IServiceCollection services, IConfiguration configuration)
    {
        Add<ControllerOptions>(services, configuration, Sections[0].Section, new ControllerOptionsFieldRules(), new ControllerOptionsCrossRules());
        Add<PlanningOptions>(services, configuration, Sections[1].Section, new PlanningOptionsFieldRules(), new PlanningOptionsCrossRules());
        Add<HistoryOptions>(services, configuration, Sections[2].Section, new HistoryOptionsFieldRules(), new HistoryOptionsCrossRules());
    }

    /// <summary>Every fault, one sentence each: unknown keys, impossible values, and those of the topology file.</summary>
    public static IReadOnlyList<string> FindFaults(IConfigurationRoot configuration)
    {
        var faults = ConfigurationKeys.FindUnknown(configuration, Sections).ToList();
        if (faults.Count > 0)
        {
            // Values cannot be bound safely before the keys are right.
            return faults;
        }

        var controller = Validate<ControllerOptions>(configuration, Sections[0].Section, faults, new ControllerOptionsFieldRules(), new ControllerOptionsCrossRules());
        Validate<PlanningOptions>(configuration, Sections[1].Section, faults, new PlanningOptionsFieldRules(), new PlanningOptionsCrossRules());
        Validate<HistoryOptions>(configuration, Sections[2].Section, faults, new HistoryOptionsFieldRules(), new HistoryOptionsCrossRules());
        if (File.Exists(controller.Topology) && !TopologyFile.TryLoad(controller.Topology, out _, out var topology))
        {
            faults.AddRange(topology);
        }

        return faults;
    }

    private static void Add<T>(IServiceCollection services, IConfiguration configuration, string section, params IValidateOptions<T>[] rules)
        where T : class
    {
        services.AddOptions<T>().Bind(configuration.GetSection(section), o => o.ErrorOnUnknownConfiguration = true).ValidateOnStart();
        foreach (var rule in rules)
        {
            services.AddSingleton(rule);
        }
    }

    private static T Validate<T>(IConfiguration configuration, string section, List<string> faults, params IValidateOptions<T>[] rules)
        where T : class, new()
    {
        var options = new T();
        configuration.GetSection(section).Bind(options);
        foreach (var rule in rules)
        {
            if (rule.Validate(Options.DefaultName, options) is { Failed: true } failed)
            {
                // The generated rules say "Stripes: The field PlanningOptions.Stripes must ..."; operators know it as Planning:Stripes.
                faults.AddRange(failed.Failures.Select(f => GeneratedMessage.Match(f) is { Success: true } m ? $"{section}:{m.Groups[1].Value} {m.Groups[2].Value}" : f));
            }
        }

        return options;
    }

    [GeneratedRegex(@"^(\w+): (?:The field \w+\.\w+ )?(.*)$")]
    private static partial Regex GeneratedMessageRegex();
}
