using Microsoft.Extensions.Time.Testing;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Jobs;
using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Tests.Controller.Jobs;

public class JobProgressTests
{
    private static readonly JobRecord Job = new()
    {
        Id = 1,
        Spec = new() { Name = "bert", Workers = ["a", "b"], GradientBytes = 1_000_000, Rounds = 10, ComputeSeconds = 3 },
        State = JobState.Pending,
        SubmittedAt = DateTimeOffset.UnixEpoch,
        Secret = "",
        Plan = new()
        {
            JobId = 1, TreesRevision = new(1, 1), Strategy = "rack", Shards = [], Level = 1, Dscp = Dscp.Default, LevelReason = "", TreeReason = "", PredictedSeconds = 1,
        },
    };

    private readonly FakeTimeProvider time = new();

    [Fact]
    public void Slowdown_IsTimeSinceAllWorkersCameAndTheRestAlone_OverAllAlone()
    {
        var progress = new JobProgress(time);
        progress.Track(Job, []);

        // Waiting for workers is not the others' doing.
        time.Advance(TimeSpan.FromSeconds(500));
        Report(progress, "a", 0, 0);
        time.Advance(TimeSpan.FromSeconds(500));
        Assert.Equal(1, progress.Slowdown(Job));

        Report(progress, "b", 1, 0);
        time.Advance(TimeSpan.FromSeconds(60));
        Assert.Equal((60 + 40) / 40.0, progress.Slowdown(Job)!.Value, 9);

        Report(progress, "a", 0, 5);
        Report(progress, "b", 1, 4);
        Assert.Equal((60 + 24) / 40.0, progress.Slowdown(Job)!.Value, 9);
    }

    [Fact]
    public void Slowdown_UnderAControllerStartedAnew_CountsTheRoundsBefore()
    {
        var progress = new JobProgress(time);
        progress.Track(Job with { Figures = new() { RoundsFinished = 5, SecondsPerRound = 12 } }, []);

        Assert.Equal((60 + 20) / 40.0, progress.Slowdown(Job)!.Value, 9);
    }

    [Fact]
    public void Slowdown_OfAJobThatSaysTooLittle_IsUnknown()
    {
        var progress = new JobProgress(time);
        progress.Track(Job, []);

        Assert.Null(progress.Slowdown(Job with { Spec = Job.Spec with { Rounds = 0 } }));
        Assert.Null(progress.Slowdown(Job with { Spec = Job.Spec with { ComputeSeconds = 0 } }));
        Assert.Null(progress.Slowdown(Job with { Plan = null }));
        Assert.Null(progress.Slowdown(Job with { Id = 2 }));
    }

    [Fact]
    public void Report_OfTheServer_IsNoWorkersProgressButNoStrangersEither()
    {
        var progress = new JobProgress(time);
        progress.Track(Job with { Spec = Job.Spec with { Server = "b" } }, []);

        Report(progress, "a", 0, 5);
        Report(progress, "b", 1, 4);
        Report(progress, "b", 2, 1);

        Assert.Equal((4L, 2), (progress.Figures(1)!.RoundsFinished, progress.Figures(1)!.WorkersJoined));
    }

    [Fact]
    public void AllLeft_OfAJobWithAServer_WaitsForTheServerAndStaysSoUnderAgentsStartedAnew()
    {
        var progress = new JobProgress(time);
        progress.Track(Job with { Spec = Job.Spec with { Server = "b" } }, []);

        Left(progress, "a", 0, left: true);
        Left(progress, "b", 1, left: true);
        Assert.False(progress.AllLeft(1));

        // A new agent on a knows nothing of the worker that left.
        Left(progress, "a", 0, left: false);
        Left(progress, "b", 2, left: true);
        Assert.True(progress.AllLeft(1));

        var again = new JobProgress(time);
        again.Track(Job with { Spec = Job.Spec with { Server = "b" }, Figures = progress.Figures(1)! }, []);
        Assert.True(again.AllLeft(1));
    }

    [Fact]
    public void Sight_OfHosts_IsWhatTheyLastSaidAsLongAsTheyTakePartAndAreThere()
    {
        var progress = new JobProgress(time);
        progress.Track(Job, []);
        Assert.Equal(0, Reduce(progress, "a", "round 8 waits for b"));
        Assert.Equal("round 8 waits for b", progress.Sight(1, _ => true)!.WaitsFor);
        Assert.Null(progress.Sight(1, host => host != "a"));

        Assert.Equal(0, Reduce(progress, "a", null));
        Assert.Null(progress.Sight(1, _ => true));
        Assert.Equal(1, Reduce(progress, "stranger", "round 8 waits for me"));
        Assert.Null(progress.Sight(1, _ => true));
    }

    private static int Reduce(JobProgress progress, string host, string? waitsFor) => progress.Report(new()
    {
        Host = host,
        Boot = Guid.Empty,
        Workers = [],
        Transports = [],
        Reductions = waitsFor is null ? [] : [new() { JobId = 1, Round = 7, WaitsFor = waitsFor }],
    });

    private static void Left(JobProgress progress, string host, int rank, bool left) => Assert.Equal(0, progress.Report(new()
    {
        Host = host,
        Boot = Guid.Empty,
        Workers = [new() { JobId = 1, Rank = rank, Joined = false, Left = left, RoundsDone = 3 }],
        Transports = [],
    }));

    private static void Report(JobProgress progress, string host, int rank, long done) => Assert.Equal(0, progress.Report(new()
    {
        Host = host,
        Boot = Guid.Empty,
        Workers = [new() { JobId = 1, Rank = rank, Joined = true, RoundsDone = done }],
        Transports = [],
    }));
}
