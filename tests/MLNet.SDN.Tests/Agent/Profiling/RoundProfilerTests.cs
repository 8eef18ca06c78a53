using MLNet.SDN.Agent.Profiling;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Agent.Profiling;

public sealed class RoundProfilerTests
{
    // What is promised: period and bytes within 5 %.
    private const double Promise = 0.05;
    private const int Seeds = 10;

    [Theory]
    [InlineData(0.10, 0.3, 0.0)]
    [InlineData(0.25, 0.5, 0.02)]
    [InlineData(0.30, 0.05, 0.05)]
    [InlineData(0.50, 0.8, 0.1)]
    [InlineData(1.00, 0.1, 0.1)]
    [InlineData(3.00, 0.3, 0.05)]
    public void Profile_Rounds_PeriodBytesAndDutyAreFound(double period, double duty, double jitter)
    {
        for (var seed = 0; seed < Seeds; seed++)
        {
            var traffic = new SyntheticTraffic(seed).Rounds(25, period, duty, 4e6, jitter);
            Check(traffic.Sample(), period, 4e6, duty, $"seed {seed}");
        }
    }

    [Theory]
    [InlineData(0.1)]
    [InlineData(0.3)]
    public void Profile_MissedSamples_FoundAllTheSame(double missed)
    {
        for (var seed = 0; seed < Seeds; seed++)
        {
            Check(new SyntheticTraffic(seed).Rounds(30, 0.4, 0.25, 1e6, 0.05).Sample(missed: missed), 0.4, 1e6, null, $"seed {seed}");
        }
    }

    [Fact]
    public void Profile_AccumulationRounds_TheWholeRoundIsThePeriodNotItsParts()
    {
        // Three small exchanges (batch statistics), then the gradients: one round.
        for (var seed = 0; seed < Seeds; seed++)
        {
            var traffic = new SyntheticTraffic(seed);
            for (var i = 0; i < 15; i++)
            {
                for (var part = 0; part < 3; part++)
                {
                    traffic.Silence(0.2 + traffic.Normal(0.01)).Burst(0.02, 2e5);
                }

                traffic.Silence(0.2 + traffic.Normal(0.01)).Burst(0.2, 8e6);
            }

            Check(traffic.Sample(), 1.06, 8.6e6, null, $"seed {seed}");
        }
    }

    [Fact]
    public void Profile_BucketsOfOneBackwardPass_AreOneRound()
    {
        for (var seed = 0; seed < Seeds; seed++)
        {
            var traffic = new SyntheticTraffic(seed);
            for (var i = 0; i < 20; i++)
            {
                traffic.Silence(0.5 + traffic.Normal(0.02));
                for (var bucket = 0; bucket < 5; bucket++)
                {
                    traffic.Silence(0.05).Burst(0.04, 1e6);
                }
            }

            Check(traffic.Sample(), 0.95, 5e6, null, $"seed {seed}");
        }
    }

    [Fact]
    public void Profile_StartUpAndCheckpoints_DoNotCount()
    {
        for (var seed = 0; seed < Seeds; seed++)
        {
            var traffic = new SyntheticTraffic(seed).Silence(2).Burst(1.5, 3e8).Silence(1);
            traffic.Rounds(12, 0.5, 0.2, 4e6, 0.03).Silence(4).Rounds(12, 0.5, 0.2, 4e6, 0.03);
            Check(traffic.Sample(), 0.5, 4e6, null, $"seed {seed}");
        }
    }

    [Fact]
    public void Profile_BackgroundBesideTheRounds_CountsToTheBytesOnly()
    {
        for (var seed = 0; seed < Seeds; seed++)
        {
            var samples = new SyntheticTraffic(seed).Rounds(30, 0.5, 0.2, 4e6, 0.03).Sample(background: 1e6);
            Check(samples, 0.5, 4.5e6, 0.2, $"seed {seed}");
        }
    }

    [Fact]
    public void Profile_RandomBursts_AreNotTakenForRounds()
    {
        var found = new List<string>();
        for (var seed = 0; seed < 100; seed++)
        {
            var profile = RoundProfiler.Profile(new SyntheticTraffic(seed).RandomBursts(20 + (seed % 40), 0.3, 1e6).Sample());
            if (profile.HasPeriod)
            {
                found.Add($"seed {seed}: {profile}");
            }
        }

        Assert.True(found.Count <= 1, $"{found.Count} of 100: {string.Join('\n', found)}");
    }

    [Fact]
    public void Profile_SteadyStream_SaysThatThereIsNoPause()
    {
        var profile = RoundProfiler.Profile(new SyntheticTraffic(1).Burst(20, 1e9).Sample());

        Assert.False(profile.HasPeriod);
        Assert.Equal(0, profile.BytesPerRound);
        Assert.NotNull(profile.Reason);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(15)]
    public void Profile_TooFewSamples_SaysSo(int count)
    {
        var profile = RoundProfiler.Profile([.. Enumerable.Range(0, count).Select(i => new CounterSample(i, i))]);

        Assert.False(profile.HasPeriod);
        Assert.Contains("too few", profile.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Profile_HostileSeries_NeverThrowsNorGivesNonsense()
    {
        var random = new Random(5);
        for (var run = 0; run < 300; run++)
        {
            var samples = Enumerable.Range(0, random.Next(200)).Select(_ => new CounterSample(random.Next(4) switch { 0 => 1e9 * random.NextDouble(), 1 => 0, _ => random.Next(100) / 10.0 }, random.NextInt64(long.MaxValue))).ToList();
            if (run % 2 == 0)
            {
                samples = [.. samples.OrderBy(s => s.Seconds)];
            }

            var profile = RoundProfiler.Profile(samples);
            Assert.True(profile.Confidence is >= 0 and <= 1 && profile.DutyCycle is >= 0 and <= 1 && double.IsFinite(profile.PeriodSeconds) && profile is { PeriodSeconds: >= 0, BytesPerRound: >= 0 }, $"{profile}");
        }
    }

    private static void Check(List<CounterSample> samples, double period, double bytes, double? duty, string which)
    {
        var profile = RoundProfiler.Profile(samples);
        Assert.True(profile.HasPeriod, $"{which}: {profile}");
        Assert.True(Math.Abs(profile.PeriodSeconds - period) <= Promise * period, $"{which}: period {period}, found {profile}");
        Assert.True(Math.Abs(profile.BytesPerRound - bytes) <= Promise * bytes, $"{which}: bytes {bytes}, found {profile}");
        Assert.True(duty is null || Math.Abs(profile.DutyCycle - duty.Value) <= 0.05 + (0.02 / period), $"{which}: duty {duty}, found {profile}");
    }
}
