using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Client;

/// <summary>The worker's side of its agent: what is asked, what is answered, and an agent that is started anew. docs/protocol.md §5 is the authority.</summary>
public sealed partial class WorkerJob
{
    private static readonly TimeSpan RejoinPause = TimeSpan.FromMilliseconds(100);

    /// <summary>Guards <see cref="_away"/> and what is sent; taken before <see cref="_lock"/>. A request is noted and sent under it, so that an agent that comes gets each once.</summary>
    private readonly Lock _sending = new();
    private readonly CancellationTokenSource _ending = new();
    private readonly Thread _reader;
    private AgentConnection _connection;
    private bool _away;
    private WorkerException? _ended;

    private static WorkerMessage Admitted(AgentConnection connection, TimeSpan timeout, CancellationToken cancellationToken)
    {
        WorkerException? waitsFor = null;
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        end.CancelAfter(timeout);
        using var registration = end.Token.Register(connection.Shutdown);
        while (true)
        {
            WorkerMessage message;
            try
            {
                message = connection.Receive(out _);
            }
            catch (WorkerException) when (end.IsCancellationRequested)
            {
                cancellationToken.ThrowIfCancellationRequested();
                throw new WorkerException(waitsFor?.Error ?? WorkerError.UnknownJob, $"{waitsFor?.Message ?? "the agent did not answer"} (waited {timeout.TotalSeconds:0.##} s)");
            }

            switch (message)
            {
                case { Type: "waiting" }:
                    waitsFor = WorkerException.Of(message.Code, message.Message);
                    break;
                case { Type: "joined", Job: not null, Rank: not null, WorldSize: not null }:
                    return message;
                case { Type: "refused" or "closed" }:
                    throw WorkerException.Of(message.Code, message.Message);
                default:
                    throw new WorkerException(WorkerError.Other, $"the agent answered a join with '{message.Type}'");
            }
        }
    }

    /// <summary>Asks for something; the task ends when the reading thread has the answer.</summary>
    /// <exception cref="WorkerException">The job has ended.</exception>
    private Task Ask(WorkerStream state, WorkerMessage request)
    {
        lock (_sending)
        {
            Task answered;
            lock (_lock)
            {
                if (_ended is not null)
                {
                    throw _ended;
                }

                answered = state.Asked(request);
            }

            Send(request);
            return answered;
        }
    }

    /// <summary>Sends, where there is an agent. What does not arrive is asked again once the agent is back, or ended with the job.</summary>
    private void Send(WorkerMessage message)
    {
        lock (_sending)
        {
            if (_away)
            {
                return;
            }

            try
            {
                _connection.Send(message);
            }
            catch (WorkerException)
            {
                // What the agent said before it closed explains more than the broken connection; the reading thread comes to it next.
                _connection.Shutdown();
            }
        }
    }

    /// <summary>The reading thread: completes what the agent answers.</summary>
    private void Read()
    {
        for (var connection = _connection; connection is not null;)
        {
            try
            {
                while (true)
                {
                    var message = connection.Receive(out var descriptor);
                    if (message.Type is "closed" or "refused")
                    {
                        End(WorkerException.Of(message.Code, message.Message));
                    }
                    else
                    {
                        Take(message, descriptor);
                    }
                }
            }
            catch (WorkerException gone) when (gone.Error == WorkerError.AgentUnavailable)
            {
                connection = Resume(gone);
            }
            catch (Exception e) when (e is WorkerException or IOException)
            {
                End(e as WorkerException ?? new WorkerException(WorkerError.Other, e.Message, e));
                connection = null;
            }
        }

        lock (_lock)
        {
            foreach (var stream in _streams.Values)
            {
                stream.Unmap();
            }
        }
    }

    /// <summary>Goes on with an agent that is started anew. Null when the job ended meanwhile, or with <paramref name="gone"/> when there is none in time.</summary>
    private AgentConnection? Resume(WorkerException gone)
    {
        string path;
        lock (_sending)
        {
            _away = true;
            path = _connection.Path;
            _connection.Dispose();
        }

        using var end = CancellationTokenSource.CreateLinkedTokenSource(_ending.Token);
        end.CancelAfter(_options.RestartPatience);
        while (!end.IsCancellationRequested)
        {
            AgentConnection? connection = null;
            try
            {
                connection = AgentConnection.OpenAsync(path, _options.RestartPatience, end.Token).GetAwaiter().GetResult();

                // One that does not read would hold this up for ever, as soon as there are many streams.
                using var registration = end.Token.Register(connection.Shutdown);
                HandBack(connection);
                _ = Admitted(connection, _options.RestartPatience, end.Token);
                if (TryGoOn(connection))
                {
                    return connection;
                }
            }
            catch (OperationCanceledException)
            {
                // The time is over, or the job ended, and those who asked have been told.
            }
            catch (WorkerException e) when (e.Error == WorkerError.AgentUnavailable)
            {
                // That one ended as well, or is not here yet.
                _ = end.Token.WaitHandle.WaitOne(RejoinPause);
            }
            catch (WorkerException e)
            {
                End(e.Error is WorkerError.UnknownJob or WorkerError.NotReady ? gone : e);
            }

            connection?.Dispose();
        }

        End(gone);
        return null;
    }

