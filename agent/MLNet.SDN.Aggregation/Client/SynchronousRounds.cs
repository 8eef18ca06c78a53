using System.Runtime.InteropServices;

namespace MLNet.SDN.Aggregation.Client;

/// <summary>
/// Rounds that have a gradient of every worker, with a bound on how far a worker may be ahead; a bound of 0 is bulk-synchronous. Push c goes with the request for
/// the values after it, so nobody's values wait for another call.
/// </summary>
internal sealed class SynchronousRounds(WorkerJob job, ParameterLayout layout) : ParameterRounds(job, layout)
{
    // The others are about to end too, as a rule. Who leaves before them leaves its contributions with the agent, which has to have taken them all.
    private static readonly TimeSpan GoodbyePatience = TimeSpan.FromSeconds(1);

    private readonly Key[] _keys = [.. layout.Parameters.Select((p, i) => new Key(i, p, layout.Width))];
    private volatile bool _leaving;

    public override async Task BeginAsync(CancellationToken cancellationToken)
    {
        foreach (var key in _keys)
        {
            key.Requests[0] = await Job.BeginAsync(Layout.PullStream(key.Index, 0), ReduceOperation.Pull, key.Parameter.Type, key.Parameter.Length, default, cancellationToken);
        }
    }

    public override async Task PushAsync<T>(int index, ReadOnlyMemory<T> gradient, CancellationToken cancellationToken)
    {
        var key = _keys[index];
        await key.Turn.WaitAsync(cancellationToken);
        try
        {
            ThrowIfUnusable();

            // All that can be cancelled comes before the first thing that cannot be taken back.
            var slot = key.Clock % Layout.Width;
            if (key.Pushes[slot] is { } earlier)
            {
                await earlier.Over.WaitAsync(cancellationToken);
            }

            var asked = key.Clock + 1;
            await SettleAsync(key, asked - Layout.Width, cancellationToken);
            var parameter = key.Parameter;
            var push = await Job.EnterAsync(Layout.PushStream(index, key.Clock), ReduceOperation.Push, parameter.Type, parameter.Length, cancellationToken);
            WorkerJob.RoundTurn pull;
            try
            {
                pull = await Job.EnterAsync(Layout.PullStream(index, asked), ReduceOperation.Pull, parameter.Type, parameter.Length, cancellationToken);
            }
            catch
            {
                push.GiveUp();
                throw;
            }

            key.Pushes[slot] = push.Begin(MemoryMarshal.AsBytes(gradient.Span));
            key.Requests[asked % Layout.Width] = pull.Begin(default);
            key.Clock = asked;
        }
        catch (WorkerException e) when (!_leaving)
        {
            throw Fail(e);
        }
        finally
        {
            key.Turn.Release();
        }
    }

    public override async Task<long> PullAsync<T>(int index, Memory<T> values, CancellationToken cancellationToken)
    {
        var key = _keys[index];
        await key.Turn.WaitAsync(cancellationToken);
        try
        {
            ThrowIfUnusable();
            await SettleAsync(key, Math.Max(0, key.Clock - Layout.Staleness), cancellationToken);
            for (var version = key.Clock; version > key.NewestVersion; version--)
            {
                if (key.Requests[version % Layout.Width]!.Over.IsCompleted)
                {
                    await SettleAsync(key, version, cancellationToken);
                }
            }

            // Overwritten by the second next round of its stream at the earliest, and that is begun once newer values are settled.
            key.Newest!.Read(MemoryMarshal.AsBytes(values.Span));
            Volatile.Write(ref key.Pulled, key.NewestVersion);
            return key.NewestVersion;
        }
        catch (WorkerException e) when (!_leaving)
        {
            throw Fail(e);
        }
        finally
        {
            key.Turn.Release();
        }
    }

    public override long Version(int index)
    {
        ThrowIfUnusable();
        Job.ThrowIfEnded();
        return Volatile.Read(ref _keys[index].Pulled);
    }

    public override async Task SayGoodbyeAsync(CancellationToken cancellationToken)
    {
        _leaving = true;
        var clocks = new long[2 * _keys.Length];
        foreach (var key in _keys)
        {
            // A call under way is let finish; those after it are told.
            await key.Turn.WaitAsync(cancellationToken);
            key.Turn.Release();
            (clocks[key.Index], clocks[_keys.Length + key.Index]) = (key.Clock, -key.Clock);
        }

        ThrowIfFailed();
        try
        {
            // The least and the most that anyone pushed: a difference would be an unfinished round.
            var goodbye = await Job.BeginAsync(ParameterLayout.Control, ReduceOperation.Min, ElementType.Int64, clocks.Length, MemoryMarshal.AsBytes(clocks.AsSpan()).ToArray(), cancellationToken);
            await Task.WhenAny(goodbye.Over, Task.Delay(GoodbyePatience, cancellationToken));

            // The others have more to do. A push that is over lies with the server, and does not need this process or its agent any more.
            var pushed = Task.WhenAll(_keys.SelectMany(k => k.Pushes).OfType<WorkerJob.BegunRound>().Select(p => p.Over));
            _ = pushed.ContinueWith(static all => all.Exception, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default); // seen, also when the goodbye fails first
            await (await Task.WhenAny(goodbye.Over, pushed).WaitAsync(cancellationToken));
        }
        catch (WorkerException e)
        {
            throw Fail(e);
        }
    }

    public override ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static async Task SettleAsync(Key key, long version, CancellationToken cancellationToken)
    {
        if (version > key.NewestVersion)
        {
            var request = key.Requests[version % key.Requests.Length]!;
            await request.Over.WaitAsync(cancellationToken);
            (key.NewestVersion, key.Newest) = (version, request);
        }
    }

    private void ThrowIfUnusable()
    {
        ThrowIfFailed();
        if (_leaving)
        {
            throw Job.HasLeft();
        }
    }

    /// <summary>How far one parameter has come here. Whoever has the turn may read and change it.</summary>
    private sealed class Key(int index, Parameter parameter, int width)
    {
        /// <summary>Pushes that <see cref="NewestVersion"/> included when it was last pulled; -1 before. Read without the turn.</summary>
        public long Pulled = -1;

        public int Index { get; } = index;

        public Parameter Parameter { get; } = parameter;

        public SemaphoreSlim Turn { get; } = new(1, 1);

        /// <summary>Pushes made.</summary>
        public long Clock { get; set; }

        /// <summary>The last ones, by their number modulo the width.</summary>
        public WorkerJob.BegunRound?[] Pushes { get; } = new WorkerJob.BegunRound?[width];

        /// <summary>Values asked for, by version modulo the width: the last are those after <see cref="Clock"/> pushes.</summary>
        public WorkerJob.BegunRound?[] Requests { get; } = new WorkerJob.BegunRound?[width];

        /// <summary>Pushes of everybody that the newest values seen here include.</summary>
        public long NewestVersion { get; set; } = -1;

        public WorkerJob.BegunRound? Newest { get; set; }
    }
}
