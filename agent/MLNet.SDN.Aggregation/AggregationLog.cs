using System.Net;
using Microsoft.Extensions.Logging;

namespace MLNet.SDN.Aggregation;

/// <summary>Event ids 4000-4199: the data plane. Ids are never reused; retire them in place with a comment.</summary>
internal static partial class AggregationLog
{
    [LoggerMessage(4000, LogLevel.Information, "Data plane of {Host} listens on {Endpoint}, for workers on {WorkerSocket}")]
    public static partial void Started(ILogger logger, string host, EndPoint endpoint, string workerSocket);

    [LoggerMessage(4001, LogLevel.Information, "Job {Job} ({JobId}) is known here: {Members} workers, trees {Revision}")]
    public static partial void JobAdded(ILogger logger, string job, long jobId, int members, TreesRevision revision);

    [LoggerMessage(4002, LogLevel.Information, "Job {Job} has new trees {Revision}; they are used once every member has them")]
    public static partial void TreesAdded(ILogger logger, string job, TreesRevision revision);

    [LoggerMessage(4003, LogLevel.Information, "Job {Job} was withdrawn from this host")]
    public static partial void JobRemoved(ILogger logger, string job);

    [LoggerMessage(4004, LogLevel.Error, "A plan was not taken over: {Fault}; the job stays as it is")]
    public static partial void PlanRefused(ILogger logger, string fault);

    [LoggerMessage(4010, LogLevel.Information, "Job {Job}: {Role} connection with {Peer} stands ({Endpoint})")]
    public static partial void Connected(ILogger logger, string job, string role, string peer, EndPoint? endpoint);

    [LoggerMessage(4011, LogLevel.Information, "Job {Job}: {Role} connection with {Peer} ended; it is dialled again")]
    public static partial void Disconnected(ILogger logger, string job, string role, string peer);

    [LoggerMessage(4012, LogLevel.Warning, "A connection from {Endpoint} was refused: it did not prove to belong to a job of this host ({Refused} so far)")]
    public static partial void ConnectionRefused(ILogger logger, EndPoint? endpoint, long refused);

    [LoggerMessage(4014, LogLevel.Debug, "A connection from {Endpoint} was refused: {Peer} is ahead of us, its job {JobId} is not known here (yet)")]
    public static partial void TooEarly(ILogger logger, EndPoint? endpoint, string peer, long jobId);

    [LoggerMessage(4013, LogLevel.Warning, "Job {Job}: {Peer} was silent for {SilentSeconds} s; its signalling connection is closed")]
    public static partial void Silent(ILogger logger, string job, string peer, int silentSeconds);

    [LoggerMessage(4015, LogLevel.Warning, "Paths are not looked for, so connections of one edge may share an uplink: raw sockets are refused ({Reason}); CAP_NET_RAW allows them")]
    public static partial void NoProbes(ILogger logger, string reason);

    [LoggerMessage(4020, LogLevel.Information, "Job {Job}: rank {Rank} joined (process {ProcessId}, user {UserId})")]
    public static partial void WorkerJoined(ILogger logger, string job, int rank, int processId, int userId);

    [LoggerMessage(4021, LogLevel.Information, "Job {Job}: rank {Rank} left")]
    public static partial void WorkerLeft(ILogger logger, string job, int rank);

    [LoggerMessage(4022, LogLevel.Warning, "Job {Job}: rank {Rank} died; the other workers hear of it")]
    public static partial void WorkerDied(ILogger logger, string job, int rank);

    [LoggerMessage(4023, LogLevel.Warning, "A worker was refused: {Reason}")]
    public static partial void WorkerRefused(ILogger logger, string reason);

    [LoggerMessage(4030, LogLevel.Error, "Job {Job}: round {Round} of stream {Stream} failed at rank {Rank}: {Reason}")]
    public static partial void RoundFailed(ILogger logger, string job, ulong round, uint stream, int rank, string reason);

    [LoggerMessage(4031, LogLevel.Information, "Job {Job}: round {Round} of stream {Stream} is tried again, as attempt {Attempt} of trees {Revision}; the workers only wait longer")]
    public static partial void TriedAgain(ILogger logger, string job, long round, uint stream, uint attempt, TreesRevision revision);

    [LoggerMessage(4032, LogLevel.Information, "Job {Job}: round {Round} of stream {Stream} is summed in attempt {Attempt}: nobody has all of its results from an earlier one")]
    public static partial void SummedAgain(ILogger logger, string job, long round, uint stream, uint attempt);

    [LoggerMessage(4040, LogLevel.Error, "The data plane met a fault of its own and goes on: {What}")]
    public static partial void Fault(ILogger logger, string what, Exception exception);

    [LoggerMessage(4041, LogLevel.Error, "No file descriptors, memory or threads left for {What} ({Reason}). Running jobs go on and newcomers are tried again; raise the limits of this process (LimitNOFILE=, TasksMax=) or look at who holds its sockets")]
    public static partial void Shortage(ILogger logger, string what, string reason);

    [LoggerMessage(4042, LogLevel.Information, "File descriptors, memory and threads suffice again")]
    public static partial void ShortageOver(ILogger logger);

    [LoggerMessage(4043, LogLevel.Warning, "User {UserId} (process {ProcessId}) keeps too many connections to the worker socket that have not joined a job; more are refused ({Refused} so far)")]
    public static partial void TooManyWorkers(ILogger logger, int userId, int processId, long refused);
}
