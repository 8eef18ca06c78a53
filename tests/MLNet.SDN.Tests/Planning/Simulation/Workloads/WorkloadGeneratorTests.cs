using System.Security.Cryptography;
using System.Text.Json;
using MLNet.SDN.Planning.Simulation;
using MLNet.SDN.Planning.Simulation.Workloads;

namespace MLNet.SDN.Tests.Planning.Simulation.Workloads;

public class WorkloadGeneratorTests
{
    public static TheoryData<string> Kinds => [.. WorkloadKinds.All.Select(k => k.Name)];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Generate_KnownKind_KeepsWhatTheKindSays(string name)
    {
        var kind = WorkloadKinds.Find(name)!;
        for (var seed = 1; seed <= 5; seed++)
        {
            var scenario = Draw(kind, seed);

            Assert.Empty(BatchScenario.Check(scenario));
            Assert.Equal((kind.Name, seed, kind.Jobs), (scenario.Name, scenario.Seed, scenario.Jobs.Count));
            Assert.InRange(scenario.Jobs.Sum(j => j.Workers.Count), 1, kind.MostWorkers!.Value);
            Assert.InRange(scenario.Jobs.SelectMany(j => j.Workers).CountBy(w => w).Max(w => w.Value), 1, kind.Placement.JobsPerHost);
            Assert.All(scenario.Jobs, job =>
            {
                Assert.Equal(job.Workers.Distinct().Order(), job.Workers);
                Assert.Contains(kind.WorkersPerJob, w => w.Workers == job.Workers.Count);
                Assert.All(job.Workers, w => Assert.True(w % 32 < (kind.Placement.HostsPerRack ?? 32)));
                Assert.InRange(job.Iterations, 10, 2000);
                Assert.InRange(job.ArrivalSeconds, 0, 2 * job.ComputeSeconds);
                int[] perRack = [.. job.Workers.CountBy(w => w / 32).Select(r => r.Value)];
                if (kind.Placement.Rule == PlacementRule.Split)
                {
                    Assert.Single(perRack.Distinct());
                    Assert.InRange(perRack.Length, 2, job.Workers.Count > 32 && kind.Placement.HostsPerRack == 8 ? 8 : 4);
                }
                else if (kind.Placement.Rule == PlacementRule.Packed && job.Workers.Count <= (kind.Placement.HostsPerRack ?? 32))
                {
                    Assert.Single(perRack);
                }
            });
        }
    }

