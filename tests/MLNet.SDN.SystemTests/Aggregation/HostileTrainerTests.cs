using System.Diagnostics;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.SystemTests.Aggregation;

/// <summary>A trainer that means harm, a user who is not the job's, and a peer without the secret, against a real agent that has another job to carry.</summary>
[Collection(nameof(AgentFabric))]
public sealed class HostileTrainerTests
{
    private const string Hostile = "hostile";
    private const string Calm = "calm";

    /// <summary>What the hostile trainer's agent may hold beyond what it held before, when all is over.</summary>
    private const long MostGrowth = 64L << 20;

    private const string CalmRounds = """
        import numpy, mlnet
        with mlnet.join(timeout=60) as job:
            number = 0
            while True:
                assert (job.allreduce(numpy.full(20_000, job.rank + number % 1000, numpy.float32)) == 1 + 2 * (number % 1000)).all()
                number += 1
                if number % 20 == 0:
                    print("twenty rounds", flush=True)
        """;

    /// <summary>The honest worker of the hostile job: it takes what comes.</summary>
    private const string Partner = """
        import numpy, mlnet
        with mlnet.join(timeout=60) as job:
            while True:
                try:
                    job.allreduce(numpy.ones(1 << 18, numpy.float32))
                except mlnet.RoundFailed:
                    pass
        """;

    private const string FewRounds = """
        import numpy, mlnet
        with mlnet.join(timeout=60) as job:
            together = 0
            while together < 5:
                try:
                    result = job.allreduce(numpy.full(1 << 18, job.rank + 1, numpy.float32))
                except mlnet.RoundFailed:
                    continue
                # The killed partner may still have contributed to the first round of rank 0; rank 1 begins with the one after.
                assert (result == 3).all() or (together == 0 and (result == 2).all())
                together += (result == 3).all()
            print("honest rounds right", flush=True)
        """;

    private static string Program => File.ReadAllText(Path.Combine(Prerequisites.Root, "tests/MLNet.SDN.SystemTests/Aggregation/hostile_trainer.py"));

    [Fact]
    public async Task Trainer_ThatMeansHarm_HarmsItsOwnJobOnly()
    {
        string[] acts = ["restore", "scribble", "cut", "address_space", "hoard", "deaf", "foreign", "stranger", "die"];
        await using var fabric = await AgentFabric.StartAsync(2, f =>
        [
            f.Job(Hostile, 1, 2, [Rooted(f.Hosts[1], f.Hosts[0])]) with { OwnerUid = 0 },
            f.Job(Calm, 2, 2, [Rooted(f.Hosts[0], f.Hosts[1])]) with { OwnerUid = 0 },
        ]);
        _ = fabric.StartWorkerOf(Calm, 0, CalmRounds);
        _ = fabric.StartWorkerOf(Calm, 1, CalmRounds);
        var partner = fabric.StartWorkerOf(Hostile, 1, Partner);
        await fabric.UntilAsync(() => Twenties(fabric) > 1, "the first rounds of the calm job", TimeSpan.FromMinutes(1));
        fabric.LimitDescriptors("n0", spare: 700);
        var before = fabric.ResidentAnonymous("n0");

        var trainer = fabric.StartProgram("n0", Program, fabric.Socket("n0"), Hostile, string.Join(',', acts), AgentFabric.DataAddress(0));
        foreach (var act in acts)
        {
            await fabric.UntilAsync(() => trainer.HasExited || fabric.Output().Contains($"n0: did {act}"), act, TimeSpan.FromMinutes(2));
            Assert.False(trainer.HasExited, $"{act}\n{string.Join('\n', fabric.Output().TakeLast(30))}");
            var done = Twenties(fabric);
            await fabric.UntilAsync(() => Twenties(fabric) > done + 1, $"rounds of the calm job after {act}", TimeSpan.FromMinutes(1));
            await trainer.StandardInput.WriteLineAsync();
        }

        await fabric.UntilAsync(() => trainer.HasExited, "the end of the hostile trainer", TimeSpan.FromMinutes(1));
        Assert.Equal(0, trainer.ExitCode);
        Assert.All(fabric.Hosts, h => Assert.True(fabric.IsRunning(h)));
        Assert.DoesNotContain(fabric.Output(), l => l.Contains("fault of its own", StringComparison.Ordinal));
        Assert.DoesNotContain(fabric.Output(), l => l.Contains("AssertionError", StringComparison.Ordinal));
        await LeastAsync(fabric, "n0", before + MostGrowth);

        // The job itself is not broken either, once honest workers have it.
        partner.Kill();
        await partner.WaitForExitAsync(TestContext.Current.CancellationToken);
        Process[] honest = [fabric.StartWorkerOf(Hostile, 0, FewRounds), fabric.StartWorkerOf(Hostile, 1, FewRounds)];
        await fabric.UntilAsync(() => honest.All(p => p.HasExited), "honest workers' rounds", TimeSpan.FromMinutes(2));
        Assert.Equal(2, fabric.Output().Count(l => l.EndsWith("honest rounds right", StringComparison.Ordinal)));
    }

    private static ShardTree Rooted(string root, string child) => new() { Weight = 1, Roots = [root], Edges = [new TreeEdge(child, root)] };

    /// <summary>Waits for memory that is given back; a collection may be due.</summary>
    private static async Task LeastAsync(AgentFabric fabric, string host, long most)
    {
        var least = long.MaxValue;
        for (var sample = 0; sample < 60 && least > most; sample++)
        {
            least = Math.Min(least, fabric.ResidentAnonymous(host));
            await Task.Delay(250, TestContext.Current.CancellationToken);
        }

        TestContext.Current.TestOutputHelper!.WriteLine($"{host}: {least >> 20} MiB, at most {most >> 20} MiB");
        Assert.True(least <= most, $"{host}: {least} bytes, at most {most}");
    }

    private static int Twenties(AgentFabric fabric) => fabric.Output().Count(l => l == "n0: twenty rounds");
}
