using System.Net.Sockets;
using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Transport;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Workers;

/// <summary>Memory of a stream as a worker hands it back, unchecked.</summary>
/// <param name="Stream">The stream.</param>
/// <param name="Round">The first round whose outcome the worker does not know.</param>
/// <param name="Capacity">Bytes of the largest message.</param>
/// <param name="Descriptor">Of the file; the session's.</param>
internal sealed record RestoredFile(uint Stream, ulong Round, long Capacity, int Descriptor);

/// <summary>One worker's connection. Its own thread reads; whoever has news for the worker writes. Thread-safe.</summary>
internal sealed class WorkerSession : IDisposable
{
    /// <summary>Areas that a worker can hand back: two for each stream that it can have.</summary>
    private const int MaxRestores = 8192;

    private readonly Socket _socket;
    private readonly WorkerListener _listener;
    private readonly Lock _writing = new();
    private readonly Lock _state = new();
    private JobRuntime? _job;
    private int _rank = -1;
    private bool _ended;
    private string? _lastWaiting;
    private readonly Queue<int> _descriptors = new();
    private List<RestoredFile> _files = [];
    private int? _toRestore;
    private bool _whole;

    public WorkerSession(Socket socket, WorkerListener listener, long connectedAt)
    {
        ConnectedAt = connectedAt;
        _socket = socket;
        _listener = listener;
        (ProcessId, UserId) = WorkerSocket.PeerOf(socket);
    }

    /// <summary>Timestamp.</summary>
    public long ConnectedAt { get; }

    /// <summary>Without a part in a job: not yet, or not any more.</summary>
    public bool Idle
    {
        get
        {
            lock (_state)
            {
                return _job is null;
            }
        }
    }

    public int ProcessId { get; }

    public int UserId { get; }

    /// <summary>Job asked for; null before the join.</summary>
    public string? JobName { get; private set; }

    /// <summary>Rank asked for; null takes any.</summary>
    public int? WantedRank { get; private set; }

    /// <summary>Wants to be the job's server.</summary>
    public bool AsServer { get; private set; }

    /// <summary>It joins as a worker of a job with a parameter server.</summary>
    public bool AsWorkerOfServer { get; private set; }

    /// <summary>Workers that its launcher started; null when it did not say.</summary>
    public int? LaunchedWorkers { get; private set; }

    /// <summary>Whether the worker goes on with a session that began under an earlier life of the agent.</summary>
    public bool Restores => _toRestore is not null;

    /// <summary>Whether the worker's process has closed its end, or has ended: what is left is to notice it.</summary>
    public bool HasHungUp => Libc.HasHungUp(_socket.SafeHandle);

    /// <summary>Reads until the worker goes.</summary>
    public void Run()
    {
        var left = false;
        try
        {
            left = Read();
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The worker is gone.
        }
        finally
        {
            JobRuntime? job;
            lock (_state)
            {
                _ended = true;
                job = _job;
                _job = null;
            }

            _listener.Forget(this);
            CloseDescriptors();
            job?.Leave(this, _rank, left);
            _socket.Dispose();
        }
    }

    /// <summary>Tells a worker that waits to join what it waits for; said once per reason.</summary>
    public void Waiting(string code, string reason)
    {
        if (_lastWaiting != reason)
        {
            _lastWaiting = reason;
            Send(new WorkerMessage { Type = "waiting", Code = code, Message = reason });
        }
    }

    /// <summary>Lets the worker in. False when it is gone already.</summary>
    public bool Join(JobRuntime job, int rank)
    {
        lock (_state)
        {
            if (_ended)
            {
                return false;
            }

            _job = job;
            _rank = rank;
        }

        var plan = job.Engine.Job;
        Send(new WorkerMessage
        {
            Type = "joined", Protocol = WorkerMessage.CurrentProtocol, Job = plan.Name, JobId = plan.JobId, Rank = rank, WorldSize = plan.Members.Count, Server = plan.ServerRank,
        });
        return true;
    }

    public void Refuse(string code, string message) => Send(new WorkerMessage { Type = "refused", Code = code, Message = message });

