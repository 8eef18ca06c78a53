using System.Diagnostics;
using System.Globalization;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Tests.Aggregation.Model;

namespace MLNet.SDN.Benchmarks;

/// <summary>
/// The aggregation engines of small jobs in virtual time, with everything failing that can: G1, G2 and G3 in every seed, and each of four rules broken on purpose
/// to show that breaking it is noticed.
/// </summary>
internal static class Chaos
{
    private static readonly ProtocolFault[] Variants =
        [ProtocolFault.MergeAcrossEpochs, ProtocolFault.ForgetPromise, ProtocolFault.TwoSuccessors, ProtocolFault.UnannouncedSwitch];

    /// <summary>One job in so many has a parameter server.</summary>
    private const int EveryNthWithServer = 4;

    public static int Run(string state, string[] options)
    {
        var (seeds, from) = (1000, 0);
        for (var i = 0; i + 1 < options.Length; i += 2)
        {
            if (!int.TryParse(options[i + 1], NumberStyles.None, CultureInfo.InvariantCulture, out var number) || options[i] is not ("--seeds" or "--from"))
            {
                Console.Error.WriteLine("bench chaos takes --seeds N (1000) and --from SEED (0).");
                return 2;
            }

            (seeds, from) = options[i] == "--seeds" ? (Math.Max(1, number), from) : (seeds, number);
        }

        var clock = Stopwatch.StartNew();
        var outcomes = Enumerable.Range(from, seeds).AsParallel().Select(seed => ChaosRun.Run(seed, server: seed % EveryNthWithServer == 0)).OrderBy(o => o.Seed).ToList();
        var broken = outcomes.Where(o => o.Broken is not null).ToList();
        foreach (var outcome in broken.Take(20))
        {
            Console.Error.WriteLine($"seed {outcome.Seed}: {outcome.Broken}");
        }

        var faults = outcomes.SelectMany(o => o.Faults).GroupBy(f => f.Key).OrderBy(g => g.Key, StringComparer.Ordinal).ToDictionary(g => g.Key, g => g.Sum(f => f.Value));
        Console.Error.WriteLine(
            $"{seeds} seeds in {clock.Elapsed.TotalSeconds:0} s: {broken.Count} broken; {outcomes.Sum(o => o.Rounds)} results checked, {outcomes.Sum(o => o.Redone)} epochs beyond the first; "
            + string.Join(", ", faults.Select(f => $"{f.Value} x {f.Key}")));

        var variants = Variants.Select(v => Catch(v, from, seeds)).ToList();
        foreach (var variant in variants)
        {
            Console.Error.WriteLine($"{variant.Rule}: {(variant.Seed is null ? "NOT NOTICED" : $"noticed by seed {variant.Seed}, after {variant.Tried} seeds: {variant.Broken}")}");
        }

        var missed = variants.Count(v => v.Seed is null);
        return new BenchResult
        {
            Bench = "chaos",
            Ours = broken.Count,
            Peer = null,
            PeerName = null,
            Ratio = null,
            Unit = "seeds in which a guarantee did not hold",
            Better = "lower",
            Runs = seeds,
            Spread = 0,
            Worst = broken.Count + missed == 0 ? 0 : 1 + broken.Count + missed,
        }.Publish(state, new { Seeds = seeds, From = from, Seconds = clock.Elapsed.TotalSeconds, Faults = faults, Broken = broken, Variants = variants, Outcomes = outcomes });
    }

    private static Variant Catch(ProtocolFault rule, int from, int seeds)
    {
        for (var i = 0; i < seeds; i++)
        {
            if (ChaosRun.Run(from + i, rule) is { Broken: { } broken } outcome)
            {
                return new Variant(rule.ToString(), outcome.Seed, i + 1, broken);
            }
        }

        return new Variant(rule.ToString(), null, seeds, null);
    }

    /// <summary>A rule broken on purpose, and the seed that noticed.</summary>
    private sealed record Variant(string Rule, int? Seed, int Tried, string? Broken);
}
