using Microsoft.Extensions.Logging;
using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>What an engine is started with beside its job.</summary>
/// <param name="Boot">Drawn anew at each start of the agent.</param>
/// <param name="Patience">How long an agent that ended, or a host that cannot be reached, is waited for before a round is given up.</param>
/// <param name="Fault">Rules to break, for tests of tests.</param>
internal sealed record EngineSettings(string Boot, TimeSpan Patience, ProtocolFault Fault = ProtocolFault.None)
{
    /// <summary>An agent that is started anew, or replaced by a newer one, is back by then on a busy machine.</summary>
    public static readonly TimeSpan UsualPatience = TimeSpan.FromSeconds(30);
}

/// <summary>
/// One job on one host: the rounds of its streams, what is summed here, what is sent where. No sockets, no threads, no clock of its own,
/// so that it runs the same under a scheduler of calls in virtual time. Thread-safe: decisions are made under one lock, bytes are summed outside of it.
/// </summary>
internal sealed partial class JobEngine
{
    /// <summary>Streams of a job; a training framework has one per bucket, some dozens.</summary>
    private const int MaxStreams = 4096;

    private readonly Lock _gate = new();
    private readonly string _host;
    private readonly string _boot;
    private readonly TimeSpan _patience;
    private readonly NativeBufferPool _pool;
    private readonly IJobPorts _ports;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Dictionary<string, FrameQueue> _queues = new(StringComparer.Ordinal);
    private readonly SortedDictionary<uint, StreamState> _streams = [];
    private readonly SortedDictionary<int, LocalWorker> _workers = [];
    private readonly AnchorLedger? _ledger;
    private AggregationJob _job;
    private readonly long _createdAt;
    private bool _closed;
    private bool _abandoned;

    public JobEngine(string host, AggregationJob job, TreeSet trees, EngineSettings settings, NativeBufferPool pool, IJobPorts ports, TimeProvider time, ILogger logger)
    {
        _host = host;
        _boot = settings.Boot;
        _patience = settings.Patience;
        Fault = settings.Fault;
        _job = job;
        _pool = pool;
        _ports = ports;
        _time = time;
        _createdAt = time.GetTimestamp();
        Sight = new ReductionSight(time);
        _logger = logger;
        AnchorHost = job.Members.First(m => m.Rank == 0).Host;
        foreach (var member in job.Members)
        {
            if (member.Host == host)
            {
                _workers.Add(member.Rank, new LocalWorker(member.Rank));
            }
        }

        if (AnchorHost == host)
        {
            _ledger = new AnchorLedger(host, job, settings.Patience);
        }

        lock (_gate)
        {
            Hold(trees);
            if (_ledger is not null)
            {
                AtMember(_ledger.Roster());
            }
        }
    }

    internal ProtocolFault Fault { get; }

    /// <summary>The job as last applied.</summary>
    public AggregationJob Job
    {
        get
        {
            lock (_gate)
            {
                return _job;
            }
        }
    }

    /// <summary>Host of rank 0, whose agent decides for the job.</summary>
    public string AnchorHost { get; }

    public bool IsAnchor => _ledger is not null;

    /// <summary>What was refused and dropped since the start.</summary>
    public JobCounters Counters { get; } = new();

    /// <summary>What the job moves through this host, and how its last round went.</summary>
    public ReductionSight Sight { get; }

    /// <summary>Frames for a peer; taken by whichever connection is ready.</summary>
    public FrameQueue QueueOf(string peer)
    {
        lock (_gate)
        {
            return QueueOfLocked(peer);
        }
    }

    /// <summary>Whether this host sums for the job without having a worker of it.</summary>
    public bool IsHelper => _workers.Count == 0;

    /// <summary>For a helper that the plan does not need any more: whether no round can still use it.</summary>
    public bool IsUnused
    {
        get
        {
            lock (_gate)
            {
                var now = _time.GetTimestamp();
                return !MayBeUsed(_trees[^1].Revision)
                    || (!IsAnchor && !_up.Contains(AnchorHost) && _time.GetElapsedTime(_anchorDownSince ?? _createdAt, now) > _patience);
            }
        }
    }

