using MLNet.SDN.Contracts;
using MLNet.SDN.Planning;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Benchmarks;

/// <summary>Jobs drawn for benchmarks of the planner: sizes and models of a training cluster, each job on two to four racks.</summary>
internal static class SyntheticJobs
{
    // Of each rack's hosts this part runs workers; the others are idle, and sum for the jobs of their rack.
    private const double BusyPart = 0.75;

    private static readonly int[] Sizes = [8, 8, 8, 16, 16, 16, 24, 24, 32, 32, 48, 64];

    // Bytes of gradient and seconds of computation a round: ResNet-50, VGG-16, BERT-base, BERT-large, GPT-2 small.
    private static readonly (long Bytes, double Seconds)[] Models = [(102_000_000, 0.12), (553_000_000, 0.25), (440_000_000, 0.2), (1_360_000_000, 0.5), (500_000_000, 0.35)];

    /// <summary>Draws jobs.</summary>
    /// <param name="fabric">Where they run; every host in a rack.</param>
    /// <param name="count">How many.</param>
    /// <param name="seed">Equal seeds give equal jobs, and the first of more are those of fewer.</param>
    public static PlanningJob[] Draw(Fabric fabric, int count, int seed)
    {
        var random = new Random(seed);
        var racks = fabric.Hosts.Values.GroupBy(h => h.Rack!, StringComparer.Ordinal).OrderBy(g => g.Key, StringComparer.Ordinal)
            .Select(g => g.Select(h => h.Id).Order(StringComparer.Ordinal).ToArray()).ToArray();
        return [.. Enumerable.Range(1, count).Select(id =>
        {
            var size = Sizes[random.Next(Sizes.Length)];
            var parts = random.Next(2, 5);
            var chosen = Enumerable.Range(0, parts).Select(_ => racks[random.Next(racks.Length)]).Distinct().ToArray();
            var workers = new List<string>();
            foreach (var (index, rack) in chosen.Index())
            {
                var busy = rack.Take((int)(BusyPart * rack.Length)).OrderBy(_ => random.Next()).ToArray();
                workers.AddRange(busy.Take((size * (index + 1) / chosen.Length) - (size * index / chosen.Length)));
            }

            var model = Models[random.Next(Models.Length)];
            return new PlanningJob
            {
                JobId = id,
                RoundsLeft = (long)Math.Clamp(80 * Math.Exp(1.5 * Normal(random)), 10, 2000),
                Spec = new()
                {
                    Name = $"job-{id}",
                    Workers = workers,
                    Helpers = [.. chosen.SelectMany(rack => rack.Skip((int)(BusyPart * rack.Length)))],
                    GradientBytes = model.Bytes,
                    ComputeSeconds = model.Seconds,
                },
            };
        })];
    }

    // G. E. P. Box and M. E. Muller, 1958.
    private static double Normal(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
