using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

// Which trees there are: the newest plan's, and those before it that a round may still use.
internal sealed partial class JobEngine
{
    /// <summary>Oldest first, the newest last; never empty.</summary>
    private readonly List<TreeSet> _trees = [];
    private int _maxChunkBytes;

    /// <summary>Largest chunk of the revisions held so far, bytes.</summary>
    public int MaxChunkBytes => Volatile.Read(ref _maxChunkBytes);

    /// <summary>The oldest trees that a round may still use here.</summary>
    public TreesRevision OldestRevisionHeld
    {
        get
        {
            lock (_gate)
            {
                return _trees[0].Revision;
            }
        }
    }

    /// <summary>Takes over a newer plan, or the same trees with other endpoints or another code point.</summary>
    public void Apply(AggregationJob job, TreeSet? trees)
    {
        lock (_gate)
        {
            if (_closed)
            {
                return;
            }

            _job = job;
            if (trees is not null && trees.Revision.CompareTo(_trees[^1].Revision) > 0)
            {
                Hold(trees);
                ReportState();
                if (_ledger is not null)
                {
                    Broadcast(_ledger.Roster());
                }
            }
        }

        PumpUnparked();
    }

    /// <summary>Hosts at the other end of an edge in any revision held.</summary>
    public IReadOnlyList<string> Peers()
    {
        lock (_gate)
        {
            return [.. _trees.SelectMany(t => t.AllPeers).Distinct().Order(StringComparer.Ordinal)];
        }
    }

    /// <summary>Peers that this host's part in the newest revision depends on.</summary>
    public IReadOnlyList<string> NewestPeers()
    {
        lock (_gate)
        {
            return _trees[^1].Peers;
        }
    }

    /// <summary>Peers that this host's part in any revision depends on which a round may still use.</summary>
    public IReadOnlyList<string> PeersInUse()
    {
        lock (_gate)
        {
            return _trees.Count == 1 ? _trees[0].Peers : [.. _trees.SelectMany(t => t.Peers).Distinct()];
        }
    }

    /// <summary>How many trees are held, attempts among them, and the newest: what changes when <see cref="PeersInUse"/> or <see cref="PaceTo"/> does under the same plan.</summary>
    public (int Count, TreesRevision Newest) TreesHeld
    {
        get
        {
            lock (_gate)
            {
                return (_trees.Sum(t => 1 + t.Attempts.Count), _trees[^1].Revision);
            }
        }
    }

    /// <summary>Whether connections keep to rates under all trees that a round may still use.</summary>
    public bool IsPaced
    {
        get
        {
            lock (_gate)
            {
                return _trees.All(t => PaceOf(t) > 0);
            }
        }
    }

    /// <summary>What this host sends to a peer at most, bit/s: the largest under any trees that a round may still use. 0: as fast as it goes.</summary>
    public long PaceTo(string peer)
    {
        lock (_gate)
        {
            var most = 0.0;
            foreach (var trees in _trees)
            {
                if (PaceOf(trees) is not (> 0 and var pace))
                {
                    return 0;
                }

                most = Math.Max(most, pace * trees.ShareTo(peer));
                foreach (var attempt in trees.Attempts)
                {
                    most = Math.Max(most, pace * attempt.ShareTo(peer));
                }
            }

            return (long)most;
        }
    }

    // Links may have got another rate under the same trees.
    private long PaceOf(TreeSet trees) => (trees.Revision == _job.TreesRevision ? _job : trees.Job).PaceBitsPerSecond;

    private void Hold(TreeSet trees)
    {
        _trees.Add(trees);
        Volatile.Write(ref _maxChunkBytes, Math.Max(_maxChunkBytes, trees.ChunkBytes));
        _ledger?.Hold(_trees.Select(t => t.Job));
    }

    /// <summary>Trees of a revision; null when they are not held. There are rarely more than two.</summary>
    private TreeSet? FindTrees(TreesRevision revision)
    {
        foreach (var trees in _trees)
        {
            if (trees.Revision == revision)
            {
                return trees;
            }
        }

        return null;
    }

    /// <summary>Trees of an epoch; null when its revision is not held. Peers that only the epoch has are dialled from now on.</summary>
    private TreeSet? FindTrees(Epoch epoch)
    {
        if (FindTrees(epoch.Trees) is not { } planned || epoch.Attempt == 0)
        {
            return FindTrees(epoch.Trees);
        }

        var root = Has(ProtocolFault.TwoSuccessors) && (_host[^1] & 1) == 1 ? epoch.Attempt + 1 : epoch.Attempt;
        if (planned.TryFindAttempt(epoch.Attempt) is { } ready)
        {
            return ready;
        }

        var trees = planned.ForAttempt(epoch.Attempt, root);
        _ports.PeersChanged();
        return trees;
    }
}
