using System.Buffers.Binary;
using System.Net;
using MLNet.SDN.Aggregation.Paths;
using Path = MLNet.SDN.Aggregation.Paths.Path;

namespace MLNet.SDN.Tests.Aggregation.Paths;

public class PathTests
{
    private static readonly IPAddress Peer = IPAddress.Parse("10.1.0.2");
    private static readonly IPAddress Router = IPAddress.Parse("10.128.0.7");

    [Fact]
    public void Probe_IsAShortLivedSynOfTheConnectionToCome()
    {
        var packet = new byte[PathProbe.Bytes];
        PathProbe.Write(packet, Peer, 40_001, 7471, 3, 40);

        Assert.Equal(0x45, packet[0]);
        Assert.Equal(40 << 2, packet[1]);
        Assert.Equal(40, BinaryPrimitives.ReadUInt16BigEndian(packet.AsSpan(2)));
        Assert.Equal(3, packet[8]);
        Assert.Equal(6, packet[9]);
        Assert.Equal(Peer, new IPAddress(packet.AsSpan(16, 4)));
        Assert.Equal(40_001, BinaryPrimitives.ReadUInt16BigEndian(packet.AsSpan(20)));
        Assert.Equal(7471, BinaryPrimitives.ReadUInt16BigEndian(packet.AsSpan(22)));
        Assert.Equal(0x02, packet[33]);
    }

    [Fact]
    public void Answer_NamesProbeAndRouter()
    {
        Assert.True(PathProbe.TryReadAnswer(TimeExceeded(Peer, 40_001, 7471, 3), Peer, 7471, out var answer));
        Assert.Equal(new ProbeAnswer(40_001, 3, Router), answer);
    }

    [Fact]
    public void AnswerToSomebodyElse_IsNotOurs()
    {
        Assert.False(PathProbe.TryReadAnswer(TimeExceeded(IPAddress.Parse("10.1.0.6"), 40_001, 7471, 3), Peer, 7471, out _));
        Assert.False(PathProbe.TryReadAnswer(TimeExceeded(Peer, 40_001, 22, 3), Peer, 7471, out _));
        var unreachable = TimeExceeded(Peer, 40_001, 7471, 3);
        unreachable[20] = 3;
        Assert.False(PathProbe.TryReadAnswer(unreachable, Peer, 7471, out _));
    }

    [Fact]
    public void AnyBytes_AreReadWithoutAnException()
    {
        var random = new Random(4);
        var whole = TimeExceeded(Peer, 40_001, 7471, 3);
        for (var i = 0; i < 20_000; i++)
        {
            byte[] packet = [.. whole[..random.Next(whole.Length + 1)]];
            for (var changes = random.Next(4); changes > 0 && packet.Length > 0; changes--)
            {
                packet[random.Next(packet.Length)] = (byte)random.Next(256);
            }

            _ = PathProbe.TryReadAnswer(packet, Peer, 7471, out _);
        }
    }

    [Fact]
    public void Choice_TakesThePathThatSharesLeast()
    {
        var used = Of(1, 10, 100, 30, 9);
        Assert.Equal(2, PathChoice.Best([Of(1, 10, 100, 30, 9), Of(1, 10, 101, 30, 9), Of(1, 11, 102, 31, 9), Of(1, 11, 103, 31, 9)], [used]));
    }

    [Fact]
    public void Choice_WithMoreConnectionsThanUplinks_SpreadsThemEvenly()
    {
        Path[] used = [Of(1, 10, 100, 30, 9), Of(1, 11, 102, 31, 9), Of(1, 10, 101, 30, 9)];
        Assert.Equal(1, PathChoice.Best([Of(1, 10, 100, 30, 9), Of(1, 11, 103, 31, 9)], used));
    }

    // Racks 1 to 4 of two hosts in two pods; aggregation routers 10r + 0 and 10r + 1 of each rack's pod, four cores. What answers beyond the core is one of two addresses.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void InTurn_WhateverPortsAreSeen_LoadsAllLinksAlike(int stripes)
    {
        var random = new Random(5);
        var up = new Dictionary<(int, int), int>();
        var down = new Dictionary<(int, int), int>();
        for (var host = 0; host < 4; host++)
        {
            for (var peer = 0; peer < 4; peer++)
            {
                for (var stripe = 0; stripe < stripes; stripe++)
                {
                    Path[] seen = [.. Enumerable.Range(0, 40).Select(_ => random.Next(4)).Select(core => Of(1 + host, 10 + (core / 2), 100 + core, 30 + (core / 2) + (2 * random.Next(2)), 9))];
                    var chosen = PathChoice.InTurn(seen, peer + host, stripe, stripes);
                    Assert.NotNull(chosen);
                    var core = seen[chosen.Value].Routers[2]!.GetAddressBytes()[0] - 100;
                    up[(host, core)] = up.GetValueOrDefault((host, core)) + 1;
                    down[(peer, core)] = down.GetValueOrDefault((peer, core)) + 1;
                }
            }
        }

        Assert.Equal(16, up.Count);
        Assert.All(up.Values.Concat(down.Values), count => Assert.Equal(stripes, count));
    }

    [Fact]
    public void InTurn_OfOneEdge_TakesDifferentUplinks()
    {
        Path[] seen = [Of(1, 10, 100, 30, 9), Of(1, 10, 101, 30, 9), Of(1, 11, 102, 31, 9), Of(1, 11, 103, 31, 9)];
        for (var place = 0; place < 8; place++)
        {
            var chosen = new[] { 0, 1 }.Select(stripe => PathChoice.InTurn(seen, place, stripe, 2)!.Value / 2);
            Assert.Equal([0, 1], chosen.Order());
        }
    }

    [Fact]
    public void InTurn_TakesNoPathWhoseWayUpIsNotKnown()
    {
        Assert.Equal(1, PathChoice.InTurn([Of(1, 0, 101, 30, 9), Of(1, 10, 100, 30, 9)], 0, 0, 2));
        Assert.Null(PathChoice.InTurn([Of(1, 0, 101, 30, 9)], 0, 0, 2));
        Assert.Null(PathChoice.InTurn([Path.Unknown], 0, 0, 2));
        Assert.Equal(0, PathChoice.InTurn([Of(1, 10, 100, 0, 9)], 3, 1, 2));
    }

    [Fact]
    public void Choice_PrefersAKnownPathToAnUnansweredOne()
    {
        Assert.Equal(1, PathChoice.Best([Of(1, 0, 102, 31, 9), Of(1, 11, 102, 31, 9)], [Of(1, 10, 100, 30, 9)]));
        Assert.Equal(0, PathChoice.Best([Path.Unknown, Path.Unknown], [Path.Unknown]));
    }

    private static Path Of(params int[] routers) => new([.. routers.Select(r => r == 0 ? null : new IPAddress(r))]);

    private static byte[] TimeExceeded(IPAddress destination, int sourcePort, int destinationPort, byte hops)
    {
        var packet = new byte[20 + 8 + 28];
        packet[0] = 0x45;
        packet[9] = 1;
        Router.TryWriteBytes(packet.AsSpan(12), out _);
        packet[20] = 11;
        var probe = new byte[PathProbe.Bytes];
        PathProbe.Write(probe, destination, sourcePort, destinationPort, hops, 40);
        probe[8] = 1; // as it arrived
        probe.AsSpan(0, 28).CopyTo(packet.AsSpan(28));
        return packet;
    }
}
