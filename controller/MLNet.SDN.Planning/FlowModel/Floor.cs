namespace MLNet.SDN.Planning.FlowModel;

/// <summary>Who shares the guaranteed part of a link.</summary>
public enum FloorKind
{
    /// <summary>Nothing is guaranteed: strict order alone.</summary>
    None,

    /// <summary>All flows together have one guaranteed part of every link, and share it evenly.</summary>
    Pooled,

    /// <summary>Each level has a guaranteed part of every link, as queues with a minimum rate give it.</summary>
    PerLevel,
}

/// <summary>Part of every link that is given out before strict order begins; what is not used returns.</summary>
/// <param name="Kind">Who shares it.</param>
/// <param name="Fraction">0..1 of a link; per level where the kind says so.</param>
public readonly record struct Floor(FloorKind Kind, double Fraction)
{
    /// <summary>No floor.</summary>
    public static Floor None => default;
}
