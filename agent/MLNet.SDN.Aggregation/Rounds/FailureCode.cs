namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>Why a round was given up, as it is said to workers; each has an exception in the Python client.</summary>
internal static class FailureCode
{
    /// <summary>Workers called with arrays of different size or type, or with different operations.</summary>
    public const string ShapeMismatch = "shape-mismatch";

    /// <summary>A worker died or left.</summary>
    public const string WorkerGone = "worker-gone";

    /// <summary>A host of the job cannot be reached.</summary>
    public const string HostLost = "host-lost";

    /// <summary>The job was withdrawn from this host.</summary>
    public const string JobClosed = "job-closed";
}
