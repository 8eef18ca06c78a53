using System.Collections.Immutable;
using System.Threading.Channels;
using Microsoft.AspNetCore.SignalR;
using Microsoft.AspNetCore.SignalR.Client;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Flows;

namespace MLNet.SDN.Tests.Controller.Flows;

public class LiveHubTests
{
    [Fact]
    public async Task Subscribe_GetsEverythingFirstAndThenWhatChanges()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        await using var watcher = await Watcher.StartAsync(controller, new());

        var whole = await watcher.NextAsync();
        Assert.True(whole.Whole);
        Assert.Equal(ControllerProcess.Hosts, whole.Agents.Select(a => a.Host).Order(StringComparer.Ordinal));
        Assert.Equal(ControllerProcess.Topology.Links.Count * 2, whole.Links.Count);
        Assert.Contains(whole.Warnings!, w => w.Contains("Controller:Postgres", StringComparison.Ordinal));
        Assert.Empty(whole.MarkingFaults!);

        var job = await controller.PlaceAsync("bert", "h0-0-0", "h1-1-1");
        await agent.ReportAsync(Flow(1_000_000, job.Id));
        var view = new View();
        view.Apply(whole);
        while (view.Flows.Count == 0 || view.Jobs.Count == 0)
        {
            var delta = await watcher.NextAsync();
            Assert.False(delta.Whole);
            view.Apply(delta);
        }

