using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Agent.Discovery;
using MLNet.SDN.Agent.Profiling;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Agent.Discovery;

public sealed class HandOverTests
{
    [Fact]
    public void Of_ProcessesOfOneRank_AreOnePartWithTheConnectionsThatLeaveTheHost()
    {
        var identity = new TrainerIdentity("k", "job", 1, 2);
        var handOver = HandOver.Of(
            [new(10, 1000, identity, new HashSet<uint> { 1, 2, 3 }), new(11, 1000, identity, new HashSet<uint> { 1, 4 }), new(12, 2000, identity with { Rank = 0 }, new HashSet<uint> { 5 })],
            [Socket("10.0.0.1", "10.0.0.2", 1), Socket("127.0.0.1", "127.0.0.1", 2), Socket("10.0.0.1", "10.0.0.1", 3), Socket("fe80::1", "fe80::2", 4), Socket("fd00::1", "fd00::2", 5), Socket("10.0.0.1", "10.0.0.9", 6)]);

        // Another user's processes are another job, whatever they say of themselves.
        Assert.Equal([("k", 1000, "10.0.0.2"), ("k", 2000, "fd00::2")], handOver.Jobs.Select(j => (j.Key, j.Uid, Assert.Single(j.Connections).Ends.RemoteAddress)));
        Assert.Equal([1], handOver.Jobs[0].Ranks);
    }

    [Fact]
    public void Read_WhatWasWritten_IsTheSame()
    {
        var handOver = HandOver.Of([new(10, 1000, new TrainerIdentity("k", "job", 1, 2), new HashSet<uint> { 1 })], [Socket("10.0.0.1", "10.0.0.2", 1)]);

        var read = HandOver.Read(handOver.Line().AsSpan()[..^1]);

        Assert.Equal(handOver.Jobs[0].Connections, read!.Jobs[0].Connections);
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("{\"jobs\":null}")]
    [InlineData("{\"jobs\":[null]}")]
    [InlineData("{\"jobs\":[{\"key\":\"\",\"name\":\"n\",\"uid\":1,\"worldSize\":2,\"ranks\":[0],\"connections\":[]}]}")]
    [InlineData("{\"jobs\":[{\"key\":\"k\",\"name\":\"n\",\"uid\":1,\"worldSize\":2,\"ranks\":[2],\"connections\":[]}]}")]
    [InlineData("{\"jobs\":[{\"key\":\"k\",\"name\":\"n\",\"uid\":1,\"worldSize\":2,\"ranks\":[0],\"connections\":[{\"ends\":{\"localAddress\":\"x\",\"localPort\":1,\"remoteAddress\":\"10.0.0.1\",\"remotePort\":1},\"cookie\":1}]}]}")]
    [InlineData("{\"jobs\":[{\"key\":\"k\",\"name\":\"n\",\"uid\":1,\"worldSize\":2,\"ranks\":[0],\"connections\":[{\"ends\":null,\"cookie\":1}]}]}")]
    public void Read_AnythingElse_IsRefused(string line) => Assert.Null(HandOver.Read(Encoding.UTF8.GetBytes(line)));

