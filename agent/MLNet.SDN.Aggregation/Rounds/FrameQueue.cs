using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>A frame to be sent. Holds its buffer and pins its round.</summary>
/// <param name="Serial">Of the round when it was queued; under another the frame is not sent any more.</param>
/// <param name="Buffer">The payload; null when it is to be read from shared memory.</param>
internal readonly record struct Outgoing(RoundState Round, int Serial, FrameType Type, int Shard, int Chunk, NativeBuffer? Buffer);

/// <summary>
/// Frames that wait for any connection to one peer. The round that began first goes first, in it partial sums before results, of each the chunk that lies
/// foremost in its shard. Bounded by the windows of the rounds in progress. Thread-safe.
/// </summary>
/// <remarks>
/// Others wait for sums, and only then have results to send; so results fill what sums leave of a line. The other way round, or by place alone, a shard that is
/// ahead gets further ahead, for its root sends results while the others wait for its sums: hosts are first busy with the shards of some roots and then with those
/// of the others, each time with half of the links idle.
/// </remarks>
internal sealed class FrameQueue
{
    /// <summary>A thread that came with one frame does not stay to write those of all others.</summary>
    private const int MostAtOnce = 16;

    private readonly Heap _results = new();
    private readonly Heap _partials = new();
    private volatile IFrameWriter[] _writers = [];
    private uint _turn;
    private bool _closed;

    public int Count
    {
        get
        {
            lock (_results)
            {
                return _results.Count + _partials.Count;
            }
        }
    }

    /// <summary>False when the queue is closed; the frame then stays with the caller.</summary>
    public bool TryAdd(in Outgoing frame)
    {
        lock (_results)
        {
            if (_closed)
            {
                return false;
            }

            (frame.Type == FrameType.Result ? _results : _partials).Add(frame);
            if (FrameBatch.Open is { } batch && _writers.Length > 0)
            {
                batch.Note(this);
            }
            else
            {
                Monitor.Pulse(_results);
            }

            return true;
        }
    }

    /// <summary>Adds a connection that takes frames from other threads than its own, too.</summary>
    public void Join(IFrameWriter writer)
    {
        lock (_results)
        {
            _writers = [.. _writers, writer];
        }
    }

    /// <summary>Takes a connection out.</summary>
    public void Leave(IFrameWriter writer)
    {
        lock (_results)
        {
            _writers = [.. _writers.Where(w => w != writer)];
        }
    }

    /// <summary>Writes frames as far as connections take them at once, each in its turn, and wakes one's own thread when some are left.</summary>
    public void WriteNow()
    {
        var writers = _writers;
        for (int written = 0, refused = 0; written < MostAtOnce && refused < writers.Length && Count > 0;)
        {
            var writer = writers[Interlocked.Increment(ref _turn) % (uint)writers.Length];
            (written, refused) = writer.TryWriteNext() ? (written + 1, 0) : (written, refused + 1);
        }

        lock (_results)
        {
            if (_results.Count + _partials.Count > 0)
            {
                // Also where somebody else is writing: he may just have looked here for the last time.
                Monitor.Pulse(_results);
            }
        }
    }

    public bool TryTake(out Outgoing frame)
    {
        lock (_results)
        {
            return TryTakeNext(out frame);
        }
    }

    /// <summary>Takes only a partial sum.</summary>
    public bool TryTakePartial(out Outgoing frame)
    {
        lock (_results)
        {
            return _partials.TryTake(out frame);
        }
    }

    /// <summary>Takes all frames of a round that were queued in an earlier epoch of it.</summary>
    public void TakeStale(RoundState round, List<Outgoing> stale)
    {
        lock (_results)
        {
            _results.TakeStale(round, stale);
            _partials.TakeStale(round, stale);
        }
    }

    /// <summary>Waits for a frame, or, with one of no round, until the gate is nudged. False once the gate is shut or the queue is closed.</summary>
    public bool Take(WriterGate gate, out Outgoing frame)
    {
        lock (_results)
        {
            while (true)
            {
                if (gate.Shut || _closed)
                {
                    frame = default;
                    // The pulse that woke this writer may have been meant for a frame.
                    Monitor.Pulse(_results);
                    return false;
                }

                if (gate.Nudged)
                {
                    gate.Nudged = false;
                    frame = default;
                    return true;
                }

                if (TryTakeNext(out frame))
                {
                    return true;
                }

                Monitor.Wait(_results);
            }
        }
    }

