using MLNet.SDN.Planning.FlowModel;
using MLNet.SDN.Planning.Simulation;

namespace MLNet.SDN.Tests.Planning.Simulation;

public class LevelDisciplineTests
{
    [Theory]
    [InlineData("srpt")]
    [InlineData("bssi")]
    public void Run_EndlessStreamOfShorterJobs_DoesNotKeepALongerOneWaiting(string policy)
    {
        // One link. The first job needs it for 20 s; from then on a job that needs it for 10 s comes every 10 s, a hundred times, and no floor helps.
        SimulatedJob[] jobs = [Job("long", 0, 20), .. Enumerable.Range(0, 100).Select(i => Job($"short-{i}", 10 * i, 10))];

        var finishes = Simulator.Run([1], jobs, new LevelDiscipline(policy, 6, Floor.None), cancellationToken: TestContext.Current.CancellationToken);
        var starved = Simulator.Run([1], jobs, new UnlimitedSrptDiscipline(Floor.None), cancellationToken: TestContext.Current.CancellationToken);

        Assert.InRange(finishes[0].CompletionSeconds, 20, 300);
        Assert.Equal(1020, starved[0].CompletionSeconds, 6);
    }

    [Fact]
    public void Run_WeightedQueues_ShareByWhatIsLeft()
    {
        // 10 s and 40 s on one link: weights 32 and 8, so 4/5 and 1/5 until the first ends after 12.5 s; the other has 37.5 s left then.
        SimulatedJob[] jobs = [Job("short", 0, 10), Job("long", 0, 40)];

        var finishes = Simulator.Run([1], jobs, new WeightedDiscipline(6), cancellationToken: TestContext.Current.CancellationToken);

        Assert.Equal(12.5, finishes[0].CompletionSeconds, 9);
        Assert.Equal(50, finishes[1].CompletionSeconds, 9);
    }

    private static SimulatedJob Job(string name, double arrival, double seconds) => new() { Name = name, ArrivalSeconds = arrival, ComputeSeconds = 0, Rounds = 1, Links = [0], Bytes = [seconds] };
}