    [Fact]
    public async Task Listener_UnitThatSpeaksAndGoes_IsBelievedForAWhile()
    {
        var directory = Directory.CreateTempSubdirectory("mlnet-hand-").FullName;
        var path = Path.Combine(directory, "d.sock");
        var time = new SteppedTime();
        await using (var listener = new DiscoveryListener(path, time, NullLogger.Instance))
        {
            listener.Start();
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
            Assert.NotNull(listener.Trouble);

            // A unit may still come: that nothing is known must not be told as "nothing is there".
            var source = new DiscoverySource("h", Guid.Empty, () => listener.Jobs, time, NullLogger.Instance);
            Assert.Null(source.Due());
            using (var unit = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
            {
                await unit.ConnectAsync(new UnixDomainSocketEndPoint(path), TestContext.Current.CancellationToken);
                var line = HandOver.Of([new(10, 1000, new TrainerIdentity("k", "job", 1, 2), new HashSet<uint>())], []).Line();
                foreach (var part in line.Chunk(7))
                {
                    await unit.SendAsync(part, TestContext.Current.CancellationToken);
                }

                await UntilAsync(() => listener.Jobs?.Count == 1);
                Assert.Single(source.Due()!.Jobs);
                Assert.Null(listener.Trouble);
            }

            // A unit that is upgraded comes back within the time.
            time.Step(DiscoveryListener.Lifetime - TimeSpan.FromSeconds(1));
            Assert.Single(listener.Jobs!);
            time.Step(TimeSpan.FromSeconds(2));
            Assert.Empty(listener.Jobs!);
            Assert.Empty(source.Due()!.Jobs);

            // One that says something else is sent away, and the next is heard.
            using var liar = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await liar.ConnectAsync(new UnixDomainSocketEndPoint(path), TestContext.Current.CancellationToken);
            await liar.SendAsync("{}\n"u8.ToArray(), TestContext.Current.CancellationToken);
            Assert.Equal(0, await liar.ReceiveAsync(new byte[1], TestContext.Current.CancellationToken));
        }

        Assert.False(File.Exists(path));
        Directory.Delete(directory);
    }

    [Fact]
    public async Task Listener_WithoutAUnit_SaysSoOnceOneWouldHaveCome()
    {
        var time = new SteppedTime();
        await using var listener = new DiscoveryListener("/nowhere/d.sock", time, NullLogger.Instance);
        var source = new DiscoverySource("h", Guid.Empty, () => listener.Jobs, time, NullLogger.Instance);

        time.Step(DiscoveryListener.FirstWord - TimeSpan.FromSeconds(1));
        Assert.Null(source.Due());
        time.Step(TimeSpan.FromSeconds(2));
        Assert.Empty(source.Due()!.Jobs);
    }

    [Fact]
    public void Of_UserWithMoreThanTheBounds_CrowdsOutNobodyAndTheLineFits()
    {
        // User 1 runs 100 jobs that sort first, some with as many connections as a job may have, all with the longest addresses and with keys that JSON makes longer.
        var trainers = new List<Trainer>();
        var sockets = new List<SocketFacts>();
        for (var job = 0; job < 100; job++)
        {
            var inodes = Enumerable.Range(0, job < 10 ? 4096 : 1).Select(i => (uint)(1 + (job * 4096) + i)).ToHashSet();
            trainers.Add(new(job, 1, new TrainerIdentity($"!{job:000}{new string('+', 770)}", new string('a', 63), job, 1 << 20), inodes));
            sockets.AddRange(inodes.Select(i => Long(i)));
        }

        var its = Enumerable.Range(900_000, 20).Select(i => (uint)i).ToHashSet();
        sockets.AddRange(its.Select(i => Long(i)));
        trainers.Add(new(7, 2, new TrainerIdentity("z", "z", 1, 2), its));

        var handOver = HandOver.Of(trainers, sockets);
        var line = handOver.Line();

        Assert.InRange(line.Length, HandOver.MaxBytes / 2, HandOver.MaxBytes);
        Assert.Equal(HandOver.MaxJobs, HandOver.Read(line.AsSpan()[..^1])!.Jobs.Count);
        Assert.Equal(HandOver.MaxTotal, handOver.Jobs.Sum(j => j.Connections.Count));
        var other = Assert.Single(handOver.Jobs, j => j.Uid == 2);
        Assert.Equal((20, 1), (other.Connections.Count, Assert.Single(other.Ranks)));

        static SocketFacts Long(uint inode) => new(
            new TcpConnection(UInt128.MaxValue >> 1, 60_000, (UInt128.MaxValue >> 1) - inode, 60_001, IsIPv6: true), inode, 0, ulong.MaxValue - inode, 0);
    }

    [Theory]
    [InlineData(10, new[] { 3, 100, 4 }, new[] { 3, 4, 3 })]
    [InlineData(10, new[] { 1, 100, 2 }, new[] { 1, 7, 2 })]
    [InlineData(2, new[] { 5, 5, 5 }, new[] { 0, 1, 1 })]
    [InlineData(9, new int[0], new int[0])]
    public void FairShare_MoreWantedThanThereIs_NobodyLosesToWhoWantsMore(int total, int[] wanted, int[] shares) => Assert.Equal(shares, FairShare.Of(wanted, total));

    [Fact]
    public void SocketDiagnosis_OwnConnection_IsFoundWithItsBytesUntilItCloses()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var diagnosis = new SocketDiagnosis();
        SocketFacts facts;
        using (var client = new TcpClient())
        {
            client.Connect((IPEndPoint)listener.LocalEndpoint);
            using var server = listener.AcceptTcpClient();
            client.GetStream().Write(new byte[5000]);
            server.GetStream().ReadExactly(new byte[5000]);
            var port = ((IPEndPoint)client.Client.LocalEndPoint!).Port;
            facts = Assert.Single(diagnosis.Connections(), s => s.Connection.LocalPort == port);
            Assert.Equal(FlowKey.FromAddress(IPAddress.Loopback), facts.Connection.Local);
            Assert.Equal($"socket:[{facts.Inode}]", new FileInfo($"/proc/self/fd/{client.Client.Handle}").LinkTarget);
            Assert.InRange(diagnosis.Find(facts.Connection, facts.Cookie)!.Value.BytesAcknowledged, 5000, 5001);
            Assert.Null(diagnosis.Find(facts.Connection, facts.Cookie + 1));
        }

        Assert.Null(diagnosis.Find(facts.Connection, facts.Cookie) is { Inode: not 0 } open ? open : (SocketFacts?)null);
    }