    /// <summary>Whether a round is in progress here: the code point of connections is changed only between rounds.</summary>
    public bool InRound
    {
        get
        {
            lock (_gate)
            {
                foreach (var stream in _streams.Values)
                {
                    foreach (var round in stream.Rounds)
                    {
                        if (round.Live || round.Exchanging)
                        {
                            return true;
                        }
                    }
                }

                return false;
            }
        }
    }

    /// <summary>Ends the job on this host: every worker that waits hears the reason.</summary>
    public void Close(string code, string text)
    {
        lock (_gate)
        {
            if (_closed)
            {
                return;
            }

            _closed = true;
            foreach (var stream in _streams.Values)
            {
                foreach (var round in stream.Rounds)
                {
                    Abort(round, code, text);
                }
            }

            foreach (var worker in _workers.Values)
            {
                foreach (var (id, local) in worker.Streams)
                {
                    if (local.Parked is not null)
                    {
                        local.Parked = null;
                        _ports.RoundFailed(worker.Rank, id, local.Next!.Value - 1, code, text);
                    }
                }
            }

            LetGo();
        }
    }

    /// <summary>
    /// Ends the agent's part but not the job: nobody is told anything, and what stands in the workers' memory stays for the agent's next life. A crash does the same.
    /// </summary>
    public void Abandon()
    {
        lock (_gate)
        {
            if (_closed)
            {
                return;
            }

            _closed = true;
            _abandoned = true;
            foreach (var stream in _streams.Values)
            {
                foreach (var round in stream.Rounds)
                {
                    round.Aborted = true;
                    round.Stop();
                }
            }

            LetGo();
        }
    }

    private void LetGo()
    {
        foreach (var worker in _workers.Values)
        {
            worker.End(left: false, "ended");
        }

        foreach (var queue in _queues.Values)
        {
            queue.Close();
            while (queue.TryTake(out var frame))
            {
                Drop(frame);
            }
        }

        foreach (var round in _unparked)
        {
            round.Pins--;
        }

        _unparked.Clear();
        foreach (var stream in _streams.Values)
        {
            foreach (var round in stream.Rounds)
            {
                if (round.Pins == 0)
                {
                    round.Release();
                }
            }
        }
    }

    private FrameQueue QueueOfLocked(string peer)
    {
        if (!_queues.TryGetValue(peer, out var queue))
        {
            _queues[peer] = queue = new FrameQueue();
            if (_closed)
            {
                queue.Close();
            }
        }

        return queue;
    }

    private StreamState StreamOf(uint id)
    {
        if (!_streams.TryGetValue(id, out var stream))
        {
            _streams[id] = stream = new StreamState(id);
        }

        return stream;
    }

    private void Unpin(RoundState round)
    {
        round.Pins--;
        if (round.Pins == 0 && (_closed || !round.Stream.Rounds.Contains(round)))
        {
            round.Release();
        }
    }

    /// <summary>Ends a round without result and tells the local workers that wait for it.</summary>
    private void Abort(RoundState round, string code, string text)
    {
        if (!round.Live)
        {
            // Its outcome stands; only what others might still have asked for ends.
            round.Stop();
            DropStale(round);
            return;
        }

        round.Aborted = true;
        round.Failure = (code, text);
        round.EndedAt = _time.GetTimestamp();
        foreach (var shard in round.Shards)
        {
            shard.ReleaseSums();
            shard.ReleaseKept();
        }

        if (round.Users == 0)
        {
            TellFailed(round);
        }
    }

    private void TellFailed(RoundState round)
    {
        if (_abandoned)
        {
            return;
        }

        var ranks = round.Trees.LocalRanks;
        for (var i = 0; i < ranks.Length; i++)
        {
            if (round.Area(i) is { } area)
            {
                area.WriteFailed(round.Number);
                _ports.RoundFailed(ranks[i], round.Stream.Id, round.Number, round.Failure.Code, round.Failure.Text);
            }
        }
    }

    private void Drop(in Outgoing frame)
    {
        frame.Buffer?.Release();
        Unpin(frame.Round);
    }
}