    public void StreamOpened(uint stream, SharedArea area, ulong round) =>
        Send(new WorkerMessage { Type = "area", Stream = stream, Capacity = area.Capacity, Bytes = SharedAreaLayout.FileBytes(area.Capacity), Round = round }, area.FileDescriptor);

    public void StreamRefused(uint stream, string code, string message) =>
        Send(new WorkerMessage { Type = "failed", Stream = stream, Code = code, Message = message });

    public void RoundDone(uint stream, ulong round) => Send(new WorkerMessage { Type = "done", Stream = stream, Round = round });

    public void RoundFailed(uint stream, ulong round, string code, string message) =>
        Send(new WorkerMessage { Type = "failed", Stream = stream, Round = round, Code = code, Message = message });

    public void JobClosed(string message)
    {
        lock (_state)
        {
            _job = null;
        }

        Send(new WorkerMessage { Type = "closed", Code = FailureCode.JobClosed, Message = message });
    }

    /// <summary>Closes a connection that is not read from.</summary>
    public void Dispose() => _socket.Dispose();

    /// <summary>Makes the reading thread end.</summary>
    public void Close()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Gone already.
        }
    }

    /// <summary>True when the worker said goodbye, false when it just went.</summary>
    private bool Read()
    {
        var buffer = new byte[WorkerMessage.MaxBytes];
        var filled = 0;
        while (true)
        {
            var n = WorkerSocket.Receive(_socket, buffer.AsSpan(filled), out var descriptor);
            if (descriptor >= 0 && !TryKeep(descriptor))
            {
                Refuse("bad-message", "descriptors come only with restore, one each, and no more of one user than the agent can keep");
                return false;
            }

            if (n == 0)
            {
                return false;
            }

            filled += n;
            int end;
            while ((end = buffer.AsSpan(0, filled).IndexOf((byte)'\n')) >= 0)
            {
                if (!WorkerMessage.TryParse(buffer.AsSpan(0, end), out var message) || message is null)
                {
                    Refuse("bad-message", "a line is not a JSON object as in the worker protocol");
                    return false;
                }

                if (message.Type == "leave")
                {
                    return true;
                }

                if (Handle(message) is { } fault)
                {
                    Refuse("bad-message", fault);
                    return false;
                }

                buffer.AsSpan(end + 1, filled - end - 1).CopyTo(buffer);
                filled -= end + 1;
            }

            if (filled == buffer.Length)
            {
                Refuse("bad-message", $"a message is longer than {WorkerMessage.MaxBytes} bytes");
                return false;
            }
        }
    }

    /// <summary>Returns what is wrong with the message; null when nothing.</summary>
    private string? Handle(WorkerMessage message) => message.Type switch
    {
        "join" => OnJoin(message),
        "open" => OnOpen(message),
        "reduce" => OnReduce(message),
        "restore" => OnRestore(message),
        _ => $"unknown message type '{message.Type}'",
    };

    private string? OnJoin(WorkerMessage message)
    {
        if (JobName is not null)
        {
            return "a connection can join once";
        }

        if (message.Protocol != WorkerMessage.CurrentProtocol)
        {
            return $"worker protocol {message.Protocol} is not spoken here; this agent speaks {WorkerMessage.CurrentProtocol}";
        }

        if (string.IsNullOrEmpty(message.Job))
        {
            return "a join names a job";
        }

        if (message.Restore is { } restore)
        {
            if (restore is < 0 or > MaxRestores || message.Rank is null)
            {
                return $"a join with restore names its rank and 0 to {MaxRestores} areas";
            }

            _toRestore = restore;
        }

        if (message.Role is not (null or "worker" or "server"))
        {
            return $"role '{message.Role}' is unknown; join as worker or server";
        }

        if (message.Workers is < 1)
        {
            return $"workers is {message.Workers}; it is the number that the launcher started";
        }

        AsServer = message.Role == "server";
        AsWorkerOfServer = message.Role == "worker";
        LaunchedWorkers = message.Workers;
        JobName = message.Job;
        WantedRank = message.Rank;
        WaitWhenWhole();
        return null;
    }

    private string? OnRestore(WorkerMessage message)
    {
        if (_toRestore is not { } wanted || _whole)
        {
            return "restore comes behind a join that announces it";
        }

        if (message is not { Stream: { } stream, Round: { } round and < FrameHeader.MaxRound, Capacity: { } capacity } || !_descriptors.TryDequeue(out var descriptor))
        {
            return "restore needs stream, round, capacity and a descriptor";
        }

        _files.Add(new RestoredFile(stream, round, capacity, descriptor));
        if (_files.Count > wanted)
        {
            return "more areas than announced";
        }

        WaitWhenWhole();
        return null;
    }

    private void WaitWhenWhole()
    {
        if (_toRestore is not { } wanted)
        {
            _listener.Wait(this);
        }
        else if (_files.Count == wanted)
        {
            _whole = true;
            _listener.Wait(this);
        }
    }

    private bool TryKeep(int descriptor)
    {
        // It may have come together with the join that announces it, which is not read yet.
        var expected = _toRestore is { } wanted ? _files.Count + _descriptors.Count < wanted : JobName is null && _descriptors.Count == 0;
        if (expected && !_whole && _listener.TryHold(UserId, descriptor))
        {
            _descriptors.Enqueue(descriptor);
            return true;
        }

        _ = Libc.Close(descriptor);
        return false;
    }

    /// <summary>Maps what the worker brought, as far as it is what it should be. To be called once.</summary>
    public IReadOnlyList<RestoredStream> TakeRestored(long jobId, int rank)
    {
        var streams = new List<RestoredStream>();
        var files = Interlocked.Exchange(ref _files, []);
        var mapped = 0L;
        foreach (var file in files)
        {
            if (mapped > AddressSpace.MostOfWorker)
            {
                _ = Libc.Close(file.Descriptor);
            }
            else if (SharedArea.TryRestore(file.Descriptor, jobId, rank, file.Stream, file.Capacity) is { } area)
            {
                streams.Add(new RestoredStream(file.Stream, file.Round, area));
                mapped += area.FileBytes;
            }
        }

        _listener.LetGo(UserId, files.Count);
        return streams;
    }

    private void CloseDescriptors()
    {
        var closed = 0;
        while (_descriptors.TryDequeue(out var descriptor))
        {
            _ = Libc.Close(descriptor);
            closed++;
        }

        foreach (var file in Interlocked.Exchange(ref _files, []))
        {
            _ = Libc.Close(file.Descriptor);
            closed++;
        }

        _listener.LetGo(UserId, closed);
    }

    private string? OnOpen(WorkerMessage message)
    {
        if (message is not { Stream: { } stream, Bytes: { } bytes and > 0 and <= SharedAreaLayout.MaxCapacity })
        {
            return $"open needs a stream and bytes from 1 to {SharedAreaLayout.MaxCapacity}";
        }

        return Current() is { } job ? job.Engine.Open(_rank, stream, bytes) : NotJoined;
    }

    private string? OnReduce(WorkerMessage message)
    {
        if (message is not { Stream: { } stream, Round: { } round, Bytes: { } bytes })
        {
            return "reduce needs stream, round and bytes";
        }

        if (!Elements.TryParse(message.Dtype, out ElementType type))
        {
            return $"dtype '{message.Dtype}' is not supported; use one of {Elements.AllTypes}";
        }

        if (!Elements.TryParse(message.Op, out ReduceOperation operation))
        {
            return $"op '{message.Op}' is not supported; use one of {Elements.AllOperations}";
        }

        return Current() is { } job ? job.Engine.Submit(_rank, stream, round, new MessageShape(bytes, type, operation, message.Deterministic ?? false)) : NotJoined;
    }

    private string? NotJoined => JobName is null ? "join first" : null;

    private JobRuntime? Current()
    {
        lock (_state)
        {
            return _job;
        }
    }

    private void Send(WorkerMessage message, int descriptor = -1)
    {
        lock (_writing)
        {
            if (!WorkerSocket.TrySend(_socket, message.Serialize(), descriptor))
            {
                Close();
            }
        }
    }
}