        var flow = Assert.Single(view.Flows.Values);
        Assert.Equal(("bert", "h0-0-0", "h1-1-1"), (flow.Job, flow.Source, flow.Destination));
        Assert.Equal("bert", view.Jobs[job.Id].Spec.Name);
        Assert.Equal(8_000_000, view.Links[("h0-0-0", "e0-0")].BitsPerSecond);
    }

    [Fact]
    public async Task Watchers_FirstAndLast_ChangeThePaceOfAgents()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        var first = await Watcher.StartAsync(controller, new());
        Assert.True(await agent.Watched.Reader.ReadAsync(TestContext.Current.CancellationToken));
        var second = await Watcher.StartAsync(controller, new());
        await first.DisposeAsync();
        await using var late = await AgentDouble.DialAsync(controller.Address, "h0-0-1");
        Assert.True((await late.HelloAsync()).Watched);

        await second.DisposeAsync();
        Assert.False(await agent.Watched.Reader.ReadAsync(TestContext.Current.CancellationToken));
        Assert.False(await late.Watched.Reader.ReadAsync(TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Subscribe_AnotherFilter_BeginsAnew()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await using var agent = await AgentDouble.JoinAsync(controller.Address, "h0-0-0");
        var job = await controller.PlaceAsync("bert", "h0-0-0", "h1-1-1");
        await agent.ReportAsync(Flow(1_000_000, job.Id), Flow(9_000_000, null) with { SourceTransportPort = 1 }, Flow(500, null) with { SourceTransportPort = 2 });
        await using var watcher = await Watcher.StartAsync(controller, new() { MaxFlows = 1 });
        var whole = await watcher.NextAsync();
        Assert.Equal(9_000_000, Assert.Single(whole.Flows).Octets);
        Assert.Equal(2, whole.FlowsHidden);

        await watcher.SubscribeAsync(new() { Job = "bert" });

        LiveUpdate again;
        do
        {
            again = await watcher.NextAsync();
        }
        while (!again.Whole);
        Assert.Equal(1_000_000, Assert.Single(again.Flows).Octets);
        Assert.Equal(0, again.FlowsHidden);
    }

    [Fact]
    public async Task Subscribe_ImpossibleFilter_IsRefused()
    {
        await using var controller = await ControllerProcess.StartAsync();
        await using var watcher = await Watcher.StartAsync(controller, null);

        Assert.Contains("maxFlows 0", (await Assert.ThrowsAsync<HubException>(() => watcher.SubscribeAsync(new() { MaxFlows = 0 }))).Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<HubException>(() => watcher.SubscribeAsync(new() { Job = new string('x', 300) }));
        await Assert.ThrowsAsync<HubException>(() => watcher.SubscribeAsync(null));
        await watcher.SubscribeAsync(new());
        Assert.True((await watcher.NextAsync()).Whole);
    }

    [Fact]
    public async Task Run_SlowClient_SkipsToTheNewestStateAndSaysSo()
    {
        // The client takes nothing until it is let go; meanwhile twenty states pass.
        var proxy = new SlowProxy();
        var client = new LiveClient(proxy, new());
        using var stop = new CancellationTokenSource();
        var running = client.RunAsync(stop.Token);
        client.Offer(State(0));
        await proxy.Taken.Reader.ReadAsync(TestContext.Current.CancellationToken);
        for (var i = 1; i <= 20; i++)
        {
            client.Offer(State(i));
        }

        proxy.LetGo.Release(2);

        // First what was under way, then the newest one with everything that changed since.
        var update = await proxy.Taken.Reader.ReadAsync(TestContext.Current.CancellationToken);
        Assert.False(update.Whole);
        Assert.Equal(19, update.Skipped);
        Assert.Equal(20, Assert.Single(update.Flows).Octets);
        await stop.CancelAsync();
        await running;
    }

    [Fact]
    public void Between_AnyTwoStates_LeadsFromOneToTheOther()
    {
        for (var seed = 0; seed < 100; seed++)
        {
            var random = new Random(seed);
            var view = new View();
            var before = LiveSnapshot.Empty;
            for (var step = 0; step < 20; step++)
            {
                var now = before with
                {
                    Flows = Change(random, before.Flows, k => State(random.Next(1_000)).Flows.Values.First() with { Key = k }),
                    MarkingFaults = random.Next(4) == 0 ? [] : before.MarkingFaults,
                };
                var update = LiveDelta.Between(before, before.Flows, now, now.Flows, whole: step == 0);
                view.Apply(update);
                Assert.Equal(now.Flows.OrderBy(f => f.Key), view.Flows.OrderBy(f => f.Key));
                before = now;
            }
        }

        static IReadOnlyDictionary<string, LiveFlow> Change(Random random, IReadOnlyDictionary<string, LiveFlow> flows, Func<string, LiveFlow> make)
        {
            var changed = flows.Where(_ => random.Next(4) > 0).ToImmutableDictionary();
            for (var i = 0; i < random.Next(4); i++)
            {
                var key = $"f{random.Next(10)}";
                changed = changed.SetItem(key, make(key));
            }

            return changed;
        }
    }

    private static LiveSnapshot State(int octets) => LiveSnapshot.Empty with
    {
        Flows = ImmutableDictionary<string, LiveFlow>.Empty.Add("f", new()
        {
            Key = "f", Source = "a", Destination = "b", SourcePort = 1, DestinationPort = 2, Protocol = 6, RateBitsPerSecond = 1, Octets = octets, LastSeen = DateTimeOffset.UnixEpoch,
        }),
    };

    private static FlowRecord Flow(long octets, long? job) => new()
    {
        FlowStart = DateTimeOffset.UtcNow,
        FlowEnd = DateTimeOffset.UtcNow,
        Direction = FlowDirection.Egress,
        SourceAddress = "10.0.0.2",
        DestinationAddress = "10.1.1.6",
        SourceTransportPort = 40_000,
        DestinationTransportPort = 7_471,
        ProtocolIdentifier = 6,
        IpDiffServCodePoint = new(34),
        PostIpDiffServCodePoint = new(34),
        OctetDeltaCount = octets,
        PacketDeltaCount = 1,
        EndReason = FlowEndReason.Active,
        JobId = job,
    };

    /// <summary>What a dashboard builds of the updates.</summary>
    private sealed class View
    {
        public Dictionary<string, LiveFlow> Flows { get; } = [];

        public Dictionary<long, JobView> Jobs { get; } = [];

        public Dictionary<(string, string), LinkLoad> Links { get; } = [];

        public void Apply(LiveUpdate update)
        {
            if (update.Whole)
            {
                Flows.Clear();
                Jobs.Clear();
                Links.Clear();
            }

            foreach (var flow in update.Flows)
            {
                Flows[flow.Key] = flow;
            }

            foreach (var key in update.FlowsGone)
            {
                Flows.Remove(key);
            }

            foreach (var job in update.Jobs)
            {
                Jobs[job.Id] = job;
            }

            foreach (var link in update.Links)
            {
                Links[(link.Source, link.Target)] = link;
            }
        }
    }

    private sealed class Watcher : IAsyncDisposable
    {
        private readonly HubConnection _connection;
        private readonly Channel<LiveUpdate> _updates = Channel.CreateUnbounded<LiveUpdate>();

        private Watcher(HubConnection connection)
        {
            _connection = connection;
            connection.On(LiveHubMethods.Update, [typeof(LiveUpdate)], (a, _) =>
            {
                _updates.Writer.TryWrite((LiveUpdate)a[0]!);
                return Task.CompletedTask;
            }, new object());
        }

        public static async Task<Watcher> StartAsync(ControllerProcess controller, LiveFilter? filter)
        {
            var watcher = new Watcher(AgentDouble.Connect(controller.Address, LiveHubMethods.Path));
            await watcher._connection.StartAsync(TestContext.Current.CancellationToken);
            if (filter is not null)
            {
                await watcher.SubscribeAsync(filter);
            }

            return watcher;
        }

        public Task SubscribeAsync(LiveFilter? filter) => _connection.InvokeAsync(LiveHubMethods.Subscribe, filter, TestContext.Current.CancellationToken);

        public async Task<LiveUpdate> NextAsync()
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
            patience.CancelAfter(TimeSpan.FromSeconds(30));
            return await _updates.Reader.ReadAsync(patience.Token);
        }

        public ValueTask DisposeAsync() => _connection.DisposeAsync();
    }

    private sealed class SlowProxy : IClientProxy
    {
        public Channel<LiveUpdate> Taken { get; } = Channel.CreateUnbounded<LiveUpdate>();

        public SemaphoreSlim LetGo { get; } = new(0);

        public async Task SendCoreAsync(string method, object?[] args, CancellationToken cancellationToken = default)
        {
            Taken.Writer.TryWrite((LiveUpdate)args[0]!);
            await LetGo.WaitAsync(cancellationToken);
        }
    }
}
