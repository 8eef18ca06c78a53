using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Rounds;

namespace MLNet.SDN.Tests.Aggregation.Model;

/// <summary>What became of one seed.</summary>
/// <param name="Seed">The seed.</param>
/// <param name="Broken">The guarantee that did not hold, in words; null when all did.</param>
/// <param name="Faults">Times that something was broken, by kind.</param>
/// <param name="Rounds">Rounds finished, over all workers.</param>
/// <param name="Redone">Epochs of rounds beyond the first of each.</param>
/// <param name="Longest">Virtual time of the run.</param>
internal sealed record ChaosOutcome(int Seed, string? Broken, IReadOnlyDictionary<string, int> Faults, int Rounds, int Redone, TimeSpan Longest);

/// <summary>
/// One job under faults drawn from a seed: agents die and come back, freeze, are cut off; connections break; plans change; at times a worker dies for good.
/// G1, G2 and G3 must hold: every finished round has every contribution once and the same bits everywhere, and every round is finished without an error at
/// the workers, unless a worker is gone.
/// </summary>
internal sealed class ChaosRun
{
    private readonly Random _random;
    private readonly VirtualFabric _fabric;
    private readonly Dictionary<string, int> _faults = [];
    private readonly List<(TimeSpan At, Action Do)> _due = [];
    private readonly List<AggregationJob> _plans;
    private readonly VirtualWorker? _victim;
    private int _left;
    private int _pause;

    private ChaosRun(int seed, ProtocolFault fault, bool server)
    {
        _random = new Random(seed);
        var job = server ? RandomJobs.WithServer(_random) : RandomJobs.Job(_random, fewest: 2);
        _plans = [job];
        _fabric = new VirtualFabric(seed, job, fault) { Chaos = _ => Disturb() };
        var salt = (uint)_random.Next();
        var streams = (uint)_random.Next(1, 4);
        var rounds = _random.Next(3, 9);
        var fixedOrder = _random.Next(3) == 0;
        VirtualMessage message = server ? new ServerMessage(ServerMessage.Types[_random.Next(ServerMessage.Types.Length)], job.ServerRank!.Value, fixedOrder) : new ChaosMessage(fixedOrder);
        foreach (var member in job.Members)
        {
            _fabric.AddWorker(member.Rank, (stream, round) => 1 + (int)((salt + (stream * 7919) + ((uint)round * 104729)) % 90), streams, rounds, message);
        }

        _victim = _random.Next(8) == 0 ? _fabric.Workers[_random.Next(_fabric.Workers.Count)] : null;
        _left = _random.Next(1, 7);
        _pause = _random.Next(20, 500);
    }

    /// <param name="seed">Of everything that happens.</param>
    /// <param name="fault">Rules to break.</param>
    /// <param name="server">Whether the job has a parameter server, and pushes and pulls instead of adding.</param>
    public static ChaosOutcome Run(int seed, ProtocolFault fault = ProtocolFault.None, bool server = false) => new ChaosRun(seed, fault, server).Run(seed);

    private ChaosOutcome Run(int seed)
    {
        string? broken = null;
        try
        {
            _fabric.Run();
            foreach (var worker in _fabric.Workers.Where(w => !w.Dead))
            {
                foreach (var failure in worker.Failures)
                {
                    GuaranteeBrokenException.Unless(
                        _victim is { Dead: true } && failure.Code is FailureCode.WorkerGone or FailureCode.HostLost,
                        $"G3: rank {worker.Rank} was told of a failure: stream {failure.Stream}, round {failure.Round}, {failure.Code}, {failure.Text}");
                }
            }
        }
        catch (Exception e)
        {
            // Broken on purpose, an engine may do anything.
            broken = e is GuaranteeBrokenException ? e.Message : e.ToString();
            _fabric.Failed = true;
        }

        try
        {
            _fabric.Dispose();
        }
        catch (GuaranteeBrokenException e)
        {
            broken ??= e.Message;
        }

        return new ChaosOutcome(seed, broken, _faults, _fabric.Workers.Sum(w => w.Right), _fabric.Redone, _fabric.Elapsed);
    }

    private void Disturb()
    {
        for (var i = _due.Count - 1; i >= 0; i--)
        {
            if (_due[i].At <= _fabric.Elapsed)
            {
                var due = _due[i].Do;
                _due.RemoveAt(i);
                due();
            }
        }

        if (_left == 0 || --_pause > 0)
        {
            return;
        }

        _left--;
        _pause = _random.Next(1, 500);
        DoSomething();
    }

    private void DoSomething()
    {
        var host = _fabric.Hosts.ElementAt(_random.Next(_fabric.Hosts.Count));
        switch (_random.Next(_victim is null ? 14 : 15))
        {
            case 0 or 1 or 2 or 3 or 4 when host.Runs:
                Note("crash");
                _fabric.Crash(host);
                After(_random.Next(40), host.Start);
                break;
            case 5 when host.Runs:
                Note("freeze");
                host.Frozen = true;
                After(100, () => host.Frozen = false);
                break;
            case 6 or 7:
                Note("partition");
                var other = _fabric.Hosts.ElementAt(_random.Next(_fabric.Hosts.Count));
                if (other != host)
                {
                    _fabric.Cut(host.Name, other.Name);
                    After(_random.Next(60), () => _fabric.Heal(host.Name, other.Name));
                }

                break;
            case 8:
                Note("cut off");
                _fabric.Silence(host.Name);
                After(_random.Next(60), () =>
                {
                    foreach (var peer in _fabric.Hosts.Where(p => p != host))
                    {
                        _fabric.Heal(host.Name, peer.Name);
                    }
                });
                break;
            case 9 or 10 or 11:
                Note("plan");
                var plan = _plans[^1] with { TreesRevision = new TreesRevision(1, _plans.Count + 1), Shards = RandomJobs.Shards(_random, ServerHost(_plans[^1])), ChunkBytes = 8 * _random.Next(1, 6) };
                _plans.Add(plan);
                foreach (var told in _fabric.Hosts)
                {
                    After(_random.Next(20), () =>
                    {
                        if (told.Plan.TreesRevision.CompareTo(plan.TreesRevision) < 0)
                        {
                            told.Apply(plan);
                        }
                    });
                }

                break;
            case 12:
                Note("connection");
                _fabric.BreakSomeConnection();
                break;
            case 13:
                Note("signalling");
                _fabric.BreakSomeSignalling();
                break;
            case 14 when _victim is { Dead: false, HasJoined: true, Host.Runs: true }:
                Note("worker");
                _victim.Die();
                break;
        }
    }

    private static string? ServerHost(AggregationJob job) => job.ServerRank is { } rank ? job.Members[rank].Host : null;

    private void Note(string kind) => _faults[kind] = _faults.GetValueOrDefault(kind) + 1;

    private void After(int tenths, Action action) => _due.Add((_fabric.Elapsed + TimeSpan.FromMilliseconds(100 * tenths), action));
}
