using System.Text.Json;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Simulation;

namespace MLNet.SDN.Tests.Planning.Simulation;

public class SchemeComparisonTests
{
    [Theory]
    [InlineData("G-4-pack-1", 0.50, 0.50)]
    [InlineData("G-16-split-1", 0.78, 0.45)]
    [InlineData("XL-16-split-1", 0.86, 0.0)]
    public void Run_BatchOn1024Hosts_EndsMuchSoonerThanPlainWays(string file, double cutOfSharded, double cutOfRing)
    {
        var @case = Read(file);
        var ours = Run(@case, new("optimized", "srpt", Levels: 6, Floor: 0.01));

        Assert.InRange(ours.MeanSeconds, 0, Run(@case, new("direct-sharded", "fair")).MeanSeconds * (1 - cutOfSharded));
        Assert.InRange(ours.MeanSeconds, 0, Run(@case, new("ring", "fair")).MeanSeconds * (1 - cutOfRing));
        Assert.InRange(ours.MeanSeconds, 0, Run(@case, new("rack-star", "fair")).MeanSeconds);
    }

    [Fact]
    public void Run_SixLevels_AreAsGoodAsOnePerJob()
    {
        var @case = Read("G-4-pack-1");

        var six = Run(@case, new("rack-star", "srpt", Levels: 6, Floor: 0)).MeanSeconds;

        Assert.InRange(six, 0, Run(@case, new("rack-star", "srpt-unlimited")).MeanSeconds * 1.02);
    }

    [Fact]
    public void Run_Twice_IsEqualToTheLastBit()
    {
        var @case = Read("XL-16-split-1");
        foreach (var policy in SchemeComparison.Policies)
        {
            var scheme = new Scheme("optimized", policy);

            Assert.Equal(JsonSerializer.Serialize(Run(@case, scheme)), JsonSerializer.Serialize(Run(Read("XL-16-split-1"), scheme)));
        }
    }

    [Fact]
    public void Run_LinksAndLevels_AddUp()
    {
        var @case = Read("XL-16-split-1");

        var result = Run(@case, new("direct-sharded", "srpt"));

        Assert.Equal(1, result.LevelShares.Sum(), 9);
        Assert.All(result.Links, l => Assert.InRange(l.Utilisation, 0, 1 + 1e-9));
        var sent = result.Links.Where(l => l.Link.StartsWith('h')).Sum(l => l.Bytes);
        Assert.Equal(@case.Jobs.Sum(j => 2.0 * (j.Workers.Count - 1) * j.GradientBytes * j.Rounds), sent, sent * 1e-9);
        Assert.All(result.Jobs, j => Assert.True(j.Slowdown >= 1 - 1e-9));
    }

    [Fact]
    public void Run_WorkersOnOneHost_OnlyCompute()
    {
        var @case = SimulationCase.Of(
            new BatchScenario
            {
                Name = "one",
                Topology = new() { Racks = 1, HostsPerRack = 2, Pods = 1, RacksPerPod = 1, HostBytesPerSecond = 1e9, RackUplinkBytesPerSecond = 1e9, PodUplinkBytesPerSecond = 1e9 },
                Jobs = [new() { Model = "m", Workers = [1, 1], Bytes = 1e9, ComputeSeconds = 2, Iterations = 5, ArrivalSeconds = 3 }],
            },
            out _)!;

        foreach (var strategy in SchemeComparison.Strategies)
        {
            Assert.Equal(10, Run(@case, new(strategy, "srpt")).MeanSeconds, 9);
        }
    }

    [Fact]
    public void Of_FaultyBatch_NamesEveryField()
    {
        var scenario = new BatchScenario
        {
            Name = "bad",
            Topology = new() { Racks = 2, HostsPerRack = 2, Pods = 1, RacksPerPod = 1, HostBytesPerSecond = 1e9, RackUplinkBytesPerSecond = 0, PodUplinkBytesPerSecond = 1e9 },
            Jobs = [new() { Model = "m", Workers = [4, -1], Bytes = -1, ComputeSeconds = double.NaN, Iterations = 0, ArrivalSeconds = -2 }, new() { Model = "m", Workers = [], Bytes = 1, ComputeSeconds = 1, Iterations = 1, ArrivalSeconds = 0 }],
        };

        Assert.Null(SimulationCase.Of(scenario, out var faults));

        Assert.Equal(
            ["topology.racks", "topology.rackUplinkBytesPerSecond", "jobs[0].workers[0]", "jobs[0].workers[1]", "jobs[0].bytes", "jobs[0].computeSeconds", "jobs[0].arrivalSeconds", "jobs[0].iterations", "jobs[1].workers"],
            faults.Select(f => f.Field));
    }

