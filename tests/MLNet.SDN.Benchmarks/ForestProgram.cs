using System.Diagnostics;
using System.Text.Json;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Benchmarks;

/// <summary>Bounds of the least time of any forest, in units of one message of a gigabit.</summary>
/// <param name="Lower">No forest is faster.</param>
/// <param name="Upper">A forest this fast exists.</param>
/// <param name="Columns">Trees that were tried.</param>
/// <param name="Seconds">Time it took.</param>
/// <param name="HighsSeconds">Of that, inside HiGHS.</param>
internal sealed record ForestBounds(double Lower, double Upper, int Columns, double Seconds, double HighsSeconds);

/// <summary>The linear programme over all forests of one job (<c>lp/forest_lp.py</c>), solved by HiGHS.</summary>
internal static class ForestProgram
{
    // Debian's: another python3 may stand before it on PATH, without scipy.
    private const string Python = "/usr/bin/python3";

    private static readonly JsonSerializerOptions Json = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    /// <summary>Solves instances one after the other.</summary>
    /// <param name="instances">Of <see cref="Instance"/>.</param>
    /// <param name="capSeconds">After this much time an instance's bounds are given as they are.</param>
    /// <param name="gap">Relative distance of the bounds at which an instance is solved.</param>
    /// <param name="whole">Whether HiGHS is given the programme over rack stars whole, instead of all trees by generating columns.</param>
    public static IEnumerable<ForestBounds> Solve(IEnumerable<string> instances, double capSeconds, double gap, bool whole = false)
    {
        using var process = Process.Start(new ProcessStartInfo(Python, [Path.Combine(AppContext.BaseDirectory, "lp", "forest_lp.py"), "--cap", Text(capSeconds), "--gap", Text(gap), .. whole ? ["--whole"] : Array.Empty<string>()])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            Environment = { ["OPENBLAS_NUM_THREADS"] = "1" },
        }) ?? throw new InvalidOperationException($"{Python} does not start.");
        foreach (var instance in instances)
        {
            process.StandardInput.WriteLine(instance);
            process.StandardInput.Flush();
            var line = process.StandardOutput.ReadLine() ?? throw new InvalidOperationException("forest_lp.py ended; its fault stands above.");
            yield return JsonSerializer.Deserialize<ForestBounds>(line, Json)!;
        }

        process.StandardInput.Close();
        process.WaitForExit();

        static string Text(double value) => value.ToString(System.Globalization.CultureInfo.InvariantCulture);
    }

    /// <summary>A job on a fabric of racks and pods as the programme reads it: from the topology alone.</summary>
    public static string Instance(Fabric fabric, IReadOnlyList<string> workers, IReadOnlyList<string> helpers)
    {
        string[] hosts = [.. workers.Concat(helpers).Distinct(StringComparer.Ordinal)];
        string[] racks = [.. hosts.Select(h => fabric.Hosts[h].Rack!).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        string[] pods = [.. hosts.Select(h => fabric.Hosts[h].Pod ?? "").Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        var site = fabric.Source.Nodes.ToDictionary(n => n.Id, StringComparer.Ordinal);
        var own = workers.ToHashSet(StringComparer.Ordinal);
        return JsonSerializer.Serialize(new
        {
            hosts = hosts.GroupBy(h => (Rack: fabric.Hosts[h].Rack!, Rate: fabric.HostRateBitsPerSecond(h) / 1e9, IsWorker: own.Contains(h)))
                .Select(g => new { rack = Array.IndexOf(racks, g.Key.Rack), rate = g.Key.Rate, workers = g.Key.IsWorker, count = g.Count() }),
            racks = racks.Select(r => new { rate = Uplinks(n => n.Rack == r), pod = Array.IndexOf(pods, hosts.Select(h => fabric.Hosts[h]).First(h => h.Rack == r).Pod ?? "") }),
            pods = pods.Select(p => new { rate = p.Length == 0 ? null : Uplinks(n => n.Pod == p) }),
        });

        // Links of which one end is in the site.
        double? Uplinks(Func<TopologyNode, bool> isIn)
        {
            var sum = fabric.Source.Links.Where(l => isIn(site[l.Source]) != isIn(site[l.Target])).Sum(l => l.RateBitsPerSecond / 1e9);
            return sum > 0 ? sum : null;
        }
    }
}
