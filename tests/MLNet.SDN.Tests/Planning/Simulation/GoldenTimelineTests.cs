using System.Text.Json;
using MLNet.SDN.Planning.FlowModel;
using MLNet.SDN.Planning.Simulation;

namespace MLNet.SDN.Tests.Planning.Simulation;

/// <summary>Worked cases with exact fractions: completion times, ends of rounds, and who had which share when.</summary>
public class GoldenTimelineTests
{
    public static TheoryData<string, string> Cases
    {
        get
        {
            var cases = new TheoryData<string, string>();
            foreach (var file in new[] { "F2_three_jobs_one_uplink.json", "F3_multi_link_four_jobs.json" })
            {
                foreach (var policy in Golden.Read(file).GetProperty("expected").EnumerateObject())
                {
                    cases.Add(file, policy.Name);
                }
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Run_WorkedCase_GivesTheExactTimesAndShares(string file, string policy)
    {
        var golden = Golden.Read(file);
        var expected = golden.GetProperty("expected").GetProperty(policy);
        var (capacities, jobs) = Read(golden);
        var timeline = new List<(double From, double To, Dictionary<string, double> Share)>();

        var finishes = Simulator.Run(capacities, jobs, DisciplineOf(policy), (from, to, sending, share, _, _) =>
        {
            if (sending.Length > 0 && to > from)
            {
                timeline.Add((from, to, sending.ToArray().ToDictionary(j => jobs[j].Name, _ => 0.0)));
                foreach (var job in sending)
                {
                    timeline[^1].Share[jobs[job].Name] = share[job];
                }
            }
        }, cancellationToken: TestContext.Current.CancellationToken);

        for (var job = 0; job < jobs.Length; job++)
        {
            Near(Golden.Number(expected.GetProperty("jct_s").GetProperty(jobs[job].Name)), finishes[job].CompletionSeconds);
            Near(Golden.Number(expected.GetProperty("iteration_end_s").GetProperty(jobs[job].Name).EnumerateArray().Last()), finishes[job].FinishSeconds);
        }

        // Segments of no length mark events at one instant; nothing happens in them.
        var segments = expected.GetProperty("rate_timeline").EnumerateArray().Where(s => Golden.Number(s.GetProperty("from_s")) < Golden.Number(s.GetProperty("to_s"))).ToArray();
        Assert.Equal(segments.Length, timeline.Count);
        foreach (var (segment, ours) in segments.Zip(timeline))
        {
            Near(Golden.Number(segment.GetProperty("from_s")), ours.From);
            Near(Golden.Number(segment.GetProperty("to_s")), ours.To);
            var shares = segment.GetProperty("share_of_own_bottleneck_rate").EnumerateObject().ToDictionary(s => s.Name, s => Golden.Number(s.Value));
            Assert.Equal(shares.Keys.Order(), ours.Share.Keys.Order());
            Assert.All(shares, s => Near(s.Value, ours.Share[s.Key]));
        }
    }

    [Theory]
    [InlineData("one_ps_on_r0h4")]
    [InlineData("sharded_ps_all_workers")]
    [InlineData("ring_rack_aligned_h0h1h2h3_then_rack1")]
    [InlineData("ring_alternating_racks")]
    [InlineData("rotated_rack_trees")]
    [InlineData("rotated_rack_trees_plus_helpers_r0h4_r1h4")]
    public void Run_OneJobAlone_TakesTheExactTime(string strategy)
    {
        var golden = Golden.Read("F1_one_job_all_strategies.json");
        var expected = golden.GetProperty("strategies").GetProperty(strategy);
        var names = golden.GetProperty("link_capacity_bytes_per_s").EnumerateObject().Select(l => l.Name).ToArray();
        double[] capacities = [.. golden.GetProperty("link_capacity_bytes_per_s").EnumerateObject().Select(l => Golden.Number(l.Value))];

        var finish = Simulator.Run(capacities, [Job("one", 0, 0.5, 3, names, expected.GetProperty("bytes_per_link_per_iteration"))], new FairDiscipline(), cancellationToken: TestContext.Current.CancellationToken).Single();

        Near(Golden.Number(expected.GetProperty("jct_s")), finish.CompletionSeconds);
        Near((3 * Golden.Number(expected.GetProperty("isolated_comm_s"))) + 1.5, finish.AloneSeconds);
    }

    private static (double[] Capacities, SimulatedJob[] Jobs) Read(JsonElement golden)
    {
        var links = golden.GetProperty("link_capacity_bytes_per_s").EnumerateObject().ToArray();
        string[] names = [.. links.Select(l => l.Name)];
        return ([.. links.Select(l => Golden.Number(l.Value))],
            [.. golden.GetProperty("jobs").EnumerateArray().Select(j => Job(
                j.GetProperty("name").GetString()!, Golden.Number(j.GetProperty("arrival_s")), Golden.Number(j.GetProperty("compute_s")), j.GetProperty("iterations").GetInt64(), names, j.GetProperty("bytes_per_link_per_iteration")))]);
    }

    private static SimulatedJob Job(string name, double arrival, double compute, long rounds, string[] links, JsonElement bytes) => new()
    {
        Name = name,
        ArrivalSeconds = arrival,
        ComputeSeconds = compute,
        Rounds = rounds,
        Links = [.. bytes.EnumerateObject().Select(b => Array.IndexOf(links, b.Name))],
        Bytes = [.. bytes.EnumerateObject().Select(b => Golden.Number(b.Value))],
    };

    private static Discipline DisciplineOf(string policy) => policy switch
    {
        "fair" => new FairDiscipline(),
        "srpt" => new UnlimitedSrptDiscipline(Floor.None),
        "srpt_floor_1_20" => new UnlimitedSrptDiscipline(new(FloorKind.Pooled, 0.05)),
        "order_A_B_C_worst" => new FixedOrderDiscipline([0, 1, 2], Floor.None),
        _ => throw new ArgumentException(policy),
    };

    private static void Near(double expected, double actual) => Assert.Equal(expected, actual, Math.Max(1, Math.Abs(expected)) * 1e-9);
}
