using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Paths;
using Path = MLNet.SDN.Aggregation.Paths.Path;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>How many connections a host dials where the plan says that one would do.</summary>
public sealed class SingleWayTests : IDisposable
{
    private static readonly Path[] Ways = [.. Enumerable.Range(1, 2).Select(i => new Path([IPAddress.Parse($"10.0.0.{i}")]))];

    private readonly TcpListener _peer = new(IPAddress.Loopback, 0);

    public SingleWayTests() => _peer.Start();

    [Fact(Timeout = 60_000)]
    public async Task Dial_WayIsKnown_OneConnection()
    {
        using var lone = new LoneRuntime(Job(), (_, _, ports) => [.. ports.Select((_, i) => Ways[i % 2])]);
        lone.Runtime.Start();

        Assert.Equal((0, 1), await NextDataAsync());

        // It was placed before it was opened, and a second one would have been asked for then.
        Assert.False(lone.Runtime.LinkTo("b").NeedsSeveral);
        lone.Apply(Job() with { SingleWay = false, TreesRevision = new TreesRevision(1, 2) });
        Assert.Equal((1, 2), await NextDataAsync(1));
    }

    [Fact(Timeout = 60_000)]
    public async Task Dial_WayIsUnknown_AllThatThePlanHasElse()
    {
        using var lone = new LoneRuntime(Job());
        lone.Runtime.Start();

        Assert.Equal((1, 2), await NextDataAsync(1));
        Assert.True(lone.Runtime.LinkTo("b").NeedsSeveral);
    }

    public void Dispose() => _peer.Dispose();

    private AggregationJob Job()
    {
        var job = LoneRuntime.Job(0, 1, ["a", "b"], [new("b", "a")]);
        return job with { Stripes = 2, SingleWay = true, Endpoints = [job.Endpoints[0], job.Endpoints[1] with { Address = (IPEndPoint)_peer.LocalEndpoint }] };
    }

    // Of the next connection that introduces itself as a data connection, or of the next one with a certain number: its number, and of how many.
    private async Task<(int Stripe, int Stripes)> NextDataAsync(int? stripe = null)
    {
        while (true)
        {
            using var socket = await _peer.AcceptSocketAsync(TestContext.Current.CancellationToken);
            var hello = new byte[10];
            for (var done = 0; done < hello.Length;)
            {
                var n = await socket.ReceiveAsync(hello.AsMemory(done), TestContext.Current.CancellationToken);
                Assert.NotEqual(0, n);
                done += n;
            }

            var seen = (Stripe: (int)BinaryPrimitives.ReadUInt16LittleEndian(hello.AsSpan(6)), Stripes: (int)BinaryPrimitives.ReadUInt16LittleEndian(hello.AsSpan(8)));
            if (hello[5] == 1 && (stripe is null || seen.Stripe == stripe))
            {
                return seen;
            }
        }
    }
}
