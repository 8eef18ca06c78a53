using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;
using MLNet.SDN.Planning;

namespace MLNet.SDN.Controller.Plans;

/// <summary>How jobs are planned and how their data plane is sized. Section <c>Planning</c>.</summary>
public sealed class PlanningOptions
{
    /// <summary>Start value of the strategy for trees; <c>PUT /api/v1/planning</c> changes it, and what was put last is kept in the database.</summary>
    public string Strategy { get; set; } = "rack";

    /// <summary>Start value of the policy for levels.</summary>
    public string Policy { get; set; } = "srpt";

    /// <summary>
    /// Bytes of a chunk of gradient on fast links, a multiple of 8. Default 262,144: on links faster than hosts can sum, the cost of each chunk counts,
    /// and a window of eight still stays in a processor's caches (ADR 9).
    /// </summary>
    [Range(1_024, 4_194_304)]
    public int ChunkBytes { get; set; } = 262_144;

    /// <summary>Chunks of a shard that may be under way without their result. Default 8.</summary>
    [Range(1, 1_024)]
    public int WindowChunks { get; set; } = 8;

    /// <summary>Connections per tree edge that leaves a rack. Default 2.</summary>
    [Range(1, 16)]
    public int Stripes { get; set; } = 2;

    /// <summary>Least time between two re-plans that only progress asks for. Default 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "01:00:00")]
    public TimeSpan Dwell { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Change of a job's remaining rounds, as a share of what the last plan knew, that asks for a new plan. Default 0.2.</summary>
    [Range(0.01, 1)]
    public double Drift { get; set; } = 0.2;
}

/// <summary>Field rules of <see cref="PlanningOptions"/>, made by the source generator.</summary>
[OptionsValidator]
public sealed partial class PlanningOptionsFieldRules : IValidateOptions<PlanningOptions>;

/// <summary>Rules that an attribute cannot say.</summary>
public sealed class PlanningOptionsCrossRules : IValidateOptions<PlanningOptions>
{
    /// <inheritdoc />
    public ValidateOptionsResult Validate(string? name, PlanningOptions options)
    {
        List<string> faults = [];
        if (options.ChunkBytes % 8 != 0)
        {
            faults.Add($"Planning:ChunkBytes ({options.ChunkBytes}) must be a multiple of 8, so that no element is cut.");
        }

        faults.AddRange(PlanningSettingsRules.Check(new() { Strategy = options.Strategy, Policy = options.Policy })
            .Select(f => $"Planning:{char.ToUpperInvariant(f.Field[0])}{f.Field[1..]} '{f.Value}': {f.Message}"));
        return faults.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults);
    }
}