    /// <summary>The fabric, the models and the places of given scenarios are those of the kind they are named after.</summary>
    [Theory]
    [InlineData("G-4-pack")]
    [InlineData("G-16-split")]
    [InlineData("XL-16-split")]
    [InlineData("S-4-rand")]
    public void Generate_KnownKind_IsOfTheKindOfTheGivenScenarios(string name)
    {
        var given = JsonSerializer.Deserialize(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Planning", "golden", "scenarios", $"{name}-1.json")), BatchScenarioJson.Default.BatchScenario)!;

        var ours = Draw(WorkloadKinds.Find(name)!, 1);

        Assert.Equal(given.Topology, ours.Topology);
        Assert.Equal(given.Jobs.Count, ours.Jobs.Count);
        Assert.Equal(Models(given), Models(ours));
        Assert.Equal(RacksBySize(given).Keys, RacksBySize(ours).Keys);
        if (!name.EndsWith("rand", StringComparison.Ordinal))
        {
            Assert.Equal(RacksBySize(given), RacksBySize(ours));
        }

        static (string, double, double)[] Models(BatchScenario of) => [.. of.Jobs.Select(j => (j.Model, j.Bytes, j.ComputeSeconds)).Distinct().Order()];
        static SortedDictionary<int, int> RacksBySize(BatchScenario of) => new(of.Jobs.GroupBy(j => j.Workers.Count).ToDictionary(g => g.Key, g => g.Max(j => j.Workers.Select(w => w / 32).Distinct().Count())));
    }

    [Fact]
    public void Generate_ManySeeds_FollowsTheStatedDistributions()
    {
        var kind = WorkloadKinds.Find("S-4-rand")! with { MostWorkers = null, Placement = new() { Rule = PlacementRule.Random, JobsPerHost = 100 } };
        BatchJob[] jobs = [.. Enumerable.Range(1, 100).SelectMany(seed => Draw(kind, seed).Jobs)];

        // Of 12,000 draws a part p lies within four standard deviations, √(p(1-p)/12000), in all but one of 16,000 cases; seeds are fixed.
        Near(3.0 / 12, jobs.Count(j => j.Workers.Count == 8));
        Near(1.0 / 12, jobs.Count(j => j.Workers.Count == 64));
        Near(1.0 / 6, jobs.Count(j => j.Model == "vgg16"));
        Near(0.5, jobs.Count(j => j.Iterations < 80) + (jobs.Count(j => j.Iterations == 80) / 2));
        Near(0.8413, jobs.Count(j => j.Iterations < 80 * Math.E));
        Near(0.25, jobs.Count(j => j.ArrivalSeconds < 0.5 * j.ComputeSeconds));

        void Near(double part, double count) => Assert.Equal(part, count / jobs.Length, 4 * Math.Sqrt(part * (1 - part) / jobs.Length));
    }

    /// <summary>Fixed once and for all: figures of seeds stay comparable between versions and platforms.</summary>
    [Fact]
    public void Generate_Seed_GivesTheSameScenarioForEver()
    {
        var job = Draw(WorkloadKinds.Find("G-4-pack")!, 3).Jobs[7];
        var all = JsonSerializer.SerializeToUtf8Bytes(WorkloadKinds.All.Select(k => Draw(k, 3).Jobs));

        Assert.Equal("vgg16 66 0.019138328134259933 0 1 2 24", $"{job.Model} {job.Iterations} {job.ArrivalSeconds:R} {string.Join(' ', job.Workers.Take(3))} {job.Workers.Count}");
        Assert.Equal("2050FC59BFA0E9E4D3D5BD3F347DE552", Convert.ToHexString(SHA256.HashData(all))[..32]);
    }

    /// <summary>The first numbers of seed 0, as other implementations of xoshiro256** seeded by splitmix64 give them.</summary>
    [Fact]
    public void NextBits_SeedZero_IsThePublishedSequence()
    {
        var random = new SeededRandom(0);

        Assert.Equal([11091344671253066420, 13793997310169335082, 1900383378846508768, 7684712102626143532], Enumerable.Range(0, 4).Select(_ => random.NextBits()));
    }

    [Fact]
    public void Generate_PoissonArrivals_ComeOneAfterTheOther()
    {
        var kind = WorkloadKinds.Find("XL-16-split")! with { Arrivals = new() { MeanGapSeconds = 10 } };
        double[] arrivals = [.. Enumerable.Range(1, 50).Select(seed => Draw(kind, seed).Jobs[^1].ArrivalSeconds)];

        // Sixteen gaps of mean 10 have mean 160 and standard deviation 40; fifty such sums 5.7.
        Assert.Equal(160, arrivals.Average(), 4 * 5.7);
        Assert.All(Draw(kind, 1).Jobs.Zip(Draw(kind, 1).Jobs.Skip(1)), p => Assert.True(p.First.ArrivalSeconds < p.Second.ArrivalSeconds));
    }

    [Fact]
    public void Generate_FaultyKind_NamesEveryField()
    {
        var kind = WorkloadKinds.Find("G-4-pack")! with
        {
            Jobs = 0,
            Models = [new() { Name = "m", Bytes = double.NaN, ComputeSeconds = -1 }],
            Rounds = new() { Median = 0, Sigma = -1, Least = 5, Most = 4 },
            Arrivals = new() { WindowSeconds = -1 },
            Placement = new() { Rule = PlacementRule.Split, HostsPerRack = 33, JobsPerHost = 0 },
        };

        Assert.Null(WorkloadGenerator.Generate(kind, 1, out var faults));

        Assert.Equal(
            ["jobs", "models[0].bytes", "models[0].computeSeconds", "rounds.median", "rounds.sigma", "rounds.most", "arrivals.windowSeconds", "placement.jobsPerHost", "placement.hostsPerRack"],
            faults.Select(f => f.Field));
    }

    [Fact]
    public void Generate_JobsThatCannotFit_SaysSo()
    {
        var kind = WorkloadKinds.Find("XL-16-split")!;

        Assert.Null(WorkloadGenerator.Generate(kind with { Jobs = 100 }, 1, out var tooMany));
        Assert.Contains("room for 940", Assert.Single(tooMany).Message, StringComparison.Ordinal);

        // Enough places, but not in the pieces that the rule wants: 17 of 32 hosts in each rack, twice.
        Assert.Null(WorkloadGenerator.Generate(kind with { Jobs = 17, WorkersPerJob = [new(34, 1)], Placement = new() { Rule = PlacementRule.Split, MostRacks = 2 } }, 1, out var awkward));
        Assert.Contains("never found room", Assert.Single(awkward).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Log_AndExp_AreThoseOfTheLibraryToRounding()
    {
        for (var x = 1e-300; x < 1e300; x *= 1.37e7)
        {
            Assert.Equal(Math.Log(x), SeededRandom.Log(x), 1e-14 * Math.Max(1, Math.Abs(Math.Log(x))));
        }

        for (var x = -30.0; x < 30; x += 0.37)
        {
            Assert.Equal(Math.Exp(x), SeededRandom.Exp(x), 1e-14 * Math.Exp(x));
        }
    }

    private static BatchScenario Draw(WorkloadKind kind, long seed)
    {
        var scenario = WorkloadGenerator.Generate(kind, seed, out var faults);
        Assert.Empty(faults);
        return scenario!;
    }
}