    [Fact]
    public void Of_EmulationScenario_TakesTheSizeOfThePerceptron()
    {
        var scenario = new Scenario { Name = "s", Fabric = new() { HostMbps = 20, RackUplinkMbps = 10, CoreMbps = 10 }, Jobs = [new() { Name = "a", Hidden = 64, Rounds = 40 }] };

        var @case = SimulationCase.Of(scenario, 0.1, out _)!;

        // 784 x 64 + 64 + 64 x 10 + 10 float32, in frames of 1,514 bytes with 1,448 of payload, a quarter of an acknowledgement of 66 for each.
        Assert.Equal(4 * 50_890 * (1_514 + 16.5) / 1_448, @case.Jobs.Single().GradientBytes, 6);
        Assert.Equal(16, @case.Jobs.Single().Workers.Count);
        Assert.Null(SimulationCase.Of(scenario with { Jobs = [scenario.Jobs[0] with { Hidden = 0, Rounds = 0, Workers = ["x"] }] }, 0, out var faults));
        Assert.Equal(["jobs[0].workers[0]", "jobs[0].hidden", "jobs[0].rounds"], faults.Select(f => f.Field));
    }

    [Fact]
    public void Run_EmulationInChunks_AddsHeadersAndTheFillingOfTrees()
    {
        var scenario = new Scenario { Name = "s", Fabric = new() { HostMbps = 20, RackUplinkMbps = 20, CoreMbps = 20 }, Jobs = [new() { Name = "a", GradientBytes = 4_000_000, ComputeSeconds = 0.5, Rounds = 3 }] };
        var inChunks = SimulationCase.Of(scenario, 0, out _)!;

        var fluid = Seconds(inChunks with { InChunks = false }) - 1.5;
        var more = Seconds(inChunks) - 1.5 - fluid;

        // The busiest links carry 7.9 MB a round: chunks of eleven segments, 112 bytes of header each, and four of them at 20 Mbit/s.
        var chunk = ((int)Math.Round((Math.Sqrt(fluid / 3 * 2.5e6 * 137 / 4) + 112) / 1_448) * 1_448) - 112;
        Assert.Equal(15_816, chunk);
        Assert.Equal((fluid * 112 / chunk) + (3 * 4 * chunk / 2.5e6), more, 9);

        static double Seconds(SimulationCase @case) => SchemeComparison.Run(@case, new("rack", "fair"), TestContext.Current.CancellationToken).Jobs.Single().CompletionSeconds;
    }

    [Fact]
    public void Of_ReplayedJobOfAnEmulation_TakesItsOwnBytesAndComputation()
    {
        var scenario = new Scenario { Name = "s", Fabric = new() { HostMbps = 20, RackUplinkMbps = 10, CoreMbps = 10 }, Jobs = [new() { Name = "a", GradientBytes = 1_448_000, ComputeSeconds = 0.5, Rounds = 2 }] };

        var job = SimulationCase.Of(scenario, 0.1, out _)!.Jobs.Single();

        Assert.Equal(1_530_500, job.GradientBytes, 6);
        Assert.Equal(0.5, job.ComputeSeconds);
        Assert.Null(SimulationCase.Of(scenario with { Jobs = [scenario.Jobs[0] with { Hidden = 3, ComputeSeconds = -1 }] }, 0, out var faults));
        Assert.Equal(["jobs[0].hidden", "jobs[0].computeSeconds"], faults.Select(f => f.Field));
    }

    [Theory]
    [InlineData(0, 0.0)]
    [InlineData(6, 0.2)]
    [InlineData(6, double.NaN)]
    public void Run_LevelsAndFloorThatCannotBe_AreRefused(int levels, double floor) =>
        Assert.Throws<ArgumentException>(() => Run(Read("XL-16-split-1"), new("ring", "srpt", levels, floor)));

    private static SchemeResult Run(SimulationCase @case, Scheme scheme) => SchemeComparison.Run(@case, scheme, TestContext.Current.CancellationToken);

    private static SimulationCase Read(string file)
    {
        using var stream = Golden.Open($"scenarios/{file}.json");
        return SimulationCase.Of(JsonSerializer.Deserialize(stream, BatchScenarioJson.Default.BatchScenario)!, out _)!;
    }
}
