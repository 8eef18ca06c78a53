using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Tests.Aggregation.Model;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>Many seeds, each another job on another fabric with another order of events, in virtual time.</summary>
public class EngineModelTests
{
    private static string[] Hosts => RandomJobs.Hosts;

    [Fact]
    public void Rounds_AnyTreesAndOrder_SumExactly()
    {
        for (var seed = 0; seed < 150; seed++)
        {
            var random = new Random(seed);
            var job = RandomJob(random);
            using var fabric = new VirtualFabric(seed, job);
            AddWorkers(fabric, job, random, streams: (uint)random.Next(1, 4), rounds: 4);

            fabric.Run();

            Assert.All(fabric.Workers, w => Assert.Empty(w.Failures));
        }
    }

    [Fact]
    public void Rounds_ConnectionsBreak_SumExactlyAllTheSame()
    {
        var served = 0L;
        var duplicates = 0L;
        for (var seed = 0; seed < 150; seed++)
        {
            var random = new Random(seed);
            var job = RandomJob(random);
            using var fabric = new VirtualFabric(seed, job);
            AddWorkers(fabric, job, random, streams: (uint)random.Next(1, 3), rounds: 4);
            fabric.Chaos = f =>
            {
                if (f.Random.Next(40) == 0)
                {
                    f.BreakSomeConnection();
                }

                if (f.Random.Next(200) == 0)
                {
                    f.BreakSomeSignalling();
                }
            };

            fabric.Run();

            Assert.All(fabric.Workers, w => Assert.Empty(w.Failures));
            served += fabric.Engines.Sum(e => e.Counters.ResultsServedAgain);
            duplicates += fabric.Engines.Sum(e => e.Counters.DuplicateFrames);
        }

        // The test means nothing when no frame was ever lost or repeated.
        Assert.True(served > 50, $"{served} results were served again");
        Assert.True(duplicates > 50, $"{duplicates} duplicates were refused");
    }

    [Fact]
    public void Rounds_PlansChangeMeanwhile_SumExactlyAndSwitch()
    {
        var switched = 0;
        for (var seed = 0; seed < 100; seed++)
        {
            var random = new Random(seed);
            var job = RandomJob(random);
            using var fabric = new VirtualFabric(seed, job);
            AddWorkers(fabric, job, random, streams: (uint)random.Next(1, 3), rounds: 8);
            var newest = Hosts.ToDictionary(h => h, _ => job);
            var plans = new List<AggregationJob> { job };
            fabric.Chaos = f =>
            {
                if (plans.Count < 4 && f.Random.Next(400) == 0)
                {
                    plans.Add(plans[^1] with { TreesRevision = new TreesRevision(1, plans.Count + 1), Shards = RandomShards(f.Random) });
                }

                if (f.Random.Next(30) == 0)
                {
                    // A host may be told of any newer plan, in order but with gaps.
                    var host = Hosts[f.Random.Next(Hosts.Length)];
                    var newer = plans.Where(p => p.TreesRevision.CompareTo(newest[host].TreesRevision) > 0).ToList();
                    if (newer.Count > 0)
                    {
                        newest[host] = newer[f.Random.Next(newer.Count)];
                        f.Apply(host, newest[host]);
                    }
                }

                if (f.Random.Next(300) == 0)
                {
                    f.BreakSomeConnection();
                }
            };

            fabric.Run();

            Assert.All(fabric.Workers, w => Assert.Empty(w.Failures));
            switched += fabric.Engines.Any(e => e.OldestRevisionHeld.Generation > 1) ? 1 : 0;
        }

        Assert.True(switched > 30, $"in {switched} of 100 runs an older plan was let go");
    }

