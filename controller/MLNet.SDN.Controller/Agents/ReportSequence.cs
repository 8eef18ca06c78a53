namespace MLNet.SDN.Controller.Agents;

/// <summary>What became of a numbered report.</summary>
internal enum SequenceStatus
{
    /// <summary>The next one.</summary>
    Next,

    /// <summary>New, but reports before it are missing.</summary>
    AfterGap,

    /// <summary>New and late: a gap is filled.</summary>
    Late,

    /// <summary>Taken over before.</summary>
    Repeated,
}

/// <summary>Tells new reports of one boot from repeated ones, over the last 1,024 numbers. Safe to call from any thread.</summary>
internal sealed class ReportSequence
{
    private const int Window = 1_024;

    private readonly Lock _lock = new();
    private readonly ulong[] _seen = new ulong[Window / 64];
    private long _highest = -1;
    private bool _any;

    /// <summary>Notes a number ≥ 0 and says what it is. A number older than the window counts as repeated.</summary>
    public SequenceStatus Note(long sequence)
    {
        lock (_lock)
        {
            return NoteLocked(sequence);
        }
    }

    private static int Word(long sequence) => (int)(sequence % Window) / 64;

    private static ulong Bit(long sequence) => 1UL << (int)(sequence % 64);

    private SequenceStatus NoteLocked(long sequence)
    {
        if (!_any)
        {
            _any = true;
            _highest = sequence;
            Mark(sequence);
            return SequenceStatus.Next;
        }

        if (sequence > _highest)
        {
            var status = sequence == _highest + 1 ? SequenceStatus.Next : SequenceStatus.AfterGap;
            if (sequence - _highest >= Window)
            {
                Array.Clear(_seen);
            }
            else
            {
                for (var skipped = _highest + 1; skipped < sequence; skipped++)
                {
                    _seen[Word(skipped)] &= ~Bit(skipped);
                }
            }

            _highest = sequence;
            Mark(sequence);
            return status;
        }

        if (sequence <= _highest - Window || (_seen[Word(sequence)] & Bit(sequence)) != 0)
        {
            return SequenceStatus.Repeated;
        }

        Mark(sequence);
        return SequenceStatus.Late;
    }

    private void Mark(long sequence) => _seen[Word(sequence)] |= Bit(sequence);
}
