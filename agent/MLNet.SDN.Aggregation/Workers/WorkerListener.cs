using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Transport;

namespace MLNet.SDN.Aggregation.Workers;

/// <summary>Takes workers' connections on a Unix socket, and lets those in that wait for their job. Thread-safe.</summary>
internal sealed class WorkerListener(string path, string host, Func<string, JobRuntime?> find, Shortage shortage, TimeProvider time, ILogger logger) : IDisposable
{
    /// <summary>Connections at once; a host has some dozens of workers.</summary>
    private const int MaxSessions = 1024;

    /// <summary>Connections without a part in a job, in all: the rest is kept for those that train.</summary>
    private const int MaxIdle = 512;

    /// <summary>Connections of one user without a part in a job: no user can take the others' places.</summary>
    internal const int MaxIdlePerUser = 128;

    /// <summary>A user whose workers have not joined may have them keep at least so many descriptors of memory handed back here.</summary>
    private const int MinHeldPerUser = 64;

    /// <summary>And at most this part of all: no user can take the others' places.</summary>
    private const int HeldPartPerUser = 4;

    /// <summary>A worker says at once which job it wants to join.</summary>
    private static readonly TimeSpan JoinPatience = TimeSpan.FromSeconds(10);

    private const int StackBytes = 512 * 1024;

    private readonly Lock _lock = new();
    private readonly HashSet<WorkerSession> _sessions = [];
    private readonly List<WorkerSession> _waiting = [];
    private readonly Dictionary<int, int> _held = [];
    private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private volatile bool _stopped;
    private bool _bound;
    private long _crowdedOut;
    private long _refused;

    /// <summary>Begins to listen.</summary>
    /// <exception cref="IOException">Another agent listens there, or the path cannot be used.</exception>
    public void Start()
    {
        var endpoint = new UnixDomainSocketEndPoint(path);
        if (File.Exists(path))
        {
            using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                probe.Connect(endpoint);
                throw new IOException($"Another agent listens on the worker socket {path}; give this one another Agent:WorkerSocket or end that one.");
            }
            catch (SocketException) when (new FileInfo(path).Length > 0) // a socket has no length
            {
                throw new IOException($"The worker socket {path} is a file of somebody else's, not a socket; remove it or give Agent:WorkerSocket another path.");
            }
            catch (SocketException)
            {
                // Left over from an agent that is gone.
                File.Delete(path);
            }
        }

        if (Path.GetDirectoryName(path) is { Length: > 0 } directory)
        {
            Directory.CreateDirectory(directory);
        }

        try
        {
            _socket.Bind(endpoint);
            _bound = true;
        }
        catch (SocketException e)
        {
            throw new IOException($"The worker socket {path} cannot be made: {e.Message}.", e);
        }

