using System.Net.Sockets;
using System.Text;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Client;
using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Wire;
using MLNet.SDN.Aggregation.Workers;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>What a worker in C# makes of an agent that is slow to answer or goes; the test is the agent.</summary>
public sealed class WorkerJobAgentTests
{
    [Fact(Timeout = 60_000)]
    public async Task EnterAsync_CancelledWhileTheStreamIsNotOpen_EndsAndTheAnswerIsNotTakenForTheNextCalls()
    {
        using var agent = new MuteAgent();
        await using var job = await agent.JoinedAsync();
        using var impatience = new CancellationTokenSource();
        var first = job.EnterAsync(0, ReduceOperation.Push, ElementType.Float32, 4, impatience.Token);
        Assert.Equal("open", agent.Hears().Type);

        await impatience.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
        var second = job.EnterAsync(0, ReduceOperation.Push, ElementType.Float32, 4, TestContext.Current.CancellationToken);
        Assert.False(agent.HasMore);
        agent.Says(new WorkerMessage { Type = "failed", Stream = 0, Code = "other", Message = "to the first" });
        Assert.Equal("open", agent.Hears().Type);
        agent.Says(new WorkerMessage { Type = "failed", Stream = 0, Code = "other", Message = "to the second" });
        Assert.EndsWith("to the second", (await Assert.ThrowsAsync<WorkerException>(() => second)).Message, StringComparison.Ordinal);
    }

    [Fact(Timeout = 60_000)]
    public async Task ParameterWorkerJoinAsync_TheHostOfRank0DoesNotSayWhatStreamsThereAre_EndsWithItsTime()
    {
        using var agent = new MuteAgent();
        var joining = ParameterWorker.JoinAsync(agent.Options with { Timeout = TimeSpan.FromSeconds(1) }, TestContext.Current.CancellationToken);
        agent.Admits(server: 2);

        Assert.Equal(WorkerError.NotReady, (await Assert.ThrowsAsync<WorkerException>(() => joining)).Error);
    }

    [Fact(Timeout = 60_000)]
    public async Task ReduceAsync_AgentSaidWhyBeforeItClosed_SaysThatAndNotThatTheAgentIsGone()
    {
        // Often: the call comes before the thread that reads has come to what was said, or after.
        for (var i = 0; i < 100; i++)
        {
            using var agent = new MuteAgent();
            await using var job = await agent.JoinedAsync();
            agent.Says([.. Enumerable.Repeat(new WorkerMessage { Type = "waiting", Message = "for nothing" }, 1000), new WorkerMessage { Type = "closed", Code = "job-closed", Message = "job j was withdrawn" }]);
            agent.Dispose();

            var error = await Assert.ThrowsAsync<WorkerException>(() => job.ReduceAsync<float>(new float[4], cancellationToken: TestContext.Current.CancellationToken));
            Assert.Equal((WorkerError.JobClosed, "job j was withdrawn"), (error.Error, error.Message));
        }
    }

    [Theory(Timeout = 60_000)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task ReduceAsync_AgentThatTookItsPlaceReadsNothing_EndsWithThePatienceOrTheJob(bool isLeft)
    {
        const int Streams = 600; // more to hand back than a socket holds
        using var agent = new MuteAgent();
        await using var job = await agent.JoinedAsync(isLeft ? TimeSpan.FromDays(1) : TimeSpan.FromSeconds(2));
        var waiting = new Task[Streams];
        for (var i = 0; i < Streams; i++)
        {
            waiting[i] = job.ReduceAsync<float>(new float[4], stream: (uint)i, cancellationToken: TestContext.Current.CancellationToken);
            Assert.Equal("open", agent.Hears().Type);
            var area = SharedArea.Create(1, 0, (uint)i, 16);
            agent.Passes(area, (uint)i);
            area.Release();
            Assert.Equal("reduce", agent.Hears().Type);
        }

        agent.HangsUp();
        if (isLeft)
        {
            await Task.Delay(500, TestContext.Current.CancellationToken);
            await job.DisposeAsync();
        }

        var errors = await Task.WhenAll(waiting.Select(w => Assert.ThrowsAsync<WorkerException>(() => w)));
        Assert.All(errors, e => Assert.Equal(isLeft ? WorkerError.JobClosed : WorkerError.AgentUnavailable, e.Error));
    }

    /// <summary>Listens for one worker, and says nothing by itself.</summary>
    private sealed class MuteAgent : IDisposable
    {
        private readonly string _directory = Directory.CreateTempSubdirectory("mlnet-mute-").FullName;
        private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        private Socket? _worker;
        private StreamReader? _lines;

        public MuteAgent()
        {
            _listener.Bind(new UnixDomainSocketEndPoint(Options.Socket));
            _listener.Listen();
        }

        public WorkerOptions Options => new() { Job = "j", Rank = 0, Socket = Path.Combine(_directory, "agent.sock") };

        /// <summary>Whether the worker has said something that was not heard yet, or says it within a moment.</summary>
        public bool HasMore => _worker!.Poll(TimeSpan.FromMilliseconds(100), SelectMode.SelectRead);

        public async Task<WorkerJob> JoinedAsync(TimeSpan restartPatience = default)
        {
            var joining = WorkerJob.JoinAsync(Options with { RestartPatience = restartPatience }, TestContext.Current.CancellationToken);
            Admits(null);
            return await joining;
        }

        public void Admits(int? server)
        {
            _worker = _listener.Accept();
            _lines = new StreamReader(new NetworkStream(_worker), Encoding.UTF8);
            Assert.Equal("join", Hears().Type);
            Says(new WorkerMessage { Type = "joined", Protocol = WorkerMessage.CurrentProtocol, Job = "j", JobId = 1, Rank = 0, WorldSize = 3, Server = server });
        }

        public WorkerMessage Hears()
        {
            Assert.True(WorkerMessage.TryParse(Encoding.UTF8.GetBytes(_lines!.ReadLine()!), out var message));
            return message!;
        }

        public void Says(params WorkerMessage[] messages) => _worker!.Send(messages.SelectMany(m => m.Serialize()).ToArray());

        /// <summary>Opens a stream.</summary>
        public void Passes(SharedArea area, uint stream) => Assert.True(WorkerSocket.TrySend(
            _worker!, new WorkerMessage { Type = "area", Stream = stream, Capacity = area.Capacity, Bytes = SharedAreaLayout.FileBytes(area.Capacity), Round = 0 }.Serialize(), area.FileDescriptor));

        /// <summary>Who connects again is not let in, and nothing of what it says is read.</summary>
        public void HangsUp() => _worker!.Shutdown(SocketShutdown.Both);

        public void Dispose()
        {
            _lines?.Dispose();
            _worker?.Dispose();
            _listener.Dispose();
            if (Directory.Exists(_directory))
            {
                Directory.Delete(_directory, recursive: true);
            }
        }
    }
}
