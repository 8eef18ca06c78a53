using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>A frame to be sent. Holds its buffer and pins its round.</summary>
/// <param name="Buffer">The payload; null when it is to be read from shared memory.</param>
internal readonly record struct Outgoing(RoundState Round, FrameType Type, int Shard, int Chunk, NativeBuffer? Buffer);

/// <summary>
/// Frames that wait for any connection to one peer. Results go first: they open windows. Bounded by the windows of the rounds in progress. Thread-safe.
/// </summary>
internal sealed class FrameQueue
{
    private readonly Ring _results = new();
    private readonly Ring _partials = new();
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
            Monitor.Pulse(_results);
            return true;
        }
    }

    public bool TryTake(out Outgoing frame)
    {
        lock (_results)
        {
            return _results.TryTake(out frame) || _partials.TryTake(out frame);
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

    /// <summary>Waits for a frame. False once the gate is shut or the queue is closed.</summary>
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

                if (_results.TryTake(out frame) || _partials.TryTake(out frame))
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

    /// <summary>Sends all writers away; what is left is for <see cref="TryTake"/>.</summary>
    public void Close()
    {
        lock (_results)
        {
            _closed = true;
            Monitor.PulseAll(_results);
        }
    }

    private sealed class Ring
    {
        private Outgoing[] _items = new Outgoing[16];
        private int _head;

        public int Count { get; private set; }

        public void Add(in Outgoing item)
        {
            if (Count == _items.Length)
            {
                var larger = new Outgoing[_items.Length * 2];
                for (var i = 0; i < Count; i++)
                {
                    larger[i] = _items[(_head + i) & (_items.Length - 1)];
                }

                _items = larger;
                _head = 0;
            }

            _items[(_head + Count++) & (_items.Length - 1)] = item;
        }

        public bool TryTake(out Outgoing item)
        {
            item = default;
            if (Count == 0)
            {
                return false;
            }

            item = _items[_head];
            _items[_head] = default;
            _head = (_head + 1) & (_items.Length - 1);
            Count--;
            return true;
        }
    }
}

/// <summary>Lets one writer be sent away from a queue that others still wait on.</summary>
internal sealed class WriterGate
{
    /// <summary>Read and written under the queue's lock.</summary>
    public bool Shut { get; set; }
}
