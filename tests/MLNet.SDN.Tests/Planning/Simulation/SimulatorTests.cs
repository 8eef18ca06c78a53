using MLNet.SDN.Planning.FlowModel;
using MLNet.SDN.Planning.Simulation;

namespace MLNet.SDN.Tests.Planning.Simulation;

public class SimulatorTests
{
    /// <summary>The loop over events allocates nothing: a run of a hundred times the rounds takes no more memory.</summary>
    [Fact]
    public void Run_ManyMoreRounds_AllocatesNoMore()
    {
        var disciplines = new Func<Discipline>[] { () => new FairDiscipline(), () => new UnlimitedSrptDiscipline(new(FloorKind.Pooled, 0.05)), () => new LevelDiscipline("srpt", 3, new(FloorKind.PerLevel, 0.05)) };
        foreach (var discipline in disciplines)
        {
            Allocated(discipline(), 40); // whatever is made once in a process
            Allocated(discipline(), 4000);

            var (few, many) = (Allocated(discipline(), 40), Allocated(discipline(), 4000));

            // One object in each of the 32,000 rounds more would be ten times this. Less than that comes from the runtime, which compiles beside the test.
            Assert.InRange(many - few, -64 * 1024, 64 * 1024);
        }
    }

    [Fact]
    public void Run_JobsInAnotherOrder_FareTheSame()
    {
        // Twelve jobs over three links and a shared one: their numbers must not matter.
        SimulatedJob[] jobs = [.. Enumerable.Range(0, 12).Select(i => Job(i, 30))];

        var forward = Run(jobs);
        var backward = Run([.. jobs.Reverse()]);

        Assert.Equal(forward, backward.AsEnumerable().Reverse());

        static double[] Run(SimulatedJob[] jobs) => [.. Simulator.Run([1e9, 1e9, 1e9, 2e9], jobs, new FairDiscipline(), cancellationToken: TestContext.Current.CancellationToken).Select(f => Math.Round(f.FinishSeconds, 6))];
    }

    private static long Allocated(Discipline discipline, long rounds)
    {
        SimulatedJob[] jobs = [.. Enumerable.Range(0, 8).Select(i => Job(i, rounds))];
        var before = GC.GetAllocatedBytesForCurrentThread();
        Simulator.Run([1e9, 1e9, 1e9, 2e9], jobs, discipline);
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    private static SimulatedJob Job(int number, long rounds) => new()
    {
        Name = $"{number}",
        ArrivalSeconds = 0.31 * number,
        ComputeSeconds = 0.1 + (0.07 * number),
        Rounds = rounds,
        Links = [number % 3, 3],
        Bytes = [1e8 * (1 + (number % 4)), 2e8],
    };
}
