namespace MLNet.SDN.Aggregation.Client;

/// <summary>What a trainer might treat differently.</summary>
public enum WorkerError
{
    /// <summary>Something that this version has no word for; the message has.</summary>
    Other = 0,

    /// <summary>No agent listens on the socket, or it went away and did not come back in time.</summary>
    AgentUnavailable,

    /// <summary>The agent did not learn of the job in time, or no job was named.</summary>
    UnknownJob,

    /// <summary>The job is known, but its agents were not all connected in time, or its parameter server and workers did not all begin.</summary>
    NotReady,

    /// <summary>This process may not take part: wrong user, rank taken, rank of another host.</summary>
    Refused,

    /// <summary>Workers reduced messages of different size, type or operation in one round. The next round is not affected.</summary>
    ShapeMismatch,

    /// <summary>The round cannot be finished because a worker or a host is gone.</summary>
    RoundFailed,

    /// <summary>The job was withdrawn, or left.</summary>
    JobClosed,
}

/// <summary>A round or a join that did not come about. The message names the value at fault and the remedy.</summary>
public sealed class WorkerException : Exception
{
    /// <summary>Describes the failure.</summary>
    public WorkerException(WorkerError error, string message, Exception? cause = null)
        : base(message, cause) => Error = error;

    /// <summary>Its kind.</summary>
    public WorkerError Error { get; }

    internal static WorkerException Of(string? code, string? message, string where = "") => new(
        code switch
        {
            "unknown-job" => WorkerError.UnknownJob,
            "not-ready" => WorkerError.NotReady,
            "refused" => WorkerError.Refused,
            Rounds.FailureCode.ShapeMismatch => WorkerError.ShapeMismatch,
            Rounds.FailureCode.WorkerGone or Rounds.FailureCode.HostLost => WorkerError.RoundFailed,
            Rounds.FailureCode.JobClosed => WorkerError.JobClosed,
            _ => WorkerError.Other,
        },
        $"{where}{message ?? code}");
}
