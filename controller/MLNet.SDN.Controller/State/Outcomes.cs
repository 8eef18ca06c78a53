using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.State;

/// <summary>How a submission ended.</summary>
internal enum SubmitStatus
{
    /// <summary>The job is stored and planned.</summary>
    Created,

    /// <summary>The same request was served before; the job is that one.</summary>
    Replayed,

    /// <summary>The input has faults.</summary>
    Invalid,

    /// <summary>An unfinished job has the name.</summary>
    NameTaken,

    /// <summary>The Idempotency-Key came before with another body.</summary>
    KeyReused,
}

/// <summary>How a submission ended, with the job or the faults.</summary>
internal sealed record SubmitOutcome(SubmitStatus Status, JobRecord? Job, IReadOnlyList<FieldFault> Faults)
{
    /// <inheritdoc cref="SubmitStatus.Created"/>
    public static SubmitOutcome Created(JobRecord job) => new(SubmitStatus.Created, job, []);

    /// <inheritdoc cref="SubmitStatus.Replayed"/>
    public static SubmitOutcome Replayed(JobRecord job) => new(SubmitStatus.Replayed, job, []);

    /// <inheritdoc cref="SubmitStatus.Invalid"/>
    public static SubmitOutcome Invalid(IReadOnlyList<FieldFault> faults) => new(SubmitStatus.Invalid, null, faults);

    /// <inheritdoc cref="SubmitStatus.NameTaken"/>
    public static SubmitOutcome NameTaken(JobRecord holder) => new(SubmitStatus.NameTaken, holder, []);

    /// <inheritdoc cref="SubmitStatus.KeyReused"/>
    public static SubmitOutcome KeyReused(JobRecord earlier) => new(SubmitStatus.KeyReused, earlier, []);
}

/// <summary>How the end of a job went.</summary>
internal enum EndOutcome
{
    /// <summary>It has ended.</summary>
    Ended,

    /// <summary>No unfinished job has this number.</summary>
    NotRunning,

    /// <summary>The job changed since the caller read it.</summary>
    VersionDiffers,
}

/// <summary>This process does not lead, so it can change nothing.</summary>
internal sealed class NotLeadingException() : Exception("This controller does not lead now; another one does, or the database cannot be reached.");

/// <summary>The process must not start like this.</summary>
internal sealed class StartUpException(IReadOnlyList<string> faults) : Exception(string.Join(Environment.NewLine, faults))
{
    /// <summary>One sentence each.</summary>
    public IReadOnlyList<string> Faults { get; } = faults;
}