        // Any user may knock; who may join is asked of the kernel (SO_PEERCRED) and the job.
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(path, (UnixFileMode)0b110_110_110);
        }

        _socket.Listen(128);
        new Thread(Accept, StackBytes) { IsBackground = true, Name = "mlnet-workers" }.Start();
    }

    /// <summary>Stops listening and closes all workers' connections.</summary>
    public void Dispose()
    {
        _stopped = true;
        _socket.Dispose();
        List<WorkerSession> sessions;
        lock (_lock)
        {
            sessions = [.. _sessions];
        }

        foreach (var session in sessions)
        {
            session.Close();
        }

        try
        {
            if (_bound)
            {
                File.Delete(path);
            }
        }
        catch (IOException)
        {
            // Somebody else's directory now; a stale socket is taken over at the next start.
        }
    }

    /// <summary>Counts a descriptor that a worker handed in. False when it is one too many; the caller closes it.</summary>
    public bool TryHold(int userId, int descriptor)
    {
        lock (_lock)
        {
            var held = _held.GetValueOrDefault(userId);
            if (!DescriptorReserve.Spares(descriptor) || held >= Math.Max(MinHeldPerUser, Libc.DescriptorLimit() / HeldPartPerUser))
            {
                return false;
            }

            _held[userId] = held + 1;
            return true;
        }
    }

    /// <summary>Descriptors counted by <see cref="TryHold"/> were closed, or became the memory of a worker that joined.</summary>
    public void LetGo(int userId, int count)
    {
        lock (_lock)
        {
            if (count > 0 && (_held[userId] -= count) == 0)
            {
                _held.Remove(userId);
            }
        }
    }

    public void Wait(WorkerSession session)
    {
        lock (_lock)
        {
            _waiting.Add(session);
        }

        Admit(session);
    }

    public void Forget(WorkerSession session)
    {
        lock (_lock)
        {
            _waiting.Remove(session);
            _sessions.Remove(session);
        }
    }

    /// <summary>Looks whether somebody who waits can be let in.</summary>
    public void Tick()
    {
        WorkerSession[] waiting;
        List<WorkerSession>? silent = null;
        lock (_lock)
        {
            foreach (var session in _sessions)
            {
                if (session.JobName is null && time.GetElapsedTime(session.ConnectedAt) > JoinPatience)
                {
                    (silent ??= []).Add(session);
                }
            }

            waiting = _waiting.Count == 0 ? [] : [.. _waiting];
        }

        foreach (var session in silent ?? [])
        {
            session.Refuse("bad-message", $"a worker joins within {JoinPatience.TotalSeconds:0} s");
            session.Close();
        }

        foreach (var session in waiting)
        {
            Admit(session);
        }
    }

    private void Admit(WorkerSession session)
    {
        var job = find(session.JobName!);
        if (job is null)
        {
            session.Waiting("unknown-job", $"job {session.JobName} is not known to the agent on {host}: it was not submitted, has no worker here, or has ended");
            return;
        }

        if (!session.Restores && job.NotReady(session) is { } reason)
        {
            session.Waiting("not-ready", $"job {session.JobName}: {reason}");
            return;
        }

        lock (_lock)
        {
            // One thread admits it, once.
            if (!_waiting.Remove(session))
            {
                return;
            }
        }

        if (job.TryJoin(session, session.WantedRank, session.UserId, out var rank) is { } refusal)
        {
            if (System.Numerics.BitOperations.IsPow2(Interlocked.Increment(ref _refused)))
            {
                AggregationLog.WorkerRefused(logger, refusal);
            }

            session.Refuse("refused", refusal);
            session.Close();
            return;
        }

        AggregationLog.WorkerJoined(logger, job.Name, rank, session.ProcessId, session.UserId);
        if (!session.Join(job, rank))
        {
            job.Leave(session, rank, left: false);
        }
    }

    private void Accept()
    {
        while (!_stopped)
        {
            Socket socket;
            try
            {
                socket = _socket.Accept();
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                if (!_stopped)
                {
                    if (!shortage.Met("workers", e))
                    {
                        AggregationLog.Fault(logger, "accepting a worker", e);
                    }

                    Thread.Sleep(100);
                }

                continue;
            }

            if (!shortage.Affords("workers", socket))
            {
                socket.Dispose();
                continue;
            }

            try
            {
                Take(new WorkerSession(socket, this, time.GetTimestamp()));
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or OutOfMemoryException)
            {
                socket.Dispose();
                if (!shortage.Met("workers", e))
                {
                    AggregationLog.Fault(logger, "taking a worker's connection", e);
                }

                Thread.Sleep(100);
            }
        }
    }

    private void Take(WorkerSession session)
    {
        bool taken;
        lock (_lock)
        {
            var (idle, ofUser) = (0, 0);
            foreach (var other in _sessions)
            {
                if (other.Idle)
                {
                    idle++;
                    ofUser += other.UserId == session.UserId ? 1 : 0;
                }
            }

            taken = !_stopped && _sessions.Count < MaxSessions && idle < MaxIdle && ofUser < MaxIdlePerUser;
            if (taken)
            {
                _sessions.Add(session);
            }
        }

        if (!taken && _stopped)
        {
            // Not refused: the worker comes again, and finds the agent's next life.
            session.Dispose();
            return;
        }

        if (!taken)
        {
            if (System.Numerics.BitOperations.IsPow2(++_crowdedOut))
            {
                AggregationLog.TooManyWorkers(logger, session.UserId, session.ProcessId, _crowdedOut);
            }

            session.Refuse("refused", $"too many connections to the agent on {host} have not joined a job; end some of them");
            session.Dispose();
            return;
        }

        try
        {
            new Thread(() => Serve(session), StackBytes) { IsBackground = true, Name = "mlnet-worker" }.Start();
        }
        catch (OutOfMemoryException)
        {
            Forget(session);
            throw;
        }
    }

    private void Serve(WorkerSession session)
    {
        try
        {
            session.Run();
        }
        catch (Exception e)
        {
            AggregationLog.Fault(logger, "a worker's connection", e);
        }
    }
}