    [Fact]
    public void WorkerDies_AnyTime_EveryOtherWorkerHearsItByNameAndNothingIsWrong()
    {
        var heard = 0;
        for (var seed = 0; seed < 150; seed++)
        {
            var random = new Random(seed);
            var job = RandomJob(random);
            if (job.Members.Count < 2)
            {
                continue;
            }

            using var fabric = new VirtualFabric(seed, job);
            AddWorkers(fabric, job, random, streams: (uint)random.Next(1, 3), rounds: 6);
            var victim = fabric.Workers[random.Next(fabric.Workers.Count)];
            var after = random.Next(10, 600);
            fabric.Chaos = f =>
            {
                if (f.Workers.All(w => w.HasJoined) && --after == 0)
                {
                    victim.Die();
                }

                if (f.Random.Next(300) == 0)
                {
                    f.BreakSomeSignalling();
                }
            };

            fabric.Run();

            foreach (var worker in fabric.Workers.Where(w => w != victim && victim.Dead))
            {
                Assert.All(worker.Failures, f => Assert.Equal(FailureCode.WorkerGone, f.Code));
                Assert.All(worker.Failures, f => Assert.Contains($"rank {victim.Rank} ", f.Text, StringComparison.Ordinal));
                heard += worker.Failures.Count;
            }
        }

        Assert.True(heard > 100, $"{heard} failures were heard of");
    }

    [Fact]
    public void HostFallsSilent_AnyTime_EveryWaitingWorkerHearsIt()
    {
        for (var seed = 0; seed < 100; seed++)
        {
            var random = new Random(seed);
            var job = RandomJob(random);
            using var fabric = new VirtualFabric(seed, job);
            AddWorkers(fabric, job, random, streams: 1, rounds: 5);
            var victim = Hosts[random.Next(Hosts.Length)];
            var after = random.Next(10, 400);
            var silent = false;
            fabric.Chaos = f =>
            {
                if (f.Workers.All(w => w.HasJoined) && --after == 0)
                {
                    silent = true;
                    f.Silence(victim);
                    foreach (var worker in f.Workers.Where(w => job.Members[w.Rank].Host == victim))
                    {
                        worker.Die();
                    }
                }
            };

            fabric.Run();

            foreach (var worker in fabric.Workers.Where(w => !w.Dead && silent))
            {
                Assert.All(worker.Failures, f => Assert.True(f.Code is FailureCode.HostLost, f.ToString()));
                Assert.All(worker.Failures, f => Assert.Contains(victim, f.Text, StringComparison.Ordinal));
            }
        }
    }

    [Fact]
    public void ShapesDiffer_EveryWorkerHearsAllSizes_AndTheNextRoundIsRight()
    {
        for (var seed = 0; seed < 60; seed++)
        {
            var random = new Random(seed);
            var job = RandomJob(random);
            if (job.Members.Count < 2)
            {
                continue;
            }

            using var fabric = new VirtualFabric(seed, job);
            var odd = random.Next(job.Members.Count);
            foreach (var member in job.Members)
            {
                fabric.AddWorker(member.Rank, (_, round) => round == 1 && member.Rank == odd ? 77 : 40, streams: 1, rounds: 4);
            }

            fabric.Run();

            foreach (var worker in fabric.Workers)
            {
                Assert.Equal(3, worker.Right);
                var failure = Assert.Single(worker.Failures);
                Assert.Equal((0u, 1ul, FailureCode.ShapeMismatch), (failure.Stream, failure.Round, failure.Code));
                Assert.Contains($"rank {odd} reduces float32 x 77 (308 bytes)", failure.Text, StringComparison.Ordinal);
                Assert.Contains("float32 x 40 (160 bytes)", failure.Text, StringComparison.Ordinal);
            }
        }
    }

    private static AggregationJob RandomJob(Random random) => RandomJobs.Job(random);

    private static Shard[] RandomShards(Random random) => RandomJobs.Shards(random);

    private static void AddWorkers(VirtualFabric fabric, AggregationJob job, Random random, uint streams, int rounds)
    {
        var salt = random.Next();
        foreach (var member in job.Members)
        {
            fabric.AddWorker(member.Rank, (stream, round) => 1 + (int)(((uint)salt + (stream * 7919) + ((uint)round * 104729)) % 90), streams, rounds);
        }
    }
}
