using System.Diagnostics;
using System.Globalization;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.SystemTests.Aggregation;

/// <summary>An agent whose limit of file descriptors is reached.</summary>
[Collection(nameof(AgentFabric))]
public sealed class DescriptorLimitTests
{
    private const string EndlessRounds = """
        import time, numpy, mlnet
        with mlnet.join(timeout=60) as job:
            number = 0
            while True:
                assert (job.allreduce(numpy.full(1000, job.rank + 1, numpy.float32)) == 3).all()
                if number % 200 == 0:
                    print("two hundred rounds", flush=True)
                number += 1
                time.sleep(0.005)
        """;

    private const string FewRounds = """
        import numpy, mlnet
        with mlnet.join(timeout=60) as job:
            for number in range(5):
                assert (job.allreduce(numpy.full(1000, job.rank + 1, numpy.float32)) == 3).all()
            print("rounds of the second run right", flush=True)
        """;

    /// <summary>As user nobody: holds connections to both sockets of an agent, and tells when it could open no more.</summary>
    private const string Crowd = """
        import os, socket, sys, time
        held = []
        os.setuid(65534)
        def dial(family, address):
            s = socket.socket(family, socket.SOCK_STREAM)
            s.settimeout(2)
            try:
                s.connect(address)
            except OSError:
                pass
            held.append(s)
        for _ in range(40):
            dial(socket.AF_UNIX, sys.argv[1])
            dial(socket.AF_INET, (sys.argv[2], 7471))
        print("crowd is there", flush=True)
        sys.stdin.readline()
        """;

    [Fact]
    public async Task Agent_OutOfDescriptors_GoesOnTrainingAndTakesNewcomersLater()
    {
        await using var fabric = await AgentFabric.StartAsync(2, 2, hosts => [new ShardTree { Weight = 1, Roots = [hosts[0]], Edges = [new TreeEdge(hosts[1], hosts[0])] }]);
        Process[] workers = [fabric.StartWorker(0, EndlessRounds), fabric.StartWorker(1, EndlessRounds)];
        await UntilAsync(fabric, () => Hundreds(fabric) > 1, "the first rounds");
        foreach (var host in fabric.Hosts)
        {
            // A few beyond those that the agent keeps for itself.
            fabric.LimitDescriptors(host, spare: 100);
        }

        Process[] crowds = [fabric.StartProgram("n0", Crowd, fabric.Socket("n0"), AgentFabric.DataAddress(0)), fabric.StartProgram("n1", Crowd, fabric.Socket("n1"), AgentFabric.DataAddress(1))];
        await UntilAsync(fabric, () => fabric.Output().Count(l => l.EndsWith("crowd is there", StringComparison.Ordinal)) == 2, "the crowds");
        await UntilAsync(fabric, () => fabric.Hosts.All(h => Said(fabric, h, "No file descriptors") == 1), "both agents say so");

        // Training goes on all the while, and the shortage is said once.
        var before = Hundreds(fabric);
        await UntilAsync(fabric, () => Hundreds(fabric) > before + 3, "two hundred rounds more");
        Assert.All(fabric.Hosts, h => Assert.Equal(1, Said(fabric, h, "No file descriptors")));

        foreach (var process in crowds)
        {
            process.StandardInput.Close();
            await process.WaitForExitAsync(TestContext.Current.CancellationToken);
            Assert.Equal(0, process.ExitCode);
        }

        foreach (var process in workers)
        {
            process.Kill();
            await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        }

        // Those who left made room: others are taken, under the same limit.
        Process[] second = [fabric.StartWorker(0, FewRounds), fabric.StartWorker(1, FewRounds)];
        await UntilAsync(fabric, () => second.All(p => p.HasExited), "the second run");
        Assert.True(fabric.Output().Count(l => l.EndsWith("rounds of the second run right", StringComparison.Ordinal)) == 2, string.Join('\n', fabric.Output().TakeLast(40)));
        await UntilAsync(fabric, () => fabric.Hosts.All(h => Said(fabric, h, "suffice again") == 1), "both agents say that it is over");
    }

    private static Task UntilAsync(AgentFabric fabric, Func<bool> holds, string what) => fabric.UntilAsync(holds, what, TimeSpan.FromMinutes(1));

    private static int Hundreds(AgentFabric fabric) => fabric.Output().Count(l => l.EndsWith("two hundred rounds", StringComparison.Ordinal));

    private static int Said(AgentFabric fabric, string host, string words) =>
        fabric.Output().Count(l => l.StartsWith($"{host}: ", StringComparison.Ordinal) && l.Contains(words, StringComparison.Ordinal));
}
