using System.Runtime.InteropServices;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Client;

/// <summary>
/// Rounds that wait for nobody longer than the deadline. In the background a loop for each parameter takes part in its rounds: with the sum of what was pushed since
/// the round before, or, when nothing was by the deadline, with nothing. So a late gradient goes into a later round and holds up nobody, and each is in exactly one.
/// </summary>
internal sealed class AsynchronousRounds : ParameterRounds
{
    // What a timer can tell from none; a shorter deadline would keep a processor busy with waiting.
    private static readonly TimeSpan LeastDeadline = TimeSpan.FromMilliseconds(1);

    private readonly Key[] _keys;
    private readonly TimeSpan _deadline;
    private readonly CancellationTokenSource _ended = new();
    private Task _rounds = Task.CompletedTask;

    public AsynchronousRounds(WorkerJob job, ParameterLayout layout)
        : base(job, layout)
    {
        _keys = [.. layout.Parameters.Select((p, i) => new Key(i, p))];
        _deadline = layout.Deadline!.Value > LeastDeadline ? layout.Deadline.Value : LeastDeadline;
    }

    public override async Task BeginAsync(CancellationToken cancellationToken)
    {
        var first = new WorkerJob.BegunRound[_keys.Length];
        foreach (var key in _keys)
        {
            first[key.Index] = (await EnterPullAsync(key, cancellationToken)).Begin(default);
        }

        foreach (var key in _keys)
        {
            await first[key.Index].Over.WaitAsync(cancellationToken);
            Arrived(key, first[key.Index]);
        }

        _rounds = Task.WhenAll(_keys.Select(key => Task.Run(() => TakePartAsync(key), CancellationToken.None)));
    }

    public override Task PushAsync<T>(int index, ReadOnlyMemory<T> gradient, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var key = _keys[index];
        lock (key.Gathering)
        {
            ThrowIfUnusable(key);
            Reduction.Accumulate(key.Sum.AsSpan(0, key.Bytes), MemoryMarshal.AsBytes(gradient.Span), key.Parameter.Type, ReduceOperation.Sum);
            if (key.Gradients++ == 0)
            {
                key.Wake.Release();
            }
        }

        return Task.CompletedTask;
    }

    public override Task<long> PullAsync<T>(int index, Memory<T> values, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var key = _keys[index];
        lock (key.Gathering)
        {
            ThrowIfUnusable(key);

            // Overwritten by the second next round, which begins after the next has been noted under this lock.
            key.Newest!.Read(MemoryMarshal.AsBytes(values.Span));
            return Task.FromResult(key.Version);
        }
    }

    public override long Version(int index)
    {
        lock (_keys[index].Gathering)
        {
            ThrowIfUnusable(_keys[index]);
            return _keys[index].Version;
        }
    }

    public override async Task SayGoodbyeAsync(CancellationToken cancellationToken)
    {
        foreach (var key in _keys)
        {
            lock (key.Gathering)
            {
                key.Leaving = true;
                key.Wake.Release();
            }
        }

        await _rounds.WaitAsync(cancellationToken);
        ThrowIfFailed();
    }

    public override async ValueTask DisposeAsync()
    {
        await _ended.CancelAsync();
        await _rounds;
        _ended.Dispose();
    }

    /// <summary>All rounds of a parameter. Never throws: the next call says what went wrong.</summary>
    private async Task TakePartAsync(Key key)
    {
        try
        {
            while (!key.Final)
            {
                if (!key.Leaving)
                {
                    await key.Wake.WaitAsync(_deadline, _ended.Token);
                }

                await RoundAsync(key);
            }
        }
        catch (OperationCanceledException)
        {
            // Another parameter's rounds failed, and have said why, or the worker was disposed.
        }
        catch (Exception e)
        {
            _ = Fail(e as WorkerException ?? new WorkerException(WorkerError.Other, $"this worker's part in job {Job.Name} ended before its last gradients were applied: {e.Message}", e));
            await _ended.CancelAsync();
        }
    }

    private async Task RoundAsync(Key key)
    {
        var parameter = key.Parameter;
        var pushTurn = await Job.EnterAsync(Layout.PushStream(key.Index, 0), ReduceOperation.Push, parameter.Type, parameter.Length + ParameterLayout.PushTail, _ended.Token);
        var pullTurn = await EnterPullAsync(key, _ended.Token);
        WorkerJob.BegunRound push;
        lock (key.Gathering)
        {
            key.WriteTail();
            push = pushTurn.Begin(key.Sum);
            key.Sum.AsSpan().Clear();
            key.Gradients = 0;
            while (key.Wake.Wait(0, CancellationToken.None))
            {
                // What woke or was about to is in this round.
            }
        }

        var pull = pullTurn.Begin(default);
        await push.Over.WaitAsync(_ended.Token);
        await pull.Over.WaitAsync(_ended.Token);
        Arrived(key, pull);
    }

    private Task<WorkerJob.RoundTurn> EnterPullAsync(Key key, CancellationToken cancellationToken) =>
        Job.EnterAsync(Layout.PullStream(key.Index, 0), ReduceOperation.Pull, key.Parameter.Type, key.Parameter.Length + ParameterLayout.PullTail, cancellationToken);

    private static void Arrived(Key key, WorkerJob.BegunRound pull)
    {
        Span<byte> tail = stackalloc byte[Elements.Bytes(key.Parameter.Type)];
        pull.Read(tail, key.Bytes);
        lock (key.Gathering)
        {
            key.Newest = pull;
            key.Version++;
            key.Final = tail.ContainsAnyExcept((byte)0);
        }
    }

    private void ThrowIfUnusable(Key key)
    {
        ThrowIfFailed();
        if (key.Leaving)
        {
            throw Job.HasLeft();
        }

        // Nobody would send it.
        Job.ThrowIfEnded();
    }

    /// <summary>One parameter: what was pushed and has not gone out yet, and the values that came last.</summary>
    private sealed class Key(int index, Parameter parameter)
    {
        private volatile bool _leaving;

        public int Index { get; } = index;

        public Parameter Parameter { get; } = parameter;

        /// <summary>Bytes of a gradient.</summary>
        public int Bytes { get; } = parameter.Length * Elements.Bytes(parameter.Type);

        /// <summary>Guards what follows.</summary>
        public Lock Gathering { get; } = new();

        /// <summary>The next push: the sum, and room for its tail.</summary>
        public byte[] Sum { get; } = new byte[(parameter.Length + ParameterLayout.PushTail) * Elements.Bytes(parameter.Type)];

        /// <summary>How many are in <see cref="Sum"/>.</summary>
        public int Gradients { get; set; }

        /// <summary>Ends the wait for the deadline.</summary>
        public SemaphoreSlim Wake { get; } = new(0);

        /// <summary>Whether the goodbye is in the next push; nothing comes after it.</summary>
        public bool Leaving { get => _leaving; set => _leaving = value; }

        public WorkerJob.BegunRound? Newest { get; set; }

        public long Version { get; set; } = -1;

        /// <summary>Whether the last round is over.</summary>
        public bool Final { get; set; }

        public void WriteTail()
        {
            var tail = Sum.AsSpan(Bytes);
            if (Parameter.Type == ElementType.Float32)
            {
                MemoryMarshal.Cast<byte, float>(tail)[0] = Gradients;
                MemoryMarshal.Cast<byte, float>(tail)[1] = Leaving ? 1 : 0;
            }
            else
            {
                MemoryMarshal.Cast<byte, double>(tail)[0] = Gradients;
                MemoryMarshal.Cast<byte, double>(tail)[1] = Leaving ? 1 : 0;
            }
        }
    }
}
