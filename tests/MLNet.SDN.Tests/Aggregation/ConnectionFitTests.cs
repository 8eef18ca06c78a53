using System.Net.Sockets;
using MLNet.SDN.Aggregation;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>What a job's data connections take over from a plan that comes after they were made: level, window and size of chunks.</summary>
public sealed class ConnectionFitTests
{
    private const int UnderWay = 96 * 1024;
    private const int LargestWindow = 4 << 20;
    private const int WindowClamp = 10;
    private const int NotSentLowWatermark = 25;

    private static readonly string[] Hosts = ["a", "b", "c", "d"];
    private static readonly Edge[] Star = [new("b", "a"), new("c", "a"), new("d", "a")];
    private static readonly Edge[] Chain = [new("d", "c"), new("c", "b"), new("b", "a")];

    [Fact(Timeout = 60_000)]
    public async Task Serve_LevelChangedSinceTheConnectionWasMade_IsTheNewOne()
    {
        using var lone = new LoneRuntime(Job(1, Star, dscp: 10));
        Assert.Equal(10 << 2, Tos(lone));
        var connection = lone.Connect(0);

        // A round begins with the new level after the connection was made and before it is listed.
        lone.Apply(Job(1, Star, dscp: 34));
        lone.Runtime.RoundBegins();
        var serving = lone.ServeAsync(connection);

        while (Tos(lone) != 34 << 2)
        {
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }

        connection.Close();
        await serving;
    }

    [Fact(Timeout = 60_000)]
    public async Task Tick_OtherTreesWithFewerNeighbours_WindowsGrowAndShrinkBack()
    {
        using var lone = new LoneRuntime(Job(1, Star));
        var connection = lone.Connect(UnderWay / 3);
        var serving = lone.ServeAsync(connection);
        lone.Report(1);

        lone.Apply(Job(2, Chain));
        lone.Runtime.Tick();
        Assert.Equal(UnderWay / 3, lone.TcpOption(WindowClamp)); // the others do not know the new trees yet, so rounds use the old ones

        lone.Report(2);
        await lone.UntilAsync(() => lone.TcpOption(WindowClamp) == UnderWay);

        lone.Apply(Job(3, Star));
        await lone.UntilAsync(() => lone.TcpOption(WindowClamp) == UnderWay / 3);

        connection.Close();
        await serving;
    }

    [Fact(Timeout = 60_000)]
    public async Task Serve_TreesChangedSinceTheConnectionWasMade_HasTheWindowOfTheNewOnes()
    {
        using var lone = new LoneRuntime(Job(1, Star));
        var connection = lone.Connect(UnderWay / 3);
        lone.Report(1);
        lone.Apply(Job(2, Chain));
        lone.Report(2);
        lone.Runtime.Tick();

        var serving = lone.ServeAsync(connection);
        await lone.UntilAsync(() => lone.TcpOption(WindowClamp) == UnderWay);

        connection.Close();
        await serving;
    }

    [Fact(Timeout = 60_000)]
    public async Task Tick_OtherTreesWithLargerChunks_MoreMayWaitInTheKernel()
    {
        using var lone = new LoneRuntime(Job(1, Star));
        var connection = lone.Connect(UnderWay / 3);
        var serving = lone.ServeAsync(connection);
        var before = lone.TcpOption(NotSentLowWatermark);

        lone.Apply(Job(2, Star) with { ChunkBytes = 256 * 1024 });
        await lone.UntilAsync(() => lone.TcpOption(NotSentLowWatermark) >= 2 * 256 * 1024);

        Assert.InRange(before, 1, 64 * 1024);
        connection.Close();
        await serving;
    }

    [Fact(Timeout = 60_000)]
    public async Task Tick_TreesWithAPaceAndWithout_ConnectionsKeepToTheirPartOfIt()
    {
        using var lone = new LoneRuntime(Paced(1));
        var connection = lone.Connect(UnderWay / 3);
        var serving = lone.ServeAsync(connection);
        await lone.UntilAsync(() => Pace(lone) == 750_000 * 98 / 100); // three quarters of a message pass between a and b

        lone.Apply(Job(2, Chain));
        await lone.UntilAsync(() => Pace(lone) == ulong.MaxValue && lone.TcpOption(WindowClamp) >= UnderWay / 3); // rounds may use either trees now

        lone.Report(2);
        await lone.UntilAsync(() => lone.TcpOption(WindowClamp) == UnderWay);
        Assert.Equal(ulong.MaxValue, Pace(lone));

        lone.Apply(Paced(3));
        lone.Report(3);
        await lone.UntilAsync(() => Pace(lone) == 750_000 * 98 / 100 && lone.TcpOption(WindowClamp) == 2 * UnderWay / 3);

        // The same trees, when links have become twice as fast.
        lone.Apply(Paced(3) with { PaceBitsPerSecond = 16_000_000 });
        await lone.UntilAsync(() => Pace(lone) == 1_500_000 * 98 / 100);

        connection.Close();
        await serving;
    }

    [Fact(Timeout = 60_000)]
    public async Task Apply_AnotherRateOfTheLineWithTheSameTrees_WindowsAreForThat()
    {
        using var lone = new LoneRuntime(Job(1, Star));
        var connection = lone.Connect(UnderWay / 3);
        var serving = lone.ServeAsync(connection);
        await lone.UntilAsync(() => lone.Runtime.LinkTo("b").Up == 1);
        lone.Runtime.Tick();

        lone.Apply(Job(1, Star) with { LinkRateBitsPerSecond = 1_200_000_000 });
        await lone.UntilAsync(() => lone.TcpOption(WindowClamp) == 100_000);

        connection.Close();
        await serving;
    }

    [Fact(Timeout = 60_000)]
    public async Task Tick_TreesForWhichTheKernelMayChoose_TheWindowsOfTheOldOnesDoNotStay()
    {
        const long Fast = 16_000_000_000; // 4 MB under way: a third for each of three; twice as much is more than the largest window for one
        using var lone = new LoneRuntime(Job(1, Star) with { LinkRateBitsPerSecond = Fast });
        var connection = lone.Connect(4_000_000 / 3);
        var serving = lone.ServeAsync(connection);
        Assert.Equal(4_000_000 / 3, lone.TcpOption(WindowClamp));

        lone.Apply(Job(2, Chain) with { LinkRateBitsPerSecond = 2 * Fast });
        lone.Report(2);
        await lone.UntilAsync(() => lone.TcpOption(WindowClamp) == LargestWindow);

        connection.Close();
        await serving;
    }

    /// <summary>Three neighbours, the first with three quarters of the message; a message takes a second for each megabyte.</summary>
    private static AggregationJob Paced(long generation) => Job(generation, Star) with
    {
        Shards = [new(3, ["a"], Star), new(1, ["c"], [new("a", "c"), new("b", "c"), new("d", "c")])], PaceBitsPerSecond = 8_000_000,
    };

    private static ulong Pace(LoneRuntime lone)
    {
        Span<byte> value = stackalloc byte[8];
        _ = lone.Near.GetRawSocketOption(1, 47, value); // SO_MAX_PACING_RATE
        return BitConverter.ToUInt64(value);
    }

    private static AggregationJob Job(long generation, Edge[] edges, byte dscp = 0) => LoneRuntime.Job(dscp, generation, Hosts, edges) with { LinkRateBitsPerSecond = 10_000_000 };

    private static int Tos(LoneRuntime lone) => (int)lone.Near.GetSocketOption(SocketOptionLevel.IP, SocketOptionName.TypeOfService)!;
}
