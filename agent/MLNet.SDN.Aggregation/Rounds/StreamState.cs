using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>A sequence of rounds that never overlap each other. Guarded by the engine's lock.</summary>
internal sealed class StreamState(uint id)
{
    /// <summary>Rounds kept after their end: a peer that lost a connection may ask for their results again.</summary>
    private const int Kept = 2;

    /// <summary>Rounds that can be on a host at once: two in good order, more only while the news of failures is on its way.</summary>
    private const int MaxRounds = 8;

    private readonly List<RoundState> _spare = [];

    /// <summary>Highest epochs of the last rounds heard of: a worker may be a round behind the others, or have come back from further behind.</summary>
    private readonly Announcement[] _announced = new Announcement[4];

    public uint Id { get; } = id;

    /// <summary>Rounds in progress and lately ended, ascending.</summary>
    public List<RoundState> Rounds { get; } = [];

    /// <summary>Highest round that failed; -1 when none did.</summary>
    public long FailedThrough { get; private set; } = -1;

    /// <summary>
    /// The last of up to two rounds below it that may still be finished: whoever contributed to this one had the result of the one before, which may be on its way to
    /// others still.
    /// </summary>
    private long _spared = -1;

    private long _sparedFrom = -1;

    public (string Code, string Text) Failure { get; private set; }

    /// <summary>Highest round that was finished here, -1 before the first.</summary>
    public long CompletedThrough { get; set; } = -1;

    /// <summary>Highest round that is heard of.</summary>
    public ulong Highest { get; private set; }

    /// <summary>
    /// Whether a round lies so far back that everyone has finished it: one is decided once everyone has contributed to the one two before it, unless it is the one after a failure.
    /// </summary>
    public bool IsLongOver(ulong round) => round + 3 <= Highest && !IsSpared(round);

    /// <summary>Notes an epoch of a round. False when it is not higher than what was known.</summary>
    public bool Announce(ulong round, Epoch epoch)
    {
        ref var known = ref _announced[round % (ulong)_announced.Length];
        if (epoch.IsNone || known.Round > round || (known.Round == round && epoch <= known.Epoch))
        {
            return false;
        }

        known = new Announcement(round, epoch, Promised: false);
        Highest = Math.Max(Highest, round);
        return true;
    }

    /// <summary>Notes that an earlier life of this agent was in an epoch of a round: this one answers only a higher one than any known now.</summary>
    public void Promise(ulong round, Epoch epoch)
    {
        ref var known = ref _announced[round % (ulong)_announced.Length];
        if (known.Round <= round)
        {
            known = new Announcement(round, known.Round == round ? Epoch.Max(known.Epoch, epoch) : epoch, Promised: true);
        }
    }

    /// <summary>Highest epoch known of a round; none when it is not known.</summary>
    public Epoch EpochOf(ulong round) => _announced[round % (ulong)_announced.Length] is var known && known.Round == round ? known.Epoch : default;

    /// <summary>
    /// Whether frames of an epoch of a round come too late: a higher one is known, or this one was answered in an earlier life of the agent, of which only
    /// the promise is left.
    /// </summary>
    public bool IsOver(ulong round, Epoch epoch) =>
        _announced[round % (ulong)_announced.Length] is var known && known.Round == round && (epoch < known.Epoch || (epoch == known.Epoch && known.Promised));

    /// <summary>Whether this host was in the highest epoch known of a round in an earlier life, and takes part in it no more.</summary>
    public bool IsPromised(ulong round) => _announced[round % (ulong)_announced.Length] is { Promised: true } known && known.Round == round;

    /// <summary>All that is known of epochs.</summary>
    public IReadOnlyList<RoundEpoch> Epochs() => [.. _announced.Where(a => !a.Epoch.IsNone).OrderBy(a => a.Round).Select(a => new RoundEpoch((long)a.Round, a.Epoch))];

    public bool IsFailed(ulong round) => (long)round <= FailedThrough && !IsSpared(round);

    private bool IsSpared(ulong round) => (long)round >= _sparedFrom && (long)round <= _spared;

    /// <summary>Notes that the rounds from <paramref name="first"/> to <paramref name="through"/> are over.</summary>
    /// <param name="first">The first.</param>
    /// <param name="through">The last.</param>
    /// <param name="code">One of <see cref="FailureCode"/>.</param>
    /// <param name="text">Why, in words.</param>
    /// <param name="spared">First of the rounds before that may still be finished; null for the one before alone.</param>
    public void Fail(long first, long through, string code, string text, long? spared = null)
    {
        if (first <= _spared)
        {
            (_sparedFrom, _spared) = (Math.Min(_sparedFrom, first - 1), first - 1);
        }
        else if (first - 1 > FailedThrough)
        {
            (_sparedFrom, _spared) = (Math.Max(spared ?? first - 1, FailedThrough + 1), first - 1);
        }
        else if (first - 1 == _spared && spared > _sparedFrom)
        {
            _sparedFrom = spared.Value;
        }

        if (through > FailedThrough)
        {
            FailedThrough = through;
            Failure = (code, text);
        }
    }

    public RoundState? Find(ulong number)
    {
        foreach (var round in Rounds)
        {
            if (round.Number == number)
            {
                return round;
            }
        }

        return null;
    }

    /// <summary>Makes room for a round. Null when too many are in progress, which no honest peer causes.</summary>
    public RoundState? Begin(ulong number, TreeSet trees, MessageShape shape, long now)
    {
        Retire();
        if (Rounds.Count >= MaxRounds)
        {
            return null;
        }

        RoundState? round = null;
        for (var i = _spare.Count - 1; i >= 0; i--)
        {
            if (!ReferenceEquals(_spare[i].Trees, trees))
            {
                _spare.RemoveAt(i);
            }
            else if (round is null)
            {
                round = _spare[i];
                _spare.RemoveAt(i);
            }
        }

        round ??= new RoundState(this, trees);
        round.Begin(number, shape, now);
        var at = Rounds.Count;
        while (at > 0 && Rounds[at - 1].Number > number)
        {
            at--;
        }

        Rounds.Insert(at, round);
        return round;
    }

    /// <summary>Lets go of ended rounds but the newest.</summary>
    public void Retire()
    {
        for (var i = Rounds.Count - 1 - Kept; i >= 0; i--)
        {
            var round = Rounds[i];
            if (!round.Live && !round.Exchanging && round.Pins == 0)
            {
                round.Release();
                Rounds.RemoveAt(i);
                if (_spare.Count < Kept)
                {
                    _spare.Add(round);
                }
            }
        }
    }

    /// <param name="Round">The round.</param>
    /// <param name="Epoch">Its epoch.</param>
    /// <param name="Promised">This host answered it in an earlier life.</param>
    private readonly record struct Announcement(ulong Round, Epoch Epoch, bool Promised);
}
