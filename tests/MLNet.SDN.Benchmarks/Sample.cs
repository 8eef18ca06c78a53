namespace MLNet.SDN.Benchmarks;

/// <summary>Mean of a few independent figures, with the half width of its 95 % interval by Student's t.</summary>
/// <param name="Mean">Their mean.</param>
/// <param name="HalfWidth">The mean lies within this of the true one in 95 of 100 such samples; 0 for a single figure.</param>
internal readonly record struct Sample(double Mean, double HalfWidth)
{
    // 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom.
    private static readonly double[] Student =
    [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];

    /// <summary>Of these figures, at least one.</summary>
    public static Sample Of(IEnumerable<double> figures)
    {
        double[] all = [.. figures];
        var mean = all.Average();
        if (all.Length == 1)
        {
            return new(mean, 0);
        }

        var variance = all.Sum(f => (f - mean) * (f - mean)) / (all.Length - 1);
        return new(mean, Student[Math.Min(all.Length - 1, Student.Length) - 1] * Math.Sqrt(variance / all.Length));
    }
}
