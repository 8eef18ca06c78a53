using MLNet.SDN.Aggregation.Trees;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>A sequence of rounds that never overlap each other. Guarded by the engine's lock.</summary>
internal sealed class StreamState(uint id)
{
    /// <summary>Rounds kept after their end: a peer that lost a connection may ask for their results again.</summary>
    private const int Kept = 2;

    /// <summary>Rounds that can be on a host at once: two in good order, more only while the news of failures is on its way.</summary>
    private const int MaxRounds = 8;

    private readonly List<RoundState> _spare = [];

    /// <summary>Revisions of the last rounds announced: a worker may be a round behind the others.</summary>
    private readonly (ulong Round, TreesRevision Revision)[] _announced = new (ulong, TreesRevision)[4];

    public uint Id { get; } = id;

    /// <summary>Rounds in progress and lately ended, ascending.</summary>
    public List<RoundState> Rounds { get; } = [];

    /// <summary>Highest round that failed; -1 when none did.</summary>
    public long FailedThrough { get; private set; } = -1;

    /// <summary>A round below it that everybody contributed to before the failure, and that may still be finished.</summary>
    public long Spared { get; private set; } = -1;

    public (string Code, string Text) Failure { get; private set; }

    /// <summary>The highest round whose revision is known.</summary>
    public ulong NextRound { get; private set; }

    /// <summary>Its revision; default while none is known.</summary>
    public TreesRevision NextRevision { get; private set; }

    /// <summary>Highest round that was finished here, -1 before the first.</summary>
    public long CompletedThrough { get; set; } = -1;

    public void Announce(ulong round, TreesRevision revision)
    {
        if (revision == default)
        {
            return;
        }

        _announced[round % (ulong)_announced.Length] = (round, revision);
        if (round > NextRound || NextRevision == default)
        {
            NextRound = round;
            NextRevision = revision;
        }
    }

    /// <summary>Revision of a round; default when it is not known.</summary>
    public TreesRevision RevisionOf(ulong round)
    {
        var (known, revision) = _announced[round % (ulong)_announced.Length];
        return known == round ? revision : default;
    }

    public bool IsFailed(ulong round) => (long)round <= FailedThrough && (long)round != Spared;

    /// <summary>Notes that the rounds from <paramref name="first"/> to <paramref name="through"/> are over.</summary>
    public void Fail(long first, long through, string code, string text)
    {
        if (first <= Spared || first - 1 > FailedThrough)
        {
            Spared = first - 1;
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
            if (!round.Live && round.Pins == 0)
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
}
