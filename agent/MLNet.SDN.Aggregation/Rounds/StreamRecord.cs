using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>What the anchor has decided for one round.</summary>
internal sealed class DecidedRound(ulong round)
{
    public ulong Round { get; } = round;

    /// <summary>Highest epoch named for it; none until one is.</summary>
    public Epoch Epoch { get; set; }

    /// <summary>When that was named.</summary>
    public TimeSpan EpochSince { get; set; }

    /// <summary>Why it cannot be finished in that epoch; null while nobody says so.</summary>
    public string? Stuck { get; set; }

    /// <summary>Since when there is no epoch in which it goes on.</summary>
    public TimeSpan? StuckSince { get; set; }
}

/// <summary>What the anchor has decided for one stream. Guarded by the engine's lock.</summary>
internal sealed class StreamRecord
{
    /// <summary>Decided rounds lately; others may be that far behind.</summary>
    public const int Kept = 4;

    private readonly List<DecidedRound> _recent = [];
    private bool _forgotten;

    /// <summary>Last of the rounds that failed last; -1 when none did.</summary>
    public long FailedThrough { get; set; } = -1;

    /// <summary>First of them.</summary>
    public long FailedFirst { get; set; }

    /// <summary>
    /// The first of up to two rounds before them that may still be finished: a worker that contributed to the last of these had the result of the one before, which may
    /// be on its way to others still.
    /// </summary>
    public long SparedFrom { get; set; }

    /// <summary>Rounds of it were decided before this anchor was started anew, and given up.</summary>
    public bool EarlierLife { get; set; }

    /// <summary>The last round that workers beside the anchor submitted in its earlier life; null when there was none.</summary>
    public ulong? AnchorsLast { get; set; }

    public (string Code, string Text) Failure { get; set; } = (FailureCode.HostLost, "the round was given up");

    /// <summary>Highest round decided; 0 before the first.</summary>
    public ulong Round => _recent.Count > 0 ? _recent[^1].Round : 0;

    /// <summary>Ascending.</summary>
    public IReadOnlyList<DecidedRound> Recent => _recent;

    /// <summary>Whether a round lies so far behind that nobody can be in it any more.</summary>
    public bool IsOver(ulong round) => _recent.Count == Kept && round < _recent[0].Round;

    /// <summary>Epoch of a round; of one that nobody can be in any more, that of the oldest one known. Null for one that lies ahead.</summary>
    public Epoch? Find(ulong round)
    {
        if (IsOver(round))
        {
            return _recent[0].Epoch;
        }

        return _recent.Find(r => r.Round == round)?.Epoch;
    }

    /// <summary>Makes sure that an epoch of a round is known, or a higher one. Null for a round that lies too far behind.</summary>
    public DecidedRound? Learn(ulong round, Epoch epoch)
    {
        var decided = _recent.Find(r => r.Round == round);
        if (decided is null)
        {
            if (IsOver(round))
            {
                return null;
            }

            decided = new DecidedRound(round);
            var at = _recent.FindLastIndex(r => r.Round < round) + 1;
            _recent.Insert(at, decided);
            if (_recent.Count > Kept)
            {
                _forgotten |= _recent[0].Epoch.Trees != _recent[1].Epoch.Trees;
                _recent.RemoveAt(0);
            }
        }

        decided.Epoch = Epoch.Max(decided.Epoch, epoch);
        return decided;
    }

    /// <summary>Whether, since the last call, an older revision went out of those kept.</summary>
    public bool TakeForgotten() => (_forgotten, _forgotten = false).Item1;
}
