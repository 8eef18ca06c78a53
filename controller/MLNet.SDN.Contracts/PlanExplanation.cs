namespace MLNet.SDN.Contracts;

/// <summary>A job that uses the same link as another.</summary>
/// <param name="Job">Its name.</param>
/// <param name="Level">Its level; 0 when nothing is marked.</param>
/// <param name="Share">Part of the link's time that it would take alone, 0..1; 0 when its bytes are unknown.</param>
public sealed record LinkSharer(string Job, int Level, double Share);

/// <summary>What one more helper host would bring.</summary>
/// <param name="Host">The best one.</param>
/// <param name="RoundSeconds">A round then, with the fabric to itself, seconds.</param>
/// <param name="Gain">Part of the round that is saved, 0..1.</param>
public sealed record HelperGain(string Host, double RoundSeconds, double Gain);

/// <summary>Why a job runs as it does (<c>GET /api/v1/jobs/{nameOrId}/explanation</c>).</summary>
public sealed record PlanExplanation
{
    /// <summary>The job.</summary>
    public required long JobId { get; init; }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>All of it in a few sentences.</summary>
    public required string Text { get; init; }

    /// <summary>1 is the highest; 0 means unmarked.</summary>
    public required int Level { get; init; }

    /// <summary>Why this level.</summary>
    public required string LevelReason { get; init; }

    /// <summary>Why these trees.</summary>
    public required string TreeReason { get; init; }

    /// <summary>Link that its communication waits for, as <c>a->b</c>; null when it uses none.</summary>
    public string? Bottleneck { get; init; }

    /// <summary>Other jobs on that link, the busiest first.</summary>
    public IReadOnlyList<LinkSharer> SharedWith { get; init => field = value ?? []; } = [];

    /// <summary>A round with the fabric to itself, computation included, seconds; 0 when its bytes are unknown.</summary>
    public double RoundSecondsAlone { get; init; }

    /// <summary>A round beside the other jobs as they are now, seconds; 0 when its bytes are unknown.</summary>
    public double RoundSecondsNow { get; init; }

    /// <summary>What one more helper would bring; null when it would bring nothing.</summary>
    public HelperGain? OneMoreHelper { get; init; }
}

/// <summary>What a new job would do to one that runs.</summary>
/// <param name="JobId">The job.</param>
/// <param name="Name">Its name.</param>
/// <param name="LevelNow">Its level now.</param>
/// <param name="LevelThen">Its level beside the new job.</param>
/// <param name="NewTrees">Whether its trees would change.</param>
/// <param name="RoundSecondsNow">A round now, seconds; 0 when its bytes are unknown.</param>
/// <param name="RoundSecondsThen">A round beside the new job, seconds.</param>
/// <param name="Loss">Part by which its rounds would be longer; negative when they would be shorter.</param>
public sealed record PreviewedJob(long JobId, string Name, int LevelNow, int LevelThen, bool NewTrees, double RoundSecondsNow, double RoundSecondsThen, double Loss);

/// <summary>What would happen if a job were submitted (<c>POST /api/v1/plans/preview</c>).</summary>
public sealed record PlanPreview
{
    /// <summary>The plan it would get. Its job id is 0.</summary>
    public required JobPlan Plan { get; init; }

    /// <summary>All of it in a few sentences.</summary>
    public required string Text { get; init; }

    /// <summary>A round with the fabric to itself, computation included, seconds; 0 when bytes are unknown.</summary>
    public double RoundSecondsAlone { get; init; }

    /// <summary>A round beside the other jobs, seconds.</summary>
    public double RoundSeconds { get; init; }

    /// <summary>A round beside the other jobs if it exchanged its gradients by a server sharded over its workers, unmarked, seconds.</summary>
    public double PlainRoundSeconds { get; init; }

    /// <summary>Part of that round that the plan saves; negative when it costs.</summary>
    public double Gain { get; init; }

    /// <summary>The other jobs that it would touch, the one that loses most first.</summary>
    public IReadOnlyList<PreviewedJob> Others { get; init => field = value ?? []; } = [];

    /// <summary>What the operator should know, one sentence each.</summary>
    public IReadOnlyList<string> Warnings { get; init => field = value ?? []; } = [];
}
