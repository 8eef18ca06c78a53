namespace MLNet.SDN.Planning.Simulation;

/// <summary>Mean of a few measurements and how far it is to be trusted.</summary>
/// <param name="Mean">Their mean.</param>
/// <param name="HalfWidth">Half the width of the 95 % interval around it, by Student's t; 0 for a single one, of which nothing can be said.</param>
public readonly record struct ConfidenceInterval(double Mean, double HalfWidth)
{
    // 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom; beyond, the normal's is within 2 %.
    private static readonly double[] Quantiles =
    [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];

    /// <summary>The interval of the mean of independent measurements, at least one.</summary>
    public static ConfidenceInterval Of(IReadOnlyList<double> values)
    {
        var mean = values.Average();
        if (values.Count < 2)
        {
            return new(mean, 0);
        }

        var deviation = Math.Sqrt(values.Sum(v => (v - mean) * (v - mean)) / (values.Count - 1));
        var quantile = values.Count - 2 < Quantiles.Length ? Quantiles[values.Count - 2] : 1.96;
        return new(mean, quantile * deviation / Math.Sqrt(values.Count));
    }
}