    [Fact]
    public void JobMeter_ConnectionsThatComeAndGo_CountOnlyWhatFlowsWhileWatched()
    {
        var meter = new JobMeter();
        var now = 100.0;
        for (var told = false; !told;)
        {
            // A round of 0.5 s; from 105 s on over another connection, which had bytes before it was first seen.
            var rounds = Math.Floor((now - 100) / 0.5);
            var inRound = Math.Min(1, (now - 100 - (0.5 * rounds)) / 0.1);
            var bytes = (long)((rounds + inRound) * 1e6);
            told = now < 105 ? meter.Take(now, [(1, bytes)]) : meter.Take(now, [(1, 10_000_000), (2, 70_000_000 + bytes)]);
            Assert.InRange(now += meter.Interval, 100, 170);
        }

        Assert.InRange(meter.Profile!.PeriodSeconds, 0.475, 0.525);
        Assert.InRange(meter.Profile.BytesPerRound, 950_000, 1_050_000);
        Assert.False(meter.IsMeasuring(now));
        Assert.True(meter.IsMeasuring(now + 61));
    }

    private static SocketFacts Socket(string local, string remote, uint inode) =>
        new(new TcpConnection(FlowKey.FromAddress(IPAddress.Parse(local)), (ushort)(40_000 + inode), FlowKey.FromAddress(IPAddress.Parse(remote)), 5000, local.Contains(':', StringComparison.Ordinal)), inode, 0, inode, 0);

    private static async Task UntilAsync(Func<bool> holds)
    {
        for (var i = 0; !holds(); i++)
        {
            Assert.InRange(i, 0, 1000);
            await Task.Delay(10, TestContext.Current.CancellationToken);
        }
    }

    private sealed class SteppedTime : TimeProvider
    {
        private long now;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public void Step(TimeSpan by) => Interlocked.Add(ref now, by.Ticks);

        public override long GetTimestamp() => Interlocked.Read(ref now);
    }
}
