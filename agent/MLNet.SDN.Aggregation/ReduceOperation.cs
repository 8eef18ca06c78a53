namespace MLNet.SDN.Aggregation;

/// <summary>What is done with the contributions.</summary>
public enum ReduceOperation : byte
{
    /// <summary>Their sum; integers wrap around.</summary>
    Sum = 1,

    /// <summary>Their sum divided by the number of workers, at the root; the quotient of integers is cut towards zero.</summary>
    Mean = 2,

    /// <summary>The least; a NaN among them makes the result one, and -0 is below +0 (IEEE 754-2019 minimum).</summary>
    Min = 3,

    /// <summary>The greatest; NaN and zeros as with <see cref="Min"/> (IEEE 754-2019 maximum).</summary>
    Max = 4,

    /// <summary>The workers' sum, which only the job's server gets: nobody else's result holds anything. The server contributes nothing.</summary>
    Push = 5,

    /// <summary>What the job's server contributes, to everyone. The workers contribute nothing.</summary>
    Pull = 6,
}
