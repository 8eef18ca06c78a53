using System.Net;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Wire;
using MLNet.SDN.Tests.Aggregation.Model;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>Element types, operations and the fixed order, through the engines of all hosts in virtual time.</summary>
public class ReduceModelTests
{
    private static readonly string[] Hosts = ["a", "b", "c", "d", "e"];

    [Fact]
    public void Rounds_EveryTypeAndOperation_AreThoseOfTheReference()
    {
        var seed = 0;
        foreach (var (type, operation) in Reference.All)
        {
            for (var i = 0; i < 6; i++)
            {
                var random = new Random(++seed);
                var message = new ReferenceMessage(type, operation, fixedOrder: i % 2 == 1);
                using var fabric = new VirtualFabric(seed, RandomJob(random, random.Next(1, 8)));
                var sizes = Enumerable.Range(0, 3).Select(_ => random.Next(1, 120)).ToArray();
                AddWorkers(fabric, fabric.World, sizes, message);
                var breaks = i >= 4;
                fabric.Chaos = f =>
                {
                    if (breaks && f.Random.Next(60) == 0)
                    {
                        f.BreakSomeConnection();
                    }
                };

                fabric.Run();

                Assert.All(fabric.Workers, w => Assert.Empty(w.Failures));
            }
        }
    }

    [Theory]
    [InlineData(ElementType.Float32, ReduceOperation.Sum)]
    [InlineData(ElementType.Float64, ReduceOperation.Mean)]
    [InlineData(ElementType.BFloat16, ReduceOperation.Sum)]
    public void FixedOrder_AnyOrderOfArrival_GivesTheSameBitsEveryTime(ElementType type, ReduceOperation operation)
    {
        Assert.Single(Results(type, operation, fixedOrder: true));

        // The same without it: otherwise the numbers would prove nothing.
        Assert.True(Results(type, operation, fixedOrder: false).Count > 1);
    }

    [Fact]
    public void FixedOrder_OfOneWorkerAndNotOfAnother_IsAMismatchThatNamesBoth()
    {
        var random = new Random(3);
        using var fabric = new VirtualFabric(3, RandomJob(random, 3));
        for (var rank = 0; rank < 3; rank++)
        {
            fabric.AddWorker(rank, (_, _) => 20, 1, 1, new ReferenceMessage(ElementType.Float32, ReduceOperation.Sum, fixedOrder: rank == 1));
        }

        fabric.Run();

        var failure = Assert.Single(fabric.Workers[0].Failures);
        Assert.Equal(FailureCode.ShapeMismatch, failure.Code);
        Assert.Contains("rank 1 reduces float32 x 20 (80 bytes), sum, deterministic", failure.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true, 0b010, false)] // a part of the child's part has no place in the order
    [InlineData(true, 0b110, true)]
    [InlineData(false, 0b010, true)]
    public void FixedOrder_PartOfAChildsPart_IsRefused(bool fixedOrder, byte contributors, bool taken)
    {
        // b, with ranks 1 and 2, sends to a, the root, with rank 0.
        var job = RandomJob(new Random(1), 3) with
        {
            Members = [new(0, "a"), new(1, "b"), new(2, "b")], Shards = [new(1, ["a"], [.. Hosts[1..].Select(h => new Edge(h, "a"))])], ChunkBytes = 64,
        };
        using var fabric = new VirtualFabric(1, job);
        var buffer = fabric.Pool.Rent(64);
        var header = new FrameHeader
        {
            Type = FrameType.Partial, ElementType = ElementType.Float32, Operation = ReduceOperation.Sum, JobId = job.JobId, Stream = 0, Shard = 0, ContributorBytes = 1, Round = 0,
            MessageBytes = 64, Chunk = 0, PayloadBytes = 64, Epoch = new Epoch(job.TreesRevision, 0), PayloadType = ElementType.Float32, FixedOrder = fixedOrder, Next = default,
        };

        var verdict = fabric.Engines.First().OnFrame("b", header, [contributors], buffer);

        Assert.Equal(taken ? FrameVerdict.Taken : FrameVerdict.Violation, verdict);
        if (!taken)
        {
            buffer.Release();
        }
    }

    /// <summary>Distinct results of the same contributions and the same plan over many orders of events.</summary>
    private static HashSet<string> Results(ElementType type, ReduceOperation operation, bool fixedOrder)
    {
        var results = new HashSet<string>();
        for (var seed = 0; seed < 40; seed++)
        {
            var message = new Mixed(type, operation, fixedOrder);
            using var fabric = new VirtualFabric(seed, RandomJob(new Random(77), 7));
            AddWorkers(fabric, 7, [90], message);

            fabric.Run();

            Assert.All(fabric.Workers, w => Assert.Empty(w.Failures));
            // All workers have the same bits in any case.
            results.Add(Assert.Single(message.Seen));
        }

        return results;
    }

    private static AggregationJob RandomJob(Random random, int world) => new()
    {
        JobId = 7,
        Name = "j",
        Secret = new byte[] { 1 },
        Dscp = 0,
        TreesRevision = new TreesRevision(1, 1),
        Members = [.. Enumerable.Range(0, world).Select(rank => new Member(rank, Hosts[random.Next(Hosts.Length)]))],
        Endpoints = [.. Hosts.Select(h => new Endpoint(h, new IPEndPoint(IPAddress.Loopback, 1), null))],
        Shards = [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => RandomJobs.Tree(random, Hosts))],
        ChunkBytes = 8 * random.Next(2, 9),
        WindowChunks = random.Next(1, 5),
        Stripes = 1,
    };

    private static void AddWorkers(VirtualFabric fabric, int world, int[] sizes, VirtualMessage message)
    {
        for (var rank = 0; rank < world; rank++)
        {
            fabric.AddWorker(rank, (_, round) => sizes[(int)round % sizes.Length], 1, sizes.Length, message);
        }
    }

    /// <summary>Numbers whose sum shows the order of additions; keeps what came back.</summary>
    private sealed class Mixed(ElementType type, ReduceOperation operation, bool fixedOrder) : VirtualMessage(type, operation, fixedOrder)
    {
        private readonly ElementType _type = type;

        public HashSet<string> Seen { get; } = [];

        public override byte[] Contribution(int rank, uint stream, ulong round, int elements)
        {
            // Two large numbers that cancel out: what was added to one of them before the other came is lost in part.
            var large = Math.Pow(2, _type == ElementType.Float64 ? 55 : 26);
            var random = new Random((rank * 1000) + (int)round);
            var numbers = Enumerable.Range(0, elements).Select(_ => rank switch { 0 => large, 1 => -large, _ => random.NextDouble() * 100 }).ToArray();
            return _type switch
            {
                ElementType.Float64 => Reference.Bytes(numbers),
                ElementType.Float32 => Reference.Bytes(numbers.Select(v => (float)v)),
                _ => Reference.Narrow(_type, Reference.Bytes(numbers.Select(v => (float)v))),
            };
        }

        public override void Check(int world, uint stream, ulong round, ReadOnlySpan<byte> result) => Seen.Add(Convert.ToHexString(result));
    }
}
