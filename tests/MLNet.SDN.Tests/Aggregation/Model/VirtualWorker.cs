using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation.Model;

/// <summary>
/// A trainer that reduces known numbers and checks what comes back. When its agent is started anew it hands its memory back and goes on, as the library does.
/// </summary>
internal sealed unsafe class VirtualWorker(VirtualFabric fabric, VirtualHost host, int rank, Func<uint, ulong, int> size, uint streams, int rounds, VirtualMessage message)
{
    private const byte Untouched = 0xFF;

    private readonly SortedDictionary<uint, Stream> _streams = [];
    private readonly Dictionary<uint, int> _done = [];
    private ulong _joinedLife;

    public int Rank { get; } = rank;

    public VirtualHost Host { get; } = host;

    public bool Dead { get; private set; }

    /// <summary>Said goodbye or died, or has no more rounds to do.</summary>
    public bool Ended => Dead || (_done.Count == streams && _done.Values.All(d => d >= rounds));

    /// <summary>Rounds that failed: stream, round, code and text.</summary>
    public List<(uint Stream, ulong Round, string Code, string Text)> Failures { get; } = [];

    /// <summary>Rounds finished with the right result.</summary>
    public int Right { get; private set; }

    /// <summary>Does nothing for the time being.</summary>
    public bool Paused { get; set; }

    public bool CanStep => !Dead && !Paused && Host.Runs
        && (!HasJoined ? Host.Engine.IsSignalled && Host.Engine.NotReady() is null : _joinedLife != Host.Life || Next() is not null);

    public bool HasJoined { get; private set; }

    public void Step()
    {
        if (_joinedLife != Host.Life)
        {
            Join();
        }
        else if (Next() is { } stream)
        {
            Call(stream);
        }
    }

    public void Opened(uint id, SharedArea area, ulong round)
    {
        var stream = _streams[id];
        GuaranteeBrokenException.Unless(stream.Opening, $"rank {Rank}: memory of stream {id} that it did not ask for");
        stream.Opening = false;
        area.AddHolder();
        stream.Previous?.Release();
        stream.Previous = stream.Area;
        stream.Area = area;
        stream.Next = round;
    }

    public void Refused(uint id, string code, string text)
    {
        if (!Dead)
        {
            _streams[id].Opening = false;
            Failures.Add((id, 0, code, text));
            _done[id] = rounds;
        }
    }

    public void Done(uint id, ulong round)
    {
        // What is said before the worker asks again goes to a connection that it does not read yet.
        if (Dead || _joinedLife != Host.Life || !_streams.TryGetValue(id, out var stream) || stream.Pending != round)
        {
            return;
        }

        stream.Pending = null;
        var n = size(id, round);
        var result = new ReadOnlySpan<byte>(stream.Area!.Result(round), n * message.ElementBytes);
        if (message.Gets(Rank, id))
        {
            message.Check(fabric.World, id, round, result);
            fabric.Agree(Rank, id, round, result);
        }
        else
        {
            GuaranteeBrokenException.Unless(!result.ContainsAnyExcept(Untouched), $"rank {Rank}: something came of stream {id}, round {round}, of which it gets nothing");
        }

        Right++;
        _done[id] = _done.GetValueOrDefault(id) + 1;
        stream.Previous?.Release();
        stream.Previous = null;
    }

    public void Failed(uint id, ulong round, string code, string text)
    {
        if (Dead || _joinedLife != Host.Life || !_streams.TryGetValue(id, out var stream) || stream.Pending != round)
        {
            return;
        }

        stream.Pending = null;
        Failures.Add((id, round, code, text));
        _done[id] = _done.GetValueOrDefault(id) + 1;
    }

    /// <summary>The process ends without a word.</summary>
    public void Die()
    {
        if (_joinedLife != Host.Life && Host.Runs && HasJoined)
        {
            Join();
        }

        Dead = true;
        if (Host.Runs)
        {
            Host.Engine.Leave(Rank, left: false);
        }

        Release();
    }

    public void Release()
    {
        foreach (var stream in _streams.Values)
        {
            stream.Area?.Release();
            stream.Previous?.Release();
        }

        _streams.Clear();
    }

    private void Join()
    {
        string? refusal;
        if (HasJoined)
        {
            var restored = new List<RestoredStream>();
            foreach (var (id, stream) in _streams)
            {
                foreach (var area in new[] { stream.Previous, stream.Area })
                {
                    if (area is not null)
                    {
                        var again = SharedArea.TryRestore(Libc.Duplicate(area.FileDescriptor), fabric.JobId, Rank, id, area.Capacity);
                        GuaranteeBrokenException.Unless(again is not null, $"rank {Rank}: its memory of stream {id} was refused");
                        restored.Add(new RestoredStream(id, stream.Pending ?? stream.Next, again!));
                    }
                }
            }

            refusal = Host.Engine.TryRejoin(Rank, restored);
        }
        else
        {
            refusal = Host.Engine.TryJoin(Rank, out var joined) ?? (joined == Rank ? null : $"rank {joined} given for {Rank}");
        }

        GuaranteeBrokenException.Unless(refusal is null, $"rank {Rank} was refused: {refusal}");
        HasJoined = true;
        _joinedLife = Host.Life;
        foreach (var (id, stream) in _streams.ToList())
        {
            if (stream.Opening)
            {
                refusal ??= Host.Engine.Open(Rank, id, stream.Wanted);
            }
            else if (stream.Pending is { } round)
            {
                refusal ??= Submit(id, round);
            }
        }

        GuaranteeBrokenException.Unless(refusal is null, $"rank {Rank} could not go on: {refusal}");
    }

    private void Call(uint id)
    {
        if (!_streams.TryGetValue(id, out var stream))
        {
            _streams[id] = stream = new Stream();
        }

        var n = size(id, stream.Next);
        var bytes = n * message.ElementBytes;
        if (stream.Area is null || stream.Area.Capacity < bytes)
        {
            stream.Opening = true;
            stream.Wanted = bytes;
            var fault = Host.Engine.Open(Rank, id, stream.Wanted);
            GuaranteeBrokenException.Unless(fault is null, $"rank {Rank}: {fault}");
            return;
        }

        message.Contribution(Rank, id, stream.Next, n).CopyTo(new Span<byte>(stream.Area.Contribution(stream.Next), bytes));

        // What the agent left there before must not shine through.
        new Span<byte>(stream.Area.Result(stream.Next), bytes).Fill(Untouched);
        var round = stream.Next++;
        stream.Pending = round;
        var refusal = Submit(id, round);
        GuaranteeBrokenException.Unless(refusal is null, $"rank {Rank}: {refusal}");
    }

    private string? Submit(uint id, ulong round) => Host.Engine.Submit(Rank, id, round, message.Shape(id, size(id, round)));

    private uint? Next()
    {
        for (uint id = 0; id < streams; id++)
        {
            if (_done.GetValueOrDefault(id) < rounds && (!_streams.TryGetValue(id, out var stream) || (!stream.Opening && stream.Pending is null)))
            {
                return id;
            }
        }

        return null;
    }

    private sealed class Stream
    {
        public SharedArea? Area { get; set; }

        /// <summary>Kept until a round in the newer one is done: others may still need what lies in it.</summary>
        public SharedArea? Previous { get; set; }

        public ulong Next { get; set; }

        public ulong? Pending { get; set; }

        public bool Opening { get; set; }

        public long Wanted { get; set; }
    }
}