    /// <summary>Sends a writer away.</summary>
    public void ShutGate(WriterGate gate)
    {
        lock (_results)
        {
            gate.Shut = true;
            Monitor.PulseAll(_results);
        }
    }

    /// <summary>Wakes a writer to go on with what others began on its connection.</summary>
    public void Nudge(WriterGate gate)
    {
        lock (_results)
        {
            gate.Nudged = true;
            Monitor.PulseAll(_results);
        }
    }

    /// <summary>Sends all writers away; what is left is for <see cref="TryTake"/>.</summary>
    public void Close()
    {
        lock (_results)
        {
            _closed = true;
            Monitor.PulseAll(_results);
        }
    }

    private bool TryTakeNext(out Outgoing frame) =>
        _partials.Count == 0 || (_results.Count > 0 && _results.First.Begun < _partials.First.Begun) ? _results.TryTake(out frame) : _partials.TryTake(out frame);

    /// <summary>What goes first: the round by when it began on this host, then the chunk by what part of its shard lies before it.</summary>
    private readonly record struct Order(long Begun, long Place)
    {
        public int CompareTo(Order other) => Begun != other.Begun ? Begun.CompareTo(other.Begun) : Place.CompareTo(other.Place);

        public static Order Of(in Outgoing frame) => new(frame.Round.BegunAt, ((long)frame.Chunk << 31) / Math.Max(1, frame.Round.Shards[frame.Shard].Chunks));
    }

    // Of equals the one added first, so that no shard is preferred.
    private sealed class Heap
    {
        private (Order Order, long Number, Outgoing Item)[] _items = new (Order, long, Outgoing)[16];
        private long _added;

        public int Count { get; private set; }

        public Order First => _items[0].Order;

        public void Add(in Outgoing item) => Add((Order.Of(item), _added++, item));

        private void Add(in (Order Order, long Number, Outgoing Item) added)
        {
            if (Count == _items.Length)
            {
                Array.Resize(ref _items, Count * 2);
            }

            var at = Count++;
            for (int above; at > 0 && IsBefore(added, _items[above = (at - 1) / 2]); at = above)
            {
                _items[at] = _items[above];
            }

            _items[at] = added;
        }

        public void TakeStale(RoundState round, List<Outgoing> stale)
        {
            var items = _items.AsSpan(0, Count).ToArray();
            if (!Array.Exists(items, i => IsStale(i.Item, round)))
            {
                return;
            }

            Array.Clear(_items, 0, Count);
            Count = 0;
            foreach (var (order, number, item) in items)
            {
                if (IsStale(item, round))
                {
                    stale.Add(item);
                }
                else
                {
                    Add((order, number, item));
                }
            }
        }

        private static bool IsStale(in Outgoing item, RoundState round) => ReferenceEquals(item.Round, round) && item.Serial != round.Serial;

        public bool TryTake(out Outgoing item)
        {
            item = default;
            if (Count == 0)
            {
                return false;
            }

            item = _items[0].Item;
            var last = _items[--Count];
            _items[Count] = default;
            if (Count > 0)
            {
                var at = 0;
                for (int below; (below = (2 * at) + 1) < Count; at = below)
                {
                    below += below + 1 < Count && IsBefore(_items[below + 1], _items[below]) ? 1 : 0;
                    if (!IsBefore(_items[below], last))
                    {
                        break;
                    }

                    _items[at] = _items[below];
                }

                _items[at] = last;
            }

            return true;
        }

        private static bool IsBefore(in (Order Order, long Number, Outgoing Item) one, in (Order Order, long Number, Outgoing Item) other) =>
            one.Order.CompareTo(other.Order) is var order && order != 0 ? order < 0 : one.Number < other.Number;
    }
}

/// <summary>Lets one writer be sent away from a queue that others still wait on, or be woken alone.</summary>
internal sealed class WriterGate
{
    /// <summary>Read and written under the queue's lock.</summary>
    public bool Shut { get; set; }

    /// <summary>Read and written under the queue's lock.</summary>
    public bool Nudged { get; set; }
}
