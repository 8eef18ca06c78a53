using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using MLNet.SDN.Aggregation.Paths;
using Path = MLNet.SDN.Aggregation.Paths.Path;

namespace MLNet.SDN.Tests.Aggregation.Paths;

public sealed class PathFinderTests
{
    private static readonly IPAddress Local = IPAddress.Parse("10.0.0.2");
    private static readonly IPEndPoint Peer = new(IPAddress.Parse("10.1.0.2"), 7471);
    private static readonly Path Known = new([IPAddress.Parse("10.128.0.7")]);

    private readonly FakeTimeProvider time = new();
    private int searches;

    [Fact]
    public void Silences_AreFollowedByARest_AndOneAnswerEndsThem()
    {
        var answers = false;
        var finder = Finder(() => answers ? Known : Path.Unknown);
        for (var i = 0; i < 5; i++)
        {
            Assert.Same(Path.Unknown, Trace(finder));
        }

        Assert.Equal(3, searches);
        answers = true;
        Assert.Same(Path.Unknown, Trace(finder));
        time.Advance(TimeSpan.FromMinutes(6));
        Assert.Same(Known, Trace(finder));
        Assert.Same(Known, Trace(finder));
        Assert.Equal(5, searches);
    }

    [Theory]
    [InlineData(SocketError.AccessDenied, 1)]
    [InlineData(SocketError.NetworkUnreachable, 4)]
    public void Refusal_OfRawSockets_IsForGood_AndAnyOtherFailureIsNot(SocketError failure, int expected)
    {
        var finder = Finder(() => throw new SocketException((int)failure));
        for (var i = 0; i < 4; i++)
        {
            Assert.Same(Path.Unknown, Trace(finder));
        }

        Assert.Equal(expected, searches);
    }

    [Fact]
    public async Task Dials_DoNotWaitLongForTheSearchesOfOthers()
    {
        using var searching = new ManualResetEventSlim();
        using var done = new ManualResetEventSlim();
        var finder = Finder(() =>
        {
            searching.Set();
            done.Wait(TestContext.Current.CancellationToken);
            return Known;
        });
        var first = Task.Run(() => Trace(finder), TestContext.Current.CancellationToken);
        searching.Wait(TestContext.Current.CancellationToken);

        // Returns although the first has not: else this test would not end.
        Assert.Same(Path.Unknown, Trace(finder));
        done.Set();
        Assert.Same(Known, await first);
        Assert.Same(Known, Trace(finder));
    }

    private static Path Trace(PathFinder finder) => finder.Trace(Local, Peer, [40_001]).Single();

    private PathFinder Finder(Func<Path> search) => new(true, 0, time, NullLogger.Instance, (_, _, ports) =>
    {
        searches++;
        return [.. ports.Select(_ => search())];
    });
}