    /// <summary>Joins again, with the memory in which the agent finds what its predecessor promised and answered.</summary>
    private void HandBack(AgentConnection connection)
    {
        // Nobody else changes a stream's memory or answers its request, and the agent that could is gone.
        List<(uint Stream, ulong Round, StreamMemory Memory)> areas = [];
        lock (_lock)
        {
            foreach (var (id, stream) in _streams)
            {
                areas.AddRange(new[] { stream.Previous, stream.Memory }.OfType<StreamMemory>().Select(memory => (id, stream.Unknown, memory)));
            }
        }

        connection.Send(new WorkerMessage { Type = "join", Protocol = WorkerMessage.CurrentProtocol, Job = Name, Rank = Rank, Role = _role, Restore = areas.Count });
        foreach (var (stream, round, memory) in areas)
        {
            connection.Send(new WorkerMessage { Type = "restore", Stream = stream, Round = round, Capacity = memory.Capacity }, memory.Descriptor);
        }
    }

    /// <summary>Asks again what was not answered, and then lets everybody ask. False when the job has ended.</summary>
    private bool TryGoOn(AgentConnection connection)
    {
        lock (_sending)
        {
            WorkerMessage[] requests;
            lock (_lock)
            {
                requests = [.. _streams.Values.Select(s => s.Request).OfType<WorkerMessage>()];
            }

            foreach (var request in requests)
            {
                connection.Send(request);
            }

            lock (_lock)
            {
                if (_ended is not null)
                {
                    return false;
                }

                (_connection, _away) = (connection, false);
                return true;
            }
        }
    }

    private void Take(WorkerMessage message, int descriptor)
    {
        TaskCompletionSource? answered = null;
        WorkerException? error = null;
        lock (_lock)
        {
            if (message.Stream is { } id && _streams.TryGetValue(id, out var stream) && stream.Request is { } request)
            {
                if (message is { Type: "area", Bytes: { } bytes, Capacity: { } capacity, Round: { } first } && request.Type == "open")
                {
                    var memory = new StreamMemory(descriptor, bytes, capacity);
                    descriptor = -1;
                    stream.Replace(memory, first);
                    answered = stream.Answered();
                }
                else if (message.Type == "failed" && message.Round == request.Round)
                {
                    answered = stream.Answered();
                    error = WorkerException.Of(message.Code, message.Message, message.Round is { } round ? $"round {round} of stream {id}: " : $"stream {id}: ");
                }
                else if (message is { Type: "done", Round: { } done } && done == request.Round)
                {
                    answered = stream.Answered();
                    stream.ForgetPrevious();
                }
            }
        }

        if (descriptor >= 0)
        {
            _ = Libc.Close(descriptor);
        }

        Complete(answered, error);
    }

    /// <summary>Everything asked for gets the error, and so does what is asked later.</summary>
    private void End(WorkerException error)
    {
        List<TaskCompletionSource> asked = [];
        lock (_lock)
        {
            if (_ended is not null)
            {
                return;
            }

            _ended = error;
            asked.AddRange(_streams.Values.Select(s => s.Answered()).OfType<TaskCompletionSource>());
            _connection.Shutdown();

            // Here, so that whoever disposes as well does not dispose of this first; what it calls takes no lock.
            _ending.Cancel();
        }

        foreach (var task in asked)
        {
            Complete(task, error);
        }
    }

    private async ValueTask EndAsync(WorkerException error)
    {
        End(error);
        await Task.Run(_reader.Join);
        _connection.Dispose();
        _ending.Dispose();
    }

    private static void Complete(TaskCompletionSource? task, WorkerException? error)
    {
        if (error is not null)
        {
            task?.TrySetException(error);
        }
        else
        {
            task?.TrySetResult();
        }
    }
}
