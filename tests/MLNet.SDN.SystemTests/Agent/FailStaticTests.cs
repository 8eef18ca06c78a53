using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using MLNet.SDN.Contracts;
using MLNet.SDN.Tests.Agent.Policies;
using MLNet.SDN.Tests.Agent.Session;

namespace MLNet.SDN.SystemTests.Agent;

/// <summary>An agent that is killed, and a controller that changes its mind all the time: what packets carry meanwhile.</summary>
[Collection(nameof(HostPair))]
public sealed class FailStaticTests : IAsyncDisposable
{
    private const int Port = 5000;
    private const int Selectors = 400;

    // A tenth of what `./run soak kills` does.
    private static readonly int Kills = int.Parse(Environment.GetEnvironmentVariable("MLNET_SOAK_KILLS") ?? "20", CultureInfo.InvariantCulture);

    private readonly HostPair hosts;
    private readonly string directory = Directory.CreateTempSubdirectory("mlnet-kill-").FullName;
    private ControllerDouble? controller;
    private long generation;

    public FailStaticTests()
    {
        Prerequisites.RequireNamespaces("ip", "nft", "tc");
        hosts = new HostPair();
    }

    private static string AgentPath => Path.Combine(AppContext.BaseDirectory, "mlnet-agent");

    public async ValueTask DisposeAsync()
    {
        if (controller is not null)
        {
            await controller.DisposeAsync();
        }

        hosts.Dispose();
        Directory.Delete(directory, recursive: true);
    }

    [Fact]
    public async Task Kill9_AtRandomMomentsOfPolicyChanges_EveryPacketIsMarkedAndTheRulesAreWhole()
    {
        var random = new Random(5);
        HostPair.LoadRules(hosts.Left, "table inet strangers {\n\tchain c {\n\t}\n}\n");
        var rulesBefore = HostPair.RunIn(hosts.Left, "nft", "list", "ruleset");
        var queuesBefore = HostPair.RunIn(hosts.Left, "tc", "qdisc", "show");
        controller = await StartControllerAsync();

        // 1. Both policies once, in peace: what a whole ruleset looks like.
        var whole = new HashSet<string>(StringComparer.Ordinal);
        controller.Reply = new HelloReply { Accepted = true, Policy = Next() };
        var agent = Start();
        Assert.True((await NextAckAsync()).Applied);
        for (var i = 0; i < 3; i++)
        {
            // The chain of a level that is not used any more stays, empty: so the first state does not come again.
            await controller.SendAsync(AgentHubMethods.ApplyPolicy, Next());
            Assert.True((await NextAckAsync()).Applied);
            whole.Add(Marks());
        }

        Assert.Equal(2, whole.Count);

        // 2. Traffic, changes and kills.
        using var capture = new PacketRingTests.Capture(hosts.Right, HostPair.RightInterface, 32 << 20);
        using var stop = new CancellationTokenSource();
        var sending = Task.Run(() => Send(stop.Token));
        var changing = ChangeAsync(stop.Token);
        for (var i = 0; i < Kills; i++)
        {
            await Task.Delay(random.Next(20, 900));
            agent.Kill(entireProcessTree: true);
            await agent.WaitForExitAsync();
            agent.Dispose();

            // An nft that was at it when its parent died may still commit; it cannot half do so.
            Assert.Contains(Marks(), whole);
            agent = Start();
        }

        await stop.CancelAsync();
        await changing;
        var sent = await sending;
        agent.Kill(entireProcessTree: true);
        await agent.WaitForExitAsync();
        agent.Dispose();
        Assert.Contains(Marks(), whole);

        // 3. Every packet carried one of the two levels.
        var seen = capture.Stop().Where(d => d.Key is { Protocol: 17, DestinationPort: Port, Direction: FlowDirection.Ingress }).ToList();
        Assert.Equal(sent, seen.Sum(d => d.Packets) + capture.Meter.Totals().Drops);
        Assert.InRange(sent, 1000, long.MaxValue);
        Assert.Equal([18, 26], seen.Select(d => (int)d.Key.Dscp).Distinct().Order());

        // 4. Nothing is left of us.
        HostPair.RunIn(hosts.Left, AgentPath, "disable");
        Assert.Equal(rulesBefore, HostPair.RunIn(hosts.Left, "nft", "list", "ruleset"));
        Assert.Equal(queuesBefore, HostPair.RunIn(hosts.Left, "tc", "qdisc", "show"));
    }

    private HostPolicy Next()
    {
        var number = Interlocked.Increment(ref generation);
        var dscp = number % 2 == 0 ? 18 : 26;
        FlowSelector[] selectors =
        [
            .. Enumerable.Range(0, Selectors).Select(i => new FlowSelector { Destination = $"10.98.{i / 250}.{1 + (i % 250)}", Protocol = "udp", DestinationPortFrom = Port }),
            new FlowSelector { Destination = HostPair.RightAddress, Protocol = "udp", DestinationPortFrom = Port },
        ];
        return PolicySamples.Policy(number, PolicySamples.Job(7, "job", dscp == 26 ? 2 : 3, dscp, selectors));
    }

    private async Task ChangeAsync(CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested)
        {
            var policy = Next();
            controller!.Reply = new HelloReply { Accepted = true, Policy = policy };
            await controller.SendAsync(AgentHubMethods.ApplyPolicy, policy);
            await Task.Delay(60, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private long Send(CancellationToken cancellationToken) => HostPair.In(hosts.Left, () =>
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        var to = new IPEndPoint(IPAddress.Parse(HostPair.RightAddress), Port);
        var datagram = new byte[64];
        long sent = 0;
        while (!cancellationToken.IsCancellationRequested)
        {
            for (var i = 0; i < 5; i++)
            {
                sent += socket.SendTo(datagram, to) == datagram.Length ? 1 : 0;
            }

            Thread.Sleep(1);
        }

        return sent;
    });

    private async Task<PolicyAck> NextAckAsync() => await controller!.Acks.Reader.ReadAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60));

    private string Marks() => HostPair.RunIn(hosts.Left, "nft", "-s", "list", "table", "inet", "mlnet_sdn");

    private Task<ControllerDouble> StartControllerAsync() =>
        ControllerDouble.StartAsync(8080, endpoint => HostPair.In(hosts.Left, () =>
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(endpoint);
            return socket;
        }));

    private Process Start() => Process.Start(new ProcessStartInfo("ip",
    [
        "netns", "exec", hosts.Left, AgentPath, $"--Agent:Host={PolicySamples.Host}", "--Agent:Controllers:0=http://127.0.0.1:8080", "--Agent:Capture=false",
        $"--Agent:StateDirectory={directory}", $"--Agent:WorkerSocket={directory}/w", $"--Agent:ControlSocket={directory}/c", "--Agent:Aggregate=false", "--Agent:LogLevel=Error",
    ]))!;
}
